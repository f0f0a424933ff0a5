import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Exit, Fiber, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as CooldownGate from "../../src/reliability/CooldownGate.ts"
import * as TimerWheel from "../../src/reliability/TimerWheel.ts"

const provide = Effect.provide([CooldownGate.layer(), TimerWheel.layer])
const seconds = (count: number) => TestClock.adjust(Duration.seconds(count))

const gated = Effect.gen(function* () {
  const gate = yield* CooldownGate.CooldownGate
  const changes: Array<CooldownGate.Change> = []
  gate.onChange((change) => changes.push(change))
  const enter = (account = "a") => {
    const permit = gate.tryAcquire(account)
    assert(permit._tag === "GatePermit", `refused: ${permit._tag === "GateClosed" ? permit.message : ""}`)
    return permit
  }
  const refused = (account = "a") => {
    const refusal = gate.tryAcquire(account)
    assert(refusal._tag === "GateClosed", "was admitted")
    return refusal
  }
  /** How many more it lets in now. */
  const room = (account = "a") => {
    const permits: Array<CooldownGate.Permit> = []
    for (let permit = gate.tryAcquire(account); permit._tag === "GatePermit" && permits.length < 100; permit = gate.tryAcquire(account))
      permits.push(permit)
    for (const permit of permits) gate.release(permit)
    return permits.length
  }
  return { gate, changes, enter, refused, room }
})

describe("CooldownGate", () => {
  it.effect("C24 one 429 parks every attempt of the account until the reset time, and of no other account", () =>
    Effect.gen(function* () {
      const { gate, changes, enter, refused } = yield* gated
      const permits = Array.from({ length: 8 }, () => enter())
      gate.close("a", { cause: "RateLimited", retryAfterMillis: 60_000, permit: permits[0] })
      for (const permit of permits.slice(1)) gate.close("a", { cause: "RateLimited", retryAfterMillis: 60_000, permit })
      assert.deepEqual(changes, [{ _tag: "Closed", account: "a", until: 61_000, cause: "RateLimited" }])
      const refusal = refused()
      assert.strictEqual(Duration.toMillis(refusal.retryAfter), 61_000)
      assert.strictEqual(refusal.notBefore, 61_000)
      assert.isUndefined(refusal.stack)
      assert.match(refusal.message, /"a" is cooling down after RateLimited; next try in 1m 1s/)
      enter("b")
      yield* seconds(60)
      refused()
      assert.deepInclude(gate.status("a"), { state: "closed", until: 61_000 })
      yield* seconds(1)
      assert.deepEqual(changes[1], { _tag: "Reopened", account: "a" })
      enter()
      assert.strictEqual(refused().state, "ramp")
      assert.strictEqual(changes.length, 2)
    }).pipe(provide)
  )

  it.effect("C24 a later hint extends the closing without another notice; an earlier one, and one without a time, do nothing", () =>
    Effect.gen(function* () {
      const { gate, changes, enter, refused } = yield* gated
      const updates: Array<string> = []
      gate.onUpdate((account) => updates.push(account))
      const [first, second, third] = [enter(), enter(), enter()]
      gate.close("a", { cause: "RateLimited", retryAfterMillis: 10_000, permit: first })
      gate.close("a", { cause: "RateLimited", untilUnix: 100_000, permit: second })
      gate.close("a", { cause: "RateLimited", untilUnix: 50_000 })
      gate.close("a", { cause: "RateLimited", permit: third })
      assert.strictEqual(refused().notBefore, 101_000)
      assert.strictEqual(changes.length, 1)
      assert.strictEqual(updates.length, 2)
      assert.deepEqual(gate.dump("a"), { until: 101_000, cause: "RateLimited", level: 0 })
    }).pipe(provide)
  )

  it.effect("C24 without a hint each closing in a row lasts twice as long, up to a cap; a success of a later attempt resets it", () =>
    Effect.gen(function* () {
      const { gate, enter, refused } = yield* gated
      const lengths: Array<number> = []
      const closeAndWait = Effect.gen(function* () {
        gate.close("a", { cause: "RateLimited", permit: enter() })
        const length = Duration.toSeconds(refused().retryAfter)
        lengths.push(length)
        yield* seconds(length)
      })
      for (let i = 0; i < 8; i++) yield* closeAndWait
      assert.deepEqual(lengths, [30, 60, 120, 240, 480, 960, 1800, 1800])
      gate.report(enter(), "success")
      yield* closeAndWait
      assert.strictEqual(lengths[8], 30)
      assert.strictEqual(gate.status("a").level, 1)
    }).pipe(provide)
  )

  it.effect("C24 outcomes of attempts admitted before it closed neither escalate nor reopen it", () =>
    Effect.gen(function* () {
      const { gate, enter, refused } = yield* gated
      const old = Array.from({ length: 5 }, () => enter())
      gate.close("a", { cause: "RateLimited", permit: enter() })
      gate.report(old[0] as CooldownGate.Permit, "success")
      assert.strictEqual(refused().notBefore, 30_000)
      yield* seconds(30)
      gate.close("a", { cause: "RateLimited", permit: old[1] })
      gate.report(old[2] as CooldownGate.Permit, "success")
      assert.deepInclude(gate.status("a"), { state: "ramp", width: 1, inFlight: 0, level: 1 })
      gate.close("a", { cause: "RateLimited", retryAfterMillis: 9000, permit: old[3] })
      assert.deepInclude(gate.status("a"), { state: "closed", level: 1, until: 40_000 })
    }).pipe(provide)
  )

  it.effect("C24 lets attempts back in at a ramp: by time, by successes, and closes again at a new 429", () =>
    Effect.gen(function* () {
      const { gate, changes, enter, room } = yield* gated
      gate.close("a", { cause: "RateLimited", retryAfterMillis: 9000 })
      yield* seconds(10)
      assert.strictEqual(room(), 1)
      assert.strictEqual(gate.nextChangeAt("a"), 15_000)
      yield* seconds(5)
      assert.strictEqual(room(), 2)
      const [first, second] = [enter(), enter()]
      assert.strictEqual(room(), 0)
      gate.report(first, "success")
      gate.report(first, "success")
      assert.strictEqual(room(), 3)
      gate.report(second, "other")
      assert.strictEqual(room(), 4)
      gate.close("a", { cause: "RateLimited", retryAfterMillis: 9000, permit: enter() })
      assert.strictEqual(room(), 0)
      yield* seconds(10)
      assert.strictEqual(room(), 1)
      yield* seconds(20)
      assert.strictEqual(room(), 100)
      assert.isUndefined(gate.dump("a"))
      assert.deepEqual(
        changes.map((change) => change._tag),
        ["Closed", "Reopened", "Closed", "Reopened"]
      )
    }).pipe(provide)
  )

  it.effect("C24 a misread time closes it for a day at most, and a time that has passed is no hint", () =>
    Effect.gen(function* () {
      const { gate, refused } = yield* gated
      gate.close("a", { cause: "QuotaExhausted", untilUnix: 1e15 })
      assert.strictEqual(Duration.toHours(refused().retryAfter), 24)
      yield* TestClock.adjust("2 hours")
      gate.close("b", { cause: "QuotaExhausted", untilUnix: 1000 })
      assert.strictEqual(Duration.toSeconds(refused("b").retryAfter), 30)
    }).pipe(provide)
  )

  it.effect("C24 steps of the clock neither open nor close it; after a sleep of the machine the wall clock rules, if it is earlier", () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      let step = 0
      const stepping: Clock.Clock = Object.assign(Object.create(clock), {
        currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + step
      })
      yield* Effect.gen(function* () {
        const { gate, enter, refused } = yield* gated
        gate.close("a", { cause: "RateLimited", untilUnix: 999_000 })
        step = 3_600_000
        assert.strictEqual(refused().notBefore, 1_000_000)
        step = -3_600_000
        gate.resync()
        assert.strictEqual(refused().notBefore, 1_000_000)
        yield* seconds(500)
        refused()
        step = 500_000
        gate.resync()
        enter()
      }).pipe(Effect.provide(Layer.fresh(CooldownGate.layer())), Effect.provideService(Clock.Clock, stepping))
    })
  )

  it.effect("C54 comes back after a restart as it was, its wait clamped", () =>
    Effect.gen(function* () {
      const { gate, refused, room, changes } = yield* gated
      yield* TestClock.setTime(1e9)
      gate.restore("a", { until: 1e9 + 60_000, cause: "RateLimited", level: 2 })
      gate.restore("b", { until: 1e15, cause: "RateLimited", level: 0 })
      gate.restore("c", { until: 1e9 - 5000, cause: "RateLimited", level: 1 })
      gate.restore("d", { until: 1, cause: "RateLimited", level: 1 })
      gate.restore("a", { until: 1e9 + 30_000, cause: "RateLimited", level: 2 })
      assert.strictEqual(Duration.toSeconds(refused("a").retryAfter), 60)
      assert.deepEqual(gate.dump("a"), { until: 1e9 + 60_000, cause: "RateLimited", level: 2 })
      assert.strictEqual(Duration.toHours(refused("b").retryAfter), 24)
      assert.strictEqual(room("c"), 1)
      assert.isUndefined(gate.dump("d"))
      assert.deepEqual(
        changes.map((change) => `${change._tag} ${change.account}`),
        ["Closed a", "Closed b", "Reopened c"]
      )
      assert.deepEqual(Schema.decodeUnknownSync(CooldownGate.Persisted)(JSON.parse(JSON.stringify(gate.dump("a")))), gate.dump("a"))
    }).pipe(provide)
  )

  it.effect("C24 10,000 accounts that never hit a limit, or recovered, leave no state and no timer", () =>
    Effect.gen(function* () {
      const { gate, enter } = yield* gated
      const wheel = yield* TimerWheel.TimerWheel
      for (let i = 0; i < 10_000; i++) gate.report(enter(`account-${i}`), "success")
      for (let i = 0; i < 100; i++) gate.close(`account-${i}`, { cause: "RateLimited" })
      assert.strictEqual(gate.statuses().length, 100)
      yield* TestClock.adjust("2 hours")
      assert.strictEqual(gate.statuses().length, 0)
      for (let i = 0; i < 100; i++) assert.isUndefined(gate.dump(`account-${i}`))
      assert.strictEqual(wheel.size(), 0)
    }).pipe(provide)
  )

  it.effect(
    "C24 run refuses before the call, reports successes, closes at what it is told is a rate limit, and is not touched by interruption",
    () =>
      Effect.gen(function* () {
        const { gate, room } = yield* gated
        const limited = (error: "429" | "own") => (error === "429" ? { cause: "RateLimited", retryAfterMillis: 9000 } : undefined)
        assert.strictEqual(yield* Effect.flip(gate.run("a", limited)(Effect.fail("own" as const))), "own")
        assert.strictEqual(room(), 100)
        assert.strictEqual(yield* Effect.flip(gate.run("a", limited)(Effect.fail("429" as const))), "429")
        const exit = yield* Effect.exit(gate.run("a")(Effect.sync(() => assert.fail("started"))))
        assert.isTrue(Exit.isFailure(exit))
        yield* seconds(10)
        const fiber = yield* Effect.forkChild(gate.run("a")(Effect.never), { startImmediately: true })
        assert.strictEqual(room(), 0)
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(room(), 1)
        yield* gate.run("a")(Effect.void)
        assert.strictEqual(room(), 2)
        gate.open("a")
        assert.strictEqual(room(), 100)
      }).pipe(provide)
  )

  it("C58 options are checked against each other", () => {
    const decode = Schema.decodeUnknownSync(CooldownGate.Options)
    assert.throws(() => decode({ baseClosed: "1 hour" }), /maxEscalation/)
    assert.throws(() => decode({ maxClosed: "1 minute" }), /maxClosed/)
    assert.throws(() => decode({ rampStart: 20 }), /rampFull/)
    assert.strictEqual(CooldownGate.defaults.rampFull, 16)
  })
})
