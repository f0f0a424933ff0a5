/**
 * Retry budgets, one an account: bounds retries to a share of the calls, so that a total outage causes no storm of retries.
 *
 * Each call deposits a part of a token, each retry costs one (the scheme of Finagle's RetryBudget). A small allowance a window lets rare
 * callers retry at all. All who use a key share its budget.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Monotonic from "../Monotonic.ts"
import { PositiveDuration } from "./PositiveDuration.ts"

const Tokens = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1_000_000 }))

/** How many retries an account may spend. In `W` windows with `N` calls: at most `ratio * N + minimum * (W + 1)`. */
export const Options = Schema.Struct({
  /** What a call deposits: retries per call in the long run. Tokens, 0 to 1, default 0.2. */
  ratio: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 })).pipe(Schema.withDecodingDefault(Effect.succeed(0.2))),
  /** Retries that are allowed in every window, however few calls there are. Tokens, 0 to 1,000,000, default 10. */
  minimum: Tokens.pipe(Schema.withDecodingDefault(Effect.succeed(10))),
  /** In which an empty budget fills to `minimum`, and after which an unused one is as new. Default 1 minute. */
  window: PositiveDuration.pipe(Schema.withDecodingDefault(Effect.succeed("1 minute"))),
  /** The most that is saved up. Tokens, at least 1 and at least `minimum`, default 100. */
  cap: Tokens.pipe(Schema.withDecodingDefault(Effect.succeed(100)))
}).check(
  Schema.makeFilter((options) => {
    if (options.cap < Math.max(1, options.minimum)) {
      return { path: ["cap"], issue: `must be at least 1 and at least minimum (${options.minimum})` }
    }
    if (options.minimum === 0 && options.ratio === 0) {
      return { path: ["minimum"], issue: "must be more than 0 where ratio is 0: no retry would ever be allowed" }
    }
    return undefined
  })
)
export type Options = typeof Options.Type

export const defaults: Options = Schema.decodeSync(Options)({})

/** A budget as it was at a time, in the milliseconds of whoever keeps it. */
export interface State {
  readonly tokens: number
  readonly at: number
}

/** A budget that was never used. */
export const initial = (options: Options, now: number): State => ({ tokens: options.minimum, at: now })

/** What is there at `now`: the allowance trickles in up to `minimum`, savings above it end after a window without use. */
export const tokensAt = (options: Options, state: State, now: number): number => {
  const windows = Math.max(0, now - state.at) / Duration.toMillis(options.window)
  if (state.tokens > options.minimum) return windows >= 1 ? options.minimum : state.tokens
  return Math.min(options.minimum, state.tokens + windows * options.minimum)
}

/** A call was made. */
export const deposited = (options: Options, state: State, now: number): State => ({
  tokens: Math.min(options.cap, tokensAt(options, state, now) + options.ratio),
  at: now
})

/** Takes a token for one retry; undefined: the budget is spent. */
export const withdrawn = (options: Options, state: State, now: number): State | undefined => {
  const tokens = tokensAt(options, state, now)
  return tokens >= enough ? { tokens: Math.max(0, tokens - 1), at: now } : undefined
}

/** Milliseconds until there is a token if nobody deposits: 0 when there is one, undefined when only deposits can help. */
export const waitMillis = (options: Options, state: State, now: number): number | undefined => {
  const missing = 1 - tokensAt(options, state, now)
  if (missing <= roundingError) return 0
  if (options.minimum < 1) return undefined
  return (missing / options.minimum) * Duration.toMillis(options.window)
}

/** A budget on disk. */
export const Persisted = Schema.Struct({
  tokens: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0)),
  /** Unix milliseconds. */
  at: Schema.Finite
})
export type Persisted = typeof Persisted.Type

/** Budgets by key. One that was not used for a window is as new and costs nothing. */
export interface RetryBudget {
  /** Counts a call. */
  readonly deposit: (key: string) => void
  /** Takes a token for one retry; false: the budget is spent, and the refusal is counted. */
  readonly tryWithdraw: (key: string) => boolean
  /** Milliseconds until a token is there without further calls; 0 now, undefined when only calls can bring one. */
  readonly waitMillis: (key: string) => number | undefined
  /** Tokens at the moment. */
  readonly tokens: (key: string) => number
  /** Withdrawals that were refused, of all keys. */
  readonly refusals: () => number
  /** Keys that have state. */
  readonly keys: () => ReadonlyArray<string>
  readonly remove: (key: string) => void
  /** For the disk; undefined for a key without state. */
  readonly dump: (key: string) => Persisted | undefined
  /** Puts a budget back. What trickled in meanwhile counts; never more than `cap`. */
  readonly restore: (key: string, persisted: Persisted) => void
}

/** Budgets on the clock of the context. */
export const make = (options: Options = defaults): Effect.Effect<RetryBudget> =>
  Effect.map(Clock.Clock, (clock) => {
    const windowMillis = Duration.toMillis(options.window)
    const states = new Map<string, State>()
    let sweptAt = Number.NEGATIVE_INFINITY
    let refusals = 0

    const read = (): number => Monotonic.read(clock)

    const sweep = (now: number): void => {
      if (now - sweptAt < windowMillis) return
      sweptAt = now
      for (const [key, state] of states) if (now - state.at >= windowMillis) states.delete(key)
    }

    const stateOf = (key: string, now: number): State => {
      sweep(now)
      return states.get(key) ?? initial(options, now)
    }

    return {
      deposit: (key) => {
        const now = read()
        states.set(key, deposited(options, stateOf(key, now), now))
      },
      tryWithdraw: (key) => {
        const now = read()
        const next = withdrawn(options, stateOf(key, now), now)
        if (next === undefined) refusals++
        else states.set(key, next)
        return next !== undefined
      },
      waitMillis: (key) => {
        const now = read()
        return waitMillis(options, stateOf(key, now), now)
      },
      tokens: (key) => {
        const now = read()
        return tokensAt(options, stateOf(key, now), now)
      },
      refusals: () => refusals,
      keys: () => {
        sweep(read())
        return [...states.keys()]
      },
      remove: (key) => void states.delete(key),
      dump: (key) => {
        const state = states.get(key)
        return state === undefined
          ? undefined
          : { tokens: state.tokens, at: Math.round(clock.currentTimeMillisUnsafe() - (read() - state.at)) }
      },
      restore: (key, persisted) => {
        const age = Math.max(0, clock.currentTimeMillisUnsafe() - persisted.at)
        states.set(key, { tokens: Math.min(options.cap, persisted.tokens), at: read() - age })
      }
    }
  })

/** Sums of fractions such as 5 times 0.2 may miss a whole token by this much. */
const roundingError = 1e-9
const enough = 1 - roundingError
