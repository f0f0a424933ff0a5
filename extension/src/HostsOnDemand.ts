/** Loads what speaks with hosts when one is looked for the first time: the shell starts without it. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Hosts } from "./Hosts.ts"
import type { Editor, Log } from "./Editor.ts"

export const layer = Layer.effect(
  Hosts,
  Effect.gen(function* () {
    const context = yield* Effect.context<Editor | Log>()
    const loaded = yield* Effect.cached(
      Effect.flatMap(
        Effect.promise(() => import("./RunningHosts.ts")),
        ({ make }) => Effect.provide(make, context)
      )
    )
    return {
      connect: (wish) => Effect.flatMap(loaded, (hosts) => hosts.connect(wish)),
      node: (wish) => Effect.flatMap(loaded, (hosts) => hosts.node(wish)),
      hasState: (wish) => Effect.flatMap(loaded, (hosts) => hosts.hasState(wish))
    }
  })
)
