/** How each change is written: one prepared statement, no decision of its own. */
import type { RuntimeEvent } from "../RuntimeEvent.ts"
import { encodeAgent, encodeEvent, encodeTask } from "./Codec.ts"
import type * as Seal from "./Seal.ts"
import type { Connection } from "./Sqlite.ts"
import type { Change } from "./Store.ts"

/** Writes one change inside the open transaction; answers an appended event with its `seq`. Throws SQLite's errors. */
export const make = (connection: Connection, seal: Seal.Seal): ((change: Change) => RuntimeEvent | undefined) => {
  const { prepare } = connection
  const putTask = prepare(
    `INSERT INTO tasks (key, batch, id, state, ord, ended_at, body) VALUES (?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (key) DO UPDATE SET state = excluded.state, ord = excluded.ord, ended_at = excluded.ended_at, body = excluded.body`
  )
  const appendEvent = prepare("INSERT INTO events (at, body) VALUES (?, ?)")
  const putLetter = prepare(
    "INSERT INTO dead_letters (id, archived, body) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET archived = excluded.archived, body = excluded.body"
  )
  const purgeLetter = prepare("DELETE FROM dead_letters WHERE id = ?")
  const putAgent = prepare("INSERT OR REPLACE INTO agents (id, body) VALUES (?, ?)")
  const deleteAgent = prepare("DELETE FROM agents WHERE id = ?")
  const putProcess = prepare("INSERT OR REPLACE INTO processes (marker, body) VALUES (?, ?)")
  const deleteProcess = prepare("DELETE FROM processes WHERE marker = ?")
  const putPattern = prepare(
    "INSERT INTO patterns (kind, key, body) VALUES (?, ?, ?) ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body"
  )
  const deletePattern = prepare("DELETE FROM patterns WHERE kind = ? AND key = ?")
  const putBatch = prepare("INSERT OR REPLACE INTO batches (id, created_at, finished_at, body) VALUES (?, ?, ?, ?)")
  const prunes = [
    // The newest stays: the next one's seq follows it, and AUTOINCREMENT would cost every commit one more page.
    "DELETE FROM events WHERE at < ? AND seq < (SELECT max(seq) FROM events)",
    // A dead letter's task stays as long as the letter does: a redrive or an undo needs it.
    `DELETE FROM tasks WHERE ended_at < ? AND batch NOT IN (SELECT id FROM batches WHERE finished_at IS NULL)
     AND NOT (state = 'dead-lettered' AND EXISTS (SELECT 1 FROM dead_letters WHERE id = json_extract(tasks.body, '$.deadLetterId')))`,
    "DELETE FROM batches WHERE finished_at < ? AND NOT EXISTS (SELECT 1 FROM tasks WHERE batch = batches.id AND batch <> '')",
    "DELETE FROM damage WHERE at < ?"
  ].map((sql) => prepare(sql))

  return (change) => {
    switch (change._tag) {
      case "PutTask": {
        const { task } = change
        putTask.run(task.key, task.batch, task.spec.id, task.state, task.order, task.endedAt ?? null, encodeTask(seal.task(task)))
        return
      }
      case "AppendEvent": {
        const seq = Number(appendEvent.run(change.event.at, encodeEvent(change.event)).lastInsertRowid)
        return { ...change.event, seq }
      }
      case "PutDeadLetter":
        return void putLetter.run(change.letter.id, 0, JSON.stringify(change.letter))
      case "ArchiveDeadLetter":
        return void putLetter.run(change.letter.id, 1, JSON.stringify(change.letter))
      case "PurgeDeadLetter":
        return void purgeLetter.run(change.id)
      case "PutAgent":
        return void putAgent.run(change.agent.spec.id, encodeAgent(seal.agent(change.agent)))
      case "DeleteAgent":
        return void deleteAgent.run(change.agentId)
      case "PutProcess":
        return void putProcess.run(change.process.marker, JSON.stringify(change.process))
      case "DeleteProcess":
        return void deleteProcess.run(change.marker)
      case "PutPattern":
        return void putPattern.run(change.pattern.kind, change.pattern.key, JSON.stringify(change.pattern))
      case "DeletePattern":
        return void deletePattern.run(change.kind, change.key)
      case "PutBatch": {
        const { batch } = change
        return void putBatch.run(batch.id, batch.createdAt, batch.finishedAt ?? null, JSON.stringify(batch))
      }
      case "Prune":
        for (const prune of prunes) prune.run(change.before)
        return
    }
  }
}
