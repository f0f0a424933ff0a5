import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as BoundedRun from "../../src/reliability/BoundedRun.ts"

describe("BoundedRun", () => {
  it.effect("C37 work that cannot be stopped is left behind at its limit, and said to go on", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(BoundedRun.run(Effect.uninterruptible(Effect.sleep("1 hour")), 1_000), {
        startImmediately: true
      })
      yield* TestClock.adjust("1 second")
      const result = yield* Fiber.join(fiber)
      assert.deepInclude(result, { _tag: "GivenUp", stopped: false })
    })
  )

  it.effect("C37 whoever is interrupted interrupts the work, even at the moment in which it begins", () =>
    Effect.gen(function* () {
      let ended = 0
      const work = (begin: Effect.Effect<void>) =>
        Effect.ensuring(
          Effect.andThen(begin, Effect.never),
          Effect.sync(() => ended++)
        )
      const later = yield* Effect.forkChild(BoundedRun.run(work(Effect.void), 60_000), { startImmediately: true })
      yield* Fiber.interrupt(later)
      assert.strictEqual(ended, 1)
      const atOnce = Effect.withFiber<BoundedRun.BoundedRun<never, never>>((caller) =>
        BoundedRun.run(work(Effect.sync(() => caller.interruptUnsafe())), 60_000)
      )
      yield* Fiber.await(yield* Effect.forkChild(atOnce, { startImmediately: true }))
      assert.strictEqual(ended, 2)
    })
  )
})
