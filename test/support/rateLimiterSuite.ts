/** What every layer of the rate limiter has to do, in this process or shared with others. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Exit, Fiber, type Layer } from "effect"
import { TestClock } from "effect/testing"
import * as RateLimiter from "../../src/reliability/RateLimiter.ts"

export interface Settings {
  /** Real time instead of virtual time: for layers whose clock is elsewhere. */
  readonly live?: boolean
  /** One window. Long enough for a dozen decisions of a slow layer. */
  readonly window?: Duration.Input
}

const algorithms = ["token-bucket", "sliding-window", "fixed-window", "leaky-bucket"] as const

export const suite = <E>(name: string, layer: Layer.Layer<RateLimiter.RateLimiter, E>, settings: Settings = {}): void => {
  const window = Duration.fromInputUnsafe(settings.window ?? "1 second")
  const test = settings.live ? it.live : it.effect
  /** Lets time go by while the effect runs. */
  const passing = <A, E2, R>(effect: Effect.Effect<A, E2, R>, time: Duration.Input): Effect.Effect<A, E2, R> =>
    settings.live
      ? effect
      : Effect.gen(function* () {
          const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
          yield* TestClock.adjust(time)
          return yield* Fiber.join(fiber)
        })
  let fresh = 0

  describe(`RateLimiter ${name}`, () => {
    for (const algorithm of algorithms) {
      // A name of its own for each test: a shared store remembers.
      const limitOf = (count: number): RateLimiter.Limit => ({
        ...RateLimiter.defaults,
        name: `suite-${algorithm}-${process.pid}-${fresh++}`,
        algorithm,
        limit: count,
        window,
        maxWait: Duration.times(window, 3)
      })
      const fill = (limiter: RateLimiter.RateLimiter["Service"], limit: RateLimiter.Limit, key: string) =>
        Effect.forEach(Array.from({ length: algorithm === "leaky-bucket" ? 1 : limit.limit }), () => limiter.acquire(limit, key))

      test(`C17 ${name} ${algorithm}: a fresh limiter admits exactly its limit, and a refusal spends nothing`, () =>
        Effect.gen(function* () {
          const limiter = yield* RateLimiter.RateLimiter
          const limit = limitOf(5)
          yield* fill(limiter, limit, "k")
          for (let i = 0; i < 3; i++) {
            const refusal = yield* Effect.flip(limiter.acquire(limit, "k"))
            assert.strictEqual(refusal.reason, "rate")
            assert.isDefined(refusal.retryAfter)
          }
          yield* passing(Effect.sleep(window), window)
          yield* limiter.acquire(limit, "k")
        }).pipe(Effect.provide(layer)))

      test(`C17 ${name} ${algorithm}: of calls that all wait, exactly the limit starts within the first window`, () =>
        Effect.gen(function* () {
          const limiter = yield* RateLimiter.RateLimiter
          const limit = { ...limitOf(5), maxWait: Duration.millis(Duration.toMillis(window) * 0.81) }
          const start = yield* Clock.currentTimeMillis
          const waits = Effect.forEach(Array.from({ length: 5 }), () => limiter.wait(limit, "k"), { concurrency: "unbounded" })
          yield* passing(waits, window)
          assert.isAtMost((yield* Clock.currentTimeMillis) - start, Duration.toMillis(window) * (settings.live ? 1.5 : 1))
        }).pipe(Effect.provide(layer)))

      test(`C18 ${name} ${algorithm}: who obeys retryAfter is admitted`, () =>
        Effect.gen(function* () {
          const limiter = yield* RateLimiter.RateLimiter
          const limit = limitOf(3)
          yield* fill(limiter, limit, "k")
          for (let i = 0; i < 3; i++) {
            const answer = yield* Effect.exit(limiter.acquire(limit, "k"))
            if (Exit.isSuccess(answer)) continue
            const { retryAfter } = yield* Effect.flip(answer)
            assert(retryAfter !== undefined)
            yield* passing(Effect.sleep(retryAfter), retryAfter)
            yield* limiter.acquire(limit, "k")
          }
        }).pipe(Effect.provide(layer)))

      test(`C19 ${name} ${algorithm}: two keys, and two limits, never affect each other`, () =>
        Effect.gen(function* () {
          const limiter = yield* RateLimiter.RateLimiter
          const [limit, other] = [limitOf(2), limitOf(2)]
          yield* fill(limiter, limit, "a")
          yield* Effect.flip(limiter.acquire(limit, "a"))
          yield* limiter.acquire(limit, "b")
          yield* limiter.acquire(other, "a")
        }).pipe(Effect.provide(layer)))

      test(`C18 ${name} ${algorithm}: a refund is admitted again, once; a settlement corrects the cost`, () =>
        Effect.gen(function* () {
          const limiter = yield* RateLimiter.RateLimiter
          const limit = limitOf(4)
          const first = yield* limiter.acquire(limit, "k", 4)
          yield* Effect.flip(limiter.acquire(limit, "k"))
          yield* limiter.refund(first)
          yield* limiter.refund(first)
          const second = yield* limiter.acquire(limit, "k", 4)
          yield* Effect.flip(limiter.acquire(limit, "k"))
          yield* limiter.settle(second, algorithm === "leaky-bucket" ? 0 : 3)
          yield* limiter.acquire(limit, "k")
          yield* Effect.flip(limiter.acquire(limit, "k"))
        }).pipe(Effect.provide(layer)))

      test(`C18 ${name} ${algorithm}: run waits in delay mode, refuses in fail mode, and never admits more than the limit can ever hold`, () =>
        Effect.gen(function* () {
          const limiter = yield* RateLimiter.RateLimiter
          const limit = limitOf(2)
          yield* fill(limiter, limit, "k")
          const refusal = yield* Effect.flip(limiter.run({ ...limit, mode: "fail" }, "k")(Effect.sync(() => assert.fail("started"))))
          assert.strictEqual(refusal._tag, "RateLimitExceeded")
          assert.strictEqual(yield* passing(limiter.run(limit, "k")(Effect.succeed(7)), window), 7)
          const never = yield* Effect.flip(limiter.run(limit, "k", { cost: 3 })(Effect.void))
          assert.deepInclude(never, { reason: "cost", retryAfter: undefined })
        }).pipe(Effect.provide(layer)))
    }
  })
}
