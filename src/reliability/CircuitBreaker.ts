/**
 * Circuit breakers, one a key: stops calling what fails, and finds out with few calls when it is well again.
 *
 * It bounds the calls that are wasted on something broken, refuses while the circuit is open, and stands last of the waiting stages in the pipe: nothing but real
 * calls is counted. The state machine is `BreakerState`; here it gets keys, a clock, counters and listeners.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Monotonic from "../Monotonic.ts"
import { type BreakerStatus, detach, dumped, Entry, IssuedPermit, type Permit, type Persisted, restored, shown } from "./BreakerEntry.ts"
import { Options, rulesOf } from "./BreakerOptions.ts"
import * as BreakerState from "./BreakerState.ts"
import { complete, type Given } from "./GivenOptions.ts"
import * as Listeners from "./Listeners.ts"
import { refusals } from "./Refusal.ts"
import { isRefused } from "./Refused.ts"
import * as UnixTime from "./UnixTime.ts"

export { type BreakerCounts, type BreakerStatus, type Permit, Persisted } from "./BreakerEntry.ts"
export { defaults, Options } from "./BreakerOptions.ts"
export type { Outcome } from "./BreakerState.ts"

/** What is seen of a circuit. */
export type BreakerPhase = BreakerState.Phase

/** The call was refused before it began: the circuit is not closed, and no probe's slot is free. */
export class CircuitOpen extends Schema.TaggedError<CircuitOpen>()("CircuitOpen", {
  key: Schema.String,
  state: Schema.Literals(["open", "half-open", "isolated"]),
  /** Why it opened. */
  reason: Schema.String,
  /** When the next call may be a probe; undefined where a change must be waited for: half-open and full, or isolated. */
  retryAfter: Schema.optional(Schema.DurationFromString),
  /** The same as a point in monotonic time, in milliseconds. */
  notBefore: Schema.optional(Schema.Finite)
}) {
  override get message() {
    const until =
      this.retryAfter === undefined ? "" : `, again in ${Duration.format(Duration.millis(Math.ceil(Duration.toMillis(this.retryAfter))))}`
    return `Circuit "${this.key}" is ${this.state} (${this.reason})${until}`
  }
}

/** A transition of a circuit. */
export interface StateChange {
  readonly key: string
  readonly from: BreakerPhase
  readonly to: BreakerPhase
  /** When it happened, Unix milliseconds; an open time that ended is seen when somebody looks. */
  readonly at: number
  readonly cause: string
  /** How long it will be open; only of a change to `open`. */
  readonly openMillis: number | undefined
  readonly openings: number
}

/** What `reset` did. */
export type ResetResult =
  | { readonly _tag: "Reset"; readonly key: string; readonly from: "open" | "half-open" | "isolated" }
  /** `failures` in a row were forgotten. */
  | { readonly _tag: "AlreadyClosed"; readonly key: string; readonly failures: number }
  | { readonly _tag: "NotFound"; readonly key: string }

/** What `release` did. */
export type ReleaseResult = { readonly _tag: "Released" | "NotIsolated"; readonly key: string }

/**
 * Circuits by key. A key that was never used is a closed circuit and costs nothing.
 *
 * Only outcomes recorded as `success` or `failure` count; a call admitted before a transition changes nothing after it, except that it is counted. At most `probes` calls run while a circuit is
 * half-open. Time alone moves an open circuit to half-open; that is observed by whoever asks next, and `nextChangeAt` says when to ask.
 */
export class CircuitBreaker extends Context.Service<
  CircuitBreaker,
  {
    /**
     * Runs a call through the circuit of `key`. Fails with `CircuitOpen` before the call begins, never after.
     *
     * Without `classify` a success is a success, the refusal of a pattern (`isRefused`) is ignored, and any other failure or defect is a failure. An exit that is only
     * interruption is always ignored. A `classify` that throws is a defect of the call, which then is ignored.
     */
    readonly run: {
      (key: string): <A, E, R>(call: Effect.Effect<A, E, R>) => Effect.Effect<A, E | CircuitOpen, R>
      <A0, E0>(
        key: string,
        options: { readonly classify?: ((exit: Exit.Exit<A0, E0>) => BreakerState.Outcome) | undefined }
      ): <A extends A0, E extends E0, R>(call: Effect.Effect<A, E, R>) => Effect.Effect<A, E | CircuitOpen, R>
    }
    /** Asks for one call. `now` in monotonic milliseconds, default: reads the clock. */
    readonly tryAcquire: (key: string, now?: number) => Permit | CircuitOpen
    /** Says what came of a call; only the first answer counts. `durationMillis` for the slow-call rule, default: since the admission. */
    readonly record: (permit: Permit, outcome: BreakerState.Outcome, durationMillis?: number) => void
    /** The call says nothing: the same as recording `ignored`. */
    readonly cancel: (permit: Permit) => void
    /**
     * Runs a free health check if the circuit is open or half-open, and answers the state afterwards. A good answer makes an open circuit half-open at once, a bad one
     * reopens a half-open one; it never closes a circuit and is never counted. An answer that a transition overtook changes nothing.
     */
    readonly probe: <R>(key: string, check: Effect.Effect<boolean, never, R>) => Effect.Effect<BreakerPhase, never, R>
    readonly status: (key: string) => BreakerStatus
    /** Every key that has state, in the order of their first use. */
    readonly statuses: () => ReadonlyArray<BreakerStatus>
    /** When time alone changes the next answer for this key, in monotonic milliseconds: the end of the open time, or of the oldest probe's time limit. */
    readonly nextChangeAt: (key: string) => number | undefined
    /** Opens the circuit until `release` or `reset`. */
    readonly isolate: (key: string, reason: string) => void
    /** Closes an isolated circuit. */
    readonly release: (key: string) => ReleaseResult
    /** Closes the circuit, an isolated one too, and forgets its failures. */
    readonly reset: (key: string) => ResetResult
    /** Forgets the key. Calls that still run report into nothing. */
    readonly remove: (key: string) => void
    /**
     * Calls the listener after each transition, in their order; a transition caused from inside a listener is delivered after the present one has reached everybody. A
     * listener that throws keeps no other from its change; the error comes out of the operation that caused it. Returns what takes the listener away.
     */
    readonly onChange: (listener: (change: StateChange) => void) => () => void
    /** The transitions from the moment of subscription; none is lost for a slow reader. */
    readonly changes: Stream.Stream<StateChange>
    /** The circuit for the disk; undefined for a key without state. */
    readonly dump: (key: string) => Persisted | undefined
    /** Puts a circuit back as it was, without a transition. What is left of the open time is at most `maxOpenTime`, whatever the clock did. Probes died with their process. */
    readonly restore: (key: string, persisted: Persisted) => void
  }
>()("nofx/reliability/CircuitBreaker") {}

const completed = complete("CircuitBreaker", Options)

export const make = (given: Given<typeof Options> = {}): Effect.Effect<CircuitBreaker["Service"]> =>
  Effect.map(Clock.Clock, (clock) => {
    const options = completed(given)
    const rules = rulesOf(options)
    const idleMillis = Duration.toMillis(options.idleTime)
    // A success of a closed circuit without a failure in its row changes nothing: the common case touches only a counter.
    const remembersSuccess = rules.countWindow !== undefined || rules.timeWindow !== undefined
    const entries = new Map<string, Entry>()
    let sweptAt = Number.NEGATIVE_INFINITY
    const listeners = Listeners.make<StateChange>()

    const read = (): number => Monotonic.read(clock)
    const toUnix = UnixTime.conversion(clock)

    const apply = (entry: Entry, step: BreakerState.Step, now: number): void => {
      entry.state = step.state
      if (step.transitions.length === 0) return
      listeners.announce(step.transitions.map((transition) => ({ ...transition, key: entry.key, at: toUnix(transition.at, now) })))
    }

    /** Lets time do its work. */
    const settle = (entry: Entry, now: number): void => {
      if (BreakerState.isQuiet(entry.state)) return
      const step = BreakerState.advance(rules, entry.state, now)
      for (const probe of step.hung as ReadonlyArray<IssuedPermit>) {
        probe.settled = true
        entry.inFlight--
        entry.failed++
      }
      apply(entry, step, now)
    }

    const sweep = (now: number): void => {
      if (now - sweptAt < idleMillis) return
      sweptAt = now
      for (const [key, entry] of entries) {
        if (entry.inFlight === 0 && now - entry.usedAt >= idleMillis && BreakerState.isBlank(entry.state, now)) entries.delete(key)
      }
    }

    const entryOf = (key: string, now: number): Entry => {
      let entry = entries.get(key)
      if (entry === undefined) {
        sweep(now)
        entries.set(key, (entry = new Entry(key, BreakerState.initial(rules), now)))
      }
      return entry
    }

    const refused = (entry: Entry, now: number): CircuitOpen => {
      entry.rejected++
      const { cause, phase, until } = entry.state
      const opens = phase === "open"
      return refuse({
        key: entry.key,
        state: phase as CircuitOpen["state"],
        reason: phase === "half-open" ? "every probe is out" : cause!,
        retryAfter: opens ? Duration.millis(until - now) : undefined,
        notBefore: opens ? until : undefined
      })
    }

    const tryAcquire = (key: string, at?: number): Permit | CircuitOpen => {
      const now = at ?? read()
      const entry = entryOf(key, now)
      entry.usedAt = now
      settle(entry, now)
      const { state } = entry
      if (!BreakerState.admits(rules, state)) return refused(entry, now)
      const probe = state.phase === "half-open"
      const permit = new IssuedPermit(entry, state.generation, probe, now, probe ? now + rules.probeTimeLimit : Number.POSITIVE_INFINITY)
      entry.inFlight++
      if (probe) entry.state = BreakerState.withProbe(state, permit)
      return permit
    }

    /** The refusal of a call that would be refused; takes no permit. */
    const refusalOf = (key: string): CircuitOpen | undefined => {
      const entry = entries.get(key)
      if (entry === undefined || BreakerState.isQuiet(entry.state)) return undefined
      const now = read()
      settle(entry, now)
      entry.usedAt = now
      return BreakerState.admits(rules, entry.state) ? undefined : refused(entry, now)
    }

    const record = (given: Permit, outcome: BreakerState.Outcome, durationMillis?: number): void => {
      const permit = given as IssuedPermit
      if (permit.settled) return
      const { entry } = permit
      const quiet = BreakerState.isQuiet(entry.state) && !remembersSuccess && outcome !== "failure" && entry.state.failures === 0
      const now = quiet ? 0 : read()
      if (!quiet) {
        settle(entry, now)
        if (permit.settled) return
      }
      permit.settled = true
      entry.inFlight--
      if (outcome === "success") entry.succeeded++
      else if (outcome === "failure") entry.failed++
      else entry.ignored++
      if (quiet || entry.removed) return
      const slow = rules.slowCalls !== undefined && (durationMillis ?? now - permit.admittedAt) >= rules.slowCalls.duration
      apply(entry, BreakerState.record(rules, entry.state, permit, outcome, slow, now), now)
    }

    const statusOf = (entry: Entry, now: number): BreakerStatus => {
      settle(entry, now)
      return shown(entry, (at) => toUnix(at, now))
    }

    const forced = (entry: Entry, now: number, step: (state: BreakerState.State) => BreakerState.Step): void => {
      entry.usedAt = now
      apply(entry, step(entry.state), now)
    }

    return {
      run:
        <A0, E0>(key: string, options?: { readonly classify?: ((exit: Exit.Exit<A0, E0>) => BreakerState.Outcome) | undefined }) =>
        <A extends A0, E extends E0, R>(call: Effect.Effect<A, E, R>): Effect.Effect<A, E | CircuitOpen, R> => {
          const classify = options?.classify ?? outcomeOf
          return Effect.suspend(() => {
            const refusal = refusalOf(key)
            if (refusal !== undefined) return Effect.fail(refusal)
            let permit: Permit | undefined
            // The finalizer stands before the permit is taken: no interruption can come between them. One that answers nothing costs nothing (150 ns less than `onExit`).
            return Effect.onExitPrimitive(
              Effect.suspend((): Effect.Effect<A, E | CircuitOpen, R> => {
                const answer = tryAcquire(key)
                if (answer._tag === "CircuitOpen") return Effect.fail(answer)
                permit = answer
                return call
              }),
              (exit) => {
                if (permit === undefined) return undefined
                let outcome: BreakerState.Outcome = "ignored"
                try {
                  if (exit._tag === "Success" || !Cause.hasInterruptsOnly(exit.cause)) outcome = classify(exit as Exit.Exit<A, E>)
                } finally {
                  record(permit, outcome)
                }
                return undefined
              }
            )
          })
        },
      tryAcquire,
      record,
      cancel: (permit) => record(permit, "ignored"),
      probe: (key, check) =>
        Effect.suspend(() => {
          const entry = entries.get(key)
          if (entry === undefined) return Effect.succeed("closed")
          settle(entry, read())
          const { generation, phase } = entry.state
          if (phase === "closed" || phase === "isolated") return Effect.succeed(phase)
          return Effect.map(check, (healthy) => {
            const now = read()
            settle(entry, now)
            if (!entry.removed) apply(entry, BreakerState.checked(rules, entry.state, generation, healthy, now), now)
            return entry.state.phase
          })
        }),
      status: (key) => {
        const now = read()
        return statusOf(entries.get(key) ?? new Entry(key, BreakerState.initial(rules), now), now)
      },
      statuses: () => {
        const now = read()
        sweep(now)
        return Array.from(entries.values(), (entry) => statusOf(entry, now))
      },
      nextChangeAt: (key) => {
        const entry = entries.get(key)
        if (entry === undefined) return undefined
        settle(entry, read())
        return BreakerState.nextChangeAt(entry.state)
      },
      isolate: (key, reason) => {
        const now = read()
        const entry = entryOf(key, now)
        settle(entry, now)
        forced(entry, now, (state) => BreakerState.isolate(state, reason, now))
      },
      release: (key) => {
        const now = read()
        const entry = entries.get(key)
        if (entry?.state.phase !== "isolated") return { _tag: "NotIsolated", key }
        forced(entry, now, (state) => BreakerState.close(state, "released", now))
        return { _tag: "Released", key }
      },
      reset: (key) => {
        const now = read()
        const entry = entries.get(key)
        if (entry === undefined) return { _tag: "NotFound", key }
        settle(entry, now)
        const { failures, phase } = entry.state
        forced(entry, now, (state) => BreakerState.close(state, "reset", now))
        return phase === "closed" ? { _tag: "AlreadyClosed", key, failures } : { _tag: "Reset", key, from: phase }
      },
      remove: (key) => {
        const entry = entries.get(key)
        if (entry === undefined) return
        detach(entry, rules)
        entries.delete(key)
      },
      onChange: listeners.add,
      changes: Stream.callback<StateChange>(
        (queue) =>
          Effect.acquireRelease(
            Effect.sync(() => listeners.add((change) => void Queue.offerUnsafe(queue, change))),
            (off) => Effect.sync(off)
          ),
        { bufferSize: Number.POSITIVE_INFINITY }
      ),
      dump: (key) => {
        const entry = entries.get(key)
        if (entry === undefined) return undefined
        const now = read()
        settle(entry, now)
        return dumped(entry, now, (at) => toUnix(at, now))
      },
      restore: (key, persisted) => {
        const now = read()
        const old = entries.get(key)
        if (old !== undefined) detach(old, rules)
        entries.set(key, restored(rules, key, persisted, now, clock.currentTimeMillisUnsafe()))
      }
    }
  })

export const layer = (options?: Given<typeof Options>): Layer.Layer<CircuitBreaker> => Layer.effect(CircuitBreaker, make(options))

const refuse = refusals(CircuitOpen)

const outcomeOf = (exit: Exit.Exit<unknown, unknown>): BreakerState.Outcome => {
  if (exit._tag === "Success") return "success"
  return exit.cause.reasons.every((reason) => reason._tag === "Interrupt" || (reason._tag === "Fail" && isRefused(reason.error)))
    ? "ignored"
    : "failure"
}
