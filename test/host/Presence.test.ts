import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as Presence from "../../src/host/Presence.ts"

/** Clients come and go; somebody waits for what the last editor wanted. `attending` counts those who can be asked. */
const make = Effect.gen(function* () {
  let attending = 0
  const attend = Effect.acquireRelease(
    Effect.sync(() => void attending++),
    () => Effect.sync(() => void attending--)
  )
  const presence = yield* Presence.make({ attend }, 10_000)
  const abandoned = yield* Effect.forkChild(presence.abandoned, { startImmediately: true })
  return { presence, abandoned, attending: () => attending }
})

describe("who is connected to a host", () => {
  it.effect("C71 a window that comes back within the time of grace has only been reloaded", () =>
    Effect.gen(function* () {
      const { abandoned, presence } = yield* make
      yield* presence.join(1, "stop")
      yield* presence.leave(1)
      yield* TestClock.adjust("9 seconds")
      yield* presence.join(2, "stop")
      yield* TestClock.adjust("1 hour")
      assert.isUndefined(abandoned.pollUnsafe())
      yield* presence.leave(2)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* Fiber.join(abandoned), "stop")
    })
  )

  it.effect("C71 what the last editor said last counts, and finish means that nothing happens", () =>
    Effect.gen(function* () {
      const { abandoned, presence } = yield* make
      yield* presence.join(1, "stop")
      yield* presence.leaving(1, "finish")
      yield* presence.leave(1)
      yield* TestClock.adjust("1 hour")
      assert.isUndefined(abandoned.pollUnsafe())
      yield* presence.join(2, "finish")
      yield* presence.leaving(2, "pause")
      yield* presence.leave(2)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* Fiber.join(abandoned), "pause")
    })
  )

  it.effect("C71 as long as anybody is there nothing is abandoned; who only looks decides nothing", () =>
    Effect.gen(function* () {
      const { abandoned, attending, presence } = yield* make
      yield* presence.join(1, "stop")
      yield* presence.join(2, undefined)
      assert.strictEqual(attending(), 1)
      yield* presence.leave(1)
      assert.strictEqual(attending(), 0)
      yield* TestClock.adjust("1 hour")
      assert.isUndefined(abandoned.pollUnsafe())
      yield* presence.leave(2)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* Fiber.join(abandoned), "stop")
    })
  )
})
