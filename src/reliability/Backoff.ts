/**
 * How long to wait between attempts: five formulas and their jitter, pure in their random number.
 *
 * Decorrelated backoff follows Marc Brooker's "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015), except that the range is cut at the cap before the
 * draw: cutting the drawn value would give two delays in three the same length, which is what jitter is there to avoid.
 */
import * as Schema from "effect/Schema"

/**
 * - `exponential`: `baseDelay * factor ^ (n - 1)` after the n-th failure
 * - `linear`: `baseDelay * n`
 * - `fixed`: `baseDelay`
 * - `fibonacci`: `baseDelay` times 1, 1, 2, 3, 5, ...
 * - `decorrelated`: between `baseDelay` and three times the previous delay, at random
 *
 * each at most `maxDelay`.
 */
export const Strategy = Schema.Literals(["exponential", "linear", "fixed", "fibonacci", "decorrelated"])
export type Strategy = typeof Strategy.Type

/** Which part of a delay is drawn at random: `full` all of it, `equal` its second half, `none` nothing. A decorrelated delay is random by itself. */
export const Jitter = Schema.Literals(["full", "equal", "none"])
export type Jitter = typeof Jitter.Type

/** A backoff in numbers. Milliseconds. */
export interface Backoff {
  readonly strategy: Strategy
  readonly base: number
  /** At least `base`. */
  readonly max: number
  readonly factor: number
  readonly jitter: Jitter
}

/**
 * The delay after the `attempt`-th failed attempt (1 and up) in milliseconds: never more than `max`, whatever the attempt. `previous` is the delay that was really
 * drawn last, undefined at the first; `random` in [0, 1).
 */
export const delay = (backoff: Backoff, attempt: number, previous: number | undefined, random: number): number => {
  const { base, jitter, max, strategy } = backoff
  if (strategy === "decorrelated") {
    const upper = Math.min(max, 3 * Math.max(base, previous ?? base))
    return base + random * (upper - base)
  }
  const full = Math.min(max, uncapped(backoff, attempt))
  switch (jitter) {
    case "full":
      return random * full
    case "equal":
      return full / 2 + (random * full) / 2
    case "none":
      return full
  }
}

/** Infinite where it overflows; the cap takes care of that. */
const uncapped = (backoff: Backoff, attempt: number): number => {
  const { base, factor, max, strategy } = backoff
  switch (strategy) {
    case "exponential":
      return base * factor ** (attempt - 1)
    case "linear":
      return base * attempt
    case "fibonacci":
      return base * fibonacci(attempt, max / base)
    default:
      return base
  }
}

/** The n-th Fibonacci number, or the first one that is not below `enough`. */
const fibonacci = (n: number, enough: number): number => {
  let previous = 0
  let current = 1
  for (let index = 1; index < n && current < enough; index++) [previous, current] = [current, previous + current]
  return current
}
