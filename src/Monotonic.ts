/** Monotonic time in milliseconds: what limits, windows and stalls are measured with. It never steps; only differences mean anything. */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/** The clock's monotonic time, with fractions. */
export const read = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

export const now: Effect.Effect<number> = Effect.clockWith((clock) => Effect.sync(() => read(clock)))
