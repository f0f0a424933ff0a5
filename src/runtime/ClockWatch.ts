/**
 * The wall clock of a runtime, which knows when it jumps: the machine slept, or somebody set the clock.
 *
 * Deadlines are wall-clock times and count only the time that passed. So a jump does not show in `now` before it is told: whoever is told moves the
 * deadlines with it, and no deadline is ever compared with a clock that it does not belong to. Timers stand still in sleep; they have to be looked at
 * again as well. A `Context.Reference`, so that a simulation can say itself when its clock jumps.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Monotonic from "../Monotonic.ts"

/** How often the clocks are compared: so late a jump is told at the latest; where somebody asks for the time, in the next turn. */
const every = "15 seconds"
/** Clocks that differ less are the same; they are followed in silence. Milliseconds. */
const tolerance = 2_000

export interface WallClock {
  /** Unix milliseconds, whole ones. */
  readonly now: () => number
  /** Calls `onJump` with the milliseconds by which the wall clock went ahead of (positive) or behind (negative) the time that passed. */
  readonly watch: (onJump: (millis: number) => void) => Effect.Effect<void, never, Scope.Scope>
}

export interface ClockWatch {
  readonly start: Effect.Effect<WallClock>
}

const live: ClockWatch = {
  start: Effect.clockWith((clock) =>
    Effect.sync(() => {
      const apart = (): number => clock.currentTimeMillisUnsafe() - Monotonic.read(clock)
      let known = apart()
      let look = (): void => {}
      return {
        now: () => {
          const passed = Monotonic.read(clock)
          if (Math.abs(clock.currentTimeMillisUnsafe() - passed - known) > tolerance) look()
          return Math.round(known + passed)
        },
        watch: (onJump) => {
          const compare = Effect.sync(() => {
            const jump = apart() - known
            known += jump
            if (Math.abs(jump) > tolerance) onJump(Math.round(jump))
          })
          // Who asks is in the middle of something: nothing may move under its hands.
          const asked = Effect.callback<void>((resume) => {
            look = () => resume(Effect.yieldNow)
          })
          return Effect.asVoid(Effect.forkScoped(Effect.forever(Effect.andThen(compare, Effect.raceFirst(Effect.sleep(every), asked)))))
        }
      }
    })
  )
}

export const ClockWatch = Context.Reference<ClockWatch>("nofx/runtime/ClockWatch", { defaultValue: () => live })
