/** The host that runs for a state directory, for commands that would rather ask it than read what it has written down. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { AgentRuntime } from "../AgentRuntime.ts"
import * as HostClient from "../host/HostClient.ts"
import type { HostInfo } from "../host/HostFile.ts"
import * as Launcher from "../host/Launcher.ts"
import * as LocalHost from "../host/LocalHost.ts"
import { Machine, place } from "./machine.ts"

/** It, or undefined when none runs. */
export const find = (directory: string): Effect.Effect<HostInfo | undefined> =>
  Effect.flatMap(Machine, ({ platform }) => Effect.orElseSucceed(Launcher.find(directory, platform), () => undefined))

/** A host that goes away meanwhile is an error like any other here. */
const lost = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | HostClient.HostLost, R> =>
  Effect.catchDefect(effect, (defect) => (defect instanceof HostClient.HostLost ? Effect.fail(defect) : Effect.die(defect)))

/** Asks the host something. */
export const ask = <A, E, R>(info: HostInfo, directory: string, question: (runtime: AgentRuntime["Service"]) => Effect.Effect<A, E, R>) =>
  lost(
    Effect.scoped(
      Effect.flatMap(
        HostClient.make({ directory, host: Effect.succeed(info), name: "nofx command line", patience: "5 seconds" }),
        ({ runtime }) => question(runtime)
      )
    ) as Effect.Effect<A, E | HostClient.ConnectError, Exclude<R, Scope.Scope>>
  )

/** Stays with the host; one that dies is started again. `attends`: somebody can answer permission requests here. */
export const stay = <A, E, R>(
  directory: string,
  options: { readonly attends: boolean },
  use: (reached: LocalHost.Reached) => Effect.Effect<A, E, R>
) =>
  Effect.gen(function* () {
    const { node } = yield* Machine
    const connected = LocalHost.connect({
      directory,
      place: yield* place,
      self: { path: node, electron: false },
      name: "nofx run",
      ...(options.attends ? { onLeave: "finish" as const } : {})
    })
    return yield* lost(Effect.flatMap(connected, use))
  })

/** The host's answer; undefined when none runs, or none that this version can talk to: what is written down has to do then. */
export const answer = <A, E>(directory: string, question: (runtime: AgentRuntime["Service"]) => Effect.Effect<A, E>) =>
  Effect.flatMap(find(directory), (info) =>
    info === undefined ? Effect.succeed(undefined) : Effect.orElseSucceed(ask(info, directory, question), () => undefined)
  )
