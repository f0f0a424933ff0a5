/**
 * Tells when the wall clock and the time that passed do not agree: the machine slept, or somebody set the clock.
 *
 * Due times are wall-clock times, and timers stand still in sleep, so both have to be looked at again. A `Context.Reference`, so that a
 * simulation can say itself when its clock jumps.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Monotonic from "../Monotonic.ts"

/** How often the clocks are compared. */
const every = "15 seconds"
/** Clocks that differ less are the same. Milliseconds. */
const tolerance = 2_000

export interface ClockWatch {
  /** Calls `onJump` with the milliseconds by which the wall clock went ahead of (positive) or behind (negative) the time that passed. */
  readonly watch: (onJump: (millis: number) => void) => Effect.Effect<void, never, Scope.Scope>
}

const live: ClockWatch = {
  watch: (onJump) =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      let wall = clock.currentTimeMillisUnsafe()
      let mono = Monotonic.read(clock)
      yield* Effect.forkScoped(
        Effect.forever(
          Effect.andThen(
            Effect.sleep(every),
            Effect.sync(() => {
              const jump = clock.currentTimeMillisUnsafe() - wall - (Monotonic.read(clock) - mono)
              wall = clock.currentTimeMillisUnsafe()
              mono = Monotonic.read(clock)
              if (Math.abs(jump) > tolerance) onJump(jump)
            })
          )
        )
      )
    })
}

export const ClockWatch = Context.Reference<ClockWatch>("nofx/runtime/ClockWatch", { defaultValue: () => live })
