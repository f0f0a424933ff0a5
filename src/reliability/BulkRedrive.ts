/**
 * Redriving many: one goes first, and the rest follow only when it succeeded; they stop when too many fail.
 *
 * The outage that filled the queue may not be over: a thousand letters redriven at once would make it worse, and waste every one's redrive.
 */
import * as Effect from "effect/Effect"

/** What came of one letter, at its real end. */
export type Settled = "resolved" | "failed" | "blocked" | "gone"

export interface BulkReport {
  /** Letters that were looked at. */
  readonly asked: number
  readonly resolved: number
  readonly failed: number
  /** Not redriven now: blocked, in flight, without a processor, or gone. */
  readonly blocked: number
  /** Not touched, because it stopped before them. */
  readonly skipped: number
  /** Why it stopped early. */
  readonly stopped: string | undefined
}

export const empty: BulkReport = { asked: 0, resolved: 0, failed: 0, blocked: 0, skipped: 0, stopped: undefined }

export const merge = (a: BulkReport, b: BulkReport): BulkReport => ({
  asked: a.asked + b.asked,
  resolved: a.resolved + b.resolved,
  failed: a.failed + b.failed,
  blocked: a.blocked + b.blocked,
  skipped: a.skipped + b.skipped,
  stopped: a.stopped ?? b.stopped
})

export interface Limits {
  readonly concurrency: number
  readonly stopAtFailureRate: number
  /** Ends before the rate counts. */
  readonly stopAfter: number
}

/** Runs `one` for each: the first that is really redriven alone, then the others. */
export const run = Effect.fnUntraced(function* <E>(
  ids: ReadonlyArray<string>,
  one: (id: string) => Effect.Effect<Settled, E>,
  limits: Limits
) {
  const counts = { resolved: 0, failed: 0, blocked: 0 }
  let stopped: string | undefined
  let next = 0

  const take = (id: string) =>
    Effect.map(one(id), (settled) => {
      counts[settled === "gone" ? "blocked" : settled]++
      return settled
    })

  while (next < ids.length && stopped === undefined) {
    const settled = yield* take(ids[next++]!)
    if (settled === "resolved") break
    if (settled === "failed") stopped = "the first one failed again"
  }

  const ended = (): number => counts.resolved + counts.failed
  const step = Effect.fnUntraced(function* () {
    while (next < ids.length && stopped === undefined) {
      yield* take(ids[next++]!)
      if (ended() >= limits.stopAfter && counts.failed / ended() >= limits.stopAtFailureRate) {
        stopped ??= `${counts.failed} of ${ended()} failed again`
      }
    }
  })
  yield* Effect.all(
    Array.from({ length: Math.min(limits.concurrency, ids.length - next) }, () => step()),
    { concurrency: "unbounded", discard: true }
  )
  return { asked: ids.length, ...counts, skipped: ids.length - next, stopped } satisfies BulkReport as BulkReport
})
