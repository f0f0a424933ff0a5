/**
 * Rate limits: bounds how much starts in a window of time, per limit and key (an operation, an account, or both).
 *
 * It refuses, or makes wait in order, what goes beyond. In the pipe it is the fourth stage, before the bulkhead: each *attempt* spends quota, also one that fails.
 * Keys that are as good as new are forgotten.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { complete, type Given } from "./GivenOptions.ts"
import { LimitedKeys } from "./LimitedKeys.ts"
import { PositiveDuration } from "./PositiveDuration.ts"
import { refusals } from "./Refusal.ts"
import * as TimerWheel from "./TimerWheel.ts"

/** One limit. It is known by its name: the same name with other numbers changes the limit, and keeps what was spent. */
export const Limit = Schema.Struct({
  /** What the numbers belong to, in events and metrics. Default `account`. */
  name: Schema.NonEmptyString.pipe(Schema.withDecodingDefault(Effect.succeed("account"))),
  /**
   * How it counts. `sliding-window` (default): in no window more than the limit. `leaky-bucket`: the same, evenly spaced. `token-bucket`: bursts, up to twice the limit in the first
   * window. `fixed-window`: the cheapest, up to twice the limit around a window's end.
   */
  algorithm: Schema.Literals(["token-bucket", "sliding-window", "fixed-window", "leaky-bucket"]).pipe(
    Schema.withDecodingDefault(Effect.succeed("sliding-window" as const))
  ),
  /** Costs that may start per window; a call costs 1 if it says nothing else. At least 1, default 60. */
  limit: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(1)).pipe(Schema.withDecodingDefault(Effect.succeed(60))),
  /** More than zero, default 1 minute. */
  window: PositiveDuration.pipe(Schema.withDecodingDefault(Effect.succeed("1 minute"))),
  /** `delay` (default): `run` waits in order; `fail`: it refuses. */
  mode: Schema.Literals(["delay", "fail"]).pipe(Schema.withDecodingDefault(Effect.succeed("delay" as const))),
  /** Who would wait longer is refused at once. Default 1 minute. Who was accepted is never refused later. */
  maxWait: Schema.DurationFromString.pipe(Schema.withDecodingDefault(Effect.succeed("1 minute"))),
  /** Calls that wait per key. Count, at least 0, default 1000. */
  maxQueue: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)).pipe(Schema.withDecodingDefault(Effect.succeed(1000)))
})
export type Limit = typeof Limit.Type

/** Makes a limit: what is left out has its default. Throws `RangeError` for a bad one. */
export const limit: (given: Given<typeof Limit>) => Limit = complete("RateLimiter", Limit)

/** Of an account: never more than the limit in any minute. */
export const defaults: Limit = limit({})
/** Calls of an interface: 100 a minute, with bursts. */
export const api: Limit = limit({ name: "api", algorithm: "token-bucket", limit: 100, window: "1 minute" })
/** What one user may ask for: 1,000 an hour. */
export const user: Limit = limit({ name: "user", algorithm: "sliding-window", limit: 1000, window: "1 hour" })
/** Expensive operations: 10 a minute, one every six seconds. */
export const expensive: Limit = limit({ name: "expensive", algorithm: "leaky-bucket", limit: 10, window: "1 minute" })
/** By name, as configurations say it. */
export const presets = { api, user, expensive } as const

/** The call was refused before it started, and nothing was spent. */
export class RateLimitExceeded extends Schema.TaggedError<RateLimitExceeded>()("RateLimitExceeded", {
  /** Name of the limit. */
  limit: Schema.String,
  key: Schema.String,
  cost: Schema.Finite,
  /**
   * `rate`: too much was started; `queue`: too many wait; `wait`: the wait would be too long; `cost`: it is more than the limit, and will never be admitted; `away`: what counts it
   * cannot be asked.
   */
  reason: Schema.Literals(["rate", "queue", "wait", "cost", "away"]),
  /** Asked again after this, it is admitted, if nobody else asks. */
  retryAfter: Schema.optional(Schema.DurationFromString),
  /** The same as a point in monotonic time, milliseconds. */
  notBefore: Schema.optional(Schema.Finite)
}) {
  override get message() {
    const hint = this.retryAfter === undefined ? "" : `, retry after ${Duration.format(this.retryAfter)}`
    return `Rate limit "${this.limit}" exceeded for "${this.key}" (${reasons[this.reason]}${hint})`
  }
}

const reasons = {
  rate: "too many calls",
  queue: "too many are waiting",
  wait: "the wait would be too long",
  cost: "the call costs more than the limit",
  away: "Redis, which counts them, is away"
} as const

/** What an admitted call holds: what it takes to give its quota back. */
export interface Permit {
  readonly _tag: "RatePermit"
  readonly limit: Limit
  readonly key: string
  /** When it was admitted, monotonic milliseconds. */
  readonly at: number
  readonly mark: number
  /** What it has spent by now: less after `settle`, 0 after `refund`. */
  cost: number
}

/** One of several limits that a call is admitted by. `cost` may be an estimate, to be settled. */
export interface Request {
  readonly limit: Limit
  readonly key: string
  /** Default 1. */
  readonly cost?: number | undefined
}

/** Since the start, of this process. */
export interface Metrics {
  readonly admitted: number
  readonly refused: number
  /** Admissions given back wholly. */
  readonly refunded: number
  /** Now. */
  readonly waiting: number
  /** Keys that are remembered now. */
  readonly keys: number
}

/** What a limiter in this process offers without waiting and without Effect. A cost below 0, or not finite, and a bad limit throw `RangeError`. */
export interface Local {
  /** Admits or refuses at once; never overtakes those that wait. `now`: monotonic milliseconds, read from the clock if not given. */
  readonly tryAcquire: (limit: Limit, key: string, cost?: number, now?: number) => Permit | RateLimitExceeded
  /** Gives back what the permit spent, as far as time has not given it back already. Once; later calls do nothing. */
  readonly refund: (permit: Permit, now?: number) => void
  /** The same for a permit of the same synchronous step, before anybody could have seen it taken: nobody is told. */
  readonly undo: (permit: Permit, now?: number) => void
  /** Corrects the cost of an admitted call to what it really was; more than the limit allows is owed, and delays what comes later. */
  readonly settle: (permit: Permit, cost: number, now?: number) => void
}

/**
 * Limits rates.
 *
 * Two keys, and two limits, never affect each other. A refusal spends nothing. Waiting calls start in strict order of arrival; an interrupted one gives back its place, and those
 * behind it move up.
 */
export class RateLimiter extends Context.Service<
  RateLimiter,
  {
    /** Runs the call once it is admitted. Waits or refuses as the limit's `mode` says; fails with `RateLimitExceeded` only before the call starts. */
    readonly run: (
      limit: Limit,
      key: string,
      options?: { readonly cost?: number | undefined }
    ) => <A, E, R>(call: Effect.Effect<A, E, R>) => Effect.Effect<A, E | RateLimitExceeded, R>
    /** Waits for admission, whatever the mode. Fails at once when the queue is full or the wait would be too long. */
    readonly wait: (limit: Limit, key: string, cost?: number) => Effect.Effect<Permit, RateLimitExceeded>
    /** Answers at once, whatever the mode. */
    readonly acquire: (limit: Limit, key: string, cost?: number) => Effect.Effect<Permit, RateLimitExceeded>
    /** Admits by all of these limits or by none, in one step, at once; the permits come in the same order. */
    readonly acquireAll: (requests: ReadonlyArray<Request>) => Effect.Effect<ReadonlyArray<Permit>, RateLimitExceeded>
    readonly refund: (permit: Permit) => Effect.Effect<void>
    readonly settle: (permit: Permit, cost: number) => Effect.Effect<void>
    /** The synchronous face, where the state is in this process. */
    readonly local: Local | undefined
    /** Of all limits, or by the limit's name. */
    readonly metrics: (limit?: string) => Metrics
    /** Calls the listener, synchronously, when quota came back other than by time. Returns what takes it out again. */
    readonly onChange: (listener: (change: { readonly limit: string; readonly key: string }) => void) => () => void
  }
>()("nofx/RateLimiter") {}

export const make = Effect.gen(function* () {
  const clock = yield* Clock.Clock
  const wheel = yield* TimerWheel.TimerWheel
  const keys = new LimitedKeys(clock, wheel, limit, refusals(RateLimitExceeded))

  const acquire = (limit: Limit, key: string, cost = 1): Effect.Effect<Permit, RateLimitExceeded> =>
    Effect.suspend(() => {
      const answer = keys.tryAcquire(limit, key, cost)
      return answer._tag === "RatePermit" ? Effect.succeed(answer) : Effect.fail(answer)
    })

  /** Waits, then goes on in the same step: an interruption before that gives everything back. */
  const waitThen = <A, E, R>(limit: Limit, key: string, cost: number, then: (permit: Permit) => Effect.Effect<A, E, R>) =>
    Effect.uninterruptibleMask((restore): Effect.Effect<A, E | RateLimitExceeded, R> => {
      const place = keys.enter(limit, key, cost)
      if (place._tag === "RateLimitExceeded") return Effect.fail(place)
      const admitted = Effect.callback<Permit>((resume) => {
        if (place.permit !== undefined) resume(Effect.succeed(place.permit))
        else place.resume = (permit) => resume(Effect.succeed(permit))
      })
      let started = false
      const waiting = Effect.flatMap(admitted, (permit) => {
        started = true
        return then(permit)
      })
      return Effect.onExit(restore(waiting), () => {
        if (!started) keys.leave(place)
        return Effect.void
      })
    })

  const run: RateLimiter["Service"]["run"] =
    (limit, key, options) =>
    <A, E, R>(call: Effect.Effect<A, E, R>) =>
      Effect.suspend((): Effect.Effect<A, E | RateLimitExceeded, R> => {
        const answer = keys.tryAcquire(limit, key, options?.cost ?? 1, undefined, limit.mode === "delay")
        if (answer === undefined) return waitThen(limit, key, options?.cost ?? 1, () => call)
        return answer._tag === "RatePermit" ? call : Effect.fail(answer)
      })

  const local: Local = {
    tryAcquire: (limit, key, cost = 1, now) => keys.tryAcquire(limit, key, cost, now),
    refund: (permit, now) => keys.settle(permit, 0, now),
    undo: (permit, now) => keys.settle(permit, 0, now, false),
    settle: (permit, cost, now) => keys.settle(permit, cost, now)
  }

  return RateLimiter.of({
    run,
    wait: (limit, key, cost = 1) => waitThen(limit, key, cost, Effect.succeed),
    acquire,
    acquireAll: (requests) =>
      Effect.suspend(() => {
        const permits: Array<Permit> = []
        for (const { cost = 1, key, limit } of requests) {
          const answer = keys.tryAcquire(limit, key, cost)
          if (answer._tag === "RatePermit") permits.push(answer)
          else {
            for (const permit of permits) keys.settle(permit, 0, undefined, false)
            return Effect.fail(answer)
          }
        }
        return Effect.succeed(permits)
      }),
    refund: (permit) => Effect.sync(() => keys.settle(permit, 0)),
    settle: (permit, cost) => Effect.sync(() => keys.settle(permit, cost)),
    local,
    metrics: (limit) => keys.metrics(limit),
    onChange: keys.changes.add
  })
})

/** A limiter in the memory of this process. */
export const layer: Layer.Layer<RateLimiter> = Layer.effect(RateLimiter, make).pipe(Layer.provide(TimerWheel.layer))

/** Admits everything, and counts it. For tests, and for comparing with and without. */
export const layerUnlimited: Layer.Layer<RateLimiter> = Layer.sync(RateLimiter, () => {
  let admitted = 0
  const permit = (limit: Limit, key: string, cost = 1): Permit => {
    admitted++
    return { _tag: "RatePermit", limit, key, at: 0, mark: 0, cost }
  }
  return {
    run: (limit, key) => (call) =>
      Effect.suspend(() => {
        permit(limit, key)
        return call
      }),
    wait: (limit, key, cost) => Effect.sync(() => permit(limit, key, cost)),
    acquire: (limit, key, cost) => Effect.sync(() => permit(limit, key, cost)),
    acquireAll: (requests) => Effect.sync(() => requests.map(({ cost, key, limit }) => permit(limit, key, cost))),
    refund: () => Effect.void,
    settle: () => Effect.void,
    local: { tryAcquire: permit, refund: () => {}, undo: () => {}, settle: () => {} },
    metrics: () => ({ admitted, refused: 0, refunded: 0, waiting: 0, keys: 0 }),
    onChange: () => () => {}
  }
})
