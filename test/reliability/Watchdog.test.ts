import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as TimerWheel from "../../src/reliability/TimerWheel.ts"
import * as Watchdog from "../../src/reliability/Watchdog.ts"
import { jumpingClock } from "../support/jumpingClock.ts"

const options = Schema.decodeSync(Watchdog.Options)({ stallAfter: "100 seconds" })

/** A world with one number in it, watched. */
const watched = (extra?: { readonly onLocalStall?: (stall: Watchdog.LocalStall) => void; readonly sampling?: Effect.Effect<void> }) =>
  Effect.gen(function* () {
    const world = { value: 0, samples: 0 }
    const sample = Effect.suspend(() => {
      world.samples++
      return Effect.as(extra?.sampling ?? Effect.void, world.value)
    })
    const same = (before: number, after: number) => (before === after ? { value: after } : undefined)
    const clock = yield* Clock.Clock
    const wheel = yield* TimerWheel.TimerWheel
    const found: { at?: number; evidence?: { readonly value: number } } = {}
    const dog = Watchdog.start(
      options,
      {
        sample,
        same,
        onStalled: (evidence) => Object.assign(found, { evidence, at: clock.currentTimeMillisUnsafe() / 1000 }),
        ...(extra?.onLocalStall ? { onLocalStall: extra.onLocalStall } : {})
      },
      { now: wheel.now, arm: wheel.add, fork: Effect.runForkWith(yield* Effect.context<never>()) }
    )
    return { world, dog, found, wheel }
  })

const seconds = (count: number) => TestClock.adjust(Duration.seconds(count))

describe("Watchdog", () => {
  it.effect("C50 completes with evidence when nothing changed for the whole stall time, after few samples", () =>
    Effect.gen(function* () {
      const { world, found } = yield* watched()
      yield* seconds(99)
      assert.isUndefined(found.at)
      yield* seconds(1)
      assert.strictEqual(found.at, 100)
      assert.deepEqual(found.evidence, { value: 0 })
      assert.strictEqual(world.samples, 5)
    }).pipe(Effect.provide(TimerWheel.layer))
  )

  it.effect("C50 a changed sample starts the stall time anew", () =>
    Effect.gen(function* () {
      const { world, found } = yield* watched()
      yield* seconds(60)
      world.value = 1
      yield* seconds(15)
      assert.isUndefined(found.at)
      yield* seconds(99)
      assert.isUndefined(found.at)
      yield* seconds(1)
      assert.strictEqual(found.at, 175)
    }).pipe(Effect.provide(TimerWheel.layer))
  )

  it.effect("C50 progress pushes it without any sample, and a stall is noticed at most a quarter late", () =>
    Effect.gen(function* () {
      const { world, dog, found } = yield* watched()
      for (let i = 0; i < 100; i++) {
        yield* seconds(20)
        dog.progress()
      }
      assert.strictEqual(world.samples, 1)
      yield* seconds(124)
      assert.isUndefined(found.at)
      yield* seconds(1)
      assert.strictEqual(found.at, 2125)
    }).pipe(Effect.provide(TimerWheel.layer))
  )

  it.effect("C50 time does not count while it is paused", () =>
    Effect.gen(function* () {
      const { dog, found } = yield* watched()
      yield* seconds(90)
      dog.pause()
      dog.pause()
      yield* seconds(10_000)
      dog.resume()
      yield* seconds(10_000)
      dog.resume()
      assert.isUndefined(found.at)
      yield* seconds(124)
      assert.isUndefined(found.at)
      yield* seconds(26)
      assert.isDefined(found.at)
    }).pipe(Effect.provide(TimerWheel.layer))
  )

  it.effect("C50 a sample that hangs is given up and is no evidence", () =>
    Effect.gen(function* () {
      let hang = true
      const { found } = yield* watched({ sampling: Effect.suspend(() => (hang ? Effect.never : Effect.void)) })
      yield* seconds(10_000)
      assert.isUndefined(found.at)
      hang = false
      yield* seconds(200)
      assert.isDefined(found.at)
    }).pipe(Effect.provide(TimerWheel.layer))
  )

  it.effect("C50 cancelling it ends the watch and leaves no timer", () =>
    Effect.gen(function* () {
      const { world, dog, wheel } = yield* watched()
      yield* seconds(30)
      dog.cancel()
      assert.strictEqual(wheel.size(), 0)
      const { samples } = world
      yield* seconds(1000)
      assert.strictEqual(world.samples, samples)
    }).pipe(Effect.provide(TimerWheel.layer))
  )

  it.effect("C50 its own lateness is a local stall, reported with the lag, and nobody is blamed", () =>
    Effect.gen(function* () {
      const { jump, jumping } = yield* jumpingClock
      const lags: Array<number> = []
      yield* Effect.gen(function* () {
        const { world, found } = yield* watched({ onLocalStall: (stall) => lags.push(stall.lagMillis) })
        yield* seconds(90)
        jump(600_000)
        yield* seconds(109)
        assert.isUndefined(found.at)
        assert.deepEqual(lags, [600_000])
        yield* seconds(1)
        assert.strictEqual(world.samples, 9)
        assert.strictEqual(found.at, 200)
      }).pipe(Effect.provide(Layer.fresh(TimerWheel.layer)), Effect.provideService(Clock.Clock, jumping))
    })
  )

  it("C58 a stall time of zero is refused with its path", () => {
    assert.throws(() => Schema.decodeSync(Watchdog.Options)({ stallAfter: "0 seconds" }), /stallAfter/)
    assert.strictEqual(Duration.toMinutes(Watchdog.defaults.stallAfter), 7)
  })
})
