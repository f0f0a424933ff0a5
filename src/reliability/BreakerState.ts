/**
 * The heart of a circuit breaker: `(rules, state, event, now) => state and transitions`, without a clock, a fiber or a listener.
 *
 * States are immutable except for the two windows, which are written in place for speed and belong to exactly one state at a time: after an
 * event only the returned state may be used. All times are monotonic milliseconds.
 */
import { CountWindow, type Tally, TimeWindow } from "./BreakerWindow.ts"

export type Phase = "closed" | "open" | "half-open" | "isolated"

/** What a finished call says about what was called; `ignored` says nothing. */
export type Outcome = "success" | "failure" | "ignored"

/** A rate that trips. */
export interface RateRule {
  /** Share of failed calls, in (0, 1]. */
  readonly failureRate: number
  /** Calls below which the rate says nothing. */
  readonly minimumCalls: number
}

/** Options, in numbers. Durations in milliseconds. */
export interface Rules {
  /** 0: no such rule. */
  readonly consecutiveFailures: number
  readonly countWindow: (RateRule & { readonly size: number }) | undefined
  readonly timeWindow: (RateRule & { readonly duration: number }) | undefined
  readonly slowCalls: { readonly duration: number; readonly rate: number } | undefined
  readonly openTime: number
  readonly openTimeFactor: number
  readonly maxOpenTime: number
  readonly probes: number
  readonly probeSuccesses: number
  readonly probeTimeLimit: number
}

/** A call that was let through a half-open circuit; told apart by identity. */
export interface Probe {
  readonly generation: number
  /** When it counts as hung. */
  readonly endsAt: number
}

export interface State {
  readonly phase: Phase
  /** Changes with every transition: a call of an older generation changes nothing any more. */
  readonly generation: number
  /** Failures in a row; a success or a close ends the row. */
  readonly failures: number
  /** Openings in a row; a close ends the row. */
  readonly openings: number
  /** When it opened last in this row, or was isolated; undefined while closed. */
  readonly openedAt: number | undefined
  /** When the open time ends; infinite outside `open`. */
  readonly until: number
  /** Successful probes of this half-open phase. */
  readonly successes: number
  /** Calls that occupy a probe's slot. Those of an older half-open phase keep theirs until they end: they are still running. */
  readonly probes: ReadonlyArray<Probe>
  /** Why the last transition happened; undefined before the first. */
  readonly cause: string | undefined
  readonly count: CountWindow | undefined
  readonly time: TimeWindow | undefined
}

export interface Transition {
  readonly from: Phase
  readonly to: Phase
  readonly at: number
  readonly cause: string
  /** How long it will be open; only of a transition to `open`. */
  readonly openMillis: number | undefined
  readonly openings: number
}

export interface Step {
  readonly state: State
  readonly transitions: ReadonlyArray<Transition>
}

/** A closed circuit that remembers nothing. */
export const initial = (rules: Rules): State => ({
  phase: "closed",
  generation: 0,
  failures: 0,
  openings: 0,
  openedAt: undefined,
  until: Number.POSITIVE_INFINITY,
  successes: 0,
  probes: [],
  cause: undefined,
  count: rules.countWindow === undefined ? undefined : new CountWindow(rules.countWindow.size),
  time: rules.timeWindow === undefined ? undefined : new TimeWindow(rules.timeWindow.duration)
})

/** How long the n-th opening in a row lasts: `openTime * openTimeFactor ^ (n - 1)`, at most `maxOpenTime`. */
export const openMillis = (rules: Rules, opening: number): number =>
  Math.min(rules.maxOpenTime, rules.openTime * rules.openTimeFactor ** (opening - 1))

/** Does what time alone has brought about up to `now`: open times that ended, probes that hung. */
export const advance = (rules: Rules, state: State, now: number): Step & { readonly hung: ReadonlyArray<Probe> } => {
  const transitions: Array<Transition> = []
  const hung: Array<Probe> = []
  let current = state
  for (;;) {
    const probe = firstProbe(current)
    const probeEnd = probe?.endsAt ?? Number.POSITIVE_INFINITY
    const openEnd = current.phase === "open" ? current.until : Number.POSITIVE_INFINITY
    if (Math.min(probeEnd, openEnd) > now) break
    if (openEnd <= probeEnd) {
      current = halfOpen(current, openEnd, "its open time ended", transitions)
      continue
    }
    hung.push(probe!)
    current = withoutProbe(current, probe!)
    if (current.phase === "half-open" && probe!.generation === current.generation) {
      const failed = { ...current, failures: current.failures + 1 }
      current = opened(rules, failed, probeEnd, "a probe did not end within its time limit", transitions)
    }
  }
  return { state: current, transitions, hung }
}

/** Closed, and nothing in it can hang: time alone changes nothing. */
export const isQuiet = (state: State): boolean => state.phase === "closed" && state.probes.length === 0

/** May a call pass? Expects a state that was advanced to now. */
export const admits = (rules: Rules, state: State): boolean =>
  state.phase === "closed" || (state.phase === "half-open" && state.probes.length < rules.probes)

/** Gives a slot to a probe; only where `admits` says yes in `half-open`. */
export const withProbe = (state: State, probe: Probe): State => ({ ...state, probes: [...state.probes, probe] })

/**
 * Counts the outcome of a call that was admitted in `generation`, as a probe or not. Expects a state that was advanced to now.
 *
 * A call of an older generation only gives back its slot.
 */
export const record = (rules: Rules, state: State, call: Probe, outcome: Outcome, slow: boolean, now: number): Step => {
  if (call.generation !== state.generation) return { state: withoutProbe(state, call), transitions: none }
  if (state.phase === "half-open") return recordProbe(rules, withoutProbe(state, call), outcome, slow, now)
  if (state.phase !== "closed" || outcome === "ignored") return { state, transitions: none }
  const failed = outcome === "failure"
  state.count?.add(failed, slow)
  state.time?.add(now, failed, slow)
  const failures = failed ? state.failures + 1 : 0
  const next = failures === state.failures ? state : { ...state, failures }
  const cause = tripped(rules, next)
  if (cause === undefined) return { state: next, transitions: none }
  const transitions: Array<Transition> = []
  return { state: opened(rules, next, now, cause, transitions), transitions }
}

/**
 * Takes the answer of a health check that began in `generation`: a good one ends the open time early, a bad one reopens a half-open circuit.
 * It never closes it: that needs real calls.
 */
export const checked = (rules: Rules, state: State, generation: number, healthy: boolean, now: number): Step => {
  const transitions: Array<Transition> = []
  if (generation !== state.generation) return { state, transitions }
  if (state.phase === "open" && healthy) return { state: halfOpen(state, now, "a health check passed", transitions), transitions }
  if (state.phase === "half-open" && !healthy)
    return { state: opened(rules, state, now, "a health check failed", transitions), transitions }
  return { state, transitions }
}

/** Opens the circuit until somebody releases it. */
export const isolate = (state: State, reason: string, now: number): Step => {
  if (state.phase === "isolated") return { state, transitions: none }
  const transitions: Array<Transition> = []
  const next = { ...state, openedAt: now, until: Number.POSITIVE_INFINITY, successes: 0 }
  return { state: moved(next, "isolated", now, reason, undefined, transitions), transitions }
}

/** Closes the circuit and forgets its failures. A closed one forgets them without a transition. */
export const close = (state: State, cause: string, now: number): Step => {
  const transitions: Array<Transition> = []
  return { state: state.phase === "closed" ? forgotten(state) : closed(state, now, cause, transitions), transitions }
}

/** When time alone changes the next answer; undefined: never. */
export const nextChangeAt = (state: State): number | undefined => {
  if (state.phase === "open") return state.until
  return state.phase === "half-open" ? firstProbe(state)?.endsAt : undefined
}

/** Closed, with no failure in memory and nothing that could still report one: indistinguishable from a circuit that was never used. */
export const isBlank = (state: State, now: number): boolean => {
  if (state.phase !== "closed" || state.failures > 0 || state.probes.length > 0) return false
  state.time?.forget(now)
  return blankTally(state.count) && blankTally(state.time)
}

const none: ReadonlyArray<Transition> = []

const blankTally = (tally: Tally | undefined): boolean => tally === undefined || (tally.failed === 0 && tally.slow === 0)

const firstProbe = (state: State): Probe | undefined => {
  let first: Probe | undefined
  for (const probe of state.probes) if (first === undefined || probe.endsAt < first.endsAt) first = probe
  return first
}

const withoutProbe = (state: State, probe: Probe): State =>
  state.probes.includes(probe) ? { ...state, probes: state.probes.filter((each) => each !== probe) } : state

const recordProbe = (rules: Rules, state: State, outcome: Outcome, slow: boolean, now: number): Step => {
  if (outcome === "ignored") return { state, transitions: none }
  const transitions: Array<Transition> = []
  if (outcome === "failure") {
    return { state: opened(rules, { ...state, failures: state.failures + 1 }, now, "a probe failed", transitions), transitions }
  }
  // Where slowness trips, a slow answer has not shown that things are well.
  if (slow) return { state: opened(rules, state, now, "a probe was slow", transitions), transitions }
  const successes = state.successes + 1
  if (successes < rules.probeSuccesses) return { state: { ...state, successes }, transitions }
  return { state: closed(state, now, successes === 1 ? "a probe succeeded" : `${successes} probes succeeded`, transitions), transitions }
}

const tripped = (rules: Rules, state: State): string | undefined => {
  if (rules.consecutiveFailures > 0 && state.failures >= rules.consecutiveFailures) return `${state.failures} failures in a row`
  return exceeded(rules, rules.countWindow, state.count) ?? exceeded(rules, rules.timeWindow, state.time)
}

const exceeded = (rules: Rules, rule: RateRule | undefined, tally: Tally | undefined): string | undefined => {
  if (rule === undefined || tally === undefined || tally.calls < rule.minimumCalls) return undefined
  if (tally.failed / tally.calls >= rule.failureRate) return `${tally.failed} of ${tally.calls} calls failed`
  if (rules.slowCalls !== undefined && tally.slow / tally.calls >= rules.slowCalls.rate)
    return `${tally.slow} of ${tally.calls} calls were slow`
  return undefined
}

const moved = (
  state: State,
  to: Phase,
  at: number,
  cause: string,
  openMillis: number | undefined,
  transitions: Array<Transition>
): State => {
  transitions.push({ from: state.phase, to, at, cause, openMillis, openings: state.openings })
  return { ...state, phase: to, generation: state.generation + 1, cause }
}

const opened = (rules: Rules, state: State, at: number, cause: string, transitions: Array<Transition>): State => {
  const openings = state.openings + 1
  const millis = openMillis(rules, openings)
  state.count?.clear()
  state.time?.clear()
  return moved({ ...state, openings, openedAt: at, until: at + millis, successes: 0 }, "open", at, cause, millis, transitions)
}

const halfOpen = (state: State, at: number, cause: string, transitions: Array<Transition>): State =>
  moved({ ...state, until: Number.POSITIVE_INFINITY, successes: 0 }, "half-open", at, cause, undefined, transitions)

const forgotten = (state: State): State => {
  state.count?.clear()
  state.time?.clear()
  return { ...state, failures: 0, openings: 0, successes: 0 }
}

const closed = (state: State, at: number, cause: string, transitions: Array<Transition>): State =>
  moved({ ...forgotten(state), openedAt: undefined, until: Number.POSITIVE_INFINITY }, "closed", at, cause, undefined, transitions)
