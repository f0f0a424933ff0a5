/**
 * The schema of the main database, one step a version; `user_version` tells how far a file has come.
 *
 * A step that was released is never changed. Bodies are JSON; columns beside them exist only to be looked up by.
 */
import * as Schema from "effect/Schema"
import { type Connection, transaction } from "./Sqlite.ts"

/** The file was written by a newer NofX. Nothing of it was touched. */
export class SchemaTooNew extends Schema.TaggedError<SchemaTooNew>()("SchemaTooNew", {
  file: Schema.String,
  found: Schema.Int,
  supported: Schema.Int
}) {
  override get message(): string {
    return `${this.file} was written by a newer NofX (schema ${this.found}; this one knows up to ${this.supported}): update NofX, or use another state directory`
  }
}

const steps: ReadonlyArray<string> = [
  `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL);
  INSERT INTO meta VALUES ('epoch', 0);
  CREATE TABLE tasks (
    key TEXT PRIMARY KEY, batch TEXT NOT NULL, id TEXT NOT NULL, state TEXT NOT NULL, ord INTEGER NOT NULL, ended_at INTEGER, body TEXT NOT NULL
  );
  CREATE INDEX tasks_state ON tasks (state, ord);
  CREATE INDEX tasks_batch ON tasks (batch, ord) WHERE batch <> '';
  CREATE INDEX tasks_id ON tasks (id, ord) WHERE batch <> '';
  CREATE INDEX tasks_ended ON tasks (ended_at) WHERE ended_at IS NOT NULL;
  CREATE TABLE events (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, body TEXT NOT NULL);
  CREATE TABLE dead_letters (id TEXT PRIMARY KEY, archived INTEGER NOT NULL, body TEXT NOT NULL);
  CREATE INDEX dead_letters_listing ON dead_letters (archived, id);
  CREATE TABLE agents (id TEXT PRIMARY KEY, body TEXT NOT NULL);
  CREATE TABLE processes (marker TEXT PRIMARY KEY, body TEXT NOT NULL);
  CREATE TABLE patterns (kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, key));
  CREATE TABLE batches (id TEXT PRIMARY KEY, created_at INTEGER NOT NULL, finished_at INTEGER, body TEXT NOT NULL);
  CREATE TABLE quarantine (source TEXT NOT NULL, key TEXT NOT NULL, reason TEXT NOT NULL, body TEXT NOT NULL);
  CREATE TABLE damage (at INTEGER NOT NULL, body TEXT NOT NULL);
  `
]

/** The newest schema this program knows. */
export const supported = steps.length

/** Every table that holds rows worth recovering. */
export const tables = [
  "meta",
  "tasks",
  "events",
  "dead_letters",
  "agents",
  "processes",
  "patterns",
  "batches",
  "quarantine",
  "damage"
] as const

/** The schema version of a file; 0 for an empty one. Throws `SchemaTooNew`, or SQLite's errors. */
export const versionOf = (connection: Connection): number => {
  const found = Number(connection.prepare("PRAGMA user_version").get()?.["user_version"] ?? 0)
  if (found > supported) throw new SchemaTooNew({ file: connection.file, found, supported })
  return found
}

/** Brings the schema up to date in one transaction. Throws as `versionOf`, with nothing changed. */
export const migrate = (connection: Connection): void => {
  if (versionOf(connection) === supported) return
  transaction(connection, () => {
    // Read again under the lock: another process may have been faster.
    for (const step of steps.slice(versionOf(connection))) connection.exec(step)
    connection.exec(`PRAGMA user_version = ${supported}`)
  })
}
