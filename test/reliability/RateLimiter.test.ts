import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Duration, Effect, Exit, Fiber, Layer, Schema } from "effect"
import { RateLimiter as Oracle } from "effect/persistence"
import { TestClock } from "effect/testing"
import * as RateLimiter from "../../src/reliability/RateLimiter.ts"
import * as TimerWheel from "../../src/reliability/TimerWheel.ts"
import { suite } from "../support/rateLimiterSuite.ts"

suite("in memory", RateLimiter.layer)

const provide = Effect.provide([RateLimiter.layer, TimerWheel.layer])
const limit = (fields: typeof RateLimiter.Limit.Encoded): RateLimiter.Limit => Schema.decodeSync(RateLimiter.Limit)(fields)
const fork = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

/** The limiter's synchronous face. */
const local = Effect.map(RateLimiter.RateLimiter, ({ local }) => {
  assert(local !== undefined)
  return local
})

/** Asks `calls` times every `every` milliseconds until `end`; when how many were admitted, as "time×count". */
const trace = (preset: RateLimiter.Limit, calls: number, every: number, end: number) =>
  Effect.map(local, (limiter) => {
    const admitted: Array<string> = []
    for (let now = 0; now <= end; now += every) {
      let count = 0
      for (let i = 0; i < calls; i++) if (limiter.tryAcquire(preset, "golden", 1, now)._tag === "RatePermit") count++
      if (count > 0) admitted.push(`${now / 1000}×${count}`)
    }
    return admitted
  })

describe("RateLimiter", () => {
  it.effect("C23 the preset for an interface: 100 at once, then one every 0.6 seconds", () =>
    Effect.gen(function* () {
      assert.deepEqual(yield* trace(RateLimiter.api, 150, 1000, 6000), ["0×100", "1×1", "2×2", "3×2", "4×1", "5×2", "6×2"])
      assert.deepEqual(yield* trace({ ...RateLimiter.api, name: "later" }, 150, 60_000, 180_000), ["0×100", "60×100", "120×100", "180×100"])
    }).pipe(provide)
  )

  it.effect("C23 the preset for a user: 1,000 in any hour", () =>
    Effect.gen(function* () {
      const minutes = 60_000
      assert.deepEqual(yield* trace(RateLimiter.user, 400, 10 * minutes, 130 * minutes), [
        "0×400",
        "600×400",
        "1200×200",
        "3600×400",
        "4200×400",
        "4800×200",
        "7200×400",
        "7800×400"
      ])
    }).pipe(provide)
  )

  it.effect("C23 the preset for expensive operations: one every six seconds", () =>
    Effect.gen(function* () {
      assert.deepEqual(
        yield* trace(RateLimiter.expensive, 20, 1000, 66_000),
        Array.from({ length: 12 }, (_, index) => `${index * 6}×1`)
      )
      const limiter = yield* RateLimiter.RateLimiter
      const starts: Array<number> = []
      const call = Effect.flatMap(Clock.currentTimeMillis, (now) => Effect.sync(() => starts.push(now / 1000)))
      const fibers = yield* Effect.forEach(Array.from({ length: 12 }), () => fork(limiter.run(RateLimiter.expensive, "queue")(call)))
      yield* TestClock.adjust("2 minutes")
      const exits = yield* Effect.forEach(fibers, Fiber.await)
      assert.deepEqual(starts, [0, 6, 12, 18, 24, 30, 36, 42, 48, 54])
      assert.strictEqual(exits.filter(Exit.isFailure).length, 2)
    }).pipe(provide)
  )

  for (const preset of [RateLimiter.defaults, RateLimiter.expensive]) {
    it.effect(
      `C19 with 20 agents on one account and a limit of 10 a minute, never more than 10 start in a minute (${preset.algorithm})`,
      () =>
        Effect.gen(function* () {
          const limiter = yield* RateLimiter.RateLimiter
          const ten = { ...preset, limit: 10, maxWait: Duration.minutes(30) }
          const starts: Array<number> = []
          const agent = Effect.gen(function* () {
            for (;;) {
              yield* limiter
                .run(
                  ten,
                  "account"
                )(Effect.sleep(100))
                .pipe(
                  Effect.tap(() => Effect.map(Clock.currentTimeMillis, (now) => starts.push(now - 100))),
                  Effect.catch((refusal) => Effect.sleep(refusal.retryAfter ?? Duration.minutes(1)))
                )
            }
          })
          for (let i = 0; i < 20; i++) yield* fork(agent)
          yield* TestClock.adjust("20 minutes")
          assert.isAtLeast(starts.length, 198)
          for (const start of starts) assert.isAtMost(starts.filter((at) => at >= start && at < start + 60_000).length, 10)
        }).pipe(provide)
    )
  }

  it.effect("C18 waiting calls start in strict order of arrival, whatever they cost, and nobody overtakes them", () =>
    Effect.gen(function* () {
      const limiter = yield* RateLimiter.RateLimiter
      const two = limit({ name: "two", limit: 2, window: "2 seconds", algorithm: "token-bucket" })
      const order: Array<string> = []
      const call = (id: string, cost: number) =>
        fork(
          limiter.run(two, "k", { cost })(Effect.flatMap(Clock.currentTimeMillis, (now) => Effect.sync(() => order.push(`${id}@${now}`))))
        )
      yield* call("first", 2)
      yield* call("big", 2)
      yield* call("small", 0.5)
      yield* call("free", 0)
      const refusal = (yield* local).tryAcquire(two, "k", 0.25)
      assert(refusal._tag === "RateLimitExceeded" && refusal.notBefore === 2750)
      assert.strictEqual(limiter.metrics("two").waiting, 3)
      yield* TestClock.adjust("1 minute")
      assert.deepEqual(order, ["first@0", "big@2000", "small@2500", "free@2500"])
      assert.deepEqual(limiter.metrics(), { admitted: 4, refused: 1, refunded: 0, waiting: 0, keys: 0 })
    }).pipe(provide)
  )

  it.effect("C18 an interrupted waiter gives back its place, and those behind it move up", () =>
    Effect.gen(function* () {
      const limiter = yield* RateLimiter.RateLimiter
      const one = limit({ name: "one", limit: 1, window: "10 seconds" })
      const order: Array<string> = []
      const call = (id: string) =>
        fork(limiter.run(one, "k")(Effect.flatMap(Clock.currentTimeMillis, (now) => Effect.sync(() => order.push(`${id}@${now}`)))))
      yield* call("a")
      const b = yield* call("b")
      yield* call("c")
      const d = yield* call("d")
      yield* call("e")
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.interrupt(b)
      yield* Fiber.interrupt(d)
      yield* TestClock.adjust("1 minute")
      assert.deepEqual(order, ["a@0", "c@10000", "e@20000"])
      assert.strictEqual(limiter.metrics().waiting, 0)
    }).pipe(provide)
  )

  it.effect("C18 when an expensive call at the head gives up, a cheaper one behind it starts at once", () =>
    Effect.gen(function* () {
      const limiter = yield* RateLimiter.RateLimiter
      const sync = yield* local
      const four = limit({ name: "four", limit: 4, window: "10 seconds" })
      yield* limiter.acquire(four, "k", 2)
      const head = yield* fork(limiter.wait(four, "k", 4))
      const behind = yield* fork(limiter.wait(four, "k", 1))
      const last = yield* fork(limiter.wait(four, "k", 2))
      const waiting = sync.tryAcquire(four, "k")
      assert(waiting._tag === "RateLimitExceeded" && waiting.notBefore === 20_000)
      yield* Fiber.interrupt(head)
      assert.strictEqual((yield* Fiber.join(behind)).at, 0)
      yield* Fiber.interrupt(last)
      assert.strictEqual(sync.tryAcquire(four, "k")._tag, "RatePermit")
      const tail = yield* fork(limiter.wait(four, "k", 1))
      const gone = yield* fork(limiter.wait(four, "k", 4))
      yield* Fiber.interrupt(gone)
      const again = sync.tryAcquire(four, "k")
      assert(again._tag === "RateLimitExceeded" && again.notBefore === 10_000)
      yield* Fiber.interrupt(tail)
    }).pipe(provide)
  )

  it.effect.prop(
    "C18 whatever is interrupted when, nothing stays reserved and the limit holds",
    [
      Schema.Array(
        Schema.Struct({
          start: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 20 })),
          interruptAt: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60 })),
          cost: Schema.Literals([1, 1, 2, 0.5])
        })
      ).check(Schema.isMaxLength(20)),
      Schema.Literals(["token-bucket", "sliding-window", "fixed-window", "leaky-bucket"])
    ],
    ([calls, algorithm]) =>
      Effect.gen(function* () {
        const limiter = yield* RateLimiter.RateLimiter
        const wheel = yield* TimerWheel.TimerWheel
        const three = limit({ name: algorithm, algorithm, limit: 3, window: "20 millis" })
        const started: Array<readonly [at: number, cost: number]> = []
        const fibers = yield* Effect.forEach(calls, ({ cost, start }) =>
          fork(
            Effect.delay(limiter.run(three, "k", { cost })(Effect.map(Clock.currentTimeMillis, (now) => started.push([now, cost]))), start)
          )
        )
        for (let time = 0; time <= 60; time++) {
          for (const [index, call] of calls.entries())
            if (call.interruptAt === time) yield* Fiber.interrupt(fibers[index] as Fiber.Fiber<number, unknown>)
          yield* TestClock.adjust(1)
        }
        yield* TestClock.adjust("1 hour")
        for (const fiber of fibers) {
          const exit = yield* Fiber.await(fiber)
          assert.isTrue(Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause) || algorithm === "leaky-bucket")
        }
        if (algorithm === "sliding-window") {
          for (const [from] of started) {
            assert.isAtMost(
              started.filter(([at]) => at >= from && at < from + 20).reduce((sum, [, cost]) => sum + cost, 0),
              3
            )
          }
        }
        assert.deepInclude(limiter.metrics(), { waiting: 0, keys: 0 })
        assert.strictEqual(wheel.size(), 0)
      }).pipe(Effect.provide(Layer.fresh(Layer.provideMerge(Layer.effect(RateLimiter.RateLimiter, RateLimiter.make), TimerWheel.layer)))),
    { arbitrary: { runs: 60 } }
  )

  it.effect("C18 refuses at once who would wait too long, or stand in too long a queue, and who it accepted it never refuses", () =>
    Effect.gen(function* () {
      const limiter = yield* RateLimiter.RateLimiter
      const slow = limit({ name: "slow", limit: 1, window: "10 seconds", maxWait: "25 seconds", maxQueue: 3 })
      const first = yield* limiter.wait(slow, "k")
      const [second, third] = [yield* fork(limiter.wait(slow, "k")), yield* fork(limiter.wait(slow, "k"))]
      const late = yield* Effect.flip(limiter.wait(slow, "k"))
      assert.deepInclude(late, { reason: "wait", notBefore: 30_000 })
      const crowded = yield* Effect.flip(limiter.wait({ ...slow, maxQueue: 2 }, "k"))
      assert.strictEqual(crowded.reason, "queue")
      yield* limiter.settle(first, 1.5)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(second)).at, 10_000)
      assert.strictEqual((yield* Fiber.join(third)).at, 20_000)
    }).pipe(provide)
  )

  it.effect("C18 a refund tells listeners and admits who waits; a refusal is an error without a stack", () =>
    Effect.gen(function* () {
      const limiter = yield* RateLimiter.RateLimiter
      const sync = yield* local
      const one = limit({ name: "one", limit: 1 })
      const told: Array<string> = []
      const stop = limiter.onChange((change) => told.push(`${change.limit}/${change.key}`))
      const permit = sync.tryAcquire(one, "k")
      assert(permit._tag === "RatePermit")
      const waiter = yield* fork(limiter.wait(one, "k"))
      const refusal = sync.tryAcquire(one, "k")
      assert(refusal._tag === "RateLimitExceeded")
      assert.instanceOf(refusal, RateLimiter.RateLimitExceeded)
      assert.isUndefined(refusal.stack)
      assert.match(refusal.message, /"one" exceeded for "k" \(too many calls, retry after 2m\)/)
      const json = Schema.fromJsonString(RateLimiter.RateLimitExceeded)
      assert.deepInclude(Schema.decodeSync(json)(Schema.encodeSync(json)(refusal)), { key: "k", reason: "rate", notBefore: 120_000 })
      sync.refund(permit)
      sync.refund(permit)
      assert.strictEqual((yield* Fiber.join(waiter)).at, 0)
      assert.deepEqual(told, ["one/k"])
      stop()
      assert.throws(() => sync.tryAcquire(one, "k", -1), RangeError)
      assert.throws(() => sync.tryAcquire(one, "k", Number.NaN), RangeError)
    }).pipe(provide)
  )

  it.effect(
    "C20 a million keys, then idleness, leave none, and no timer",
    () =>
      Effect.gen(function* () {
        const limiter = yield* RateLimiter.RateLimiter
        const sync = yield* local
        const wheel = yield* TimerWheel.TimerWheel
        for (let i = 0; i < 1_000_000; i++) sync.tryAcquire(i % 1000 === 0 ? RateLimiter.user : RateLimiter.api, `key-${i}`)
        assert.strictEqual(limiter.metrics().keys, 1_000_000)
        yield* TestClock.adjust("2 minutes")
        assert.strictEqual(limiter.metrics().keys, 1000)
        yield* TestClock.adjust("1 hour")
        assert.strictEqual(limiter.metrics().keys, 0)
        assert.strictEqual(wheel.size(), 0)
      }).pipe(provide),
    // A million of anything takes seconds on a busy machine.
    60_000
  )

  it.effect("C17 another configuration of a limit keeps what was spent, and moves up who waits", () =>
    Effect.gen(function* () {
      const limiter = yield* RateLimiter.RateLimiter
      const sync = yield* local
      const small = limit({ name: "n", limit: 2 })
      sync.tryAcquire(small, "k")
      sync.tryAcquire(small, "k")
      const waiter = yield* fork(limiter.wait(small, "k"))
      const large = limit({ name: "n", limit: 4 })
      assert.strictEqual(sync.tryAcquire(large, "k")._tag, "RatePermit")
      assert.strictEqual((yield* Fiber.join(waiter)).at, 0)
      assert.strictEqual(sync.tryAcquire(large, "k")._tag, "RateLimitExceeded")
      assert.strictEqual(sync.tryAcquire({ ...large, algorithm: "token-bucket" }, "k")._tag, "RatePermit")
    }).pipe(provide)
  )

  it.effect("admits everything when it is unlimited", () =>
    Effect.gen(function* () {
      const limiter = yield* RateLimiter.RateLimiter
      const one = limit({ name: "one", limit: 1 })
      for (let i = 0; i < 10; i++) yield* limiter.run(one, "k", { cost: 5 })(Effect.void)
      assert.strictEqual(limiter.metrics().admitted, 10)
    }).pipe(Effect.provide(RateLimiter.layerUnlimited))
  )

  const oracle = (
    algorithm: "fixed-window" | "token-bucket",
    asks: ReadonlyArray<{ readonly wait: number; readonly cost: number; readonly key: string }>
  ) =>
    Effect.gen(function* () {
      const sync = yield* local
      const theirs = yield* Oracle.RateLimiter
      const four = limit({ name: algorithm, algorithm, limit: 4, window: "1 second" })
      for (const { cost, key, wait } of asks) {
        yield* TestClock.adjust(wait)
        const exit = yield* Effect.exit(theirs.consume({ algorithm, onExceeded: "fail", window: "1 second", limit: 4, key, tokens: cost }))
        assert.strictEqual(sync.tryAcquire(four, key, cost)._tag === "RatePermit", Exit.isSuccess(exit))
      }
    }).pipe(Effect.provide([Layer.fresh(RateLimiter.layer), Layer.fresh(Oracle.layer.pipe(Layer.provide(Oracle.layerStoreMemory)))]))
  const waits = Schema.Literals([0, 0, 0, 1, 250, 500, 999, 1000, 3000])
  const key = Schema.Literals(["a", "b"])

  it.effect.prop(
    "C17 a token bucket decides as Effect's own limiter does",
    [Schema.Array(Schema.Struct({ wait: waits, cost: Schema.Literals([1, 1, 1, 2]), key })).check(Schema.isMaxLength(40))],
    ([asks]) => oracle("token-bucket", asks),
    { arbitrary: { runs: 60 } }
  )

  // Effect's window is shorter while it is not full, so only full ones can be compared.
  it.effect.prop(
    "C17 a fixed window that is filled at once decides as Effect's own limiter does",
    [Schema.Array(Schema.Struct({ wait: waits, key })).check(Schema.isMaxLength(20))],
    ([bursts]) =>
      oracle(
        "fixed-window",
        bursts.flatMap(({ key, wait }) => [1, 2, 1, 1].map((cost, index) => ({ wait: index === 0 ? wait : 0, cost, key })))
      ),
    { arbitrary: { runs: 60 } }
  )

  it("C58 limits have defaults, and bad ones are refused with their path", () => {
    assert.strictEqual(RateLimiter.defaults.algorithm, "sliding-window")
    for (const [field, value] of [
      ["limit", 0],
      ["window", "0 seconds"],
      ["maxQueue", -1],
      ["name", ""],
      ["algorithm", "leaky"]
    ] as const) {
      assert.throws(() => Schema.decodeUnknownSync(RateLimiter.Limit)({ [field]: value }), new RegExp(field))
    }
  })
})
