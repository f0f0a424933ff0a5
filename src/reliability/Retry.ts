/**
 * Retries: tries again what failed for a while, not too often, not too soon, and never beyond a budget that all users of an account share.
 *
 * It bounds attempts, delays and the share of retries among calls; it refuses nothing, but gives up. In the pipe it stands before everything that can refuse, and there it is
 * only the pure `decide` over what the task table knows; `run` is the same decision for programs.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Monotonic from "../Monotonic.ts"
import { complete, type Given } from "./GivenOptions.ts"
import { isRefused, retryAfterMillis } from "./Refused.ts"
import * as RetryBudget from "./RetryBudget.ts"
import { decide, delay, type GiveUpCode, Options } from "./RetryDecision.ts"

export type { RetryBudget } from "./RetryBudget.ts"
export { type Decision, decide, defaults, delay, type GiveUpCode, Options, type Situation } from "./RetryDecision.ts"

/** One failed attempt of a call. */
export const Attempt = Schema.Struct({
  /** When it began, Unix milliseconds. */
  at: Schema.Finite,
  durationMillis: Schema.Finite,
  /** What the failure was classified as. */
  class: Schema.String,
  /** What it failed with, as it was. */
  error: Schema.Defect()
})
export type Attempt = typeof Attempt.Type

/** The call failed for good. */
export class RetriesExhausted extends Schema.TaggedError<RetriesExhausted>()("RetriesExhausted", {
  key: Schema.String,
  code: Schema.Literals(["NotRetryable", "AttemptsExhausted", "HintPastDeadline", "DeadlineReached"]),
  /** Why no further attempt was made, a part of a sentence. */
  reason: Schema.String,
  /** Every attempt that failed, in order; a refusal is none. */
  attempts: Schema.Array(Attempt),
  /** What it failed with last, be it an attempt's error or a refusal. */
  cause: Schema.Defect()
}) {
  override get message() {
    const last = this.attempts[this.attempts.length - 1]
    return `"${this.key}" failed: ${this.reason}${last === undefined ? "" : `; last ${last.class}`}`
  }
}

/** The attempt took longer than its limit and was interrupted. */
export class AttemptTimedOut extends Schema.TaggedError<AttemptTimedOut>()("AttemptTimedOut", { limit: Schema.DurationFromString }) {
  override get message() {
    return `Not done within ${Duration.format(this.limit)}`
  }
}

/** What an error means for retries. */
export interface Verdict {
  readonly retryable: boolean
  /** For the record. Default: the error's tag, or name. */
  readonly class?: string | undefined
  /** What the provider asked to wait. */
  readonly hint?: Duration.Input | undefined
  /** Does it use up an attempt? Default true. */
  readonly countsAsAttempt?: boolean | undefined
}

/** How one call is retried. */
export interface Policy<E> {
  /** Whose budget its retries spend: the account. */
  readonly key: string
  /** Default: nothing is retried, for an unknown failure is not safe to repeat. An `AttemptTimedOut` is retryable, and refusals are not asked about. */
  readonly classify?: ((error: E) => Verdict) | undefined
  /** How long one attempt may take. Default: no limit. */
  readonly attemptLimit?: Duration.Input | undefined
  /** How long the whole call may take, waits included. Default: no limit. */
  readonly totalLimit?: Duration.Input | undefined
}

/** Since the service exists. */
export interface RetryMetrics {
  readonly calls: number
  /** Attempts that began and were not refused. */
  readonly attempts: number
  /** Attempts after the first of their call. */
  readonly retries: number
  /** Calls that failed for good. */
  readonly exhausted: number
  /** Retries that waited because the budget was spent. */
  readonly budgetRefusals: number
}

/**
 * Retries calls.
 *
 * Refusals of other patterns (`isRefused`) use up no attempt and no budget: they are waited for as long as they ask, or with growing delays where they do not say. A spent budget delays a retry and never
 * ends a call. Interruptions and defects are not retried and pass as they are.
 */
export class Retry extends Context.Service<
  Retry,
  {
    /** Fails with `RetriesExhausted` when no further attempt is made; every error of the call is in it. */
    readonly run: <E0>(policy: Policy<E0>) => <A, E extends E0, R>(call: Effect.Effect<A, E, R>) => Effect.Effect<A, RetriesExhausted, R>
    /** The budgets that `run` spends, for others who retry on the same accounts. */
    readonly budget: RetryBudget.RetryBudget
    readonly metrics: () => RetryMetrics
  }
>()("nofx/reliability/Retry") {}

const completed = complete("Retry", Options)

/** A service; `shared` is a budget that others spend too, default: its own. */
export const make = (given: Given<typeof Options> = {}, shared?: RetryBudget.RetryBudget): Effect.Effect<Retry["Service"]> =>
  Effect.gen(function* () {
    const options = completed(given)
    const clock = yield* Clock.Clock
    const budget = shared ?? (yield* RetryBudget.make(options.budget))
    const read = (): number => Monotonic.read(clock)
    const counters = { calls: 0, attempts: 0, retries: 0, exhausted: 0, budgetRefusals: 0 }

    /** Waits until the budget gives a token; false: the deadline came first. */
    const withdraw = Effect.fnUntraced(function* (key: string, deadlineAt: number) {
      if (budget.tryWithdraw(key)) return true
      counters.budgetRefusals++
      do {
        const wait = Math.max(1, budget.waitMillis(key) ?? Duration.toMillis(options.maxDelay))
        if (read() + wait >= deadlineAt) return false
        yield* Effect.sleep(wait)
      } while (!budget.tryWithdraw(key))
      return true
    })

    const run = <E0>(policy: Policy<E0>) => {
      const { key } = policy
      const attemptLimit = millisOf(policy.attemptLimit)
      const totalLimit = millisOf(policy.totalLimit)

      return <A, E extends E0, R>(call: Effect.Effect<A, E, R>): Effect.Effect<A, RetriesExhausted, R> =>
        Effect.gen(function* () {
          const deadlineAt = read() + totalLimit
          const attempts: Array<Attempt> = []
          let counted = 0
          let refusals = 0
          let previousDelayMillis: number | undefined
          counters.calls++
          budget.deposit(key)

          const fail = (code: GiveUpCode, reason: string, cause: unknown) => {
            counters.exhausted++
            return Effect.fail(new RetriesExhausted({ key, code, reason, attempts, cause }))
          }

          for (;;) {
            const began = read()
            const last = attempts[attempts.length - 1]
            // A timer may fire late.
            if (last !== undefined && began >= deadlineAt) return yield* fail("DeadlineReached", "the deadline is over", last.error)
            const at = clock.currentTimeMillisUnsafe()
            const exit = yield* Effect.exit(limited(call, Math.min(attemptLimit, deadlineAt - began)))
            const error = Exit.isSuccess(exit) ? undefined : Cause.findErrorOption(exit.cause)
            const refused = error?._tag === "Some" && isRefused(error.value) ? error.value : undefined
            if (refused === undefined) {
              counters.attempts++
              if (attempts.length > 0) counters.retries++
            }
            if (Exit.isSuccess(exit)) return exit.value
            if (error?._tag !== "Some") return yield* exit as Exit.Exit<A, never>
            const failure = error.value

            if (refused !== undefined) {
              refusals++
              const asked = retryAfterMillis(refused)
              const random = yield* Random.next
              const wait = asked ?? delay(options, { attempt: refusals, previousDelayMillis, random })
              if (asked === undefined) previousDelayMillis = wait
              if (read() + wait >= deadlineAt) {
                return yield* fail("HintPastDeadline", `it was refused (${refused._tag}) until after its time limit`, failure)
              }
              yield* Effect.sleep(Math.max(1, wait))
              continue
            }

            refusals = 0
            const verdict: Verdict =
              failure instanceof AttemptTimedOut ? { retryable: true } : (policy.classify?.(failure as E) ?? { retryable: false })
            attempts.push({ at, durationMillis: read() - began, class: verdict.class ?? classOf(failure), error: failure })
            if (verdict.countsAsAttempt ?? true) counted++
            const decision = decide(options, {
              attempts: counted,
              previousDelayMillis,
              retryable: verdict.retryable,
              hintMillis: verdict.hint === undefined ? undefined : millisOf(verdict.hint),
              now: read(),
              deadlineAt,
              random: yield* Random.next
            })
            if (decision._tag === "GiveUp") return yield* fail(decision.code, decision.reason, failure)
            previousDelayMillis = decision.delayMillis
            yield* Effect.sleep(decision.delayMillis)
            if (!(yield* withdraw(key, deadlineAt))) {
              return yield* fail("DeadlineReached", "the account's retry budget is spent until after its time limit", failure)
            }
          }
        })
    }

    return { run, budget, metrics: () => ({ ...counters }) }
  })

export const layer = (options?: Given<typeof Options>): Layer.Layer<Retry> => Layer.effect(Retry, make(options))

/** The same delays as an Effect `Schedule`: ends after `maxAttempts - 1` recurrences, outputs each delay. Draws from `Random`. */
export const schedule = (given: Given<typeof Options> = {}): Schedule.Schedule<Duration.Duration> =>
  Schedule.fromStep(
    Effect.sync(() => {
      const options = completed(given)
      let attempt = 0
      let previousDelayMillis: number | undefined
      return () =>
        Effect.flatMap(Random.next, (random) => {
          const last = Duration.millis(previousDelayMillis ?? 0)
          if (++attempt >= options.maxAttempts) return Cause.done(last)
          previousDelayMillis = delay(options, { attempt, previousDelayMillis, random })
          const next = Duration.millis(previousDelayMillis)
          return Effect.succeed<[Duration.Duration, Duration.Duration]>([next, next])
        })
    })
  )

const millisOf = (input: Duration.Input | undefined): number =>
  input === undefined ? Number.POSITIVE_INFINITY : Duration.toMillis(Duration.fromInputUnsafe(input))

const limited = <A, E, R>(call: Effect.Effect<A, E, R>, millis: number): Effect.Effect<A, E | AttemptTimedOut, R> =>
  millis === Number.POSITIVE_INFINITY
    ? call
    : Effect.timeoutOrElse(call, {
        duration: millis,
        orElse: () => Effect.fail(new AttemptTimedOut({ limit: Duration.millis(millis) }))
      })

const classOf = (error: unknown): string => {
  if (typeof error === "object" && error !== null) {
    if ("_tag" in error && typeof error._tag === "string") return error._tag
    if (error instanceof Error) return error.name
  }
  return "Unknown"
}
