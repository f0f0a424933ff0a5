/**
 * The store on SQLite: what is acknowledged is on the disk.
 *
 * WAL with `synchronous = FULL`; commits of one tick share a transaction. Reads decode through the schemas; a row that does not decode is
 * moved to the quarantine table with the reason, and shown, never dropped.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Redaction from "../reliability/Redaction.ts"
import * as Database from "./Database.ts"
import * as GroupCommit from "./GroupCommit.ts"
import { Owner } from "./Ownership.ts"
import * as Seal from "./Seal.ts"
import { attempt, codes, type Connection, unavailable } from "./Sqlite.ts"
import * as SqliteChanges from "./SqliteChanges.ts"
import * as SqliteReads from "./SqliteReads.ts"
import { Store, type StoreUnavailable } from "./Store.ts"

/** The store over an open database, under the epoch of its owner. Flushes what is waiting when the scope closes. */
export const make = (
  connection: Connection,
  epoch: number,
  redactor?: Redaction.Redactor
): Effect.Effect<Store["Service"], StoreUnavailable, Scope.Scope> =>
  Effect.gen(function* () {
    const seal = Seal.make(connection.file, redactor)
    const group = yield* attempt("open", () => GroupCommit.make(connection, SqliteChanges.make(connection, seal)))
    yield* Effect.addFinalizer(() => Effect.sync(group.flush))
    return Store.of({ epoch, commit: group.commit, ...SqliteReads.make(connection, true, seal) })
  })

/** The store as a viewer sees it: it reads while another process owns the state. Commits fail with reason `read-only`. */
export const makeViewer = (connection: Connection): Store["Service"] =>
  Store.of({
    epoch: 0,
    commit: () =>
      Effect.fail(unavailable("commit", Object.assign(new Error("this process only views the state"), { errcode: codes.readOnly }))),
    ...SqliteReads.make(connection, false, Seal.make(connection.file))
  })

/** The store of the state directory that this process owns. `redactor`: what it takes for a secret is sealed. */
export const layer = (redactor: Redaction.Redactor): Layer.Layer<Store, StoreUnavailable, Owner> =>
  Layer.effect(
    Store,
    Effect.flatMap(Owner, (owner) => make(owner.database.connection, owner.epoch, redactor))
  )

/** The store in one file, without the lock of a state directory: for programs that know that they are alone. */
export const layerFile = (file: string): Layer.Layer<Store, Database.OpenError> =>
  Layer.effect(
    Store,
    Effect.gen(function* () {
      const { connection } = yield* Database.open(file)
      return yield* make(connection, yield* Database.claimEpoch(connection))
    })
  )

/** The store of a state directory that another process may own, to look at. Fails with `StoreUnavailable` when there is none yet. */
export const layerViewer = (directory: string): Layer.Layer<Store, Database.OpenError> =>
  Layer.effect(
    Store,
    Effect.map(Database.openViewer(directory), ({ connection }) => makeViewer(connection))
  )
