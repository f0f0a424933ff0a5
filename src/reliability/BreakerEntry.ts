/** What a breaker keeps of one key: its state, its counters, its permits, and their form on disk. */
import * as Schema from "effect/Schema"
import * as BreakerState from "./BreakerState.ts"

/** The right to make one call, and the duty to say what came of it with `record` or `cancel`. */
export interface Permit {
  readonly _tag: "Permit"
  readonly key: string
  /** The circuit's count of transitions at the admission. */
  readonly generation: number
  /** It decides whether a half-open circuit closes. */
  readonly probe: boolean
  /** Monotonic milliseconds. */
  readonly admittedAt: number
}

/** Calls of a key since it is known. `calls = succeeded + failed + ignored + rejected`: a call counts when it ends, or is refused. */
export interface BreakerCounts {
  readonly calls: number
  readonly succeeded: number
  /** With the probes that did not end within their time limit. */
  readonly failed: number
  readonly ignored: number
  readonly rejected: number
}

/** A circuit, as it stands at the moment. Times are Unix milliseconds. */
export interface BreakerStatus {
  readonly key: string
  readonly state: BreakerState.Phase
  /** Failures in a row. */
  readonly failures: number
  readonly counts: BreakerCounts
  /** Admitted calls that have not ended; not yet in `counts`. */
  readonly inFlight: number
  /** When it opened last or was isolated; undefined while it is closed. */
  readonly openedAt: number | undefined
  /** When an open circuit lets a probe through. */
  readonly retryAt: number | undefined
  /** Openings in a row; a close ends the row. */
  readonly openings: number
  /** Why it changed last. */
  readonly cause: string | undefined
}

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

/** A circuit on disk. Times are Unix milliseconds. */
export const Persisted = Schema.Struct({
  state: Schema.Literals(["closed", "open", "half-open", "isolated"]),
  failures: Count,
  openings: Count,
  successes: Count,
  openedAt: Schema.optionalKey(Schema.Finite),
  retryAt: Schema.optionalKey(Schema.Finite),
  cause: Schema.optionalKey(Schema.String),
  counts: Schema.Struct({ succeeded: Count, failed: Count, ignored: Count, rejected: Count }),
  /** The count window, oldest call first: 1 failed, 2 slow, 3 both. */
  countWindow: Schema.optionalKey(Schema.String.check(Schema.isPattern(/^[0-3]*$/))),
  /** The time window: when, calls, failed, slow. */
  timeWindow: Schema.optionalKey(Schema.Array(Schema.Tuple([Schema.Finite, Count, Count, Count])))
})
export type Persisted = typeof Persisted.Type

/** One key. Written in place by the service that owns it, and by nothing else. */
export class Entry {
  readonly key: string
  state: BreakerState.State
  /** Monotonic milliseconds. */
  usedAt: number
  succeeded = 0
  failed = 0
  ignored = 0
  rejected = 0
  inFlight = 0
  removed = false

  constructor(key: string, state: BreakerState.State, usedAt: number) {
    this.key = key
    this.state = state
    this.usedAt = usedAt
  }
}

/** A permit with what only the breaker may see. */
export class IssuedPermit implements Permit, BreakerState.Probe {
  readonly _tag = "Permit"
  readonly key: string
  readonly entry: Entry
  readonly generation: number
  readonly probe: boolean
  readonly admittedAt: number
  readonly endsAt: number
  settled = false

  constructor(entry: Entry, generation: number, probe: boolean, admittedAt: number, endsAt: number) {
    this.key = entry.key
    this.entry = entry
    this.generation = generation
    this.probe = probe
    this.admittedAt = admittedAt
    this.endsAt = endsAt
  }
}

/** Takes an entry out of service: nothing that still runs for it causes a transition any more. */
export const detach = (entry: Entry, rules: BreakerState.Rules): void => {
  entry.removed = true
  entry.state = BreakerState.initial(rules)
}

/** What people see of it; `toUnix` converts from monotonic time. */
export const shown = (entry: Entry, toUnix: (at: number) => number): BreakerStatus => {
  const { failed, ignored, inFlight, key, rejected, succeeded } = entry
  const { cause, failures, openedAt, openings, phase, until } = entry.state
  return {
    key,
    state: phase,
    failures,
    counts: { calls: succeeded + failed + ignored + rejected, succeeded, failed, ignored, rejected },
    inFlight,
    openedAt: openedAt === undefined ? undefined : toUnix(openedAt),
    retryAt: phase === "open" ? toUnix(until) : undefined,
    openings,
    cause
  }
}

/** The form on disk; `toUnix` converts from monotonic time. */
export const dumped = (entry: Entry, now: number, toUnix: (at: number) => number): Persisted => {
  const { cause, count, failures, openedAt, openings, phase, successes, time, until } = entry.state
  return {
    state: phase,
    failures,
    openings,
    successes,
    ...(openedAt === undefined ? {} : { openedAt: toUnix(openedAt) }),
    ...(phase === "open" ? { retryAt: toUnix(until) } : {}),
    ...(cause === undefined ? {} : { cause }),
    counts: { succeeded: entry.succeeded, failed: entry.failed, ignored: entry.ignored, rejected: entry.rejected },
    ...(count === undefined ? {} : { countWindow: count.dump() }),
    ...(time === undefined
      ? {}
      : { timeWindow: time.dump(now).map(([age, calls, failed, slow]) => [toUnix(now - age), calls, failed, slow] as const) })
  }
}

/** An entry out of its form on disk: `now` monotonic, `wall` Unix milliseconds. */
export const restored = (rules: BreakerState.Rules, key: string, persisted: Persisted, now: number, wall: number): Entry => {
  const blank = BreakerState.initial(rules)
  if (persisted.countWindow !== undefined) blank.count?.restore(persisted.countWindow)
  if (persisted.timeWindow !== undefined) {
    blank.time?.restore(
      persisted.timeWindow.map(([at, calls, failed, slow]) => [wall - at, calls, failed, slow] as const),
      now
    )
  }
  const left = Math.min(Math.max(0, (persisted.retryAt ?? wall) - wall), rules.maxOpenTime)
  const entry = new Entry(
    key,
    {
      ...blank,
      phase: persisted.state,
      generation: 1,
      failures: persisted.failures,
      openings: persisted.openings,
      openedAt: persisted.state === "closed" ? undefined : now - Math.max(0, wall - (persisted.openedAt ?? wall)),
      until: persisted.state === "open" ? now + left : Number.POSITIVE_INFINITY,
      successes: Math.min(persisted.successes, rules.probeSuccesses - 1),
      cause: persisted.cause ?? (persisted.state === "closed" ? undefined : "restored")
    },
    now
  )
  return Object.assign(entry, persisted.counts)
}
