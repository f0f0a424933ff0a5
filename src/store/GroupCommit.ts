/**
 * Group commit: what is asked for within one tick shares one transaction, and so one write-out to the disk.
 *
 * Each commit has a savepoint of its own: one that fails is rolled back alone. When the transaction itself is lost (SQLite ends it on a full
 * disk or an I/O error), each commit is written once more by itself, so that each gets its own answer. Order is the order of asking.
 */
import * as Effect from "effect/Effect"
import type { RuntimeEvent } from "../RuntimeEvent.ts"
import { type Connection, unavailable } from "./Sqlite.ts"
import { type Change, Fenced, type StoreUnavailable } from "./Store.ts"

type Answer = Effect.Effect<ReadonlyArray<RuntimeEvent>, StoreUnavailable | Fenced>

interface Asked {
  readonly changes: ReadonlyArray<Change>
  readonly epoch: number
  readonly resume: (answer: Answer) => void
}

export interface GroupCommit {
  readonly commit: (changes: ReadonlyArray<Change>, epoch: number) => Answer
  /** Writes what is still waiting for the end of its tick. */
  readonly flush: () => void
}

/** After everything else of its tick: the scheduler runs lower numbers first. */
const endOfTick = 10

export const make = (connection: Connection, write: (change: Change) => RuntimeEvent | undefined): GroupCommit => {
  const begin = connection.prepare("BEGIN IMMEDIATE")
  const end = connection.prepare("COMMIT")
  const save = connection.prepare("SAVEPOINT one")
  const release = connection.prepare("RELEASE one")
  const undo = connection.prepare("ROLLBACK TO one")
  const epochNow = connection.prepare("SELECT value FROM meta WHERE key = 'epoch'")
  let waiting: Array<Asked> = []

  const failed = (cause: unknown): Answer => Effect.fail(unavailable("commit", cause))

  const writeOne = (asked: Asked): Answer => {
    const events: Array<RuntimeEvent> = []
    for (const change of asked.changes) {
      const event = write(change)
      if (event !== undefined) events.push(event)
    }
    return Effect.succeed(events)
  }

  /** Undefined when the whole transaction is gone. */
  const writeSaved = (asked: Asked): Answer | undefined => {
    try {
      save.run()
      const answer = writeOne(asked)
      release.run()
      return answer
    } catch (cause) {
      if (!connection.inTransaction()) return undefined
      undo.run()
      release.run()
      return failed(cause)
    }
  }

  const rollback = (): void => {
    if (connection.inTransaction()) connection.exec("ROLLBACK")
  }

  const writeAlone = (asked: Asked): Answer => {
    try {
      begin.run()
      const current = Number(epochNow.get()?.["value"] ?? 0)
      if (asked.epoch < current) {
        rollback()
        return Effect.fail(new Fenced({ epoch: asked.epoch, current }))
      }
      const answer = writeOne(asked)
      end.run()
      return answer
    } catch (cause) {
      rollback()
      return failed(cause)
    }
  }

  /** Undefined when nothing was written and nobody has an answer yet. */
  const writeTogether = (group: ReadonlyArray<Asked>): ReadonlyArray<Answer> | undefined => {
    try {
      begin.run()
      const current = Number(epochNow.get()?.["value"] ?? 0)
      const answers: Array<Answer> = []
      for (const asked of group) {
        const answer = asked.epoch < current ? Effect.fail(new Fenced({ epoch: asked.epoch, current })) : writeSaved(asked)
        if (answer === undefined) return undefined
        answers.push(answer)
      }
      end.run()
      return answers
    } catch {
      rollback()
      return undefined
    }
  }

  const flush = (): void => {
    const group = waiting
    if (group.length === 0) return
    waiting = []
    const together = group.length === 1 ? undefined : writeTogether(group)
    // All are written before the first is resumed: what one of them does next must not come between.
    const answers = together ?? group.map(writeAlone)
    for (const [index, asked] of group.entries()) asked.resume(answers[index]!)
  }

  return {
    commit: (changes, epoch) =>
      Effect.withFiber((fiber) =>
        Effect.uninterruptible(
          Effect.callback((resume) => {
            waiting.push({ changes, epoch, resume })
            if (waiting.length === 1) fiber.currentDispatcher.scheduleTask(flush, endOfTick)
          })
        )
      ),
    flush
  }
}
