import { Clock, Effect } from "effect"

/** The clock of the test, but `jump` moves its monotonic time ahead while timers sleep, as when the program stood still. */
export const jumpingClock = Effect.map(Clock.Clock, (clock) => {
  let ahead = 0n
  const jumping: Clock.Clock = Object.assign(Object.create(clock), {
    monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe() + ahead
  })
  const jump = (millis: number): void => {
    ahead += BigInt(millis) * 1_000_000n
  }
  return { jumping, jump }
})
