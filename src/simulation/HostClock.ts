/** The wall clock of a simulated process. Its machine's may jump; that shows when the runtime has been told of it, as with the live one. */
import * as Effect from "effect/Effect"
import type { WallClock } from "../runtime/ClockWatch.ts"
import type { Incarnation } from "./Incarnation.ts"

export interface HostClock extends WallClock {
  /** The machine's wall clock has jumped by so many milliseconds. The runtime hears of it after `noticed`, or as soon as it asks for the time. */
  readonly jump: (millis: number, noticed: number) => void
}

/** `wall`: what the wall clock of the machine shows, Unix milliseconds. */
export const make = (incarnation: Incarnation, wall: () => number): HostClock => {
  let untold = 0
  let asked = false
  let onJump: ((millis: number) => void) | undefined

  const tell = (): void => {
    asked = false
    const millis = untold
    if (millis === 0 || onJump === undefined) return
    untold = 0
    onJump(millis)
  }

  return {
    now: () => {
      if (untold !== 0 && !asked) {
        asked = true
        incarnation.after(0, tell)
      }
      return wall() - untold
    },
    watch: (listener) =>
      Effect.sync(() => {
        onJump = listener
        tell()
      }),
    jump: (millis, noticed) => {
      untold += millis
      incarnation.after(noticed, tell)
    }
  }
}
