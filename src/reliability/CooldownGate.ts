/**
 * Cooldown gates: after an account has hit its provider's rate limit, bounds what is sent on it: nothing until the reset time, then little by little.
 *
 * It refuses with the time of reopening. In the pipe it is the third stage, before the rate limiter. It is no breaker: a rate limit is not a failure, one is enough, and the
 * provider says when it is over.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Cause from "effect/Cause"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Monotonic from "../Monotonic.ts"
import * as Gate from "./GateState.ts"
import * as Listeners from "./Listeners.ts"
import { complete, type Given } from "./GivenOptions.ts"
import { PositiveDuration } from "./PositiveDuration.ts"
import { refusals } from "./Refusal.ts"
import * as TimerWheel from "./TimerWheel.ts"

const duration = (byDefault: string) => PositiveDuration.pipe(Schema.withDecodingDefault(Effect.succeed(byDefault)))
const count = (byDefault: number) =>
  Schema.Int.check(Schema.isGreaterThanOrEqualTo(1)).pipe(Schema.withDecodingDefault(Effect.succeed(byDefault)))

export const Options = Schema.Struct({
  /** Added to the time that the provider names: its clock is not ours. Default 1 second. */
  slack: Schema.DurationFromString.pipe(Schema.withDecodingDefault(Effect.succeed("1 second"))),
  /** How long it closes the first time when the provider names no time; each time in a row without a success twice as long. Default 30 seconds. */
  baseClosed: duration("30 seconds"),
  /** The longest of those. At least `baseClosed`, default 30 minutes. */
  maxEscalation: duration("30 minutes"),
  /** The longest it closes, whatever the provider says. At least `maxEscalation`, default 24 hours: a misread time costs a day at most. */
  maxClosed: duration("24 hours"),
  /** Attempts in flight at once right after reopening. Count, at least 1, default 1. */
  rampStart: count(1),
  /** Each of these, and each success, doubles them. Default 5 seconds. */
  rampStep: duration("5 seconds"),
  /** From here on it is open. Count, at least `rampStart`, default 16. */
  rampFull: count(16)
}).check(
  Schema.makeFilter((options) => {
    if (Duration.isLessThan(options.maxEscalation, options.baseClosed))
      return { path: ["maxEscalation"], issue: "must be at least baseClosed" }
    if (Duration.isLessThan(options.maxClosed, options.maxEscalation))
      return { path: ["maxClosed"], issue: "must be at least maxEscalation" }
    return options.rampFull < options.rampStart ? { path: ["rampFull"], issue: "must be at least rampStart" } : undefined
  })
)
export type Options = typeof Options.Type

export const defaults: Options = Schema.decodeSync(Options)({})

/** The account is cooling down; nothing was sent. */
export class GateClosed extends Schema.TaggedError<GateClosed>()("GateClosed", {
  account: Schema.String,
  /** What closed it. */
  cause: Schema.String,
  /** `ramp`: it is open again, but as many as may be are in flight. */
  state: Schema.Literals(["closed", "ramp"]),
  /** It may be asked again then; in the ramp also as soon as one in flight has ended. */
  retryAfter: Schema.DurationFromString,
  /** The same in monotonic time, milliseconds. */
  notBefore: Schema.Finite
}) {
  override get message() {
    const what = this.state === "ramp" ? "is being let in slowly" : "is cooling down"
    return `Account "${this.account}" ${what} after ${this.cause}; next try in ${Duration.format(this.retryAfter)}`
  }
}

/** Belongs to one attempt; ends with the first of `report`, `release` and `close`. */
export interface Permit {
  readonly _tag: "GatePermit"
  readonly account: string
  /** Closings there had been when it was given. */
  readonly generation: number
  ended: boolean
}

/** A rate limit, as an attempt met it. At most one of the two times. */
export interface Limited {
  readonly cause: string
  /** Until when, as the provider says, Unix milliseconds. A time that has passed is no hint. */
  readonly untilUnix?: number | undefined
  /** For how long, as the provider says, milliseconds. */
  readonly retryAfterMillis?: number | undefined
  /** Of the attempt that met it. Without it the attempt counts as one that knew the gate open. */
  readonly permit?: Permit | undefined
}

/** What a user should be told: one of each per closing. `until` is Unix milliseconds; it may move later, without another notice. */
export type Change =
  | { readonly _tag: "Closed"; readonly account: string; readonly until: number; readonly cause: string }
  /** The first are let in again. */
  | { readonly _tag: "Reopened"; readonly account: string }

export interface Status {
  readonly account: string
  readonly state: "open" | "closed" | "ramp"
  /** When it reopens, Unix milliseconds. Only when closed. */
  readonly until: number | undefined
  readonly cause: string | undefined
  /** Attempts admitted since it reopened, and how many there may be. Only in the ramp. */
  readonly inFlight: number | undefined
  readonly width: number | undefined
  /** Closings without a hint since the last success. */
  readonly level: number
}

/** A gate on disk. */
export const Persisted = Schema.Struct({
  /** Unix milliseconds; in the past when it had reopened. */
  until: Schema.Finite,
  cause: Schema.String,
  level: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
})
export type Persisted = typeof Persisted.Type

/**
 * Keeps accounts that hit their limit from being used until they may be again.
 *
 * Once closed it lets nobody through before its time. Outcomes of attempts that were admitted before it closed neither escalate nor reopen it, whenever they come. Time in it is
 * monotonic: a step of the clock neither opens nor closes a gate. Accounts that never hit a limit, or have recovered from it, leave no state.
 */
export class CooldownGate extends Context.Service<
  CooldownGate,
  {
    /**
     * Runs the call if the account's gate lets it through; else fails with `GateClosed` before the call starts. A success is reported; `limited` tells whether an error was a rate limit.
     */
    readonly run: <E = never>(
      account: string,
      limited?: (error: E) => Omit<Limited, "permit"> | undefined
    ) => <A, E2 extends E, R>(call: Effect.Effect<A, E2, R>) => Effect.Effect<A, E2 | GateClosed, R>
    /** `now`: monotonic milliseconds, read from the clock if not given. */
    readonly tryAcquire: (account: string, now?: number) => Permit | GateClosed
    /** The attempt ended; only a success says something about the limit. Rate limits go to `close`. */
    readonly report: (permit: Permit, outcome: "success" | "other", now?: number) => void
    /** The attempt was not begun, or says nothing. */
    readonly release: (permit: Permit, now?: number) => void
    /** The same for a permit of the same synchronous step, before anybody could have seen it taken: nobody is told. */
    readonly undo: (permit: Permit) => void
    /** The account hit its limit. */
    readonly close: (account: string, limited: Limited, now?: number) => void
    /** Opens it by hand, wide, and forgets its history. */
    readonly open: (account: string) => void
    readonly status: (account: string) => Status
    /** Of the accounts that are not plainly open. */
    readonly statuses: () => ReadonlyArray<Status>
    /** When time alone will change what the gate says, monotonic milliseconds. */
    readonly nextChangeAt: (account: string) => number | undefined
    /** Calls the listener, synchronously, once when an account's gate closes and once when it reopens. Returns what takes it out again. */
    readonly onChange: (listener: (change: Change) => void) => () => void
    /** The same for everything that changes what a gate says, or what there is to save of it: also an extension, room in the ramp, the end of the ramp. */
    readonly onUpdate: (listener: (account: string) => void) => () => void
    /** What there is to save; nothing of an account that is plainly open. */
    readonly dump: (account: string) => Persisted | undefined
    /**
     * Takes over what was saved, if it closes longer than what is known. It stays closed no longer than `maxClosed` from now; one whose time has passed reopens with the ramp,
     * and one that passed long ago (`maxEscalation`) is forgotten.
     */
    readonly restore: (account: string, persisted: Persisted) => void
    /** To be called after the machine slept, when monotonic time stood still: gates reopen by the wall clock, if that is earlier. */
    readonly resync: () => void
  }
>()("nofx/CooldownGate") {}

const completed = complete("CooldownGate", Options)

export const make = Effect.fnUntraced(function* (options: Given<typeof Options> = {}) {
  const clock = yield* Clock.Clock
  const wheel = yield* TimerWheel.TimerWheel
  const rule = ruleOf(completed(options))
  const entries = new Map<string, Entry>()
  const changes = Listeners.make<Change>()
  const updates = Listeners.make<string>()
  let generation = 0

  const monotonic = () => Monotonic.read(clock)
  const unix = (time: number, now: number) => clock.currentTimeMillisUnsafe() + (time - now)

  /** Stores what became of a gate, arms its next change, and tells. */
  const put = (account: string, gate: Gate.Gate | undefined, now: number, until: number | undefined, change: Change | undefined) => {
    const old = entries.get(account)
    old?.timer.cancel()
    if (gate === undefined) entries.delete(account)
    else
      entries.set(account, {
        gate,
        until: until ?? old?.until ?? 0,
        timer: wheel.add(Gate.nextChange(rule, gate, now) - now, () => look(account, monotonic()))
      })
    if (change !== undefined) changes.announce([change])
    updates.announce([account])
  }

  /** The gate as it is now; what time has changed is stored and told. */
  const look = (account: string, now: number): Gate.Gate | undefined => {
    const entry = entries.get(account)
    if (entry === undefined) return undefined
    const gate = Gate.advance(rule, entry.gate, now)
    if (gate === entry.gate && Gate.nextChange(rule, gate, now) <= entry.timer.at) return gate
    const reopened = entry.gate._tag === "Closed" && gate?._tag !== "Closed"
    put(account, gate, now, undefined, reopened ? { _tag: "Reopened", account } : undefined)
    return entries.get(account)?.gate
  }

  const end = (permit: Permit, success: boolean, now: number) => {
    if (permit.ended) return
    permit.ended = true
    const gate = look(permit.account, now)
    if (gate === undefined || gate._tag === "Closed" || permit.generation < gate.generation) return
    const after = Gate.ended(gate, success)
    put(permit.account, after && Gate.advance(rule, after, now), now, undefined, undefined)
  }

  const tryAcquire = (account: string, now = monotonic()): Permit | GateClosed => {
    const gate = look(account, now)
    const width = gate === undefined ? 1 : Gate.width(rule, gate, now)
    if (gate !== undefined && (gate._tag === "Ramp" ? gate.inFlight : 0) >= width) {
      const notBefore = Gate.nextChange(rule, gate, now)
      const retryAfter = Duration.millis(Math.ceil(notBefore - now - 1e-6))
      return makeRefusal({ account, cause: gate.cause, state: gate._tag === "Ramp" ? "ramp" : "closed", retryAfter, notBefore })
    }
    const entry = entries.get(account)
    if (entry !== undefined) entry.gate = Gate.admitted(entry.gate)
    return { _tag: "GatePermit", account, generation, ended: false }
  }

  const close = (account: string, limited: Limited, now = monotonic()) => {
    const { cause, permit } = limited
    const before = look(account, now)
    if (permit !== undefined) permit.ended = true
    const stale = permit !== undefined && before !== undefined && permit.generation < before.generation
    const hint = limited.untilUnix === undefined ? limited.retryAfterMillis : limited.untilUnix - clock.currentTimeMillisUnsafe()
    const after = Gate.close(rule, before, { hint, cause, stale }, now, generation + 1)
    if (after === before || after?._tag !== "Closed") return
    const until = unix(after.until, now)
    if (before?._tag !== "Closed") generation++
    put(account, after, now, until, before?._tag === "Closed" ? undefined : { _tag: "Closed", account, until, cause })
  }

  const statusOf = (account: string, now: number): Status => {
    const gate = look(account, now)
    const ramp = gate?._tag === "Ramp"
    return {
      account,
      state: gate?._tag === "Closed" ? "closed" : ramp ? "ramp" : "open",
      until: gate?._tag === "Closed" ? unix(gate.until, now) : undefined,
      cause: gate?._tag === "Open" ? undefined : gate?.cause,
      inFlight: ramp ? gate.inFlight : undefined,
      width: ramp ? Gate.width(rule, gate, now) : undefined,
      level: gate?.level ?? 0
    }
  }

  const gate: CooldownGate["Service"] = {
    run:
      <E>(account: string, limited?: (error: E) => Omit<Limited, "permit"> | undefined) =>
      <A, E2 extends E, R>(call: Effect.Effect<A, E2, R>) =>
        Effect.uninterruptibleMask((restore): Effect.Effect<A, E2 | GateClosed, R> => {
          const permit = tryAcquire(account)
          if (permit._tag === "GateClosed") return Effect.fail(permit)
          return Effect.onExit(restore(call), (exit) => {
            const error = Exit.isFailure(exit) ? Cause.findErrorOption(exit.cause) : Option.none()
            const found = Option.isSome(error) ? limited?.(error.value) : undefined
            if (found !== undefined) close(account, { ...found, permit })
            else end(permit, Exit.isSuccess(exit), monotonic())
            return Effect.void
          })
        }),
    tryAcquire,
    report: (permit, outcome, now = monotonic()) => end(permit, outcome === "success", now),
    release: (permit, now = monotonic()) => end(permit, false, now),
    undo: (permit) => {
      if (permit.ended) return
      permit.ended = true
      const entry = entries.get(permit.account)
      if (entry?.gate._tag === "Ramp" && permit.generation >= entry.gate.generation)
        entry.gate = Gate.ended(entry.gate, false) ?? entry.gate
    },
    close,
    open: (account) => {
      const before = look(account, monotonic())
      if (before === undefined) return
      put(account, undefined, monotonic(), undefined, before._tag === "Closed" ? { _tag: "Reopened", account } : undefined)
    },
    status: (account) => statusOf(account, monotonic()),
    statuses: () => [...entries.keys()].map((account) => statusOf(account, monotonic())).filter((status) => status.state !== "open"),
    nextChangeAt: (account) => {
      const now = monotonic()
      const found = look(account, now)
      return found === undefined ? undefined : Gate.nextChange(rule, found, now)
    },
    onChange: changes.add,
    onUpdate: updates.add,
    dump: (account) => {
      const entry = entries.get(account)
      return entry === undefined ? undefined : { until: entry.until, cause: entry.gate.cause, level: entry.gate.level }
    },
    restore: (account, { until, cause, level }) => {
      const now = monotonic()
      const left = Math.min(until - clock.currentTimeMillisUnsafe(), rule.maxClosed)
      const known = look(account, now)
      if (known?._tag === "Closed" ? known.until >= now + left : left <= (known === undefined ? -rule.maxEscalation : 0)) return
      const closed: Gate.Gate = {
        _tag: "Closed",
        generation: ++generation,
        level: Math.max(level, known?.level ?? 0),
        cause,
        until: now + Math.max(0, left)
      }
      const at = unix(closed.until, now)
      put(account, closed, now, at, left > 0 && known?._tag !== "Closed" ? { _tag: "Closed", account, until: at, cause } : undefined)
      look(account, now)
    },
    resync: () => {
      const now = monotonic()
      for (const [account, entry] of entries) {
        const left = entry.until - clock.currentTimeMillisUnsafe()
        if (entry.gate._tag !== "Closed" || now + left >= entry.gate.until) continue
        put(account, { ...entry.gate, until: now + Math.max(0, left) }, now, undefined, undefined)
        look(account, now)
      }
    }
  }
  return gate
})

export const layer = (options?: Given<typeof Options>): Layer.Layer<CooldownGate> =>
  Layer.effect(CooldownGate, make(options)).pipe(Layer.provide(TimerWheel.layer))

interface Entry {
  gate: Gate.Gate
  /** Of its last closing, Unix milliseconds. */
  readonly until: number
  readonly timer: TimerWheel.Timer
}

const makeRefusal = refusals(GateClosed)

const ruleOf = (options: Options): Gate.Rule => ({
  slack: Duration.toMillis(options.slack),
  baseClosed: Duration.toMillis(options.baseClosed),
  maxEscalation: Duration.toMillis(options.maxEscalation),
  maxClosed: Duration.toMillis(options.maxClosed),
  rampStart: options.rampStart,
  rampStep: Duration.toMillis(options.rampStep),
  rampFull: options.rampFull
})
