/** Read-only sight of a state directory, whether another process owns it or none does. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as ProcessSystem from "../agent/ProcessSystem.ts"
import { fileName, type OpenError } from "../store/Database.ts"
import * as Ownership from "../store/Ownership.ts"
import * as SqliteStore from "../store/SqliteStore.ts"
import * as StateDirectory from "../store/StateDirectory.ts"
import { Store } from "../store/Store.ts"
import { Machine, place } from "./machine.ts"

/** Nothing has been run there: there is no state to look at. */
export class StateNotFound extends Schema.TaggedError<StateNotFound>()("StateNotFound", { directory: Schema.String }) {
  override get message(): string {
    return `There is no state in ${this.directory}: nothing has been run there yet`
  }
}

/** The state directory that is meant: the explicit one, seen from where the command is typed, or that of the repository there. */
export const locate = Effect.fnUntraced(function* (explicit: string | undefined) {
  const { cwd } = yield* Machine
  return yield* StateDirectory.locate(yield* place, cwd, explicit)
})

/** The state directory, if there is a state in it. Fails with `StateNotFound`. */
export const existing = Effect.fnUntraced(function* (explicit: string | undefined) {
  const directory = yield* locate(explicit)
  if (!fs.existsSync(path.join(directory, fileName))) return yield* new StateNotFound({ directory })
  return directory
})

export interface View {
  readonly directory: string
  readonly store: Store["Service"]
  /** Who owns it, or owned it last without a clean end. */
  readonly owner: Effect.Effect<{ readonly owner: Ownership.OwnerInfo; readonly alive: boolean } | undefined>
}

/** Looks at the state. Writes nothing, and disturbs no owner. */
export const view = <A, E, R>(
  explicit: string | undefined,
  look: (view: View) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | StateNotFound | StateDirectory.StateDirectoryRefused | OpenError, R> =>
  Effect.gen(function* () {
    const directory = yield* existing(explicit)
    const { platform } = yield* Machine
    const owner = Effect.suspend(() => Ownership.look(directory, ProcessSystem.make(platform)))
    return yield* Effect.provide(
      Effect.flatMap(Store, (store) => look({ directory, store, owner })),
      SqliteStore.layerViewer(directory)
    ) as Effect.Effect<A, E | OpenError, R>
  })
