import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Context, Deferred, Duration, Effect, Exit, Fiber, Schema, Stream } from "effect"
import * as Persistence from "effect/persistence/CircuitBreaker"
import { TestClock } from "effect/testing"
import * as CircuitBreaker from "../../src/reliability/CircuitBreaker.ts"
import { BreakerModel } from "./breakerModel.ts"

type Service = CircuitBreaker.CircuitBreaker["Service"]
type Encoded = typeof CircuitBreaker.Options.Encoded

const decode = Schema.decodeSync(CircuitBreaker.Options)

/** A breaker on the test's clock. */
const breakerOf = (options: Encoded = {}) => CircuitBreaker.make(decode(options))

const permitOf = (answer: CircuitBreaker.Permit | CircuitBreaker.CircuitOpen): CircuitBreaker.Permit => {
  if (answer._tag === "CircuitOpen") return assert.fail(answer.message)
  return answer
}

const refusalOf = (answer: CircuitBreaker.Permit | CircuitBreaker.CircuitOpen): CircuitBreaker.CircuitOpen => {
  if (answer._tag === "Permit") return assert.fail("admitted")
  return answer
}

/** One call with this outcome. */
const call = (breaker: Service, outcome: CircuitBreaker.Outcome, key = "a") => breaker.record(permitOf(breaker.tryAcquire(key)), outcome)

const trip = (breaker: Service, key = "a") => {
  for (let n = 0; n < 5; n++) call(breaker, "failure", key)
}

/** Everything it announced. */
const recorded = (breaker: Service): Array<string> => {
  const seen: Array<string> = []
  breaker.onChange((change) => void seen.push(`${change.from} > ${change.to}`))
  return seen
}

/** A clock that stands where a test puts it; the wall clock is ahead of the monotonic one. */
const clockAt = (time: { now: number }): Clock.Clock => ({
  ...Context.get(Context.empty(), Clock.Clock),
  currentTimeMillisUnsafe: () => time.now + 1_000_000,
  monotonicTimeNanosUnsafe: () => BigInt(time.now) * 1_000_000n
})

const Outcome = Schema.Literals(["success", "failure", "failure", "ignored"])
const Call = Schema.Struct({
  op: Schema.Literal("call"),
  outcome: Outcome,
  millis: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 25 }))
})
const End = Schema.Struct({
  op: Schema.Literal("end"),
  index: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5 })),
  outcome: Outcome
})

/** What can happen to a breaker; what stands twice happens twice as often. */
const Operation = Schema.Union([
  Call,
  Call,
  Call,
  Call,
  Schema.Struct({ op: Schema.Literals(["start"]) }),
  Schema.Struct({ op: Schema.Literals(["start"]) }),
  End,
  End,
  Schema.Struct({ op: Schema.Literal("wait"), millis: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 60 })) }),
  Schema.Struct({ op: Schema.Literals(["isolate", "release", "reset", "dump", "dump", "release"]) }),
  Schema.Struct({ op: Schema.Literal("check"), healthy: Schema.Boolean })
])
type Operation = typeof Operation.Type

/** Does the same to breaker and model, and compares all that can be seen after each step. */
const agrees = (options: CircuitBreaker.Options, operations: ReadonlyArray<Operation>) =>
  Effect.gen(function* () {
    const time = { now: 0 }
    const breaker = yield* Effect.provideService(CircuitBreaker.make(options), Clock.Clock, clockAt(time))
    const model = new BreakerModel(options)
    const transitions: Array<string> = []
    breaker.onChange((change) => void transitions.push(`${change.from} > ${change.to} at ${change.at - 1_000_000}`))
    let running: Array<readonly [CircuitBreaker.Permit, BreakerModel["calls"][number]]> = []
    for (const operation of operations) {
      switch (operation.op) {
        case "start": {
          const answer = breaker.tryAcquire("a")
          const expected = model.start()
          assert.strictEqual(answer._tag, expected === undefined ? "CircuitOpen" : "Permit")
          if (answer._tag === "CircuitOpen") {
            assert.strictEqual(answer.notBefore, model.state === "open" ? model.until : undefined)
            break
          }
          assert.strictEqual(answer.probe, expected!.probe)
          running.push([answer, expected!])
          break
        }
        case "call": {
          const answer = breaker.tryAcquire("a")
          const expected = model.start()
          time.now += operation.millis
          model.wait(operation.millis)
          if (answer._tag === "Permit") breaker.record(answer, operation.outcome)
          if (expected !== undefined) model.end(expected, operation.outcome)
          break
        }
        case "end": {
          const pair = running[operation.index % Math.max(1, running.length)]
          if (pair === undefined) break
          breaker.record(pair[0], operation.outcome)
          model.end(pair[1], operation.outcome)
          // Whoever answers twice changes nothing.
          breaker.record(pair[0], "failure")
          running = running.filter((each) => each !== pair)
          break
        }
        case "wait":
          time.now += operation.millis
          model.wait(operation.millis)
          break
        case "isolate":
          breaker.isolate("a", "by hand")
          model.isolate()
          break
        case "release":
          breaker.release("a")
          model.release()
          break
        case "reset":
          breaker.reset("a")
          model.reset()
          break
        case "check":
          yield* breaker.probe("a", Effect.succeed(operation.healthy))
          model.check(operation.healthy)
          break
        case "dump": {
          // What is restored behaves as what was dumped, as far as no call is running.
          const dump = breaker.dump("a")
          if (dump === undefined || model.inFlight > 0) break
          breaker.restore("a", Schema.decodeUnknownSync(CircuitBreaker.Persisted)(JSON.parse(JSON.stringify(dump))))
          break
        }
      }
      const status = breaker.status("a")
      const { calls, ...counts } = status.counts
      assert.deepStrictEqual(counts, model.counts)
      assert.strictEqual(calls, counts.succeeded + counts.failed + counts.ignored + counts.rejected)
      assert.deepStrictEqual(
        { state: status.state, failures: status.failures, openings: status.openings, inFlight: status.inFlight },
        { state: model.state, failures: model.failures, openings: model.openings, inFlight: model.inFlight }
      )
      assert.strictEqual(status.retryAt, model.state === "open" ? model.until + 1_000_000 : undefined)
      assert.isAtMost(model.running, Math.max(options.probes, 0))
      assert.deepStrictEqual(transitions, model.transitions)
    }
  })

const base: Encoded = { openTime: "20 millis", maxOpenTime: "90 millis", probeTimeLimit: "50 millis" }
const rules: ReadonlyArray<readonly [name: string, options: Encoded]> = [
  ["failures in a row", { ...base, consecutiveFailures: 2 }],
  ["several probes and successes", { ...base, consecutiveFailures: 1, probes: 3, probeSuccesses: 2 }],
  ["a count window", { ...base, consecutiveFailures: 0, countWindow: { size: 4, failureRate: 0.5, minimumCalls: 3 } }],
  ["a time window", { ...base, consecutiveFailures: 0, timeWindow: { duration: "100 millis", failureRate: 0.6, minimumCalls: 3 } }],
  [
    "slow calls",
    {
      ...base,
      consecutiveFailures: 0,
      slowCalls: { duration: "10 millis", rate: 0.7 },
      countWindow: { size: 5, failureRate: 1, minimumCalls: 2 },
      timeWindow: { duration: "80 millis", failureRate: 1, minimumCalls: 2 }
    }
  ],
  [
    "every rule at once",
    {
      ...base,
      consecutiveFailures: 3,
      probes: 2,
      probeSuccesses: 2,
      openTimeFactor: 3,
      slowCalls: { duration: "20 millis", rate: 0.5 },
      countWindow: { size: 6, failureRate: 0.5, minimumCalls: 4 },
      timeWindow: { duration: "70 millis", failureRate: 0.5, minimumCalls: 3 }
    }
  ]
]

describe("CircuitBreaker", () => {
  for (const [name, options] of rules) {
    it.effect.prop(
      `C01 C02 C05 any sequence of calls, outcomes and clock moves gives the states of the naive model: ${name}`,
      [Schema.Array(Operation).check(Schema.isMinLength(20), Schema.isMaxLength(120))],
      ([operations]) => agrees(decode(options), operations),
      { arbitrary: { runs: 150 } }
    )
  }

  it.effect("C02 a time window forgets exactly what is older than it", () =>
    Effect.gen(function* () {
      const breaker = yield* breakerOf({ consecutiveFailures: 0, timeWindow: { duration: "10 seconds", failureRate: 1, minimumCalls: 2 } })
      call(breaker, "failure")
      yield* TestClock.adjust("10 seconds")
      call(breaker, "failure")
      assert.strictEqual(breaker.status("a").state, "closed")
      yield* TestClock.adjust("9999 millis")
      call(breaker, "failure")
      assert.strictEqual(breaker.status("a").state, "open")
    })
  )

  it.effect("C03 with N concurrent calls in half-open at most k probes run, and closing needs s successes", () =>
    Effect.gen(function* () {
      const breaker = yield* breakerOf({ probes: 3, probeSuccesses: 3 })
      trip(breaker)
      yield* TestClock.adjust("30 seconds")
      const gate = yield* Deferred.make<void>()
      let running = 0
      const fibers = yield* Effect.forEach(Array.from({ length: 50 }), () =>
        Effect.forkChild(
          Effect.exit(
            breaker.run("a")(
              Effect.suspend(() => {
                running++
                return Deferred.await(gate)
              })
            )
          ),
          { startImmediately: true }
        )
      )
      assert.strictEqual(running, 3)
      assert.strictEqual(breaker.status("a").state, "half-open")
      assert.strictEqual(breaker.status("a").counts.rejected, 47)
      yield* Deferred.succeed(gate, undefined)
      const exits = yield* Effect.forEach(fibers, Fiber.join)
      assert.strictEqual(exits.filter(Exit.isSuccess).length, 3)
      assert.strictEqual(breaker.status("a").state, "closed")
    })
  )

  it.effect("C03 probes of an earlier half-open time keep their slots while they run", () =>
    Effect.gen(function* () {
      const breaker = yield* breakerOf({ probes: 2 })
      trip(breaker)
      yield* TestClock.adjust("30 seconds")
      const [first, second] = [permitOf(breaker.tryAcquire("a")), permitOf(breaker.tryAcquire("a"))]
      breaker.record(first, "failure")
      yield* TestClock.adjust("60 seconds")
      const third = permitOf(breaker.tryAcquire("a"))
      assert.strictEqual(refusalOf(breaker.tryAcquire("a")).notBefore, undefined)
      breaker.record(second, "success")
      assert.strictEqual(breaker.status("a").state, "half-open")
      permitOf(breaker.tryAcquire("a"))
      breaker.record(third, "success")
      assert.strictEqual(breaker.status("a").state, "closed")
    })
  )

  it.effect("C03 a hung probe counts as failed at its time limit and frees its slot", () =>
    Effect.gen(function* () {
      const breaker = yield* breakerOf()
      trip(breaker)
      yield* TestClock.adjust("30 seconds")
      const hung = permitOf(breaker.tryAcquire("a"))
      assert.strictEqual(breaker.nextChangeAt("a"), 150_000)
      yield* TestClock.adjust("2 minutes")
      const status = breaker.status("a")
      assert.deepStrictEqual([status.state, status.openings, status.counts.failed, status.inFlight], ["open", 2, 6, 0])
      assert.strictEqual(breaker.nextChangeAt("a"), 210_000)
      breaker.record(hung, "success")
      assert.deepStrictEqual(breaker.status("a"), status)
      yield* TestClock.adjust("60 seconds")
      permitOf(breaker.tryAcquire("a"))
    })
  )

  it.effect("C03 an interrupted probe frees its slot and decides nothing", () =>
    Effect.gen(function* () {
      const breaker = yield* breakerOf()
      trip(breaker)
      yield* TestClock.adjust("30 seconds")
      const fiber = yield* Effect.forkChild(breaker.run("a")(Effect.never), { startImmediately: true })
      assert.strictEqual(refusalOf(breaker.tryAcquire("a")).state, "half-open")
      yield* Fiber.interrupt(fiber)
      const status = breaker.status("a")
      assert.deepStrictEqual([status.state, status.inFlight, status.counts.ignored], ["half-open", 0, 1])
      assert.isTrue(permitOf(breaker.tryAcquire("a")).probe)
    })
  )

  it.effect("C03 the first real progress of a probe may close the circuit before its end", () =>
    Effect.gen(function* () {
      const breaker = yield* breakerOf()
      trip(breaker)
      yield* TestClock.adjust("30 seconds")
      const permit = permitOf(breaker.tryAcquire("a"))
      breaker.record(permit, "success")
      breaker.record(permit, "failure")
      breaker.cancel(permit)
      const status = breaker.status("a")
      assert.deepStrictEqual([status.state, status.failures, status.counts.calls], ["closed", 0, 6])
    })
  )

  it.effect("C04 interruptions, refusals and what the classification ignores never count as failures", () =>
    Effect.gen(function* () {
      const breaker = yield* breakerOf({ consecutiveFailures: 1 })
      const inner = yield* breakerOf()
      inner.isolate("b", "test")
      yield* Effect.exit(breaker.run("a")(Effect.interrupt))
      yield* Effect.exit(breaker.run("a")(inner.run("b")(Effect.void)))
      yield* Effect.exit(breaker.run("a", { classify: () => "ignored" })(Effect.fail("invalid request")))
      yield* Effect.exit(
        breaker.run("a", {
          classify: () => {
            throw new Error("a bug")
          }
        })(Effect.fail("x"))
      )
      const status = breaker.status("a")
      assert.deepStrictEqual([status.state, status.counts.ignored, status.inFlight], ["closed", 4, 0])
      yield* Effect.exit(breaker.run("a")(Effect.die("boom")))
      assert.strictEqual(breaker.status("a").state, "open")
    })
  )

  it.effect("C04 a classification sees the exit and decides", () =>
    Effect.gen(function* () {
      const breaker = yield* breakerOf({ consecutiveFailures: 1 })
      const classify = (exit: Exit.Exit<number, string>): CircuitBreaker.Outcome =>
        Exit.isSuccess(exit) && exit.value === 500 ? "failure" : "success"
      assert.strictEqual(yield* breaker.run("a", { classify })(Effect.succeed(200)), 200)
      assert.strictEqual(yield* breaker.run("a", { classify })(Effect.succeed(500)), 500)
      assert.strictEqual(breaker.status("a").state, "open")
    })
  )

  it.effect("C04 a call admitted before a trip changes nothing after it", () =>
    Effect.gen(function* () {
      const breaker = yield* breakerOf()
      const late = [permitOf(breaker.tryAcquire("a")), permitOf(breaker.tryAcquire("a")), permitOf(breaker.tryAcquire("a"))]
      trip(breaker)
      breaker.record(late[0]!, "failure")
      assert.deepStrictEqual([breaker.status("a").failures, breaker.status("a").openings], [5, 1])
      yield* TestClock.adjust("30 seconds")
      breaker.record(late[1]!, "success")
      assert.strictEqual(breaker.status("a").state, "half-open")
      call(breaker, "success")
      breaker.record(late[2]!, "failure")
      const status = breaker.status("a")
      assert.deepStrictEqual([status.state, status.failures, status.counts.calls], ["closed", 0, 9])
    })
  )

  it.effect("C04 a health check probes an open circuit without spending a call and never closes it", () =>
    Effect.gen(function* () {
      const breaker = yield* breakerOf()
      assert.strictEqual(yield* breaker.probe("a", Effect.die("not asked")), "closed")
      trip(breaker)
      const counts = breaker.status("a").counts
      assert.strictEqual(yield* breaker.probe("a", Effect.succeed(false)), "open")
      assert.strictEqual(breaker.status("a").openings, 1)
      assert.strictEqual(yield* breaker.probe("a", Effect.succeed(true)), "half-open")
      assert.strictEqual(yield* breaker.probe("a", Effect.succeed(true)), "half-open")
      assert.strictEqual(yield* breaker.probe("a", Effect.succeed(false)), "open")
      assert.deepStrictEqual([breaker.status("a").openings, breaker.status("a").counts], [2, counts])
    })
  )

  it.effect("C04 the answer of a health check that a transition overtook changes nothing", () =>
    Effect.gen(function* () {
      const breaker = yield* breakerOf()
      trip(breaker)
      const fiber = yield* Effect.forkChild(breaker.probe("a", Effect.as(Effect.sleep("31 seconds"), false)), { startImmediately: true })
      yield* TestClock.adjust("31 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), "half-open")
    })
  )

  it.effect("C05 calls are the sum of their outcomes under any interleaving of fibers", () =>
    Effect.gen(function* () {
      const breaker = yield* breakerOf({ consecutiveFailures: 3, openTime: "1 second", probes: 2 })
      const outcomes = [Effect.void, Effect.fail("x"), Effect.interrupt, Effect.die("y")]
      let calls = 0
      const check = Effect.sync(() => {
        const { counts, inFlight } = breaker.status("a")
        assert.strictEqual(counts.calls, counts.succeeded + counts.failed + counts.ignored + counts.rejected)
        assert.strictEqual(counts.calls + inFlight, calls)
      })
      const fibers = yield* Effect.forEach(Array.from({ length: 200 }), (_, index) =>
        Effect.forkChild(
          Effect.gen(function* () {
            yield* Effect.sleep((index * 37) % 5000)
            calls++
            yield* Effect.exit(breaker.run("a")(Effect.andThen(Effect.sleep((index * 91) % 700), outcomes[index % 4]!)))
            yield* check
          })
        )
      )
      for (let step = 0; step < 60; step++) {
        yield* TestClock.adjust(100)
        yield* check
        if (step % 10 === 0) yield* Fiber.interrupt(fibers[step]!)
        yield* check
      }
      yield* Effect.forEach(fibers, Fiber.await)
      assert.strictEqual(breaker.status("a").inFlight, 0)
    })
  )

  it.effect("C06 transitions asked for from inside a listener all happen, in order, each seen once by every subscriber", () =>
    Effect.gen(function* () {
      const breaker = yield* breakerOf()
      const first: Array<string> = []
      const last: Array<string> = []
      const note = (into: Array<string>) => (change: CircuitBreaker.StateChange) =>
        void into.push(`${change.key}: ${change.from} > ${change.to}`)
      breaker.onChange(note(first))
      const off = breaker.onChange((change) => {
        if (change.to === "isolated") {
          breaker.release("a")
          trip(breaker, "b")
        }
        if (change.key === "b" && change.to === "open") breaker.reset("b")
      })
      breaker.onChange(note(last))
      const stream = yield* Effect.forkChild(Stream.runCollect(Stream.take(breaker.changes, 4)), { startImmediately: true })
      breaker.isolate("a", "test")
      const expected = ["a: closed > isolated", "a: isolated > closed", "b: closed > open", "b: open > closed"]
      assert.deepStrictEqual(first, expected)
      assert.deepStrictEqual(last, expected)
      assert.deepStrictEqual(
        (yield* Fiber.join(stream)).map((change) => `${change.key}: ${change.from} > ${change.to}`),
        expected
      )
      off()
      breaker.isolate("a", "again")
      assert.strictEqual(breaker.status("a").state, "isolated")
    })
  )

  it.effect("C06 several transitions that time brought about are not overtaken by what a listener asks for", () =>
    Effect.gen(function* () {
      const breaker = yield* breakerOf({ openTimeFactor: 1 })
      trip(breaker)
      yield* TestClock.adjust("30 seconds")
      permitOf(breaker.tryAcquire("a"))
      breaker.onChange((change) => {
        if (change.to === "open") breaker.reset("a")
      })
      const seen = recorded(breaker)
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(breaker.status("a").state, "closed")
      assert.deepStrictEqual(seen, ["half-open > open", "open > half-open", "half-open > closed"])
    })
  )

  it.effect("C06 a listener that throws keeps nobody from the change", () =>
    Effect.gen(function* () {
      const breaker = yield* breakerOf()
      breaker.onChange(() => {
        throw new Error("a bug")
      })
      const seen = recorded(breaker)
      assert.throws(() => breaker.isolate("a", "test"), "a bug")
      assert.deepStrictEqual(seen, ["closed > isolated"])
      assert.strictEqual(breaker.status("a").state, "isolated")
    })
  )

  it.effect("C07 the n-th opening in a row lasts longer up to the cap, and a close ends the row", () =>
    Effect.gen(function* () {
      const breaker = yield* breakerOf({ openTime: "30 seconds", maxOpenTime: "3 minutes" })
      const waits: Array<number> = []
      breaker.onChange((change) => {
        if (change.openMillis !== undefined) waits.push(change.openMillis / 1000)
      })
      trip(breaker)
      for (let n = 0; n < 5; n++) {
        yield* TestClock.adjust(Duration.seconds(waits[waits.length - 1]!))
        call(breaker, "failure")
      }
      assert.deepStrictEqual(waits, [30, 60, 120, 180, 180, 180])
      yield* TestClock.adjust("3 minutes")
      call(breaker, "success")
      trip(breaker)
      assert.strictEqual(waits[6], 30)
    })
  )

  it.effect("C07 an open time cannot overflow", () =>
    Effect.gen(function* () {
      const breaker = yield* breakerOf()
      breaker.restore("a", {
        state: "half-open",
        failures: 1,
        openings: 1e6,
        successes: 0,
        counts: { succeeded: 0, failed: 0, ignored: 0, rejected: 0 }
      })
      call(breaker, "failure")
      assert.strictEqual(Duration.toMillis(refusalOf(breaker.tryAcquire("a")).retryAfter!), 600_000)
    })
  )

  it.effect("C07 an isolated circuit stays open until released, and forced states are visible", () =>
    Effect.gen(function* () {
      const breaker = yield* breakerOf()
      const running = permitOf(breaker.tryAcquire("a"))
      breaker.isolate("a", "maintenance")
      breaker.record(running, "success")
      yield* TestClock.adjust("365 days")
      const refusal = refusalOf(breaker.tryAcquire("a"))
      assert.deepStrictEqual(
        [refusal.state, refusal.reason, refusal.retryAfter, refusal.notBefore],
        ["isolated", "maintenance", undefined, undefined]
      )
      assert.deepStrictEqual([breaker.status("a").state, breaker.status("a").cause], ["isolated", "maintenance"])
      assert.strictEqual(breaker.nextChangeAt("a"), undefined)
      assert.strictEqual(breaker.release("a")._tag, "Released")
      assert.strictEqual(breaker.release("a")._tag, "NotIsolated")
      permitOf(breaker.tryAcquire("a"))
    })
  )

  it.effect("C07 reset says what it did", () =>
    Effect.gen(function* () {
      const breaker = yield* breakerOf()
      assert.deepStrictEqual(breaker.reset("a"), { _tag: "NotFound", key: "a" })
      call(breaker, "failure")
      call(breaker, "failure")
      assert.deepStrictEqual(breaker.reset("a"), { _tag: "AlreadyClosed", key: "a", failures: 2 })
      assert.strictEqual(breaker.status("a").failures, 0)
      trip(breaker)
      assert.deepStrictEqual(breaker.reset("a"), { _tag: "Reset", key: "a", from: "open" })
      breaker.isolate("a", "test")
      assert.deepStrictEqual(breaker.reset("a"), { _tag: "Reset", key: "a", from: "isolated" })
      trip(breaker)
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(breaker.reset("a"), { _tag: "Reset", key: "a", from: "half-open" })
      permitOf(breaker.tryAcquire("a"))
    })
  )

  it.effect("C08 10,000 keys that were used and removed leave no state, and keys do not affect each other", () =>
    Effect.gen(function* () {
      const breaker = yield* breakerOf()
      const running: Array<CircuitBreaker.Permit> = []
      for (let n = 0; n < 10_000; n++) {
        trip(breaker, `agent:${n}`)
        running.push(permitOf(breaker.tryAcquire(`other:${n}`)))
        assert.strictEqual(breaker.status(`agent:${n}`).state, "open")
        breaker.remove(`agent:${n}`)
        breaker.remove(`other:${n}`)
      }
      for (let n = 0; n < 5; n++) running.push(permitOf(breaker.tryAcquire("last")))
      breaker.remove("last")
      const seen = recorded(breaker)
      for (const permit of running) breaker.record(permit, "failure")
      assert.deepStrictEqual(breaker.statuses(), [])
      assert.deepStrictEqual(seen, [])
    })
  )

  it.effect("C08 an idle closed circuit without a failure in memory is forgotten, any other is kept", () =>
    Effect.gen(function* () {
      const breaker = yield* breakerOf({ idleTime: "1 minute" })
      for (let n = 0; n < 1000; n++) call(breaker, "success", `idle:${n}`)
      call(breaker, "failure", "failed")
      const permit = permitOf(breaker.tryAcquire("running"))
      breaker.isolate("isolated", "test")
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual(breaker.statuses().length, 1003)
      yield* TestClock.adjust("61 seconds")
      assert.deepStrictEqual(
        breaker.statuses().map((status) => status.key),
        ["failed", "running", "isolated"]
      )
      breaker.record(permit, "success")
    })
  )

  it.effect("C15 a refusal says when to come back, and whoever obeys is admitted", () =>
    Effect.gen(function* () {
      const breaker = yield* breakerOf()
      trip(breaker)
      yield* TestClock.adjust("10 seconds")
      const exit = yield* Effect.exit(breaker.run("a")(Effect.die("ran")))
      if (Exit.isSuccess(exit)) return assert.fail("admitted")
      const refusal = Cause.squash(exit.cause) as CircuitBreaker.CircuitOpen
      assert.instanceOf(refusal, CircuitBreaker.CircuitOpen)
      assert.instanceOf(refusal, Error)
      assert.strictEqual(refusal.message, `Circuit "a" is open (5 failures in a row), again in 20s`)
      assert.isFalse(Object.hasOwn(refusal, "stack"))
      assert.strictEqual(refusal.notBefore, 30_000)
      const json = Schema.fromJsonString(CircuitBreaker.CircuitOpen)
      const back = yield* Effect.flatMap(Schema.encodeEffect(json)(refusal), Schema.decodeEffect(json))
      assert.strictEqual(back.message, refusal.message)
      yield* TestClock.adjust(refusal.retryAfter!)
      permitOf(breaker.tryAcquire("a"))
    })
  )

  it.effect("C54 a restored circuit is as it was, and no wait is longer than the longest open time", () =>
    Effect.gen(function* () {
      const breaker = yield* breakerOf()
      trip(breaker)
      yield* TestClock.adjust("10 seconds")
      const dump = Schema.decodeUnknownSync(CircuitBreaker.Persisted)(JSON.parse(JSON.stringify(breaker.dump("a"))))
      const status = breaker.status("a")
      const next = yield* breakerOf()
      const seen = recorded(next)
      next.restore("a", dump)
      assert.deepStrictEqual(next.status("a"), status)
      assert.deepStrictEqual(seen, [])
      next.restore("a", { ...dump, retryAt: 1e15 })
      assert.strictEqual(Duration.toMillis(refusalOf(next.tryAcquire("a")).retryAfter!), 600_000)
      next.restore("a", { ...dump, retryAt: -1e15 })
      assert.isTrue(permitOf(next.tryAcquire("a")).probe)
      assert.strictEqual(next.dump("unknown"), undefined)
    })
  )

  it.effect.prop(
    "C60 whatever decodes as a persisted circuit can be restored, asked and dumped again",
    [CircuitBreaker.Persisted],
    ([persisted]) =>
      Effect.gen(function* () {
        const breaker = yield* breakerOf({ countWindow: { size: 20 }, timeWindow: {} })
        breaker.restore("a", persisted)
        const answer = breaker.tryAcquire("a")
        if (answer._tag === "Permit") breaker.record(answer, "failure")
        const status = breaker.status("a")
        assert.isTrue(status.retryAt === undefined || Number.isFinite(status.retryAt))
        Schema.decodeUnknownSync(CircuitBreaker.Persisted)(breaker.dump("a"))
      })
  )

  it.effect.prop("C60 options out of anything decode, or are refused with a message", [Schema.Unknown], ([value]) =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(Schema.decodeUnknownEffect(CircuitBreaker.Options)(value))
      if (Exit.isSuccess(exit)) yield* CircuitBreaker.make(exit.value)
      else assert.isNotEmpty(String(Cause.squash(exit.cause)))
    })
  )

  it.effect("C60 options that make no sense together are refused with their path", () =>
    Effect.gen(function* () {
      const refused: ReadonlyArray<readonly [options: unknown, path: string]> = [
        [{ countWindow: { size: 5, minimumCalls: 6 } }, `["countWindow"]["minimumCalls"]`],
        [{ slowCalls: { duration: "1 second" } }, `["slowCalls"]`],
        [{ consecutiveFailures: 0 }, `["consecutiveFailures"]`],
        [{ openTime: "20 minutes" }, `["maxOpenTime"]`],
        [{ openTime: "0 seconds" }, `["openTime"]`],
        [{ probeTimeLimit: "Infinity" }, `["probeTimeLimit"]`],
        [{ probes: 0 }, `["probes"]`],
        [{ consecutiveFailures: -1 }, `["consecutiveFailures"]`],
        [{ timeWindow: { failureRate: 0 } }, `["timeWindow"]["failureRate"]`]
      ]
      for (const [options, path] of refused) {
        const error = yield* Effect.flip(Schema.decodeUnknownEffect(CircuitBreaker.Options)(options))
        assert.include(error.message, path)
      }
      assert.deepStrictEqual(decode({}), CircuitBreaker.defaults)
    })
  )

  const Timed = Schema.Struct({
    outcome: Schema.Literals(["success", "failure", "ignored"]),
    waitSeconds: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 20 }))
  })
  const oracles: ReadonlyArray<readonly [name: string, options: Encoded, policy: Persistence.TripPolicy]> = [
    ["failures in a row", { consecutiveFailures: 3 }, Persistence.consecutive(3)],
    [
      "a rate over a count window",
      { consecutiveFailures: 0, countWindow: { size: 6, failureRate: 0.5, minimumCalls: 4 } },
      Persistence.rate({ size: 6, threshold: 0.5, minimumCalls: 4 })
    ]
  ]
  for (const [name, options, tripPolicy] of oracles) {
    it.effect.prop(
      `C01 C02 agrees with Effect's own breaker: ${name}`,
      [Schema.Array(Timed).check(Schema.isMinLength(5), Schema.isMaxLength(40))],
      ([calls]) =>
        Effect.gen(function* () {
          const ours = yield* breakerOf({ ...options, openTime: "10 seconds", openTimeFactor: 1 })
          const theirs = yield* Persistence.make({ tripPolicy, openDuration: "10 seconds" })
          const names = { Closed: "closed", Open: "open", HalfOpen: "half-open" } as const
          for (const { outcome, waitSeconds } of calls) {
            yield* TestClock.adjust(Duration.seconds(waitSeconds))
            const mine = yield* Effect.exit(ours.run("a", { classify: () => outcome })(Effect.void))
            const other = yield* Effect.exit(
              Effect.void.pipe(
                theirs.execute({
                  key: "a",
                  classify: () => ({ success: Persistence.success, failure: Persistence.failure(), ignored: Persistence.ignored })[outcome]
                })
              )
            )
            assert.strictEqual(mine._tag, other._tag)
            const state = names[(yield* theirs.state("a"))._tag]
            assert.strictEqual(ours.status("a").state, state)
          }
        }).pipe(Effect.provide(Persistence.layerStoreMemory())),
      { arbitrary: { runs: 100 } }
    )
  }
})
