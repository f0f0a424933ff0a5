import { type Clock, Effect } from "effect"

/** A machine whose wall clock can be set; the time that passes is the test clock's. */
export interface Wall {
  readonly clock: Clock.Clock
  /** The wall clock goes on, or back, and no time passes: the machine slept, was off, or was set. */
  readonly jump: (millis: number) => void
}

export const makeWall = Effect.clockWith((test) => {
  let ahead = 0
  const millis = () => test.currentTimeMillisUnsafe() + ahead
  const clock: Clock.Clock = Object.create(test, {
    currentTimeMillisUnsafe: { value: millis },
    currentTimeMillis: { value: Effect.sync(millis) }
  })
  return Effect.succeed<Wall>({ clock, jump: (by) => void (ahead += by) })
})
