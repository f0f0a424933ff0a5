import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Logger, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as TimerWheel from "../../src/reliability/TimerWheel.ts"

describe("TimerWheel", () => {
  it.effect("fires in the order of time, then of addition, and is idle without entries", () =>
    Effect.gen(function* () {
      const wheel = yield* TimerWheel.TimerWheel
      const log: Array<string> = []
      assert.isFalse(wheel.armed())
      wheel.add(20, () => log.push(`c${wheel.now()}`))
      wheel.add(10, () => log.push(`a${wheel.now()}`))
      wheel.add(20, () => log.push(`d${wheel.now()}`))
      wheel.add(10, () => log.push(`b${wheel.now()}`))
      assert.isTrue(wheel.armed())
      yield* TestClock.adjust(9)
      assert.deepEqual(log, [])
      yield* TestClock.adjust(1)
      assert.deepEqual(log, ["a10", "b10"])
      yield* TestClock.adjust(100)
      assert.deepEqual(log, ["a10", "b10", "c20", "d20"])
      assert.isFalse(wheel.armed())
    }).pipe(Effect.provide(TimerWheel.layer))
  )

  it.effect("sleeps on for what is left once it woke, wakes for what comes before that, and not at all once nothing is left", () =>
    Effect.gen(function* () {
      const wheel = yield* TimerWheel.TimerWheel
      const log: Array<string> = []
      wheel.add(10, () => log.push(`a${wheel.now()}`))
      const last = wheel.add(50, () => log.push("never"))
      yield* TestClock.adjust(10)
      assert.isTrue(wheel.armed())
      wheel.add(5, () => log.push(`b${wheel.now()}`))
      yield* TestClock.adjust(5)
      assert.deepEqual(log, ["a10", "b15"])
      assert.isTrue(wheel.armed())
      last.cancel()
      yield* TestClock.adjust(1)
      assert.isFalse(wheel.armed())
    }).pipe(Effect.provide(TimerWheel.layer))
  )

  it.effect.prop(
    "fires exactly the entries that were not cancelled, each at its time, whatever is added and cancelled",
    [
      Schema.Array(
        Schema.Struct({
          delay: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 50 })),
          cancelAt: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60 }))
        })
      ).check(Schema.isMaxLength(60))
    ],
    ([entries]) =>
      Effect.gen(function* () {
        const wheel = yield* TimerWheel.make
        const fired: Array<[number, number]> = []
        const timers = entries.map((entry, index) => wheel.add(entry.delay + 0.25, () => fired.push([index, wheel.now()])))
        for (let time = 0; time <= 60; time++) {
          entries.forEach((entry, index) => {
            if (entry.cancelAt === time) timers[index]?.cancel()
          })
          yield* TestClock.adjust(1)
        }
        const expected = entries
          .map((entry, index) => [index, entry.delay + 0.25, entry.cancelAt] as const)
          .filter(([, at, cancelAt]) => at < cancelAt)
          .sort((a, b) => a[1] - b[1] || a[0] - b[0])
        assert.deepEqual(
          fired.map(([index]) => index),
          expected.map(([index]) => index)
        )
        const start = timers.length === 0 ? 0 : (timers[0]?.at ?? 0) - (entries[0]?.delay ?? 0) - 0.25
        for (const [index, at] of fired) assert.closeTo(at, start + (entries[index]?.delay ?? 0) + 0.25, 0.003)
        assert.strictEqual(wheel.size(), 0)
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 60 } }
  )

  it.effect("keeps the order of the rest when entries are cancelled from the middle", () =>
    Effect.gen(function* () {
      const wheel = yield* TimerWheel.TimerWheel
      const fired: Array<number> = []
      const delays = Array.from({ length: 1000 }, (_, index) => 1 + ((index * 617) % 1009))
      const timers = delays.map((delay) => wheel.add(delay, () => fired.push(delay)))
      const kept = delays.filter((_, index) => index % 3 === 0)
      for (let index = 0; index < 1000; index++) {
        const scattered = (index * 389) % 1000
        if (scattered % 3 !== 0) timers[scattered]?.cancel()
      }
      assert.strictEqual(wheel.size(), kept.length)
      yield* TestClock.adjust(2000)
      assert.deepEqual(
        fired,
        kept.toSorted((a, b) => a - b)
      )
    }).pipe(Effect.provide(TimerWheel.layer))
  )

  it.effect("disarms once the last entry is cancelled, and holds nothing of 10,000 cancelled entries", () =>
    Effect.gen(function* () {
      const wheel = yield* TimerWheel.TimerWheel
      const timers = Array.from({ length: 10_000 }, (_, index) => wheel.add(1000 + ((index * 7919) % 1000), () => assert.fail("cancelled")))
      for (const timer of timers) timer.cancel()
      for (const timer of timers) timer.cancel()
      assert.strictEqual(wheel.size(), 0)
      yield* Effect.yieldNow
      yield* Effect.yieldNow
      assert.isFalse(wheel.armed())
      yield* TestClock.adjust("1 hour")
    }).pipe(Effect.provide(TimerWheel.layer))
  )

  it.effect("goes on after a callback that throws, says so, and lets a callback add itself again", () => {
    const logged: Array<unknown> = []
    return Effect.gen(function* () {
      const wheel = yield* TimerWheel.TimerWheel
      let again = 0
      const repeat = () => {
        if (++again < 5) wheel.add(0, repeat)
      }
      wheel.add(10, () => {
        throw new Error("broken callback")
      })
      wheel.add(10, repeat)
      yield* TestClock.adjust(11)
      assert.strictEqual(again, 5)
      assert.isFalse(wheel.armed())
      assert.deepEqual(logged, ["A timer's callback threw"])
    }).pipe(
      Effect.provide(
        Layer.provideMerge(TimerWheel.layer, Logger.layer([Logger.make(({ message }) => void logged.push([message].flat()[0]))]))
      )
    )
  })

  it.effect("an earlier entry re-arms; an infinite one never fires and is not kept", () =>
    Effect.gen(function* () {
      const wheel = yield* TimerWheel.TimerWheel
      const log: Array<number> = []
      wheel.add(Number.POSITIVE_INFINITY, () => assert.fail("never"))
      assert.strictEqual(wheel.size(), 0)
      wheel.add(1000, () => log.push(wheel.now()))
      wheel.add(10, () => log.push(wheel.now()))
      yield* TestClock.adjust(2000)
      assert.deepEqual(log, [10, 1000])
    }).pipe(Effect.provide(TimerWheel.layer))
  )

  it.effect("drops its entries when its scope closes", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const wheel = yield* Scope.provide(TimerWheel.make, scope)
      wheel.add(10, () => assert.fail("closed"))
      yield* Scope.close(scope, Exit.void)
      wheel.add(10, () => assert.fail("closed"))
      assert.isFalse(wheel.armed())
      yield* TestClock.adjust(100)
    })
  )
})
