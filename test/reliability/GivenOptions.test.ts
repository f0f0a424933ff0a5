import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, Layer } from "effect"
import * as Bulkhead from "../../src/reliability/Bulkhead.ts"
import * as CircuitBreaker from "../../src/reliability/CircuitBreaker.ts"
import * as CooldownGate from "../../src/reliability/CooldownGate.ts"
import * as DeadLetterQueue from "../../src/reliability/DeadLetterQueue.ts"
import * as Health from "../../src/reliability/Health.ts"
import * as TimerWheel from "../../src/reliability/TimerWheel.ts"
import * as RateLimiter from "../../src/reliability/RateLimiter.ts"
import * as Retry from "../../src/reliability/Retry.ts"
import * as Shutdown from "../../src/reliability/Shutdown.ts"

const limited = (limit: RateLimiter.Limit) =>
  Layer.effectDiscard(Effect.flatMap(RateLimiter.RateLimiter, (limiter) => limiter.acquire(limit, "k"))).pipe(
    Layer.provide(RateLimiter.layer)
  )

/** What a pattern says to constants that make no sense. */
const bad: ReadonlyArray<readonly [says: string, layer: Layer.Layer<never, unknown>]> = [
  ["CircuitBreaker.probes: Expected a value between 1 and 100000, not 0", CircuitBreaker.layer({ probes: 0 })],
  ["CircuitBreaker.probes: Expected an integer, not NaN", CircuitBreaker.layer({ probes: Number.NaN })],
  ["CircuitBreaker.openTime: must be more than zero and at most 366 days, not -1 second", CircuitBreaker.layer({ openTime: "-1 second" })],
  [
    "CircuitBreaker.openTime: must be more than zero and at most 366 days, not Infinity",
    CircuitBreaker.layer({ openTime: Duration.infinity })
  ],
  [
    "CircuitBreaker.countWindow.minimumCalls: must be at most size (2): the window never holds more calls, not 5",
    CircuitBreaker.layer({ countWindow: { size: 2, minimumCalls: 5 } })
  ],
  ["Retry.maxAttempts: Expected a value between 1 and 1000, not -1", Retry.layer({ maxAttempts: -1 })],
  ["Retry.budget.ratio: Expected a value between 0 and 1, not 2", Retry.layer({ budget: { ratio: 2 } })],
  ["Bulkhead.global.permits: Expected a value greater than or equal to 1, not 0", Bulkhead.layer({ global: { permits: 0 } })],
  ["CooldownGate.rampStart: Expected an integer, not 1.5", CooldownGate.layer({ rampStart: 1.5 })],
  ["Health.healthyScore: Expected a value between 0 and 1, not -1", Health.layer({ healthyScore: -1 })],
  ["Shutdown.budget: must be more than zero and at most 366 days, not 0", Shutdown.layer({ budget: Duration.zero })],
  ["DeadLetterQueue.maxLetters: Expected a value greater than or equal to 1, not 0", DeadLetterQueue.layer({ maxLetters: 0 })],
  ["RateLimiter.limit: Expected a value greater than or equal to 1, not 0", limited({ ...RateLimiter.api, limit: 0 })],
  ["Retry.attempts: Expected no excess property, not 3", Retry.layer({ attempts: 3 } as never)]
]

describe("options of a program", () => {
  it.effect("C58 any part of them does: the rest has its default, and durations may be text", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make({ consecutiveFailures: 1, openTime: "2 seconds" })
      yield* Effect.exit(breaker.run("k")(Effect.fail("broken")))
      const refusal = yield* Effect.flip(breaker.run("k")(Effect.void))
      assert.strictEqual(refusal.message, 'Circuit "k" is open (1 failures in a row), again in 2s')

      const bulkhead = Bulkhead.make({ global: { permits: 3 } })
      assert.strictEqual(bulkhead.metrics().permits, 3)
      assert.strictEqual(bulkhead.metrics("k").permits, Bulkhead.defaults.perAccount.permits)

      assert.deepStrictEqual(RateLimiter.limit({ limit: 5, window: "1 hour" }), {
        ...RateLimiter.defaults,
        limit: 5,
        window: Duration.hours(1)
      })
    })
  )

  for (const [says, layer] of bad) {
    it.effect(`C58 a bad constant is a bug, told by its name, its bound and its value: ${says}`, () =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(Effect.scoped(Layer.build(layer)))
        assert(Exit.isFailure(exit))
        const defect = Cause.squash(exit.cause)
        assert.instanceOf(defect, RangeError)
        assert.strictEqual(defect.message, says)
      })
    )
  }

  it.effect("C58 a health check says so too", () =>
    Effect.gen(function* () {
      const health = yield* Effect.provideService(Health.make(), TimerWheel.TimerWheel, yield* TimerWheel.make)
      const run = Effect.succeed({ status: "healthy", evidence: "is there" } as const)
      for (const [setting, value] of [
        ["interval", 0],
        ["timeLimit", "-1 second"],
        ["weight", Number.NaN]
      ] as const) {
        const exit = yield* Effect.exit(health.register({ name: "disk", kinds: ["readiness"], run, [setting]: value }))
        assert(Exit.isFailure(exit))
        assert.include(String(Cause.squash(exit.cause)), `RangeError: Health check "disk": ${setting} must be above 0, not ${value}`)
      }
    })
  )
})
