/**
 * Batches: the tasks of one file, and when nothing of them can go on any more.
 *
 * A batch is finished when each of its tasks has ended, or is held by a dependency that has failed, and nobody has asked for another run of one:
 * only a person can change that. Counts follow the events, so that asking costs nothing.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { RuntimeEvent, EventOf } from "../RuntimeEvent.ts"
import type { BatchRecord, Change } from "../store/Store.ts"
import { isEnd, type Task } from "../task/Task.ts"
import { keyOf } from "../task/TaskLife.ts"
import { append, type Core } from "./Core.ts"

/** How a batch ended, or what it looks like when it is given up on. */
export type BatchEnd = Omit<EventOf<"RunFinished">, "_tag" | "at" | "seq">

export interface UnfinishedBatch {
  readonly id: string
  readonly digest: string
  /** Tasks that have not ended, or are to be run again. */
  readonly left: number
}

interface Batch {
  readonly record: BatchRecord
  readonly ends: Map<string, "succeeded" | "deadLettered" | "cancelled">
  readonly open: Set<string>
  readonly held: Set<string>
  readonly waiters: Array<Deferred.Deferred<BatchEnd>>
  finished: boolean
}

export interface Batches {
  readonly onEvent: (event: RuntimeEvent) => void
  /** Takes up a batch, with the tasks it has. */
  readonly track: (record: BatchRecord, tasks: ReadonlyArray<Task>) => void
  /** It was not accepted. */
  readonly forget: (id: string) => void
  /** Waits until nothing can go on; writes that down. */
  readonly finished: (id: string) => Effect.Effect<BatchEnd>
  /** Of this file, newest first. */
  readonly unfinished: (file: string) => ReadonlyArray<UnfinishedBatch>
  /** Is it known here, finished or not? */
  readonly tracked: (id: string) => boolean
  /** One of its tasks begins anew: it is not finished any more. Answers what is to be written. */
  readonly reopen: (id: string) => ReadonlyArray<Change>
  /** Looks whether it is finished: not only its tasks have changed. */
  readonly check: (id: string) => void
  /** Does somebody wait for its end? */
  readonly awaited: (id: string) => boolean
  /** Ids of its tasks that have not ended. */
  readonly open: (id: string) => ReadonlyArray<string>
  /** As it stands. */
  readonly standing: (id: string) => BatchEnd
}

/** The beginning of what a held task's waiting says. */
export const heldMark = "held:"

export const make = (core: () => Core): Batches => {
  const batches = new Map<string, Batch>()

  const standing = (id: string): BatchEnd => {
    const counts = { succeeded: 0, deadLettered: 0, cancelled: 0 }
    const batch = batches.get(id)
    for (const end of batch?.ends.values() ?? []) counts[end]++
    return { batch: id, ...counts, left: batch?.open.size ?? 0 }
  }

  /** Ended tasks that are to be run again because somebody asked for it. */
  const asked = ({ open, record }: Batch): number => {
    const begun = new Set(Array.from(open, (id) => keyOf(record.id, id)))
    return core()
      .deadLetters.asked()
      .filter((letter) => letter.asked?.group === record.id && !begun.has(letter.subject)).length
  }

  const check = (batch: Batch): void => {
    if (batch.waiters.length === 0 || batch.open.size > batch.held.size || asked(batch) > 0) return
    const waiters = batch.waiters.splice(0)
    batch.finished = true
    const end = standing(batch.record.id)
    core().fork(
      Effect.andThen(
        core().journal.commit([
          { _tag: "PutBatch", batch: { ...batch.record, finishedAt: core().wallNow() } },
          append(core(), { _tag: "RunFinished", ...end })
        ]),
        Effect.sync(() => {
          for (const waiter of waiters) Deferred.doneUnsafe(waiter, Effect.succeed(end))
        })
      )
    )
  }

  const ended = (event: { readonly batch: string; readonly taskId: string }, end: "succeeded" | "deadLettered" | "cancelled"): void => {
    const batch = batches.get(event.batch)
    if (batch === undefined) return
    batch.ends.set(event.taskId, end)
    batch.open.delete(event.taskId)
    batch.held.delete(event.taskId)
    check(batch)
  }

  const reopened = (event: { readonly batch: string; readonly taskId: string }): void => {
    const batch = batches.get(event.batch)
    if (batch === undefined) return
    batch.ends.delete(event.taskId)
    batch.open.add(event.taskId)
    batch.held.delete(event.taskId)
  }

  return {
    standing,
    tracked: (id) => batches.has(id),
    reopen: (id) => {
      const batch = batches.get(id)
      if (batch === undefined || !batch.finished) return []
      batch.finished = false
      const { finishedAt: _, ...record } = batch.record
      return [{ _tag: "PutBatch", batch: record }]
    },
    check: (id) => {
      const batch = batches.get(id)
      if (batch !== undefined) check(batch)
    },
    awaited: (id) => (batches.get(id)?.waiters.length ?? 0) > 0,
    open: (id) => [...(batches.get(id)?.open ?? [])],
    unfinished: (file) =>
      [...batches.values()]
        .filter((batch) => batch.record.file === file && !batch.finished)
        .sort((a, b) => b.record.createdAt - a.record.createdAt)
        .map((batch) => ({ id: batch.record.id, digest: batch.record.digest, left: batch.open.size + asked(batch) })),
    onEvent: (event) => {
      switch (event._tag) {
        case "TaskSucceeded":
          return ended(event, "succeeded")
        case "TaskDeadLettered":
          return ended(event, "deadLettered")
        case "TaskCancelled":
          return ended(event, "cancelled")
        case "TaskAccepted":
        case "TaskQueued":
          return reopened(event)
        case "TaskBlocked": {
          const batch = batches.get(event.batch)
          if (batch === undefined) return
          if (event.waiting.detail.startsWith(heldMark)) batch.held.add(event.taskId)
          else batch.held.delete(event.taskId)
          return check(batch)
        }
        default:
          return
      }
    },
    track: (record, tasks) => {
      const batch: Batch = {
        record,
        ends: new Map(),
        open: new Set(),
        held: new Set(),
        waiters: [],
        finished: record.finishedAt !== undefined
      }
      for (const { spec, state, waiting } of tasks) {
        if (isEnd(state)) batch.ends.set(spec.id, state === "dead-lettered" ? "deadLettered" : (state as "succeeded" | "cancelled"))
        else batch.open.add(spec.id)
        if (state === "blocked" && waiting?.detail.startsWith(heldMark)) batch.held.add(spec.id)
      }
      batches.set(record.id, batch)
    },
    forget: (id) => void batches.delete(id),
    finished: (id) =>
      Effect.suspend(() => {
        const batch = batches.get(id)
        if (batch === undefined) return Effect.succeed(standing(id))
        const waiter = Deferred.makeUnsafe<BatchEnd>()
        batch.waiters.push(waiter)
        check(batch)
        core().pump()
        return Deferred.await(waiter)
      })
  }
}
