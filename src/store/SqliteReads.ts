/** What the store answers: every listing walks along an index and stops at its limit. */
import { State, type Task } from "../task/Task.ts"
import { decode } from "./Codec.ts"
import type * as Seal from "./Seal.ts"
import type { Connection, Value } from "./Sqlite.ts"
import * as SqliteRows from "./SqliteRows.ts"
import { countsOf, type DamageReport, defaultLimit, type Store } from "./Store.ts"

/** Quarantined rows that a load returns at most, the newest first; the table keeps all. */
const quarantineShown = 1_000

const waitingStates: ReadonlyArray<State> = ["queued", "blocked", "running", "parked"]

interface TaskQuery {
  readonly batch: string | undefined
  readonly id: string | undefined
  readonly states: ReadonlyArray<State>
}

/** The reading half of the store. `owner`: may it move damaged rows to the quarantine? */
export const make = (connection: Connection, owner: boolean, seal: Seal.Seal): Omit<Store["Service"], "epoch" | "commit"> => {
  const { quarantined, reading, rows } = SqliteRows.make(connection, owner)
  const number = (sql: string, ...values: ReadonlyArray<Value>): number => Number(connection.prepare(sql).get(...values)?.["value"] ?? 0)

  const decodeTask = SqliteRows.keyed(SqliteRows.opened(decode.task, seal.openTask), (task) => task.key)
  const taskRows = (where: string, ...values: ReadonlyArray<Value>): ReadonlyArray<Task> =>
    rows({ table: "tasks", sql: `SELECT rowid, key, body FROM tasks WHERE ${where}`, decode: decodeTask }, ...values)
  const byOrder = (tasks: ReadonlyArray<Task>): ReadonlyArray<Task> => tasks.toSorted((a, b) => a.order - b.order)

  const decodeLetter = SqliteRows.keyed(decode.deadLetter, (letter) => letter.id)
  const letterRows = (where: string, ...values: ReadonlyArray<Value>) =>
    rows({ table: "dead_letters", sql: `SELECT rowid, id AS key, body FROM dead_letters WHERE ${where}`, decode: decodeLetter }, ...values)

  const decodeBatch = SqliteRows.keyed(decode.batch, (batch) => batch.id)
  const batchRows = (where: string, ...values: ReadonlyArray<Value>) =>
    rows({ table: "batches", sql: `SELECT rowid, id AS key, body FROM batches WHERE ${where}`, decode: decodeBatch }, ...values)

  /** The index walks that together hold what a query asks for. */
  const walksOf = ({ batch, id, states }: TaskQuery): ReadonlyArray<readonly [where: string, ...values: ReadonlyArray<Value>]> => {
    if (id !== undefined) {
      // Outside batches the key is the id.
      const single = ["key = ? AND batch = ''", id] as const
      if (batch === "") return [single]
      return batch === undefined ? [single, ["id = ? AND batch <> ''", id]] : [["id = ? AND batch <> '' AND +batch = ?", id, batch]]
    }
    if (batch === "") return [["+batch = ''"]]
    if (batch !== undefined) return [["batch = ? AND batch <> ''", batch]]
    return states.map((state) => ["state = ?", state] as const)
  }

  const tasks: Store["Service"]["tasks"] = (query) =>
    reading("list tasks", () => {
      const after = query.after === undefined ? -1 : Number(query.after)
      const limit = query.limit ?? defaultLimit
      const states: ReadonlyArray<State> = query.states ?? State.literals
      // The unary plus keeps SQLite from choosing an index that does not narrow.
      const rest = `+state IN (${states.map(() => "?").join(", ")}) AND ord > ? ORDER BY ord LIMIT ?`
      const found = walksOf({ batch: query.batch, id: query.id, states }).flatMap(([where, ...values]) =>
        taskRows(`${where} AND ${rest}`, ...values, ...states, after, limit)
      )
      return byOrder(found).slice(0, limit)
    })

  const load = reading("load", () => ({
    tasks: byOrder(waitingStates.flatMap((state) => taskRows("state = ?", state))),
    agents: rows({
      table: "agents",
      sql: "SELECT rowid, id AS key, body FROM agents ORDER BY rowid",
      decode: SqliteRows.keyed(SqliteRows.opened(decode.agent, seal.openAgent), (agent) => agent.spec.id)
    }),
    processes: rows({
      table: "processes",
      sql: "SELECT rowid, marker AS key, body FROM processes ORDER BY rowid",
      decode: SqliteRows.keyed(decode.process, (row) => row.marker)
    }),
    patterns: rows({
      table: "patterns",
      sql: "SELECT rowid, kind || ' ' || key AS key, body FROM patterns ORDER BY rowid",
      decode: SqliteRows.keyed(decode.pattern, (pattern) => `${pattern.kind} ${pattern.key}`)
    }),
    batches: batchRows("finished_at IS NULL ORDER BY created_at, id"),
    deadLetters: letterRows("archived = 0 ORDER BY id"),
    quarantined: quarantined(quarantineShown),
    damage: connection
      .prepare("SELECT body FROM damage ORDER BY rowid")
      .all()
      .map((row) => JSON.parse(String(row["body"])) as DamageReport),
    seq: number("SELECT max(seq) AS value FROM events"),
    order: Math.max(...State.literals.map((state) => number("SELECT max(ord) AS value FROM tasks WHERE state = ?", state)))
  }))

  return {
    load,
    task: (key) => reading("read a task", () => taskRows("key = ?", key)[0]),
    tasks,
    counts: reading("count tasks", () =>
      countsOf(State.literals.map((state) => [state, number("SELECT count(*) AS value FROM tasks WHERE state = ?", state)]))
    ),
    deadLetter: (id) => reading("read a dead letter", () => letterRows("id = ?", id)[0]),
    deadLetters: ({ after, archived, limit }) =>
      reading("list dead letters", () =>
        letterRows("archived = ? AND id > ? ORDER BY id LIMIT ?", archived === true ? 1 : 0, after ?? "", limit ?? defaultLimit)
      ),
    events: (after, limit) =>
      reading("read events", () =>
        rows(
          {
            table: "events",
            sql: "SELECT seq AS rowid, seq AS key, body FROM events WHERE seq > ? ORDER BY seq LIMIT ?",
            decode: (body, row) => {
              const decoded = decode.event(body)
              return decoded.ok ? { ok: true, value: { ...decoded.value, seq: Number(row["key"]) } } : decoded
            }
          },
          after,
          limit
        )
      ),
    batches: ({ after, limit }) =>
      reading("list batches", () => {
        const order = "ORDER BY created_at, id LIMIT ?"
        if (after === undefined) return batchRows(`1 ${order}`, limit ?? defaultLimit)
        return batchRows(`(created_at, id) > (SELECT created_at, id FROM batches WHERE id = ?) ${order}`, after, limit ?? defaultLimit)
      })
  }
}
