import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Schema, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Health from "../../src/reliability/Health.ts"
import * as TimerWheel from "../../src/reliability/TimerWheel.ts"

const options: typeof Health.defaults = { ...Health.defaults, failuresToUnhealthy: 2, successesToHealthy: 2 }

const setup = Effect.fnUntraced(function* (settings: Partial<typeof Health.defaults> = {}) {
  const health = yield* Effect.provideService(Health.make({ ...options, ...settings }), TimerWheel.TimerWheel, yield* TimerWheel.make)
  const events: Array<Health.HealthEvent> = []
  health.onEvent((event) => void events.push(event))
  const tags = (tag: Health.HealthEvent["_tag"]) => events.filter((event) => event._tag === tag)
  return { health, events, tags }
})

/** A check whose answer a test sets. */
const settable = (name: string, more: Partial<Health.Check> = {}) => {
  const answer: { status: Health.Status; runs: number } = { status: "healthy", runs: 0 }
  const check: Health.Check = {
    name,
    kinds: ["readiness"],
    run: Effect.sync(() => {
      answer.runs++
      return { status: answer.status, evidence: `run ${answer.runs} saw ${answer.status}` }
    }),
    ...more
  }
  return { answer, check }
}

describe("Health", () => {
  it.effect("C32 startup gates readiness, and never fails liveness", () =>
    Effect.gen(function* () {
      const { health } = yield* setup()
      const boot = settable("boot", { kinds: ["startup"] })
      const alive = settable("alive", { kinds: ["liveness"], failuresToUnhealthy: 1 })
      boot.answer.status = "unhealthy"
      alive.answer.status = "unhealthy"
      yield* health.register(boot.check)
      yield* health.register(alive.check)
      assert.deepStrictEqual(health.startup(), { ok: false, reasons: ["starting", "boot is unknown: run 1 saw unhealthy"] })
      assert.isFalse(health.readiness().ok)
      assert.isTrue(health.liveness().ok)
      boot.answer.status = "healthy"
      yield* health.runNow("boot")
      assert.deepStrictEqual(health.startup().reasons, ["starting"])
      health.markStarted()
      assert.isTrue(health.startup().ok)
      assert.isTrue(health.readiness().ok)
      assert.isFalse(health.liveness().ok)
      boot.answer.status = "unhealthy"
      yield* Effect.andThen(health.runNow("boot"), health.runNow("boot"))
      assert.isTrue(health.startup().ok)
    })
  )

  it.effect("C32 an open breaker is degraded, never not alive, and new work goes on", () =>
    Effect.gen(function* () {
      const { health, tags } = yield* setup()
      health.markStarted()
      health.degrade("circuit agent:a", "open: 5 failures")
      health.degrade("circuit agent:a", "open: 6 failures")
      const report = health.report()
      assert.deepStrictEqual([report.status, report.live, report.ready], ["degraded", true, true])
      assert.deepStrictEqual(report.degraded, [{ component: "circuit agent:a", cause: "open: 6 failures", since: 0, blocksWork: false }])
      assert.strictEqual(tags("ComponentDegraded").length, 1)
      health.recovered("circuit agent:a")
      health.recovered("circuit agent:a")
      assert.strictEqual(tags("ComponentRecovered").length, 1)
      assert.strictEqual(health.report().status, "healthy")
    })
  )

  it.effect("C32 C53 a component that work needs closes readiness by name while it is degraded", () =>
    Effect.gen(function* () {
      const { health, tags } = yield* setup()
      health.markStarted()
      health.degrade("store", "disk full", { blocksWork: true })
      assert.deepStrictEqual(health.readiness(), { ok: false, reasons: ["store is degraded: disk full"] })
      assert.isTrue(health.liveness().ok)
      health.recovered("store")
      assert.isTrue(health.readiness().ok)
      assert.deepStrictEqual(
        tags("ReadinessChanged").map((event) => event._tag === "ReadinessChanged" && event.ready),
        [true, false, true]
      )
    })
  )

  it.effect("C32 while draining nothing is ready and everything is alive", () =>
    Effect.gen(function* () {
      const { health } = yield* setup()
      const alive = settable("alive", { kinds: ["liveness"], failuresToUnhealthy: 1 })
      yield* health.register(alive.check)
      health.markStarted()
      health.setDraining(true)
      alive.answer.status = "unhealthy"
      yield* health.runNow()
      assert.deepStrictEqual(health.readiness(), { ok: false, reasons: ["draining"] })
      assert.isTrue(health.liveness().ok)
      health.setDraining(false)
      assert.isFalse(health.liveness().ok)
    })
  )

  it.effect("C32 a critical readiness check that nobody has seen yet holds work back", () =>
    Effect.gen(function* () {
      const { health } = yield* setup()
      health.markStarted()
      const first = Deferred.makeUnsafe<Health.CheckResult>()
      yield* health.register({ name: "store", kinds: ["readiness"], critical: true, run: Deferred.await(first) })
      assert.deepStrictEqual(health.readiness().reasons, ["store is unknown: not checked yet"])
      yield* Deferred.succeed(first, { status: "healthy", evidence: "wrote" } as Health.CheckResult)
      yield* health.runNow("store")
      assert.isTrue(health.readiness().ok)
    })
  )

  it.effect("C35 an incident has one alert when it begins and one when it is over", () =>
    Effect.gen(function* () {
      const { health, tags } = yield* setup()
      const scope = yield* Scope.make()
      const { answer, check } = settable("disk")
      yield* Scope.provide(health.register(check), scope)
      const see = (...statuses: ReadonlyArray<Health.Status>) =>
        Effect.forEach(statuses, (status) => {
          answer.status = status
          return health.runNow("disk")
        })
      const alerts = () => tags("HealthAlert").map((event) => event._tag === "HealthAlert" && event.raised)
      yield* see("unhealthy", "healthy", "unhealthy", "healthy")
      assert.deepStrictEqual(alerts(), [])
      yield* see("unhealthy", "unhealthy", "unhealthy", "degraded", "degraded", "unhealthy", "unhealthy")
      assert.deepStrictEqual(alerts(), [true])
      yield* see("healthy", "healthy", "healthy")
      assert.deepStrictEqual(alerts(), [true, false])
      yield* see("unhealthy", "unhealthy")
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(alerts(), [true, false, true, false])
      const incidents = tags("HealthAlert").map((event) => event._tag === "HealthAlert" && event.incident)
      assert.strictEqual(incidents[0], incidents[1])
      assert.strictEqual(incidents[2], incidents[3])
    })
  )

  it.effect("C36 a report names what was observed and when, and goes through its schema unchanged", () =>
    Effect.gen(function* () {
      const { health } = yield* setup()
      const { answer, check } = settable("disk", { kinds: ["readiness", "liveness"], critical: true, interval: "10 seconds" })
      yield* health.register(check)
      health.markStarted()
      health.degrade("redis", "refused")
      answer.status = "unhealthy"
      yield* TestClock.adjust("25 seconds")
      const report = health.report()
      assert.deepStrictEqual(report.checks, [
        {
          name: "disk",
          kinds: ["readiness", "liveness"],
          status: "unhealthy",
          critical: true,
          observed: "run 3 saw unhealthy",
          at: 20_000,
          since: 20_000
        }
      ])
      assert.deepStrictEqual([report.status, report.live, report.ready, report.at], ["unhealthy", false, false, 25_000])
      const json = Schema.fromJsonString(Health.HealthReport)
      assert.deepStrictEqual(yield* Schema.decodeEffect(json)(yield* Schema.encodeEffect(json)(report)), report)
      assert.deepStrictEqual(JSON.parse(JSON.stringify(report)), report)
    })
  )

  it.effect("C37 a check never overlaps itself, and asking joins the run that is under way", () =>
    Effect.gen(function* () {
      const { health } = yield* setup()
      let running = 0
      let most = 0
      let runs = 0
      yield* health.register({
        name: "slow",
        kinds: ["liveness"],
        interval: "1 second",
        run: Effect.gen(function* () {
          runs++
          most = Math.max(most, ++running)
          yield* Effect.sleep("3 seconds")
          running--
          return { status: "healthy", evidence: "" } as const
        })
      })
      const asked = yield* Effect.forkChild(Effect.all([health.runNow(), health.runNow("slow")], { concurrency: 2 }), {
        startImmediately: true
      })
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(runs, 1)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(asked)
      assert.strictEqual(runs, 1)
      yield* TestClock.adjust("8 seconds")
      assert.deepStrictEqual([runs, most], [3, 1])
    })
  )

  it.effect("C37 a check that asks for the checks, itself among them, waits for no second run of it", () =>
    Effect.gen(function* () {
      const { health } = yield* setup()
      let runs = 0
      const run = Effect.suspend(() => {
        runs++
        return Effect.as(health.runNow("asking"), { status: "healthy", evidence: "asked" } as const)
      })
      yield* health.register({ name: "asking", kinds: ["liveness"], interval: "1 minute", timeLimit: "5 seconds", run })
      yield* TestClock.adjust("65 seconds")
      assert.strictEqual(runs, 2)
      assert.include(health.report().checks[0]!.observed, "no answer within 5s")
    })
  )

  it.effect("C37 a check that hangs is unhealthy after its time limit, and is not run beside itself", () =>
    Effect.gen(function* () {
      const { health } = yield* setup({ failuresToUnhealthy: 1 })
      let runs = 0
      yield* health.register({
        name: "hung",
        kinds: ["readiness"],
        interval: "10 seconds",
        timeLimit: "5 seconds",
        run: Effect.uninterruptible(
          Effect.andThen(
            Effect.sync(() => runs++),
            Effect.never
          )
        )
      })
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(health.report().checks[0]!.observed, "no answer within 5s")
      assert.strictEqual(health.report().checks[0]!.status, "unhealthy")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(runs, 1)
      assert.include(health.report().checks[0]!.observed, "still hangs")
    })
  )

  it.effect("C37 a check that fails or dies is unhealthy with the cause as evidence", () =>
    Effect.gen(function* () {
      const { health } = yield* setup({ failuresToUnhealthy: 1 })
      yield* health.register({ name: "fails", kinds: ["readiness"], run: Effect.fail("no route") })
      yield* health.register({ name: "dies", kinds: ["readiness"], run: Effect.die(new TypeError("oops")) })
      const circular: Record<string, unknown> = { count: 1n }
      circular["self"] = circular
      yield* health.register({ name: "odd", kinds: ["readiness"], run: Effect.fail(circular) })
      yield* health.runNow()
      assert.deepStrictEqual(
        health.report().checks.map((check) => [check.status, check.observed]),
        [
          ["unhealthy", "the check failed: no route"],
          ["unhealthy", "the check failed: TypeError: oops"],
          ["unhealthy", 'the check failed: {"count":"1","self":"[circular]"}']
        ]
      )
    })
  )

  it.effect("C37 a check stops with its scope, a running one too", () =>
    Effect.gen(function* () {
      const { health } = yield* setup()
      const scope = yield* Scope.make()
      let runs = 0
      let interrupted = false
      const run = Effect.suspend(() => {
        runs++
        return Effect.onInterrupt(Effect.as(Effect.sleep("2 seconds"), { status: "healthy", evidence: "" } as const), () =>
          Effect.sync(() => {
            interrupted = true
          })
        )
      })
      yield* Scope.provide(health.register({ name: "a", kinds: ["liveness"], interval: "1 second", run }), scope)
      const asked = yield* Effect.forkChild(health.runNow("a"), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(interrupted)
      yield* Fiber.join(asked)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(runs, 1)
      assert.deepStrictEqual(health.report().checks, [])
    })
  )

  it.effect("C34 a recovery that helps is verified by the check and ends there", () =>
    Effect.gen(function* () {
      const { health, tags } = yield* setup({ failuresToUnhealthy: 1, successesToHealthy: 1 })
      let actions = 0
      const { answer, check } = settable("socket", { interval: "10 seconds" })
      yield* health.register({
        ...check,
        recover: {
          action: Effect.sync(() => {
            actions++
            if (actions === 2) answer.status = "healthy"
          }),
          backoff: "2 seconds"
        }
      })
      answer.status = "unhealthy"
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(actions, 2)
      assert.deepStrictEqual(
        tags("RecoveryEnded").map((event) => event._tag === "RecoveryEnded" && [event.at, event.attempt, event.outcome]),
        [
          [10_000, 1, "failed"],
          [12_000, 2, "recovered"]
        ]
      )
      assert.strictEqual(tags("RecoveryEscalated").length, 0)
      assert.strictEqual(health.report().checks[0]!.status, "healthy")
    })
  )

  it.effect("C34 a recovery that does not help runs at most n times in its window, with backoff, then escalates once", () =>
    Effect.gen(function* () {
      const { health, tags } = yield* setup({ failuresToUnhealthy: 1 })
      const began: Array<number> = []
      const { answer, check } = settable("socket", { interval: "1 second" })
      yield* health.register({
        ...check,
        recover: { action: Effect.die("no"), maxInWindow: 3, window: "10 minutes", backoff: "1 second" }
      })
      health.onEvent((event) => {
        if (event._tag === "RecoveryStarted") began.push(event.at)
      })
      answer.status = "unhealthy"
      yield* TestClock.adjust("10 minutes")
      assert.deepStrictEqual(began, [1000, 2000, 4000])
      assert.strictEqual(tags("RecoveryEscalated").length, 1)
      assert.include(JSON.stringify(tags("RecoveryEnded")), "the recovery failed: no; run")
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(tags("RecoveryEscalated").length, 1)
      for (const at of began) assert.isAtMost(began.filter((one) => one > at - 600_000 && one <= at).length, 3)
    })
  )

  it.effect("C34 a recovery that hangs is given up, and the check decides", () =>
    Effect.gen(function* () {
      const { health, tags } = yield* setup({ failuresToUnhealthy: 1 })
      const { answer, check } = settable("socket", { interval: "1 minute" })
      answer.status = "unhealthy"
      yield* health.register({
        ...check,
        recover: { action: Effect.uninterruptible(Effect.never), timeLimit: "3 seconds", maxInWindow: 1 }
      })
      yield* TestClock.adjust("5 seconds")
      assert.include(JSON.stringify(tags("RecoveryEnded")), "the recovery did not end within 3s; run 2 saw unhealthy")
    })
  )

  it.effect("events are a stream too, a name is registered once, and a listener that throws harms nobody", () =>
    Effect.gen(function* () {
      const { health, tags } = yield* setup()
      health.onEvent(() => {
        throw new Error("listener")
      })
      const seen = yield* Effect.forkChild(Stream.runCollect(Stream.take(health.events, 2)), { startImmediately: true })
      yield* Effect.yieldNow
      health.degrade("a", "b")
      health.recovered("a")
      assert.deepStrictEqual(
        (yield* Fiber.join(seen)).map((event) => event._tag),
        ["ComponentDegraded", "ComponentRecovered"]
      )
      assert.strictEqual(tags("ComponentRecovered").length, 1)
      const { check } = settable("one")
      yield* health.register(check)
      const again = yield* Effect.exit(health.register(check))
      assert.include(String(Exit.isFailure(again) && again.cause), "the name is in use")
      assert.strictEqual(health.report().checks.length, 1)
    })
  )
})
