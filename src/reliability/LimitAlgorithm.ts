/**
 * The four ways to limit a rate, as pure functions over JSON-friendly state. Time is passed in, milliseconds on any clock that never steps back; one state holds one key.
 *
 * All of them count costs exactly: fractions are kept, nothing is rounded to whole calls or whole windows.
 *
 * | algorithm | a fresh one admits at once | in any one window at most | state |
 * | --- | --- | --- | --- |
 * | token bucket | `limit` | 2 × `limit` (a full bucket, and what refills) | one number |
 * | sliding window | `limit` | `limit`, exactly | one entry a call of the last window |
 * | fixed window | `limit` | 2 × `limit` (the end of one window, the start of the next) | two numbers |
 * | leaky bucket | 1, the rest of `limit` evenly spaced | `limit` (for costs of 1) | one number |
 *
 * Token bucket and leaky bucket are kept as a point in time instead of a level (the "virtual scheduling" form of the generic cell rate algorithm, ITU-T I.371), so that
 * refilling needs no clock tick and loses no fractions. The leaky bucket is the one that queues, not the one that meters, which would be a token bucket by another name:
 * it accepts `limit` calls and lets them go one at a time, `window / limit` apart.
 */

/** What is allowed: calls (or costs) in a window. */
export interface Rule {
  /** Costs per window. At least 1. */
  readonly limit: number
  /** Milliseconds, more than zero. */
  readonly window: number
}

/** What one admission spent: what it takes to give it back. */
export interface Spent {
  readonly cost: number
  /** When it was admitted. */
  readonly at: number
  /** Where the algorithm finds it again. */
  readonly mark: number
}

export interface Algorithm<State> {
  /** Nothing was spent. Any state whose `freshAt` has passed behaves like this one. */
  readonly fresh: State
  /** Forgets what no longer counts. Changes no answer. */
  readonly trim: (rule: Rule, state: State, now: number) => State
  /** The earliest time, at least `now`, at which this cost may start behind all that was taken before; `now` means admitted. The cost is at most the limit. */
  readonly startAt: (rule: Rule, state: State, cost: number, now: number) => number
  /** The earliest time, at least `now`, at which a caller that is willing to wait may be accepted. */
  readonly acceptAt: (rule: Rule, state: State, cost: number, now: number) => number
  /** Spends the cost at that time, also beyond the limit. Times never go back. */
  readonly take: (rule: Rule, state: State, cost: number, at: number) => State
  /** Where what was just taken is found again. */
  readonly mark: (state: State, at: number) => number
  /** Gives back a part of what was spent, as far as time has not done so already. */
  readonly giveBack: (rule: Rule, state: State, spent: Spent, part: number, now: number) => State
  /** From when on the state behaves like a fresh one. */
  readonly freshAt: (rule: Rule, state: State) => number
}

/** Sums of fractions differ in their last digits: a microsecond of time, a billionth of the limit. */
const instant = 0.001
const fits = (rule: Rule, sum: number): boolean => sum <= rule.limit * (1 + 1e-9)
const notBefore = (now: number, at: number): number => (at <= now + instant ? now : at)
const interval = (rule: Rule): number => rule.window / rule.limit
const accepted = (_rule: Rule, _state: unknown, _cost: number, now: number): number => now
const same = <State>(_rule: Rule, state: State): State => state

/** The time that a part of a slot, which ends at its mark, still saves. */
const saved = (rule: Rule, mark: number, part: number, now: number): number => Math.max(0, Math.min(part * interval(rule), mark - now))

/** When the bucket is full again. */
export const tokenBucket: Algorithm<number> = {
  fresh: 0,
  trim: same,
  startAt: (rule, fullAt, cost, now) => notBefore(now, fullAt + cost * interval(rule) - rule.window),
  acceptAt: accepted,
  take: (rule, fullAt, cost, at) => Math.max(fullAt, at) + cost * interval(rule),
  mark: (fullAt) => fullAt,
  giveBack: (rule, fullAt, spent, part, now) => fullAt - saved(rule, spent.mark, part, now),
  freshAt: (_rule, fullAt) => fullAt
}

/** When the next call may leave the bucket. */
export const leakyBucket: Algorithm<number> = {
  fresh: 0,
  trim: same,
  startAt: (_rule, freeAt, _cost, now) => notBefore(now, freeAt),
  acceptAt: (rule, freeAt, cost, now) => notBefore(now, freeAt - (rule.limit - cost) * interval(rule)),
  take: (rule, freeAt, cost, at) => Math.max(freeAt, at) + cost * interval(rule),
  mark: (freeAt) => freeAt,
  giveBack: (rule, freeAt, spent, part, now) => freeAt - saved(rule, spent.mark, part, now),
  freshAt: (_rule, freeAt) => freeAt
}

/** A window that begins with the first call in it, and what was spent in it. */
export interface Window {
  readonly start: number
  readonly used: number
}

export const fixedWindow: Algorithm<Window> = {
  fresh: { start: 0, used: 0 },
  trim: same,
  startAt: (rule, { start, used }, cost, now) => {
    const end = start + rule.window
    if (used === 0 || now >= end) return now
    return fits(rule, used + cost) ? Math.max(now, start) : end
  },
  acceptAt: accepted,
  take: (rule, { start, used }, cost, at) =>
    used === 0 || at >= start + rule.window ? { start: at, used: cost } : { start, used: used + cost },
  mark: (window) => window.start,
  giveBack: (_rule, window, spent, part) =>
    window.start === spent.mark ? { start: window.start, used: Math.max(0, window.used - part) } : window,
  freshAt: (rule, { start, used }) => (used === 0 ? 0 : start + rule.window)
}

/**
 * What was spent in the last window, oldest first: `entries` holds a time and a cost in turn, of which [head, tail) is this state's. States share the array: one that goes on
 * from the newest appends to it, one that goes on from an older state copies; no state ever sees another's entries.
 */
export interface Log {
  readonly entries: ReadonlyArray<number>
  readonly head: number
  readonly tail: number
  /** Sum of the costs in [head, tail). */
  readonly used: number
}

export const slidingWindow: Algorithm<Log> = {
  fresh: { entries: [], head: 0, tail: 0, used: 0 },
  trim: (rule, log, now) => {
    let { head, used } = log
    while (head < log.tail && at(log, head) + rule.window <= now) {
      used -= at(log, head + 1)
      head += 2
    }
    if (head === log.head) return log
    if (head === log.tail) return slidingWindow.fresh
    return head > 64 && head * 2 > log.tail
      ? { entries: log.entries.slice(head, log.tail), head: 0, tail: log.tail - head, used }
      : { entries: log.entries, head, tail: log.tail, used }
  },
  startAt: (rule, log, cost, now) => {
    let start = log.tail > log.head ? Math.max(now, at(log, log.tail - 2)) : now
    let { used } = log
    // Before the oldest entry is looked at, which lies far from the newest.
    if (fits(rule, used + cost)) return start
    for (let index = log.head; index < log.tail; index += 2) {
      const leaves = at(log, index) + rule.window
      if (leaves > start) {
        if (fits(rule, used + cost)) break
        start = leaves
      }
      used -= at(log, index + 1)
    }
    return start
  },
  acceptAt: accepted,
  take: (rule, log, cost, time) => {
    if (cost === 0) return log
    // Not each time: what has left makes `used` too much, which `startAt` finds out where it matters.
    const { entries, head, tail, used } = (log.tail & 15) === 0 ? slidingWindow.trim(rule, log, time) : log
    // The empty state belongs to everybody, and an array that goes on behind our tail belongs to a newer state.
    const own = tail > 0 && entries.length === tail ? (entries as Array<number>) : entries.slice(0, tail)
    own.push(time, cost)
    return { entries: own, head, tail: tail + 2, used: used + cost }
  },
  mark: (_log, time) => time,
  giveBack: (_rule, log, spent, part) => {
    for (let index = log.tail - 2; index >= log.head && at(log, index) >= spent.mark; index -= 2) {
      if (at(log, index) !== spent.mark || at(log, index + 1) < part) continue
      const left = at(log, index + 1) - part
      const entries = [
        ...log.entries.slice(log.head, index),
        ...(left > 0 ? [spent.mark, left] : []),
        ...log.entries.slice(index + 2, log.tail)
      ]
      return { entries, head: 0, tail: entries.length, used: log.used - part }
    }
    return log
  },
  freshAt: (rule, log) => (log.tail > log.head ? at(log, log.tail - 2) + rule.window : 0)
}

const at = (log: Log, index: number): number => log.entries[index] as number

/** By name, as limits are configured. */
export const algorithms = {
  "token-bucket": tokenBucket,
  "sliding-window": slidingWindow,
  "fixed-window": fixedWindow,
  "leaky-bucket": leakyBucket
} as const
export type AlgorithmName = keyof typeof algorithms

/** Of an algorithm whose state nobody looks into. */
export type State = { readonly _: unique symbol }
export const algorithmOf = (name: AlgorithmName): Algorithm<State> => algorithms[name] as unknown as Algorithm<State>
