/** Converts times of limits and windows, which are monotonic, into times that people and disks understand. */
import type * as Clock from "effect/Clock"

/** Differences between the two clocks below this are reading noise. Milliseconds. */
const clockNoise = 50

/**
 * Makes a conversion of `at`, monotonic milliseconds, to whole Unix milliseconds; `now` is the monotonic time of the call. The same moment always gives the same number unless the wall
 * clock was moved: the distance of the clocks is measured anew only when it has visibly changed.
 */
export const conversion = (clock: Clock.Clock): ((at: number, now: number) => number) => {
  let offset = Number.NaN
  return (at, now) => {
    const measured = clock.currentTimeMillisUnsafe() - now
    if (!(Math.abs(measured - offset) <= clockNoise)) offset = measured
    return Math.round(at + offset)
  }
}
