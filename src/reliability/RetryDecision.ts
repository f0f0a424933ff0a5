/** The decision after a failed attempt: another one and when, or the end and why. Pure; the caller says what time it is and draws the random number. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Backoff from "./Backoff.ts"
import { PositiveDuration } from "./PositiveDuration.ts"
import * as RetryBudget from "./RetryBudget.ts"

/** How often, and with which delays, is tried again. */
export const Options = Schema.Struct({
  /** `exponential`, `linear`, `fixed`, `fibonacci` or `decorrelated`. Default `decorrelated`: it spreads best. */
  strategy: Backoff.Strategy.pipe(Schema.withDecodingDefault(Effect.succeed("decorrelated" as const))),
  /** The first delay, and the least of a decorrelated one. Default 1 second. */
  baseDelay: PositiveDuration.pipe(Schema.withDecodingDefault(Effect.succeed("1 second"))),
  /** The longest delay, at least `baseDelay`. A hint of the provider may be longer. Default 1 minute. */
  maxDelay: PositiveDuration.pipe(Schema.withDecodingDefault(Effect.succeed("1 minute"))),
  /** Of the exponential strategy. 1 to 100, default 2. */
  factor: Schema.Finite.check(Schema.isBetween({ minimum: 1, maximum: 100 })).pipe(Schema.withDecodingDefault(Effect.succeed(2))),
  /** `full`, `equal` or `none`. Default `full`. */
  jitter: Backoff.Jitter.pipe(Schema.withDecodingDefault(Effect.succeed("full" as const))),
  /** Attempts, the first one included. Count, 1 to 1,000, default 4. */
  maxAttempts: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1000 })).pipe(Schema.withDecodingDefault(Effect.succeed(4))),
  /** What all users of one account may spend on retries. */
  budget: RetryBudget.Options.pipe(Schema.withDecodingDefault(Effect.succeed({})))
}).check(
  Schema.makeFilter((options) =>
    Duration.isGreaterThan(options.baseDelay, options.maxDelay)
      ? { path: ["maxDelay"], issue: `must be at least baseDelay (${Duration.format(options.baseDelay)})` }
      : undefined
  )
)
export type Options = typeof Options.Type

export const defaults: Options = Schema.decodeSync(Options)({})

/** What a delay depends on. */
export interface Draw {
  /** Failed attempts so far, the present one included. Count; less than 1 is taken as 1. */
  readonly attempt: number
  /** The delay that was drawn last, in milliseconds; undefined at the first. */
  readonly previousDelayMillis: number | undefined
  /** In [0, 1). */
  readonly random: number
}

/** The delay before the next attempt in milliseconds: at most `maxDelay`, for any attempt. */
export const delay = (options: Options, draw: Draw): number =>
  Backoff.delay(
    {
      strategy: options.strategy,
      base: Duration.toMillis(options.baseDelay),
      max: Duration.toMillis(options.maxDelay),
      factor: options.factor,
      jitter: options.jitter
    },
    Math.max(1, draw.attempt),
    draw.previousDelayMillis,
    draw.random
  )

/** What is known after a failed attempt. Times are milliseconds of any one clock. */
export interface Situation {
  /** Failed attempts that count, the present one included if it does. */
  readonly attempts: number
  readonly previousDelayMillis: number | undefined
  /** As the failure was classified. */
  readonly retryable: boolean
  /** What the provider asked to wait, from `now`. */
  readonly hintMillis?: number | undefined
  readonly now: number
  readonly deadlineAt?: number | undefined
  readonly random: number
  /** How long until the retry budget has a token (`RetryBudget.waitMillis`); 0 or absent: it has one, null: nobody knows. */
  readonly budgetWaitMillis?: number | null | undefined
}

export type Decision =
  /** Another attempt; it costs a token of the budget. */
  | { readonly _tag: "Retry"; readonly delayMillis: number; readonly notBefore: number }
  /** The budget is spent: ask again at `notBefore`. Never an end by itself. */
  | { readonly _tag: "Park"; readonly delayMillis: number; readonly notBefore: number }
  | { readonly _tag: "GiveUp"; readonly code: GiveUpCode; readonly reason: string }

export type GiveUpCode = "NotRetryable" | "AttemptsExhausted" | "HintPastDeadline" | "DeadlineReached"

/** Decides; a hint is always obeyed: the next attempt is never earlier, and one past the deadline ends the call at once. */
export const decide = (options: Options, situation: Situation): Decision => {
  const { attempts, budgetWaitMillis, deadlineAt, now, retryable } = situation
  if (!retryable) return giveUp("NotRetryable", "this failure is not retried")
  if (attempts >= options.maxAttempts) return giveUp("AttemptsExhausted", `${attempts} of ${options.maxAttempts} attempts failed`)
  const hint = hintOf(situation)
  const left = (deadlineAt ?? Number.POSITIVE_INFINITY) - now
  if (hint > 0 && hint >= left) {
    return giveUp(
      "HintPastDeadline",
      `the next attempt may be made in ${text(hint)}, and the deadline is ${left > 0 ? `in ${text(left)}` : "over"}`
    )
  }
  const delayMillis = Math.max(hint, delay(options, { ...situation, attempt: attempts }))
  if (delayMillis >= left) {
    return giveUp(
      "DeadlineReached",
      left > 0 ? `the deadline comes before the next attempt (in ${text(delayMillis)})` : "the deadline is over"
    )
  }
  if (budgetWaitMillis === undefined || budgetWaitMillis === 0) return { _tag: "Retry", delayMillis, notBefore: now + delayMillis }
  const parked = Math.max(delayMillis, budgetWaitMillis ?? Duration.toMillis(options.maxDelay))
  return { _tag: "Park", delayMillis: parked, notBefore: now + parked }
}

/** A hint that is no number of milliseconds is none. */
const hintOf = ({ hintMillis }: Situation): number => (hintMillis !== undefined && hintMillis > 0 ? hintMillis : 0)

const giveUp = (code: GiveUpCode, reason: string): Decision => ({ _tag: "GiveUp", code, reason })

const text = (millis: number): string => Duration.format(Duration.millis(Math.ceil(millis)))
