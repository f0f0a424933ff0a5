/** Health on the runtime's own surface: how checks become one answer, what is tried to make things well, and what people are told. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Exit, Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"
import { AgentRuntime } from "../../src/AgentRuntime.ts"
import type { Check, CheckResult, Status } from "../../src/reliability/Health.ts"
import type { EventOf, RuntimeEvent } from "../../src/RuntimeEvent.ts"
import { jumpingClock } from "../support/jumpingClock.ts"
import * as Scripted from "../support/runtime.ts"

const { driver, succeedAfter } = Scripted

const withRuntime = <A, E>(
  options: Partial<Scripted.Options>,
  body: (runtime: AgentRuntime["Service"], events: ReadonlyArray<RuntimeEvent>) => Effect.Effect<A, E, Scope.Scope>
) =>
  Effect.scoped(
    Effect.gen(function* () {
      const runtime = yield* AgentRuntime
      const events: Array<RuntimeEvent> = []
      yield* runtime.subscribe((event) => void events.push(event))
      return yield* Effect.ensuring(body(runtime, events), Effect.all([runtime.shutdown, runtime.shutdown], { concurrency: "unbounded" }))
    })
  ).pipe(Effect.provide(Scripted.layer({ drivers: { fake: driver(succeedAfter(1)) }, ...options })))

const of = <Tag extends RuntimeEvent["_tag"]>(events: ReadonlyArray<RuntimeEvent>, tag: Tag) =>
  events.filter((event): event is EventOf<Tag> => event._tag === tag)

const seen = (status: Status): CheckResult => ({ status, evidence: `saw ${status}` })
const fixed = (name: string, status: Status, more: Partial<Check> = {}): Check => ({
  name,
  kinds: ["readiness"],
  run: Effect.succeed(seen(status)),
  failuresToUnhealthy: 1,
  ...more
})

describe("AgentRuntime's health", () => {
  // Beside three checks of the runtime's own, which are well.
  const strategies = [
    { strategy: "worst", two: "unhealthy", five: "unhealthy" },
    { strategy: "weighted", two: "degraded", five: "unhealthy" },
    { strategy: "majority", two: "healthy", five: "unhealthy" }
  ] as const
  for (const { strategy, ...expected } of strategies) {
    it.effect(`C33 ${strategy} decides over all checks, and a critical failure over every strategy`, () =>
      withRuntime({ config: { health: { strategy } } }, (runtime) =>
        Effect.gen(function* () {
          const failing = (count: number) =>
            Effect.gen(function* () {
              for (let n = 0; n < count; n++) yield* runtime.registerHealthCheck(fixed(`failing ${n}`, "unhealthy"))
              return (yield* runtime.runHealthChecks).status
            }).pipe(Effect.scoped)
          assert.strictEqual(yield* failing(0), "healthy")
          assert.strictEqual(yield* failing(2), expected.two)
          assert.strictEqual(yield* failing(5), expected.five)
          yield* runtime.registerHealthCheck(fixed("disk", "unhealthy", { critical: true, weight: 0.01 }))
          const report = yield* runtime.runHealthChecks
          assert.deepEqual([report.status, report.ready, report.live], ["unhealthy", false, true])
          assert.deepEqual(report.reasons, ["disk is unhealthy: saw unhealthy"])
        })
      )
    )
  }

  it.effect("C32 an event loop that stood still is seen afterwards, and no restart is asked for because of it", () =>
    Effect.gen(function* () {
      const { jump, jumping } = yield* jumpingClock
      yield* withRuntime({ config: { health: { interval: "10 seconds", failuresToUnhealthy: 2 } } }, (runtime) =>
        Effect.gen(function* () {
          const check = Effect.map(runtime.getOverallHealthStatus, ({ checks, live }) => {
            const { observed, status } = checks.find(({ name }) => name === "event loop")!
            return { live, observed, status }
          })
          yield* TestClock.adjust("25 seconds")
          assert.deepEqual(yield* check, { live: true, observed: "a timer came 0 ms late", status: "healthy" })
          jump(7_000)
          yield* TestClock.adjust("5 seconds")
          assert.deepEqual(yield* check, { live: true, observed: "a timer came 7000 ms late", status: "healthy" })
          yield* TestClock.adjust("10 seconds")
          assert.deepEqual(yield* check, { live: true, observed: "a timer came 0 ms late", status: "healthy" })
        })
      ).pipe(Effect.provideService(Clock.Clock, jumping))
    })
  )

  it.effect("C33 C35 a check that swings alerts nobody, and one that fails alerts once, and once when it is over", () =>
    withRuntime({ config: { health: { failuresToUnhealthy: 2, successesToHealthy: 2, interval: "10 seconds" } } }, (runtime, events) =>
      Effect.gen(function* () {
        const answers: Array<Status> = ["healthy"]
        let runs = 0
        const run = Effect.sync(() => seen(answers[runs++] ?? answers.at(-1)!))
        for (let n = 0; n < 20; n++) answers.push("unhealthy", "healthy")
        yield* runtime.registerHealthCheck({ name: "link", kinds: ["readiness"], run })
        yield* TestClock.adjust("400 seconds")
        assert.deepEqual(of(events, "HealthAlert"), [])
        answers.push(...Array<Status>(20).fill("unhealthy"))
        yield* TestClock.adjust("200 seconds")
        answers.push("healthy")
        yield* TestClock.adjust("200 seconds")
        const alerts = of(events, "HealthAlert")
        assert.deepEqual(
          alerts.map((event) => event.raised),
          [true, false]
        )
        assert.strictEqual(alerts[0]!.incident, alerts[1]!.incident)
        assert.deepEqual(
          of(events, "HealthChanged")
            .filter((event) => event.check === "link")
            .map((event) => event.status),
          ["healthy", "unhealthy", "healthy"]
        )
      })
    )
  )

  it.effect("C34 an injected fault is recovered from within a budget, with backoff; what does not help is escalated, once", () =>
    withRuntime({ config: { health: { failuresToUnhealthy: 1, successesToHealthy: 1, interval: "1 second" } } }, (runtime, events) =>
      Effect.gen(function* () {
        let broken = false
        let helps = false
        let actions = 0
        yield* runtime.registerHealthCheck({
          name: "socket",
          kinds: ["readiness"],
          run: Effect.sync(() => seen(broken ? "unhealthy" : "healthy")),
          recover: {
            action: Effect.sync(() => {
              actions++
              if (helps) broken = false
            }),
            maxInWindow: 3,
            window: "10 minutes",
            backoff: "5 seconds"
          }
        })
        yield* TestClock.adjust("3 seconds")
        broken = true
        helps = true
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(actions, 1)
        assert.deepEqual(
          of(events, "RecoveryEnded").map((event) => [event.check, event.attempt, event.outcome]),
          [["socket", 1, "recovered"]]
        )
        assert.strictEqual((yield* runtime.getOverallHealthStatus).status, "healthy")

        // The action says that it worked; the check knows better.
        yield* TestClock.adjust("20 minutes")
        helps = false
        broken = true
        yield* TestClock.adjust("9 minutes")
        const began = of(events, "RecoveryStarted").slice(1)
        assert.deepEqual(
          began.map((event) => event.at - began[0]!.at),
          [0, 5_000, 15_000]
        )
        assert.deepEqual(
          of(events, "RecoveryEnded")
            .slice(1)
            .map((event) => event.outcome),
          ["failed", "failed", "failed"]
        )
        assert.strictEqual(actions, 4)
        const escalated = of(events, "RecoveryEscalated")
        assert.strictEqual(escalated.length, 1)
        assert.include(escalated[0]!.detail, "3 recoveries in 10m did not help: saw unhealthy")
      })
    )
  )

  it.effect("C34 an agent that dies again and again is restarted at most n times in a window, ever later, then left to a person", () => {
    let death = Deferred.makeUnsafe<void>()
    const exited = Effect.as(
      Effect.suspend(() => Deferred.await(death)),
      { _tag: "Crashed", detail: "gone", exitCode: 1, signal: null } as const
    )
    const config = {
      health: { restarts: 4, restartWindow: "10 minutes" },
      retry: { strategy: "exponential", jitter: "none", baseDelay: "1 second", maxDelay: "1 minute" }
    }
    return withRuntime({ drivers: { fake: driver(succeedAfter(1), { exited }) }, config }, (runtime, events) =>
      Effect.gen(function* () {
        yield* runtime.spawn({ id: "a", driver: "fake" })
        const waits: Array<number> = []
        for (let n = 0; n < 8; n++) {
          const before = of(events, "AgentRestarted").length
          const died = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
          const last = death
          death = Deferred.makeUnsafe()
          yield* Deferred.succeed(last, undefined)
          yield* TestClock.adjust("30 seconds")
          const restarted = of(events, "AgentRestarted")[before]
          if (restarted !== undefined) waits.push(restarted.at - died)
        }
        assert.deepEqual(waits, [0, 2_000, 4_000, 8_000])
        assert.strictEqual((yield* runtime.agents)[0]!.state, "failed")
        const [letter] = yield* runtime.getDLQMessages
        assert.deepInclude(letter, { kind: "restart", subject: "a" })
        assert.include(letter!.reason, "restarted 4 times in 10m")
        assert.include((yield* runtime.runHealthChecks).checks.find((check) => check.name === "agents")!.observed, "failed: a")
      })
    )
  })

  it.effect("C37 checks never overlap themselves, have time limits, and stop with their scope, a hanging one too", () =>
    withRuntime({ config: { health: { interval: "1 second", timeLimit: "5 seconds", failuresToUnhealthy: 1 } } }, (runtime) =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        let runs = 0
        let running = 0
        let most = 0
        const run = Effect.suspend(() => {
          runs++
          most = Math.max(most, ++running)
          return Effect.never.pipe(Effect.ensuring(Effect.sync(() => void running--)))
        })
        yield* Scope.provide(runtime.registerHealthCheck({ name: "hangs", kinds: ["readiness"], run }), scope)
        const asked = yield* Effect.forkChild(Effect.all([runtime.runHealthChecks, runtime.runHealthChecks], { concurrency: 2 }), {
          startImmediately: true
        })
        yield* TestClock.adjust("4 seconds")
        assert.deepEqual([runs, running], [1, 1])
        yield* TestClock.adjust("1 second")
        const [report] = yield* Fiber.join(asked)
        assert.strictEqual(report.checks.find((check) => check.name === "hangs")!.observed, "no answer within 5s")
        yield* TestClock.adjust("30 seconds")
        assert.strictEqual(most, 1)
        assert.isAbove(runs, 3)
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(running, 0)
        const before = runs
        yield* TestClock.adjust("1 hour")
        assert.strictEqual(runs, before)
        assert.notInclude(
          (yield* runtime.getOverallHealthStatus).checks.map((check) => check.name),
          "hangs"
        )
      })
    )
  )
})
