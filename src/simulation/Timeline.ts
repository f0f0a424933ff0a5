/**
 * The time of a simulation: whole milliseconds from its beginning, and what is to happen when.
 *
 * Two kinds: a virtual one, which jumps from one timer to the next as fast as the machine can, and one over an Effect `Clock` (a `TestClock`),
 * whose time somebody else moves. Timers of the same millisecond fire in the order in which they were set, on both, so that a simulation is the
 * same on either.
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

export interface Timer {
  /** Takes it out. Does nothing once it has fired. */
  readonly cancel: () => void
}

export interface Timeline {
  /** Milliseconds since the beginning. */
  readonly now: () => number
  /** Fires at this time, at the earliest in the next millisecond. Fractions are rounded up. */
  readonly at: (time: number, fire: () => void) => Timer
}

export interface VirtualTimeline extends Timeline {
  /** Fires everything that is due up to this time, in order, and arrives there. */
  readonly advance: (until: number) => void
  /** Timers that wait. */
  readonly size: () => number
}

interface Entry extends Timer {
  readonly time: number
  readonly fire: () => void
}

const due = (now: number, time: number): number => Math.max(now + 1, Math.ceil(time))

/** Time that nobody waits for. */
export const makeVirtual = (): VirtualTimeline => {
  /** The next one last: few wait at any moment, and most new ones are among the next. */
  const entries: Array<Entry> = []
  let now = 0

  return {
    now: () => now,
    at: (time, fire) => {
      const entry: Entry = {
        time: due(now, time),
        fire,
        cancel: () => {
          const index = entries.lastIndexOf(entry)
          if (index !== -1) entries.splice(index, 1)
        }
      }
      // All that fire before it stay behind it, with those of the same time: they were set earlier.
      let index = entries.length
      for (; index > 0 && entries[index - 1]!.time <= entry.time; index--) entries[index] = entries[index - 1]!
      entries[index] = entry
      return entry
    },
    advance: (until) => {
      for (let next = entries.at(-1); next !== undefined && next.time <= until; next = entries.at(-1)) {
        entries.pop()
        now = next.time
        next.fire()
      }
      now = Math.max(now, until)
    },
    size: () => entries.length
  }
}

/** Time as a clock has it, from now on. Whoever moves the clock moves the simulation. */
export const overClock = (clock: Clock.Clock, run: (effect: Effect.Effect<void>) => { readonly interruptUnsafe: () => void }): Timeline => {
  const start = clock.currentTimeMillisUnsafe()
  const now = (): number => clock.currentTimeMillisUnsafe() - start
  return {
    now,
    at: (time, fire) => {
      const fiber = run(Effect.andThen(clock.sleep(Duration.millis(due(now(), time) - now())), Effect.sync(fire)))
      return { cancel: () => fiber.interruptUnsafe() }
    }
  }
}
