/**
 * Opens the main database: looked at first, recovered when it is damaged, then brought up to date.
 *
 * Nothing is written before the damaged files are safe. A database that was recovered says so for as long as its reports are kept.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Damage from "./Damage.ts"
import * as migrations from "./migrations.ts"
import * as Sqlite from "./Sqlite.ts"
import type { DamageReport, StoreUnavailable } from "./Store.ts"
import * as Wal from "./Wal.ts"

/** Name of the main database in a state directory. */
export const fileName = "nofx.db"

export type OpenError = Sqlite.SqliteMissing | StoreUnavailable | migrations.SchemaTooNew

export interface Database {
  readonly connection: Sqlite.Connection
  /** What this opening found damaged. */
  readonly damage: DamageReport | undefined
}

export interface Options {
  /** The last owner died while it had the database open: then there must be a write-ahead log. Default false. */
  readonly expectLog?: boolean
}

/**
 * Opens or makes the database for its owner.
 *
 * Fails with `SchemaTooNew` when a newer NofX has written it, and with `StoreUnavailable` when it cannot be opened or recovered; both leave
 * everything as it was.
 */
export const open = (file: string, options: Options = {}): Effect.Effect<Database, OpenError, Scope.Scope> =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const size = yield* Sqlite.attempt("open", () => fs.statSync(file, { throwIfNoEntry: false })?.size)
    const log = yield* Sqlite.attempt("open", () => inspectLog(file, options.expectLog === true))
    const rotten = size === undefined || size === 0 ? absent(file, size, options) : yield* inspect(file)
    const found = [...log, ...rotten]
    const damage = rotten.length > 0 ? yield* Damage.rebuild(file, found, now) : log.length > 0 ? keepLog(file, found, now) : undefined
    if (size === undefined && damage === undefined) yield* create(file)
    const connection = yield* Sqlite.open(file)
    yield* setUp(connection, rotten.length === 0 ? damage : undefined)
    return { connection, damage }
  })

/** Opens the database of a state directory that another process may own. Never writes, never recovers. */
export const openViewer = (directory: string): Effect.Effect<Database, OpenError, Scope.Scope> =>
  Effect.gen(function* () {
    const connection = yield* Sqlite.open(path.join(directory, fileName), { readOnly: true })
    yield* Effect.try({ try: () => migrations.versionOf(connection), catch: openError })
    return { connection, damage: undefined }
  })

/** Claims the next epoch, higher than `above`: every older owner is fenced off from now on. Only for who holds the ownership. */
export const claimEpoch = (connection: Sqlite.Connection, above = 0): Effect.Effect<number, StoreUnavailable> =>
  Sqlite.attempt("claim the state", () =>
    Sqlite.transaction(connection, () => {
      const value = Number(connection.prepare("SELECT value FROM meta WHERE key = 'epoch'").get()?.["value"] ?? 0)
      const epoch = Math.max(value, above) + 1
      connection.prepare("INSERT OR REPLACE INTO meta (key, value) VALUES ('epoch', ?)").run(epoch)
      return epoch
    })
  )

/** A new database appears whole: who is killed while making it leaves nothing that looks like a damaged one. */
const create = (file: string): Effect.Effect<void, OpenError> =>
  Effect.gen(function* () {
    const fresh = `${file}.new`
    yield* Sqlite.attempt("create", () => {
      for (const side of ["", "-journal"]) fs.rmSync(fresh + side, { force: true })
    })
    yield* Effect.scoped(
      Effect.flatMap(Sqlite.open(fresh), (connection) => Effect.try({ try: () => migrations.migrate(connection), catch: openError }))
    )
    yield* Sqlite.attempt("create", () => fs.renameSync(fresh, file))
  })

/** A file without content was cut off: ours are never empty. One that is missing is a new one, unless something is left of it. */
const absent = (file: string, size: number | undefined, options: Options): ReadonlyArray<string> => {
  if (size === 0) return ["the database file is empty"]
  return options.expectLog === true || fs.existsSync(`${file}-wal`) ? ["the database file is gone"] : []
}

const inspectLog = (file: string, expected: boolean): ReadonlyArray<string> => {
  const log = `${file}-wal`
  const bytes = fs.existsSync(log) ? fs.readFileSync(log) : new Uint8Array()
  if (bytes.length > 0) return Wal.inspect(bytes)
  return expected ? ["the last owner died, and its write-ahead log is gone: commits since the last checkpoint may be lost"] : []
}

/** What SQLite itself finds. The file is opened read-only: closing it must not write the log back into it. */
const inspect = (file: string): Effect.Effect<ReadonlyArray<string>, OpenError> =>
  Effect.scoped(
    Effect.flatMap(Sqlite.open(file, { readOnly: true }), (connection) =>
      Effect.try({ try: () => check(connection), catch: (cause) => openError(cause) })
    )
  )

const check = (connection: Sqlite.Connection): ReadonlyArray<string> => {
  try {
    migrations.versionOf(connection)
    const answers = connection.prepare("PRAGMA quick_check(20)").all()
    return answers.map((row) => String(row["quick_check"])).filter((answer) => answer !== "ok")
  } catch (cause) {
    if (Damage.isDamage(cause)) return [(cause as Error).message]
    throw cause
  }
}

const openError = (cause: unknown) => (cause instanceof migrations.SchemaTooNew ? cause : Sqlite.unavailable("open", cause))

/** SQLite reads what is good of the log and drops the rest: keep it as it was, as far as the disk has room. */
const keepLog = (file: string, found: ReadonlyArray<string>, at: number): DamageReport => {
  const kept = `${Damage.keptName(file, at)}-wal`
  try {
    fs.copyFileSync(`${file}-wal`, kept, fs.constants.COPYFILE_EXCL)
    return { at, found, kept: [kept], tables: [] }
  } catch {
    return { at, found, kept: [], tables: [] }
  }
}

const setUp = (
  connection: Sqlite.Connection,
  damage: DamageReport | undefined
): Effect.Effect<void, StoreUnavailable | migrations.SchemaTooNew> =>
  Effect.try({
    try: () => {
      const mode = connection.prepare("PRAGMA journal_mode = WAL").get()?.["journal_mode"]
      if (mode !== "wal") throw new Error(`this file system does not allow a write-ahead log (journal mode ${String(mode)})`)
      connection.exec("PRAGMA synchronous = FULL")
      migrations.migrate(connection)
      if (damage !== undefined) {
        connection.prepare("INSERT INTO damage (at, body) VALUES (?, ?)").run(damage.at, JSON.stringify(damage))
      }
    },
    catch: openError
  })
