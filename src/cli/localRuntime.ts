/** The runtime of a command: on this machine's environment, durable in its state directory. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as LocalRuntime from "../LocalRuntime.ts"
import * as StateDirectory from "../store/StateDirectory.ts"
import { Machine, place } from "./machine.ts"

/** The state directory for work in `directory`, made if need be. */
export const stateDirectory = Effect.fnUntraced(function* (directory: string, explicit: string | undefined) {
  return yield* StateDirectory.ensure(yield* StateDirectory.locate(yield* place, directory, explicit))
})

/** Builds with `OwnedByAnother` as its failure when another process owns the state directory. */
export const layer = (options: Omit<LocalRuntime.DurableOptions, "env" | "drivers">) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const { env } = yield* Machine
      const accounts = yield* userDirectory
      return LocalRuntime.layer({ ...options, env, ...(accounts === undefined ? {} : { accounts }) })
    })
  )

/** The user's own directory, made if need be; undefined where it cannot be: limits are this runtime's own then. */
const userDirectory = Effect.flatMap(place, (at) => Effect.option(StateDirectory.ensure(StateDirectory.userDirectory(at)))).pipe(
  Effect.map(Option.getOrUndefined)
)
