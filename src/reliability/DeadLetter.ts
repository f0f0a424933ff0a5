/**
 * A dead letter and its life, as pure functions: one failure, one record, for life.
 *
 * `failed` opens the record or returns to it; a redrive goes on with it; it ends resolved, discarded or expired, and the latter two can be
 * undone. Nothing here waits, draws random numbers or writes.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { PositiveDuration } from "./PositiveDuration.ts"

export const DeadLetter = Schema.Struct({
  id: Schema.String,
  /** What failed: `task`, `spawn`, `restart`, `remove`, or a kind that the program registered. */
  kind: Schema.String,
  /** Of what: the task's key or the agent's id. */
  subject: Schema.String,
  /**
   * `pending` waits for a decision or its due time; `redriving` is being tried again; `resolved` succeeded; `discarded` by a person, with undo;
   * `expired` by age or attempts.
   */
  status: Schema.Literals(["pending", "redriving", "resolved", "discarded", "expired"]),
  /** Why it failed last, one sentence, redacted. */
  reason: Schema.String,
  /** Class of the last failure, e.g. `Outage`. */
  cause: Schema.String,
  createdAt: Schema.Finite,
  failedAt: Schema.Finite,
  /** Failures of the same subject on this record. Count, at least 1. */
  failures: Schema.Int,
  /** Redrives so far. */
  redrives: Schema.Int,
  /** May the schedule redrive it, or only a person? */
  automatic: Schema.Boolean,
  /** When the schedule redrives it next, Unix time in milliseconds. */
  redriveAt: Schema.optionalKey(Schema.Finite),
  /** When it ended (resolved, discarded, expired). */
  endedAt: Schema.optionalKey(Schema.Finite),
  /** When its end was last undone: its age counts from then. */
  restoredAt: Schema.optionalKey(Schema.Finite),
  /** Somebody asked for its redrive while nobody worked: it waits for one who does, or was left as it is after all. */
  asked: Schema.optionalKey(
    Schema.Struct({
      at: Schema.Finite,
      /** Those of one group share a canary. */
      group: Schema.String,
      /** Why it was left as it is; absent as long as it waits or is being redriven. */
      left: Schema.optionalKey(Schema.String)
    })
  ),
  /** What the processor of its kind needs: the task with every attempt, or the agent; redacted, JSON. */
  payload: Schema.Unknown,
  /** Versions of what was involved. */
  versions: Schema.Record(Schema.String, Schema.String)
})
export type DeadLetter = typeof DeadLetter.Type

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))

export const Options = Schema.Struct({
  /** Letters in the queue; from there on it is full, and intake stops. Nothing is ever evicted. Count, at least 1, default 1,000. */
  maxLetters: Count.pipe(Schema.withDecodingDefault(Effect.succeed(1000))),
  /** Wait before the first automatic redrive. Default 5 minutes: most provider outages are over by then. */
  redriveAfter: PositiveDuration.pipe(Schema.withDecodingDefault(Effect.succeed("5 minutes"))),
  /** The wait grows by this with each redrive. At least 1, default 2. */
  redriveFactor: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(1)).pipe(Schema.withDecodingDefault(Effect.succeed(2))),
  /** The longest such wait. Default 6 hours: longer than the usage windows of providers. */
  maxRedriveAfter: PositiveDuration.pipe(Schema.withDecodingDefault(Effect.succeed("6 hours"))),
  /** How much of a wait may be taken off at random, so that letters of one outage do not return in one wave. 0 to 1, default 0.3. */
  redriveJitter: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 })).pipe(Schema.withDecodingDefault(Effect.succeed(0.3))),
  /** An automatic letter that fails after this many redrives expires. Count, at least 1, default 10. */
  maxRedrives: Count.pipe(Schema.withDecodingDefault(Effect.succeed(10))),
  /** A letter expires this long after its last failure, or its last undo. Default 30 days. */
  maxAge: PositiveDuration.pipe(Schema.withDecodingDefault(Effect.succeed("30 days"))),
  /** How long the archive keeps what ended. Default 90 days. */
  archiveAge: PositiveDuration.pipe(Schema.withDecodingDefault(Effect.succeed("90 days"))),
  /** How many it keeps; the newest. Count, at least 1, default 10,000. */
  archiveLetters: Count.pipe(Schema.withDecodingDefault(Effect.succeed(10_000))),
  /** Longest time of one processor. Default 1 minute; a redrive that only queues its work again needs milliseconds. */
  processorLimit: PositiveDuration.pipe(Schema.withDecodingDefault(Effect.succeed("1 minute"))),
  /** Redriving many: how many at once, after the first has succeeded. Count, at least 1, default 4. */
  redriveConcurrency: Count.pipe(Schema.withDecodingDefault(Effect.succeed(4))),
  /** Redriving many stops at this share of failures ... 0 to 1, default 0.5. */
  stopAtFailureRate: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 })).pipe(
    Schema.withDecodingDefault(Effect.succeed(0.5))
  ),
  /** ... once this many have ended. Count, at least 1, default 5. */
  stopAfter: Count.pipe(Schema.withDecodingDefault(Effect.succeed(5))),
  /** How long one letter of many may take to its end, before the rest is given up. Default 6 hours. */
  settleLimit: PositiveDuration.pipe(Schema.withDecodingDefault(Effect.succeed("6 hours")))
})
export type Options = typeof Options.Type

export const defaults: Options = Schema.decodeSync(Options)({})

/** Something failed for good. */
export interface Failure {
  readonly kind: string
  readonly subject: string
  readonly reason: string
  readonly cause: string
  /** May the schedule redrive it? Provider faults only; never when the outcome is unknown. */
  readonly automatic: boolean
  /** Must be JSON; what is not becomes it as by `JSON.stringify`. */
  readonly payload: unknown
  readonly versions?: Readonly<Record<string, string>>
  /** Not before this Unix time in milliseconds, e.g. when the provider's limit resets. */
  readonly notBefore?: number
}

/** A failure of unknown outcome: the schedule must not touch it again. */
export const outcomeUnknown = "OutcomeUnknown"

/**
 * The wait before automatic redrive number `redrives` + 1, in milliseconds: min(maxRedriveAfter, redriveAfter · redriveFactor^redrives), less
 * up to `redriveJitter` of it. `random` in [0, 1).
 */
export const redriveDelay = (redrives: number, random: number, options: Options): number => {
  const full = Math.min(
    Duration.toMillis(options.maxRedriveAfter),
    Duration.toMillis(options.redriveAfter) * options.redriveFactor ** redrives
  )
  return full * (1 - options.redriveJitter * random)
}

/** Is a redrive asked for that has not ended? The schedule leaves it alone. */
export const isAsked = (letter: DeadLetter): boolean => letter.asked !== undefined && letter.asked.left === undefined

/** Is a redrive asked for that has not begun? */
export const isWaiting = (letter: DeadLetter): boolean => letter.status === "pending" && isAsked(letter)

const isSpent = (letter: DeadLetter, options: Options): boolean => letter.automatic && letter.redrives >= options.maxRedrives

const withDue = (letter: DeadLetter, now: number, random: number, options: Options, notBefore = 0): DeadLetter => {
  const { redriveAt: _, ...rest } = letter
  if (!letter.automatic || isSpent(letter, options) || isAsked(letter)) return rest
  return { ...rest, redriveAt: Math.ceil(Math.max(notBefore, now + redriveDelay(letter.redrives, random, options))) }
}

/** Opens a record, or returns to the one that there is: `existing`, pending or redriving. */
export const failed = (
  existing: DeadLetter | undefined,
  failure: Failure,
  at: { readonly now: number; readonly random: number; readonly id: string },
  options: Options
): DeadLetter =>
  withDue(
    {
      ...(withoutAsked(existing) ?? { id: at.id, createdAt: at.now, failures: 0, redrives: 0 }),
      kind: failure.kind,
      subject: failure.subject,
      status: "pending",
      reason: failure.reason,
      cause: failure.cause,
      failedAt: at.now,
      failures: (existing?.failures ?? 0) + 1,
      automatic: failure.automatic,
      payload: failure.payload,
      versions: { ...failure.versions }
    },
    at.now,
    at.random,
    options,
    failure.notBefore
  )

const withoutAsked = <L extends DeadLetter | undefined>(letter: L): L => {
  if (letter?.asked === undefined) return letter
  const { asked: _, ...rest } = letter
  return rest as L
}

/** Its redrive, and that of others, is asked for. */
export const asked = (letter: DeadLetter, group: string, now: number): DeadLetter => {
  const { redriveAt: _, ...rest } = letter
  return { ...rest, asked: { at: now, group } }
}

/** What was asked for is over before it was redriven. */
export const left = (letter: DeadLetter, why: string, now: number, random: number, options: Options): DeadLetter =>
  letter.asked === undefined ? letter : withDue({ ...letter, asked: { ...letter.asked, left: why } }, now, random, options)

/** A redrive begins. */
export const redriven = (letter: DeadLetter): DeadLetter => {
  const { redriveAt: _, ...rest } = isAsked(letter) ? letter : withoutAsked(letter)
  return { ...rest, status: "redriving", redrives: letter.redrives + 1 }
}

/** A redrive ended without an outcome of its own: not begun after all, or cancelled. It waits again. */
export const released = (letter: DeadLetter, now: number, random: number, options: Options): DeadLetter =>
  withDue({ ...letter, status: "pending" }, now, random, options)

/** A redrive was cut off and nobody knows what it did: from here on only a person may redrive it. */
export const releasedUnknown = (letter: DeadLetter): DeadLetter => {
  const { redriveAt: _, ...rest } = withoutAsked(letter)
  return {
    ...rest,
    status: "pending",
    automatic: false,
    cause: outcomeUnknown,
    reason: `a redrive was cut off, its outcome is unknown; before it: ${letter.reason}`
  }
}

const ended = (letter: DeadLetter, status: "resolved" | "discarded" | "expired", now: number): DeadLetter => {
  const { redriveAt: _, ...rest } = withoutAsked(letter)
  return { ...rest, status, endedAt: now }
}

export const resolved = (letter: DeadLetter, now: number): DeadLetter => ended(letter, "resolved", now)
export const discarded = (letter: DeadLetter, now: number): DeadLetter => ended(letter, "discarded", now)
export const expired = (letter: DeadLetter, now: number): DeadLetter => ended(letter, "expired", now)

/** Undoes `discarded` or `expired`. What expired is a person's matter from then on. */
export const restored = (letter: DeadLetter, now: number, random: number, options: Options): DeadLetter => {
  const { endedAt: _, ...rest } = letter
  return withDue(
    { ...rest, status: "pending", restoredAt: now, automatic: letter.automatic && letter.status !== "expired" },
    now,
    random,
    options
  )
}

/** When it expires, Unix milliseconds; undefined while it is being redriven, or has ended. */
export const expiresAt = (letter: DeadLetter, options: Options): number | undefined => {
  if (letter.status !== "pending") return undefined
  if (isSpent(letter, options) && !isAsked(letter)) return letter.failedAt
  return Math.max(letter.failedAt, letter.restoredAt ?? 0, letter.asked?.at ?? 0) + Duration.toMillis(options.maxAge)
}

/** Is its automatic redrive due? */
export const isDue = (letter: DeadLetter, now: number): boolean =>
  letter.status === "pending" && letter.automatic && letter.redriveAt !== undefined && letter.redriveAt <= now
