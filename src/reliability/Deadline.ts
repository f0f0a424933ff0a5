/**
 * A deadline is a value that is carried along: the monotonic time, in milliseconds, after which nobody wants the answer any more.
 *
 * It includes all waiting; each stage asks how much is left.
 */
import * as Duration from "effect/Duration"

/** Monotonic milliseconds; `Infinity` is no deadline. */
export type Deadline = number

/** No deadline. */
export const none: Deadline = Number.POSITIVE_INFINITY

/** The deadline that a limit beginning at `now` sets. A limit that is not given sets none. */
export const after = (now: number, limit: Duration.Input | undefined): Deadline =>
  limit === undefined ? none : now + Duration.toMillis(Duration.fromInputUnsafe(limit))

/** What is left of it, milliseconds: at least 0, `Infinity` without a deadline. */
export const remaining = (deadline: Deadline, now: number): number => Math.max(0, deadline - now)

/** The earlier one rules. */
export const earlier = (a: Deadline, b: Deadline): Deadline => Math.min(a, b)

/**
 * When stopping must begin for the work to be dead by the deadline, if stopping takes at most `grace`. An earlier attempt limit, counted from `now`, rules.
 * It may lie before `now`: then there is no time left to begin anything.
 */
export const stopAt = (deadline: Deadline, grace: Duration.Input, now: number, attemptLimit?: Duration.Input): number =>
  Math.min(deadline - Duration.toMillis(Duration.fromInputUnsafe(grace)), after(now, attemptLimit))
