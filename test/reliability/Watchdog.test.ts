import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber, Layer, Ref, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as TimeLimit from "../../src/reliability/TimeLimit.ts"
import * as Watchdog from "../../src/reliability/Watchdog.ts"

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
    const dog = yield* Watchdog.watch(options, { sample, same, ...(extra?.onLocalStall ? { onLocalStall: extra.onLocalStall } : {}) })
    const at = yield* Ref.make<number | undefined>(undefined)
    const fiber = yield* Effect.forkChild(
      Effect.tap(dog.stalled, () => Effect.flatMap(Clock.currentTimeMillis, (now) => Ref.set(at, now / 1000))),
      { startImmediately: true }
    )
    return { world, dog, at: Ref.get(at), fiber }
  })

const seconds = (count: number) => TestClock.adjust(Duration.seconds(count))

describe("Watchdog", () => {
  it.effect("C50 completes with evidence when nothing changed for the whole stall time, after few samples", () =>
    Effect.gen(function* () {
      const { world, at, fiber } = yield* watched()
      yield* seconds(99)
      assert.isUndefined(yield* at)
      yield* seconds(1)
      assert.strictEqual(yield* at, 100)
      assert.deepEqual(yield* Fiber.join(fiber), { value: 0 })
      assert.strictEqual(world.samples, 5)
    }).pipe(Effect.provide(TimeLimit.layer))
  )

  it.effect("C50 a changed sample starts the stall time anew", () =>
    Effect.gen(function* () {
      const { world, at } = yield* watched()
      yield* seconds(60)
      world.value = 1
      yield* seconds(15)
      assert.isUndefined(yield* at)
      yield* seconds(99)
      assert.isUndefined(yield* at)
      yield* seconds(1)
      assert.strictEqual(yield* at, 175)
    }).pipe(Effect.provide(TimeLimit.layer))
  )

  it.effect("C50 progress pushes it without any sample, and a stall is noticed at most a quarter late", () =>
    Effect.gen(function* () {
      const { world, dog, at } = yield* watched()
      for (let i = 0; i < 100; i++) {
        yield* seconds(20)
        dog.progress()
      }
      assert.strictEqual(world.samples, 1)
      yield* seconds(124)
      assert.isUndefined(yield* at)
      yield* seconds(1)
      assert.strictEqual(yield* at, 2125)
    }).pipe(Effect.provide(TimeLimit.layer))
  )

  it.effect("C50 time does not count while it is paused", () =>
    Effect.gen(function* () {
      const { dog, at } = yield* watched()
      yield* seconds(90)
      dog.pause()
      dog.pause()
      yield* seconds(10_000)
      dog.resume()
      yield* seconds(10_000)
      dog.resume()
      assert.isUndefined(yield* at)
      yield* seconds(124)
      assert.isUndefined(yield* at)
      yield* seconds(26)
      assert.isDefined(yield* at)
    }).pipe(Effect.provide(TimeLimit.layer))
  )

  it.effect("C50 a sample that hangs is given up and is no evidence", () =>
    Effect.gen(function* () {
      let hang = true
      const { at } = yield* watched({ sampling: Effect.suspend(() => (hang ? Effect.never : Effect.void)) })
      yield* seconds(10_000)
      assert.isUndefined(yield* at)
      hang = false
      yield* seconds(200)
      assert.isDefined(yield* at)
    }).pipe(Effect.provide(TimeLimit.layer))
  )

  it.effect("C50 interrupting it ends the watch and leaves no timer", () =>
    Effect.gen(function* () {
      const { world, fiber } = yield* watched()
      yield* seconds(30)
      yield* Fiber.interrupt(fiber)
      const { samples } = world
      yield* seconds(1000)
      assert.strictEqual(world.samples, samples)
    }).pipe(Effect.provide(TimeLimit.layer))
  )

  it.effect("C50 its own lateness is a local stall, reported with the lag, and nobody is blamed", () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      // A clock that jumps while a timer sleeps, as after a suspend.
      let jump = 0n
      const jumping: Clock.Clock = Object.assign(Object.create(clock), {
        monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe() + jump
      })
      const lags: Array<number> = []
      yield* Effect.gen(function* () {
        const { world, at } = yield* watched({ onLocalStall: (stall) => lags.push(stall.lagMillis) })
        yield* seconds(90)
        jump = 600_000_000_000n
        yield* seconds(109)
        assert.isUndefined(yield* at)
        assert.deepEqual(lags, [600_000])
        yield* seconds(1)
        assert.strictEqual(world.samples, 9)
        assert.strictEqual(yield* at, 200)
      }).pipe(Effect.provide(Layer.fresh(TimeLimit.layer)), Effect.provideService(Clock.Clock, jumping))
    })
  )

  it("C58 a stall time of zero is refused with its path", () => {
    assert.throws(() => Schema.decodeSync(Watchdog.Options)({ stallAfter: "0 seconds" }), /stallAfter/)
    assert.strictEqual(Duration.toMinutes(Watchdog.defaults.stallAfter), 7)
  })
})
