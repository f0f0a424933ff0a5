/** The runtime of a command: on this machine's environment, durable in its state directory. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as LocalRuntime from "../LocalRuntime.ts"
import * as StateDirectory from "../store/StateDirectory.ts"
import { Machine, place } from "./machine.ts"

/** The state directory for work in `directory`, made if need be. */
export const stateDirectory = Effect.fnUntraced(function* (directory: string, explicit: string | undefined) {
  return yield* StateDirectory.ensure(yield* StateDirectory.locate(yield* place, directory, explicit))
})

/** Builds with `OwnedByAnother` as its failure when another process owns the state directory. */
export const layer = (options: Omit<LocalRuntime.DurableOptions, "env" | "drivers">) =>
  Layer.unwrap(Effect.map(Machine, ({ env }) => LocalRuntime.layer({ ...options, env })))
