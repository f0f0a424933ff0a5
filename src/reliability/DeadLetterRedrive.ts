/** Trying dead letters again: one by one with the processor of their kind, many with a canary, and by the schedule. */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as BoundedRun from "./BoundedRun.ts"
import * as BulkRedrive from "./BulkRedrive.ts"
import * as Letter from "./DeadLetter.ts"
import type { DeadLetter } from "./DeadLetter.ts"
import { type Filter, matches } from "./DeadLetterArchive.ts"
import type { Ledger } from "./DeadLetterLedger.ts"
import type { DeadLetterStorageFailed } from "./DeadLetterStorage.ts"
import { causeText } from "./CauseText.ts"

/** What a processor answers. */
export type Outcome =
  | { readonly _tag: "Resolved" }
  | { readonly _tag: "FailedAgain"; readonly reason: string; readonly cause: string }
  /** It is on its way again; its end is reported later, by `stage`, `stageResolved` or `stageReleased` with `accept`. */
  | { readonly _tag: "Requeued" }

/** Tries the work of a letter again. It may fail, throw or hang: the letter then waits again. */
export type Processor = (letter: DeadLetter) => Effect.Effect<Outcome, unknown>

export type RedriveResult =
  | { readonly _tag: "Redriven"; readonly outcome: "resolved" | "failed" | "requeued"; readonly letter: DeadLetter }
  /** It is being redriven already, or somebody is deciding about it: this call did nothing. */
  | { readonly _tag: "InFlight" }
  /** There is no such letter in the queue (any more). */
  | { readonly _tag: "Gone" }
  /** Not now, and why; also when no processor is registered for its kind. */
  | { readonly _tag: "Blocked"; readonly reason: string }

/** Why a letter may not be redriven now; undefined when it may. */
export type Guard = (letter: DeadLetter) => string | undefined

export interface Redrive {
  readonly register: (kind: string, processor: Processor, options?: { readonly timeLimit?: Duration.Input }) => () => void
  readonly hasProcessor: (kind: string) => boolean
  readonly redrive: (id: string, by: "person" | "schedule", guard?: Guard) => Effect.Effect<RedriveResult, DeadLetterStorageFailed>
  readonly redriveAll: (
    filter: Filter,
    by: "person" | "schedule",
    guard?: Guard
  ) => Effect.Effect<BulkRedrive.BulkReport, DeadLetterStorageFailed>
  readonly redriveAsked: (ids: ReadonlyArray<string>) => Effect.Effect<BulkRedrive.BulkReport, DeadLetterStorageFailed>
  readonly leave: (ids: ReadonlyArray<string>, why: string) => Effect.Effect<void, DeadLetterStorageFailed>
  readonly due: (now: number) => ReadonlyArray<DeadLetter>
  readonly redriveDue: (guard: Guard) => Effect.Effect<BulkRedrive.BulkReport, DeadLetterStorageFailed>
  readonly nextDueAt: () => number | undefined
}

export const make = (ledger: Ledger, groupOf: (letter: DeadLetter) => string): Redrive => {
  const { accept, busy, chance, index, now, options, redactor, write } = ledger
  const processors = new Map<string, { readonly run: Processor; readonly limit: number }>()
  /** Letters of a bulk redrive whose end is awaited. */
  const settling = new Map<string, Deferred.Deferred<BulkRedrive.Settled>>()
  /** What the last guard refused. */
  const blocked = new Set<string>()
  const busyGroups = new Set<string>()
  /** Groups whose canary failed, and until when they rest. */
  const resting = new Map<string, number>()

  ledger.onAccept((letter) => {
    blocked.delete(letter.id)
    const waiter = settling.get(letter.id)
    if (waiter === undefined || letter.status === "redriving") return
    const settled = letter.status === "resolved" ? "resolved" : letter.status === "pending" ? "failed" : "gone"
    Deferred.doneUnsafe(waiter, Exit.succeed<BulkRedrive.Settled>(settled))
  })

  /** Runs the processor of a claimed letter. Answers the letter's next state; undefined when its end is reported by somebody else. */
  const process = Effect.fnUntraced(function* (claimed: DeadLetter) {
    const processor = processors.get(claimed.kind)
    if (processor === undefined) return Letter.released(claimed, now(), chance(), options)
    const ended = yield* BoundedRun.run(
      Effect.suspend(() => processor.run(claimed)),
      processor.limit
    )
    // Ended by somebody else meanwhile, who knows better.
    if (index.get(claimed.id) !== claimed) return undefined
    const again = (reason: string, cause: string, automatic: boolean): DeadLetter =>
      Letter.failed(
        claimed,
        { ...claimed, reason: redactor.text(reason), cause: redactor.text(cause), automatic },
        { now: now(), random: chance(), id: claimed.id },
        options
      )
    if (ended._tag === "GivenUp") {
      return again(`its processor had not ended after ${Duration.format(Duration.millis(processor.limit))}`, Letter.outcomeUnknown, false)
    }
    if (Exit.isFailure(ended.exit))
      return again(`its processor failed: ${causeText(ended.exit.cause)}`, "ProcessorFailed", claimed.automatic)
    const outcome = ended.exit.value
    if (outcome._tag === "Resolved") return Letter.resolved(claimed, now())
    return outcome._tag === "Requeued" ? undefined : again(outcome.reason, outcome.cause, claimed.automatic)
  })

  /** How a letter stands that somebody else has taken over. */
  const standing = (claimed: DeadLetter): RedriveResult => {
    const letter = index.get(claimed.id)
    const outcome = letter === undefined ? "resolved" : letter.status === "redriving" ? "requeued" : "failed"
    return { _tag: "Redriven", outcome, letter: letter ?? claimed }
  }

  const claim = (letter: DeadLetter, by: "person" | "schedule"): Effect.Effect<RedriveResult, DeadLetterStorageFailed> => {
    const claimed = Letter.redriven(letter)
    const cutOff = Letter.releasedUnknown(claimed)
    const giveBack = Effect.sync(() => {
      if (index.get(letter.id) === claimed) accept(cutOff)
    })
    return Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        busy.add(letter.id)
        yield* Effect.ensuring(
          write("claim a letter", claimed, by),
          Effect.sync(() => busy.delete(letter.id))
        )
        accept(claimed, by)
        const next = yield* restore(process(claimed)).pipe(
          Effect.onInterrupt(() => Effect.andThen(Effect.ignore(write("release a letter", cutOff)), giveBack))
        )
        if (next === undefined) return standing(claimed)
        yield* Effect.tapError(write("write a redrive's outcome", next), () => giveBack)
        accept(next)
        return { _tag: "Redriven", outcome: next.status === "resolved" ? "resolved" : "failed", letter: next } as const
      })
    )
  }

  const redrive: Redrive["redrive"] = (id, by, guard) =>
    Effect.suspend(() => {
      const letter = index.get(id)
      if (letter === undefined) return Effect.succeed<RedriveResult>({ _tag: "Gone" })
      if (busy.has(id) || letter.status !== "pending") return Effect.succeed<RedriveResult>({ _tag: "InFlight" })
      const reason = processors.has(letter.kind) ? guard?.(letter) : `no processor is registered for "${letter.kind}"`
      if (reason === undefined) return claim(letter, by)
      if (by === "schedule") blocked.add(id)
      return Effect.succeed<RedriveResult>({ _tag: "Blocked", reason })
    })

  /** Redrives one of many and waits for its real end. */
  const settle = (
    id: string,
    by: "person" | "schedule",
    guard: Guard | undefined
  ): Effect.Effect<BulkRedrive.Settled, DeadLetterStorageFailed> =>
    Effect.suspend(() => {
      if (settling.has(id)) return Effect.succeed<BulkRedrive.Settled>("blocked")
      // Before the redrive: its end may be reported before the redrive has returned.
      const waiter = Deferred.makeUnsafe<BulkRedrive.Settled>()
      settling.set(id, waiter)
      return Effect.ensuring(
        Effect.gen(function* () {
          const letter = index.get(id)
          // One that was asked for may be under way already: its end is the answer as well.
          if (letter === undefined || letter.status !== "redriving" || !Letter.isAsked(letter)) {
            const result = yield* redrive(id, by, guard)
            if (result._tag !== "Redriven") return result._tag === "Gone" ? "gone" : "blocked"
            if (result.outcome !== "requeued") return result.outcome
          }
          const settled = yield* Effect.timeoutOption(Deferred.await(waiter), options.settleLimit)
          return Option.getOrElse(settled, () => "failed" as const)
        }),
        Effect.sync(() => settling.delete(id))
      )
    })

  const bulk = (ids: ReadonlyArray<string>, one: (id: string) => ReturnType<typeof settle>) =>
    // An end is accepted while its commit is made up: what follows from it is written after that.
    BulkRedrive.run(ids, (id) => Effect.tap(one(id), Effect.yieldNow), {
      concurrency: options.redriveConcurrency,
      stopAtFailureRate: options.stopAtFailureRate,
      stopAfter: options.stopAfter
    })

  const redriveGroups = (
    letters: ReadonlyArray<DeadLetter>,
    by: "person" | "schedule",
    guard: Guard | undefined,
    around: (group: string, run: Effect.Effect<BulkRedrive.BulkReport, DeadLetterStorageFailed>) => typeof run
  ): Effect.Effect<BulkRedrive.BulkReport, DeadLetterStorageFailed> =>
    Effect.forEach(
      Map.groupBy(letters, groupOf),
      ([group, members]) =>
        around(
          group,
          bulk(
            members.map((letter) => letter.id),
            (id) => settle(id, by, guard)
          )
        ),
      { concurrency: "unbounded" }
    ).pipe(Effect.map((reports) => reports.reduce(BulkRedrive.merge, BulkRedrive.empty)))

  const leave: Redrive["leave"] = (ids, why) =>
    Effect.suspend(() => {
      const letters = ids.flatMap((id) => {
        const letter = busy.has(id) ? undefined : index.get(id)
        return letter !== undefined && Letter.isWaiting(letter) ? [Letter.left(letter, why, now(), chance(), options)] : []
      })
      return letters.length === 0 ? Effect.void : ledger.writeAll("leave letters as they are", letters)
    })

  const wanted: Guard = (letter) => (Letter.isAsked(letter) ? undefined : "nobody asks for it any more")

  const isHeld = (group: string, at: number): boolean => busyGroups.has(group) || (resting.get(group) ?? 0) > at
  const due: Redrive["due"] = (at) =>
    index.all().filter((letter) => Letter.isDue(letter, at) && !busy.has(letter.id) && !isHeld(groupOf(letter), at))

  return {
    register: (kind, run, { timeLimit = options.processorLimit } = {}) => {
      const entry = { run, limit: Duration.toMillis(Duration.fromInputUnsafe(timeLimit)) }
      processors.set(kind, entry)
      return () => {
        if (processors.get(kind) === entry) processors.delete(kind)
      }
    },
    hasProcessor: (kind) => processors.has(kind),
    redrive,
    redriveAll: (filter, by, guard) =>
      Effect.suspend(() =>
        redriveGroups(
          index.all().filter((letter) => letter.status === "pending" && matches(letter, filter)),
          by,
          guard,
          (_, run) => run
        )
      ),
    redriveAsked: (ids) =>
      Effect.tap(
        bulk(ids, (id) => settle(id, "person", wanted)),
        ({ stopped = "it could not be redriven" }) => leave(ids, stopped)
      ),
    leave,
    due,
    redriveDue: (guard) =>
      Effect.suspend(() => {
        blocked.clear()
        return redriveGroups(due(now()), "schedule", guard, (group, run) =>
          Effect.suspend(() => {
            busyGroups.add(group)
            return Effect.tap(run, (report) =>
              Effect.sync(() => {
                if (report.stopped === undefined) resting.delete(group)
                else resting.set(group, now() + Duration.toMillis(options.redriveAfter))
              })
            )
          }).pipe(Effect.ensuring(Effect.sync(() => busyGroups.delete(group))))
        )
      }),
    nextDueAt: () => {
      let next = Number.POSITIVE_INFINITY
      for (const letter of index.values()) {
        next = Math.min(next, Letter.expiresAt(letter, options) ?? next)
        const group = groupOf(letter)
        if (letter.redriveAt === undefined || blocked.has(letter.id) || busyGroups.has(group)) continue
        next = Math.min(next, Math.max(letter.redriveAt, resting.get(group) ?? 0))
      }
      return Number.isFinite(next) ? next : undefined
    }
  }
}
