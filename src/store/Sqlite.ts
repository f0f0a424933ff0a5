/**
 * The one place that touches `node:sqlite`: opening, prepared statements, and what SQLite's result codes mean for us.
 *
 * Everything here is synchronous once a file is open: a statement takes microseconds, and a transaction that never yields cannot be
 * interleaved or interrupted.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { DatabaseSync, SQLInputValue, SQLOutputValue } from "node:sqlite"
import { StoreUnavailable } from "./Store.ts"

/** The running Node has no SQLite built in. */
export class SqliteMissing extends Schema.TaggedError<SqliteMissing>()("SqliteMissing", {
  version: Schema.String,
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `This Node (${this.version}) has no node:sqlite; NofX needs Node 22.19 or newer`
  }
}

export type Row = Record<string, SQLOutputValue>
export type Value = SQLInputValue

export interface Statement {
  readonly run: (...values: ReadonlyArray<Value>) => { readonly changes: number | bigint; readonly lastInsertRowid: number | bigint }
  readonly get: (...values: ReadonlyArray<Value>) => Row | undefined
  readonly all: (...values: ReadonlyArray<Value>) => Array<Row>
  readonly iterate: (...values: ReadonlyArray<Value>) => IterableIterator<Row>
}

/** An open database. All members throw SQLite's own errors; `unavailable` gives them a type. */
export interface Connection {
  readonly file: string
  readonly exec: (sql: string) => void
  /** Prepared once for each text, and kept: for the fixed set of texts of a store. */
  readonly prepare: (sql: string) => Statement
  /** Is a transaction open? SQLite ends one by itself on some errors (a full disk, an I/O error). */
  readonly inTransaction: () => boolean
}

export interface Options {
  /** Refuses every write, and never creates the file. Default false. */
  readonly readOnly?: boolean
  /** How long a statement waits for another process's lock, in milliseconds. Default 5,000; 0 refuses at once. */
  readonly busyMillis?: number
}

/** SQLite's primary result codes that callers tell apart. */
export const codes = { busy: 5, readOnly: 8, io: 10, corrupt: 11, full: 13, cannotOpen: 14, notADatabase: 26 } as const

/** The primary result code of an error of SQLite's; undefined for any other. */
export const codeOf = (cause: unknown): number | undefined => {
  const code = (cause as { readonly errcode?: unknown } | null)?.errcode
  return typeof code === "number" ? code & 0xff : undefined
}

const reasons: Record<number, StoreUnavailable["reason"]> = {
  [codes.readOnly]: "read-only",
  [codes.corrupt]: "corrupt",
  [codes.full]: "full",
  [codes.notADatabase]: "corrupt"
}

/** What an error means for whoever wanted to do `operation`. Codes that say nothing more count as `io`. */
export const unavailable = (operation: string, cause: unknown): StoreUnavailable =>
  new StoreUnavailable({ operation, reason: reasons[codeOf(cause) ?? 0] ?? "io", cause })

/** Runs synchronous database work; what it throws becomes `StoreUnavailable`. */
export const attempt = <A>(operation: string, work: () => A): Effect.Effect<A, StoreUnavailable> =>
  Effect.try({ try: work, catch: (cause) => unavailable(operation, cause) })

/** Runs `work` in a transaction that takes the write lock at once; rolls back when it throws. */
export const transaction = <A>(connection: Connection, work: () => A): A => {
  connection.exec("BEGIN IMMEDIATE")
  try {
    const result = work()
    connection.exec("COMMIT")
    return result
  } catch (cause) {
    if (connection.inTransaction()) connection.exec("ROLLBACK")
    throw cause
  }
}

/**
 * Opens a file, and closes it with the scope.
 *
 * Fails with `SqliteMissing` on a Node without SQLite, with `StoreUnavailable` when the file cannot be opened. A damaged file may only show
 * at the first statement.
 */
export const open = (file: string, options: Options = {}): Effect.Effect<Connection, SqliteMissing | StoreUnavailable, Scope.Scope> =>
  Effect.gen(function* () {
    // Loaded on demand: an editor's Node without it must get as far as the message.
    const sqlite = yield* Effect.tryPromise({
      try: () => import("node:sqlite"),
      catch: (cause) => new SqliteMissing({ version: process.version, cause })
    })
    const database = yield* Effect.acquireRelease(
      attempt("open", () => {
        const opened = new sqlite.DatabaseSync(file, databaseOptions(options))
        held.add(opened)
        return opened
      }),
      (opened) =>
        Effect.sync(() => {
          held.delete(opened)
          opened.close()
        })
    )
    return connect(database, file)
  })

/**
 * Every open database. A fiber that waits for ever may be garbage, and its database with it, which closes it: a lock that is held for life must
 * not end that way.
 */
const held = new Set<DatabaseSync>()

const databaseOptions = (options: Options) => ({
  readOnly: options.readOnly ?? false,
  timeout: options.busyMillis ?? 5_000,
  enableForeignKeyConstraints: false
})

const connect = (database: DatabaseSync, file: string): Connection => {
  const statements = new Map<string, Statement>()
  return {
    file,
    exec: (sql) => database.exec(sql),
    prepare: (sql) => {
      let statement = statements.get(sql)
      if (statement === undefined) {
        statement = database.prepare(sql)
        statements.set(sql, statement)
      }
      return statement
    },
    inTransaction: () => database.isTransaction
  }
}
