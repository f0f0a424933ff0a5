import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect } from "effect"
import { TestClock } from "effect/testing"
import { ClockWatch } from "../../src/runtime/ClockWatch.ts"
import { makeWall } from "../support/wall.ts"

const hour = 3_600_000

const begin = Effect.gen(function* () {
  const machine = yield* makeWall
  const jumps: Array<number> = []
  const wall = yield* Effect.provideService(
    Effect.flatMap(ClockWatch, (watch) => watch.start),
    Clock.Clock,
    machine.clock
  )
  yield* wall.watch((millis) => jumps.push(millis))
  yield* TestClock.adjust("1 second")
  return { jumps, machine, wall }
})

describe("the wall clock of a runtime", () => {
  it.effect("tells of a jump within 15 seconds, in the next turn where somebody asks for the time, and shows it only then", () =>
    Effect.gen(function* () {
      const { jumps, machine, wall } = yield* begin
      machine.jump(hour)
      yield* TestClock.adjust("14 seconds")
      assert.deepStrictEqual(jumps, [hour])
      assert.strictEqual(wall.now(), hour + 15_000)
      machine.jump(-2 * hour)
      assert.strictEqual(wall.now(), hour + 15_000)
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(jumps, [hour, -2 * hour])
      assert.strictEqual(wall.now(), 15_000 - hour)
      machine.jump(hour)
      assert.strictEqual(wall.now(), 15_000 - hour)
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(jumps, [hour, -2 * hour, hour])
    })
  )

  it.effect("follows a clock that is slewed, in silence", () =>
    Effect.gen(function* () {
      const { jumps, machine, wall } = yield* begin
      for (let step = 0; step < 10; step++) {
        machine.jump(500)
        yield* TestClock.adjust("15 seconds")
      }
      assert.deepStrictEqual(jumps, [])
      assert.strictEqual(wall.now(), 151_000 + 5_000)
    })
  )
})
