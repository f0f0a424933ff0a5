/**
 * One operation on a state directory: by its host, if one runs; else it is owned for as long as it takes, by a runtime without agents, then
 * let go.
 *
 * Such a runtime starts as it always does: what an earlier one left running is ended and settled first. Nothing is dispatched.
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as ProcessSystem from "../agent/ProcessSystem.ts"
import { AgentRuntime } from "../AgentRuntime.ts"
import * as RuntimeConfig from "../RuntimeConfig.ts"
import * as Ownership from "../store/Ownership.ts"
import * as SqliteStore from "../store/SqliteStore.ts"
import * as StateDirectory from "../store/StateDirectory.ts"
import type { Store } from "../store/Store.ts"
import { version } from "../version.ts"
import * as LiveHost from "./liveHost.ts"
import * as LocalRuntime from "./localRuntime.ts"
import { Machine } from "./machine.ts"
import { existing, locate } from "./viewer.ts"

/**
 * Does the operation on the runtime of this state directory's host, or on one of its own. `hosted`: work that is queued starts by itself.
 * `create`: make the directory if there is none. Fails with `OwnedByAnother` when it has an owner that is no host.
 */
export const operate = <A, E, R>(
  explicit: string | undefined,
  operation: (runtime: AgentRuntime["Service"], hosted: boolean) => Effect.Effect<A, E, R>,
  options: { readonly create?: boolean } = {}
) =>
  Effect.gen(function* () {
    const { cwd } = yield* Machine
    const directory = yield* StateDirectory.ensure(yield* options.create === true ? locate(explicit) : existing(explicit))
    const host = yield* LiveHost.find(directory)
    if (host !== undefined) return yield* LiveHost.ask(host, directory, (runtime) => operation(runtime, true))
    return yield* Effect.flatMap(AgentRuntime, (runtime) => Effect.ensuring(operation(runtime, false), runtime.shutdown)).pipe(
      Effect.scoped,
      Effect.provide(LocalRuntime.layer({ config: RuntimeConfig.defaults, cwd, stateDirectory: directory, kind: "run" }))
    )
  })

/** Changes what is written down, without a runtime: for what the next one finds. Where a host runs, it is asked instead. */
export const edit = <A, E, R, A2, E2, R2>(
  explicit: string | undefined,
  change: (store: Store["Service"]) => Effect.Effect<A, E, R>,
  asked: (runtime: AgentRuntime["Service"]) => Effect.Effect<A2, E2, R2>
) =>
  Effect.gen(function* () {
    const { platform } = yield* Machine
    const directory = yield* StateDirectory.ensure(yield* existing(explicit))
    const host = yield* LiveHost.find(directory)
    if (host !== undefined) return yield* LiveHost.ask(host, directory, asked)
    const owned = Ownership.acquire({ directory, kind: "run", version, processes: ProcessSystem.make(platform) })
    return yield* Effect.scoped(
      Effect.flatMap(owned, (owner) => Effect.flatMap(SqliteStore.make(owner.database.connection, owner.epoch), change))
    )
  })

/** Tells what was done: one JSON document, or a line. */
export const tell = (json: boolean, document: Readonly<Record<string, unknown>>, text: string) =>
  Console.log(json ? JSON.stringify(document) : text)
