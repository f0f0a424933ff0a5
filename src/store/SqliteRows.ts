/** Reading rows: what decodes is returned; what does not is moved to the quarantine table with the reason, and kept. */
import type * as Effect from "effect/Effect"
import type { Decoded } from "./Codec.ts"
import { attempt, type Connection, type Row, transaction, type Value } from "./Sqlite.ts"
import type { Quarantined, StoreUnavailable } from "./Store.ts"

/** Rows of one table; the statement gives `rowid`, `key` and `body`. */
export interface Query<A> {
  readonly table: string
  readonly sql: string
  readonly decode: (body: string, row: Row) => Decoded<A>
}

export interface Reader {
  /** Only inside `reading`. Throws SQLite's errors. */
  readonly rows: <A>(query: Query<A>, ...values: ReadonlyArray<Value>) => ReadonlyArray<A>
  /** Runs synchronous reads. When rows had to be set aside it reads once more, so that a page is as long as it can be. */
  readonly reading: <A>(operation: string, work: () => A) => Effect.Effect<A, StoreUnavailable>
  /** Rows that were set aside, newest first, and those that a viewer has just found. */
  readonly quarantined: (limit: number) => ReadonlyArray<Quarantined>
}

/** A decoder that also compares the value's own key with the row's: a row under a wrong key is a damaged one. */
export const keyed =
  <A>(decode: (body: string) => Decoded<A>, keyOf: (value: A) => string): Query<A>["decode"] =>
  (body, row) => {
    const decoded = decode(body)
    if (decoded.ok && keyOf(decoded.value) !== row["key"]) {
      return { ok: false, reason: `its key is ${String(row["key"])}, but it says ${keyOf(decoded.value)}` }
    }
    return decoded
  }

/** A decoder that also opens what is sealed: a row whose secrets cannot be read is no use. */
export const opened =
  <A>(decode: (body: string) => Decoded<A>, open: (value: A) => A): ((body: string) => Decoded<A>) =>
  (body) => {
    const decoded = decode(body)
    if (!decoded.ok) return decoded
    try {
      return { ok: true, value: open(decoded.value) }
    } catch (cause) {
      return { ok: false, reason: (cause as Error).message }
    }
  }

/** `owner`: may it move rows? A viewer leaves them where they are. */
export const make = (connection: Connection, owner: boolean): Reader => {
  let damaged: Array<Quarantined & { readonly rowid: Value }> = []

  const setAside = (): void =>
    transaction(connection, () => {
      for (const row of damaged) {
        connection
          .prepare("INSERT INTO quarantine (source, key, reason, body) VALUES (?, ?, ?, ?)")
          .run(row.table, row.key, row.reason, row.body)
        connection.prepare(`DELETE FROM ${row.table} WHERE rowid = ?`).run(row.rowid)
      }
    })

  /** The owner writes meanwhile: a viewer's reads belong to one moment. */
  const snapshot = <A>(work: () => A): A => {
    connection.exec("BEGIN")
    try {
      return work()
    } finally {
      connection.exec("COMMIT")
    }
  }

  return {
    rows: (query, ...values) => {
      const found = []
      for (const row of connection.prepare(query.sql).all(...values)) {
        const body = String(row["body"])
        const decoded = query.decode(body, row)
        if (decoded.ok) found.push(decoded.value)
        else damaged.push({ table: query.table, key: String(row["key"]), reason: decoded.reason, body, rowid: row["rowid"] ?? null })
      }
      return found
    },
    reading: (operation, work) =>
      attempt(operation, () => {
        damaged = []
        if (!owner) return snapshot(work)
        const result = work()
        if (damaged.length === 0) return result
        setAside()
        damaged = []
        return work()
      }),
    quarantined: (limit) => {
      const kept = connection.prepare("SELECT source AS 'table', key, reason, body FROM quarantine ORDER BY rowid DESC LIMIT ?").all(limit)
      return [...(kept as unknown as ReadonlyArray<Quarantined>), ...damaged.map(({ rowid: _, ...row }) => row)]
    }
  }
}
