import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Duration, Effect, Exit, Fiber, Random, Result, Schedule, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as Backoff from "../../src/reliability/Backoff.ts"
import * as CircuitBreaker from "../../src/reliability/CircuitBreaker.ts"
import * as Retry from "../../src/reliability/Retry.ts"

type Encoded = typeof Retry.Options.Encoded

const decode = Schema.decodeSync(Retry.Options)
const retryOf = (options: Encoded = {}) => Retry.make(decode(options))

/** Delays without chance, so that times can be told. */
const steady: Encoded = { strategy: "fixed", jitter: "none", baseDelay: "1 second" }

const always = { retryable: true }

/** Runs it in a fiber of its own, lets the clock run far, and gives its exit. */
const settled = <A, E>(effect: Effect.Effect<A, E>, time: Duration.Input = "1 hour") =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
    yield* TestClock.adjust(time)
    return yield* Fiber.await(fiber)
  })

const exhaustedOf = (exit: Exit.Exit<unknown, Retry.RetriesExhausted>): Retry.RetriesExhausted => {
  if (Exit.isSuccess(exit)) return assert.fail("succeeded")
  return Cause.squash(exit.cause) as Retry.RetriesExhausted
}

const Unit = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1, exclusiveMaximum: true }))
const AnyAttempt = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 5000 }))
const AnyBackoff = Schema.Struct({
  strategy: Backoff.Strategy,
  jitter: Backoff.Jitter,
  base: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10_000 })),
  max: Schema.Int.check(Schema.isBetween({ minimum: 10_000, maximum: 10_000_000 })),
  factor: Schema.Finite.check(Schema.isBetween({ minimum: 1, maximum: 100 }))
})

describe("Backoff", () => {
  it.effect.prop(
    "C09 a delay without jitter is the formula, cut at the cap, for any attempt",
    [AnyBackoff, AnyAttempt, Unit],
    ([backoff, attempt, random]) =>
      Effect.sync(() => {
        const { base, factor, max } = backoff
        const drawn = (strategy: Backoff.Strategy) => Backoff.delay({ ...backoff, strategy, jitter: "none" }, attempt, undefined, random)
        let product = base
        const fibonacci = [1, 1]
        for (let n = 1; n < attempt; n++) {
          product = Math.min(max, product * factor)
          fibonacci.push(fibonacci[n - 1]! + fibonacci[n]!)
        }
        assert.closeTo(drawn("exponential"), Math.min(max, product), 1e-6 * max)
        assert.strictEqual(drawn("linear"), Math.min(max, base * attempt))
        assert.strictEqual(drawn("fixed"), base)
        assert.strictEqual(drawn("fibonacci"), Math.min(max, base * fibonacci[attempt - 1]!))
      })
  )

  it.effect.prop(
    "C09 a decorrelated delay lies in [base, 3 x the previous sampled delay], capped",
    [AnyBackoff, Schema.Array(Unit)],
    ([backoff, randoms]) =>
      Effect.sync(() => {
        let previous: number | undefined
        for (const [index, random] of randoms.entries()) {
          const next = Backoff.delay({ ...backoff, strategy: "decorrelated" }, index + 1, previous, random)
          assert.isAtLeast(next, backoff.base)
          assert.isAtMost(next, Math.min(backoff.max, 3 * (previous ?? backoff.base)))
          previous = next
        }
      })
  )

  it.effect.prop(
    "C10 full jitter draws from the whole delay, equal jitter from its second half",
    [AnyBackoff, AnyAttempt, Unit],
    ([backoff, attempt, random]) =>
      Effect.sync(() => {
        const drawn = (jitter: Backoff.Jitter) => Backoff.delay({ ...backoff, strategy: "exponential", jitter }, attempt, undefined, random)
        const whole = drawn("none")
        assert.closeTo(drawn("full"), whole * random, 1e-6 * whole)
        assert.closeTo(drawn("equal"), whole / 2 + (whole / 2) * random, 1e-6 * whole)
      })
  )

  for (const [strategy, jitter] of [
    ["exponential", "full"],
    ["exponential", "equal"],
    ["linear", "full"],
    ["fibonacci", "equal"],
    ["decorrelated", "full"],
    ["decorrelated", "none"]
  ] as const) {
    it.effect(`C10 of 10,000 delays at the cap no value holds more than 1 %: ${strategy}, ${jitter}`, () =>
      Effect.gen(function* () {
        const options = decode({ strategy, jitter, maxDelay: "1 minute" })
        const held = new Map<number, number>()
        let previousDelayMillis: number | undefined = 60_000
        for (let n = 0; n < 10_000; n++) {
          previousDelayMillis = Retry.delay(options, { attempt: 2000, previousDelayMillis, random: yield* Random.next })
          assert.isAtMost(previousDelayMillis, 60_000)
          const value = Math.round(previousDelayMillis)
          held.set(value, (held.get(value) ?? 0) + 1)
        }
        assert.isAtMost(Math.max(...held.values()), 100)
      }).pipe(Random.withSeed("delays"))
    )
  }
})

describe("Retry", () => {
  for (const strategy of Backoff.Strategy.literals) {
    it.effect(`C09 the schedule of the ${strategy} strategy has the delays of its formula`, () =>
      Effect.gen(function* () {
        const options = decode({ strategy, maxAttempts: 7 })
        const step = yield* Schedule.toStep(Retry.schedule(options))
        const delays: Array<number> = []
        for (
          let result = yield* Effect.result(step(0, undefined));
          Result.isSuccess(result);
          result = yield* Effect.result(step(0, undefined))
        ) {
          delays.push(Duration.toMillis(result.success[1]))
          assert.deepStrictEqual(result.success[0], result.success[1])
        }
        const expected = yield* Effect.gen(function* () {
          const list: Array<number> = []
          for (let attempt = 1; attempt < 7; attempt++) {
            list.push(Retry.delay(options, { attempt, previousDelayMillis: list[list.length - 1], random: yield* Random.next }))
          }
          return list
        }).pipe(Random.withSeed("schedule"))
        assert.strictEqual(delays.length, 6)
        // A Duration keeps whole nanoseconds.
        for (const [index, millis] of expected.entries()) assert.closeTo(delays[index]!, millis, 1e-6)
      }).pipe(Random.withSeed("schedule"))
    )
  }

  const Situation = Schema.Struct({
    attempts: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 6 })),
    retryable: Schema.Boolean,
    hintMillis: Schema.UndefinedOr(Schema.Int.check(Schema.isBetween({ minimum: -10, maximum: 200_000 }))),
    deadlineAt: Schema.UndefinedOr(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 200_000 }))),
    budgetWaitMillis: Schema.Union([Schema.Undefined, Schema.Null, Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 200_000 }))]),
    random: Unit
  })

  it.effect.prop("C12 C13 C14 every decision obeys class, attempts, hint, deadline and budget", [Situation], ([situation]) =>
    Effect.sync(() => {
      const now = 50_000
      const decision = Retry.decide(Retry.defaults, { ...situation, now, previousDelayMillis: undefined })
      const { attempts, budgetWaitMillis, deadlineAt, hintMillis, retryable } = situation
      if (decision._tag === "GiveUp") {
        switch (decision.code) {
          case "NotRetryable":
            return assert.isFalse(retryable)
          case "AttemptsExhausted":
            return assert.isAtLeast(attempts, 4)
          case "HintPastDeadline":
            return assert.isAtLeast(now + hintMillis!, deadlineAt!)
          case "DeadlineReached":
            return assert.isAtLeast(now + 3000, deadlineAt!)
        }
      }
      assert.isTrue(retryable)
      assert.isBelow(attempts, 4)
      assert.strictEqual(decision.notBefore, now + decision.delayMillis)
      assert.isAtLeast(decision.delayMillis, hintMillis ?? 0)
      assert.strictEqual(decision._tag, budgetWaitMillis === undefined || budgetWaitMillis === 0 ? "Retry" : "Park")
      if (decision._tag === "Park") assert.isAtLeast(decision.delayMillis, budgetWaitMillis ?? 60_000)
      else assert.isTrue(deadlineAt === undefined || decision.notBefore < deadlineAt)
    })
  )

  it("C13 a hint past the deadline ends the call at once, saying so", () => {
    const decision = Retry.decide(Retry.defaults, {
      attempts: 1,
      previousDelayMillis: undefined,
      retryable: true,
      hintMillis: 60_000,
      now: 0,
      deadlineAt: 60_000,
      random: 0.5
    })
    assert.deepStrictEqual(decision, {
      _tag: "GiveUp",
      code: "HintPastDeadline",
      reason: "the next attempt may be made in 1m, and the deadline is in 1m"
    })
  })

  it.effect("C16 the final error holds every attempt with class, time and original cause", () =>
    Effect.gen(function* () {
      const retry = yield* retryOf({ ...steady, maxAttempts: 3 })
      const errors = [new Error("one"), new Error("two"), new Error("three")]
      let n = 0
      const call = Effect.suspend(() => Effect.andThen(Effect.sleep("2 seconds"), Effect.fail(errors[n++]!)))
      const classify = (error: Error): Retry.Verdict => ({ retryable: true, class: `Class:${error.message}` })
      const error = exhaustedOf(yield* settled(retry.run({ key: "a", classify })(call)))
      assert.instanceOf(error, Retry.RetriesExhausted)
      assert.deepStrictEqual(
        error.attempts.map((attempt) => [attempt.at, attempt.durationMillis, attempt.class]),
        [
          [0, 2000, "Class:one"],
          [3000, 2000, "Class:two"],
          [6000, 2000, "Class:three"]
        ]
      )
      assert.isTrue(error.attempts.every((attempt, index) => attempt.error === errors[index]))
      assert.strictEqual(error.cause, errors[2])
      assert.strictEqual(error.code, "AttemptsExhausted")
      assert.strictEqual(error.message, `"a" failed: 3 of 3 attempts failed; last Class:three`)
      assert.deepStrictEqual(retry.metrics(), { calls: 1, attempts: 3, retries: 2, exhausted: 1, budgetRefusals: 0 })
      const json = Schema.fromJsonString(Retry.RetriesExhausted)
      const back = yield* Effect.flatMap(Schema.encodeEffect(json)(error), Schema.decodeEffect(json))
      assert.strictEqual(back.message, error.message)
    })
  )

  it.effect("C12 an unknown failure is not retried by default, and a success after failures is one", () =>
    Effect.gen(function* () {
      const retry = yield* retryOf(steady)
      assert.strictEqual(exhaustedOf(yield* settled(retry.run({ key: "a" })(Effect.fail("x")))).code, "NotRetryable")
      let n = 0
      const flaky = Effect.suspend(() => (++n < 3 ? Effect.fail("x") : Effect.succeed(n)))
      assert.deepStrictEqual(yield* settled(retry.run({ key: "a", classify: () => always })(flaky)), Exit.succeed(3))
    })
  )

  it.effect("C12 interruptions and defects are not retried and pass as they are", () =>
    Effect.gen(function* () {
      const retry = yield* retryOf(steady)
      const boom = new Error("boom")
      assert.deepStrictEqual(yield* settled(retry.run({ key: "a", classify: () => always })(Effect.die(boom))), Exit.die(boom))
      const exit = yield* settled(retry.run({ key: "a", classify: () => always })(Effect.interrupt))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      const waiting = yield* Effect.forkChild(retry.run({ key: "a", classify: () => always })(Effect.fail("x")), { startImmediately: true })
      yield* Fiber.interrupt(waiting)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(retry.metrics().attempts, 3)
    })
  )

  it.effect("C11 an attempt ends at its limit, and the whole call at its own", () =>
    Effect.gen(function* () {
      const retry = yield* retryOf({ ...steady, maxAttempts: 10 })
      const ended: Array<number> = []
      const call = Effect.onInterrupt(Effect.never, () => Effect.map(Clock.currentTimeMillis, (at) => void ended.push(at)))
      const error = exhaustedOf(yield* settled(retry.run({ key: "a", attemptLimit: "10 seconds", totalLimit: "25 seconds" })(call)))
      assert.deepStrictEqual(ended, [10_000, 21_000, 25_000])
      assert.strictEqual(error.code, "DeadlineReached")
      assert.deepStrictEqual(
        error.attempts.map((attempt) => attempt.class),
        ["AttemptTimedOut", "AttemptTimedOut", "AttemptTimedOut"]
      )
    })
  )

  it.effect("C13 the next attempt is never earlier than the hint", () =>
    Effect.gen(function* () {
      const retry = yield* retryOf(steady)
      const at: Array<number> = []
      const call = Effect.andThen(
        Effect.map(Clock.currentTimeMillis, (now) => void at.push(now)),
        Effect.fail("limited")
      )
      const policy = { key: "a", classify: () => ({ retryable: true, hint: "5 minutes" as const }), totalLimit: "12 minutes" as const }
      const error = exhaustedOf(yield* settled(retry.run(policy)(call)))
      assert.deepStrictEqual(at, [0, 300_000, 600_000])
      assert.strictEqual(error.code, "HintPastDeadline")
    })
  )

  it.effect("C14 under a total outage retries are bounded to a share of the calls, for all users of an account together", () =>
    Effect.gen(function* () {
      const retry = yield* retryOf({ ...steady, maxAttempts: 100, budget: { ratio: 0.2, minimum: 3, window: "1 minute" } })
      let attempts = 0
      const call = Effect.suspend(() => {
        attempts++
        return Effect.fail("down")
      })
      const run = retry.run({ key: "account", classify: () => always })(call)
      const fibers = yield* Effect.forEach(Array.from({ length: 200 }), () => Effect.forkChild(run, { startImmediately: true }))
      yield* TestClock.adjust("10 minutes")
      const retries = attempts - 200
      assert.isAtMost(retries, 0.2 * 200 + 3 * 11)
      assert.isAtLeast(retries, 40 + 3 * 9)
      assert.strictEqual(retry.metrics().retries, retries)
      assert.isAbove(retry.metrics().budgetRefusals, 0)
      // Spent, it parks; it ends nothing.
      assert.strictEqual(retry.metrics().exhausted, 0)
      assert.isTrue(retry.budget.tryWithdraw("another account"))
      yield* Effect.forEach(fibers, Fiber.interrupt)
    })
  )

  it.effect("C14 a spent budget ends nothing but lets the total limit end the call", () =>
    Effect.gen(function* () {
      const retry = yield* retryOf({ ...steady, budget: { ratio: 0.1, minimum: 0 } })
      const error = exhaustedOf(yield* settled(retry.run({ key: "a", classify: () => always, totalLimit: "30 seconds" })(Effect.fail("x"))))
      assert.deepStrictEqual([error.code, error.attempts.length], ["DeadlineReached", 1])
      assert.include(error.message, "budget")
    })
  )

  it.effect("C15 an open circuit is not hammered by retries, and refusals use up no attempts", () =>
    Effect.gen(function* () {
      const retry = yield* retryOf({ ...steady, maxAttempts: 3, budget: { minimum: 100 } })
      const breaker = yield* CircuitBreaker.make(Schema.decodeSync(CircuitBreaker.Options)({ consecutiveFailures: 1, openTimeFactor: 1 }))
      const at: Array<number> = []
      const call = breaker.run("a")(
        Effect.andThen(
          Effect.map(Clock.currentTimeMillis, (now) => void at.push(now)),
          Effect.fail("down" as const)
        )
      )
      const error = exhaustedOf(yield* settled(retry.run({ key: "a", classify: () => always })(call)))
      assert.deepStrictEqual(at, [0, 30_000, 60_000])
      assert.deepStrictEqual([error.code, error.attempts.length], ["AttemptsExhausted", 3])
      const { counts } = breaker.status("a")
      assert.deepStrictEqual([counts.failed, counts.rejected], [3, 2])
      assert.deepStrictEqual(retry.metrics(), { calls: 1, attempts: 3, retries: 2, exhausted: 1, budgetRefusals: 0 })
    })
  )

  it.effect("C15 a refusal that names no time is asked again with growing delays, until the total limit", () =>
    Effect.gen(function* () {
      const retry = yield* retryOf({ strategy: "exponential", jitter: "none", maxDelay: "1 minute" })
      const breaker = yield* CircuitBreaker.make()
      breaker.isolate("a", "maintenance")
      const exit = yield* settled(retry.run({ key: "a", classify: () => always, totalLimit: "10 minutes" })(breaker.run("a")(Effect.void)))
      const error = exhaustedOf(exit)
      assert.instanceOf(error.cause, CircuitBreaker.CircuitOpen)
      assert.deepStrictEqual([error.code, error.attempts.length], ["HintPastDeadline", 0])
      assert.isAtMost(breaker.status("a").counts.rejected, 16)
    })
  )

  it.effect("C60 options that make no sense are refused with their path", () =>
    Effect.gen(function* () {
      const refused: ReadonlyArray<readonly [options: unknown, path: string]> = [
        [{ baseDelay: "2 minutes" }, `["maxDelay"]`],
        [{ baseDelay: "0 seconds" }, `["baseDelay"]`],
        [{ maxAttempts: 0 }, `["maxAttempts"]`],
        [{ strategy: "cubic" }, `["strategy"]`],
        [{ factor: 0.5 }, `["factor"]`],
        [{ budget: { ratio: 2 } }, `["budget"]["ratio"]`],
        [{ budget: { cap: 5 } }, `["budget"]["cap"]`],
        [{ budget: { ratio: 0, minimum: 0 } }, `["budget"]["minimum"]`]
      ]
      for (const [options, path] of refused) {
        assert.include((yield* Effect.flip(Schema.decodeUnknownEffect(Retry.Options)(options))).message, path)
      }
      assert.deepStrictEqual(decode({}), Retry.defaults)
    })
  )
})
