/**
 * Group commit: what is asked for within one tick shares one transaction, and so one write-out to the disk.
 *
 * When one of them fails, the transaction is rolled back and each is written again in one of its own: so a failing one fails alone, each gets
 * its own answer, and the usual case pays for no savepoints (two statements a commit, a fifth of its time). Order is the order of asking.
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
  const epochNow = connection.prepare("SELECT value FROM meta WHERE key = 'epoch'")
  let waiting: Array<Asked> = []

  const writeOne = (asked: Asked, current: number): Answer => {
    if (asked.epoch < current) return Effect.fail(new Fenced({ epoch: asked.epoch, current }))
    const events: Array<RuntimeEvent> = []
    for (const change of asked.changes) {
      const event = write(change)
      if (event !== undefined) events.push(event)
    }
    return Effect.succeed(events)
  }

  /** Writes all of them or none. Throws SQLite's errors. */
  const writeTogether = (group: ReadonlyArray<Asked>): ReadonlyArray<Answer> => {
    begin.run()
    try {
      const current = Number(epochNow.get()?.["value"] ?? 0)
      const answers = group.map((asked) => writeOne(asked, current))
      end.run()
      return answers
    } catch (cause) {
      // SQLite ends a transaction by itself on some errors: a full disk, an I/O error.
      if (connection.inTransaction()) connection.exec("ROLLBACK")
      throw cause
    }
  }

  const writeAll = (group: ReadonlyArray<Asked>): ReadonlyArray<Answer> => {
    try {
      return writeTogether(group)
    } catch (cause) {
      if (group.length > 1) return group.flatMap((asked) => writeAll([asked]))
      // What is no JSON (a cycle, a bigint) is a bug of the caller's: trying it again would never end.
      return [cause instanceof TypeError ? Effect.die(cause) : Effect.fail(unavailable("commit", cause))]
    }
  }

  const flush = (): void => {
    const group = waiting
    if (group.length === 0) return
    waiting = []
    // All are written before the first is resumed: what one of them does next must not come between.
    const answers = writeAll(group)
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
