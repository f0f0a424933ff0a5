import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Schema } from "effect"
import { TestClock } from "effect/testing"
import type { AttemptContext } from "../../src/agent/AgentDriver.ts"
import { AgentRuntime, type TaskInput } from "../../src/AgentRuntime.ts"
import type { RuntimeEvent } from "../../src/RuntimeEvent.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { TaskSpec } from "../../src/task/Task.ts"
import * as Scripted from "../support/runtime.ts"

const { afterStart, claim, driver, failure, succeedAfter } = Scripted

/** Records every event from now on. */
const recorded = Effect.gen(function* () {
  const runtime = yield* AgentRuntime
  const events: Array<RuntimeEvent> = []
  yield* runtime.subscribe((event) => void events.push(event))
  return events
})

const of = <Tag extends RuntimeEvent["_tag"]>(events: ReadonlyArray<RuntimeEvent>, tag: Tag) =>
  events.filter((event): event is Extract<RuntimeEvent, { _tag: Tag }> => event._tag === tag)

/** Runs the body in a runtime with these drivers and this configuration. */
const withRuntime = <A, E>(
  options: Scripted.Options,
  body: (runtime: AgentRuntime["Service"]) => Effect.Effect<A, E, AgentRuntime | import("effect").Scope.Scope>
) =>
  Effect.flatMap(AgentRuntime, (runtime) =>
    // Asked twice, the shutdown does not wait for attempts that no clock will ever end.
    Effect.ensuring(Effect.scoped(body(runtime)), Effect.all([runtime.shutdown, runtime.shutdown], { concurrency: "unbounded" }))
  ).pipe(Effect.provide(Scripted.layer(options)))

const start = <A, E>(effect: Effect.Effect<A, E>) => Effect.forkChild(effect, { startImmediately: true })

/** A script that takes its steps one after the other, whatever the task; the last one stays. */
const inTurn = (...steps: ReadonlyArray<Scripted.Script>): Scripted.Script => {
  let turn = 0
  return (attempt, agentId) => steps[Math.min(turn++, steps.length - 1)]!(attempt, agentId)
}

const crash = failure({ _tag: "Crashed", detail: "gone", exitCode: null, signal: "SIGSEGV" })
const rateLimited = (retryAfterMillis?: number) =>
  failure({ _tag: "RateLimited", detail: "429", ...(retryAfterMillis === undefined ? {} : { retryAfterMillis }) })

describe("AgentRuntime", () => {
  it.effect("runs a task on an agent and tells its end", () =>
    withRuntime({ drivers: { fake: driver(succeedAfter("1 second")) } }, (runtime) =>
      Effect.gen(function* () {
        yield* runtime.spawn({ id: "a", driver: "fake" })
        const fiber = yield* start(runtime.execute("a", { id: "t" }))
        yield* TestClock.adjust("2 seconds")
        const end = yield* Fiber.join(fiber)
        assert.strictEqual(end.state, "succeeded")
        assert.strictEqual(end.output, "done")
        assert.strictEqual(end.verified, false)
      })
    )
  )

  for (const { sideEffects, ...expected } of [
    { sideEffects: "none", state: "succeeded", attempts: 3 },
    { sideEffects: "seen", state: "dead-lettered", attempts: 2 }
  ] as const) {
    it.effect(`C49 C65 a task whose session is gone begins anew only if nothing was done in it: ${sideEffects}`, () => {
      const resumed: Array<string | undefined> = []
      const lost = failure(
        { _tag: "InvalidRequest", detail: "no such session", rule: "acp/not-found" },
        { started: false, sideEffects: "none", sessionLost: true }
      )
      const script: Scripted.Script = (attempt) =>
        Effect.suspend(() => {
          resumed.push(attempt.resume)
          if (attempt.resume !== undefined) return Effect.fail(lost)
          const died = { ...crash, sideEffects, sessionId: "s" }
          return Effect.andThen(attempt.started("s"), resumed.length === 1 ? Effect.fail(died) : Effect.succeed(claim()))
        })
      return withRuntime({ drivers: { fake: driver(script, { resumable: true }) } }, (runtime) =>
        Effect.gen(function* () {
          yield* runtime.spawn({ id: "a", driver: "fake" })
          const fiber = yield* start(runtime.execute("a", { id: "t", effect: "resumable" }))
          yield* TestClock.adjust("10 minutes")
          assert.deepInclude(yield* Fiber.join(fiber), expected)
          assert.deepEqual(resumed, [undefined, "s", undefined].slice(0, expected.attempts))
        })
      )
    })
  }

  it.effect("C47 takes the stages in their order, asserted from the event trace", () =>
    withRuntime({ drivers: { fake: driver(succeedAfter("1 second")) }, environment: { tracesStages: true } }, (runtime) =>
      Effect.gen(function* () {
        const events = yield* recorded
        yield* runtime.spawn({ id: "a", driver: "fake" })
        const spawned = of(events, "Stage").map((event) => `${event.operation} ${event.stage} ${event.decision}`)
        assert.deepEqual(spawned, [
          "spawn deadline passed",
          "spawn retry passed",
          "spawn cooldown passed",
          "spawn rateLimit passed",
          "spawn bulkhead passed",
          "spawn circuitBreaker passed",
          "spawn attemptLimit passed",
          "spawn driver passed"
        ])
        events.length = 0
        const fiber = yield* start(runtime.execute("a", { id: "t", verify: ["true"] }))
        yield* TestClock.adjust("2 seconds")
        yield* Fiber.join(fiber)
        assert.deepEqual(
          of(events, "Stage").map((event) => `${event.stage} ${event.decision}`),
          [
            "deadline passed",
            "retry passed",
            "cooldown passed",
            "rateLimit passed",
            "bulkhead passed",
            "circuitBreaker passed",
            "attemptLimit passed",
            "driver passed",
            "verify passed"
          ]
        )
        events.length = 0
        yield* runtime.remove("a")
        assert.deepEqual([...new Set(of(events, "Stage").map((event) => `${event.operation} ${event.decision}`))], ["remove bypassed"])
      })
    )
  )

  it.effect("C47 admission takes all stages or none: a refusal by the last gives back what the others gave", () =>
    withRuntime(
      {
        drivers: { fake: driver(afterStart(Effect.fail(crash))) },
        config: {
          circuitBreaker: { consecutiveFailures: 1, openTime: "1 hour", maxOpenTime: "1 hour" },
          rateLimit: { perAccount: { name: "n", algorithm: "sliding-window", limit: 3, window: "1 hour" } },
          retry: { maxAttempts: 1 }
        }
      },
      (runtime) =>
        Effect.gen(function* () {
          yield* runtime.spawn({ id: "a", driver: "fake", account: "acc" })
          const first = yield* start(runtime.execute("a", { id: "t1", effect: "idempotent" }))
          yield* TestClock.adjust("1 second")
          assert.strictEqual((yield* Fiber.join(first)).state, "dead-lettered")
          yield* runtime.submit({ id: "t2", agent: "a", effect: "idempotent" })
          yield* TestClock.adjust("10 minutes")
          const status = yield* runtime.getReliabilityStatus
          assert.strictEqual(status.bulkhead.running, 0)
          // One attempt was made; every refused admission gave its token back.
          const { admitted } = yield* runtime.getRateLimiterMetrics
          const task = (yield* runtime.tasks).find((each) => each.id === "t2")!
          assert.strictEqual(task.waiting?.for, "circuitBreaker")
          assert.isTrue(admitted >= 1)
          yield* runtime.resetAgentCircuitBreaker("a")
          yield* TestClock.adjust("1 second")
          assert.strictEqual((yield* runtime.await("t2")).state, "dead-lettered")
        })
    )
  )

  it.effect("C45 an agent that hangs for an hour delays no task of another agent", () => {
    const hang: Scripted.Script = (attempt, agentId) =>
      agentId === "a" ? Effect.andThen(attempt.started(), Effect.never) : succeedAfter("1 second")(attempt, agentId)
    return withRuntime(
      {
        drivers: { fake: driver(hang) },
        config: { timeLimit: { stall: "10 hours", attempt: "1 hour" }, bulkhead: { global: { permits: 2 } } }
      },
      (runtime) =>
        Effect.gen(function* () {
          yield* runtime.spawn({ id: "a", driver: "fake" })
          yield* runtime.spawn({ id: "b", driver: "fake" })
          for (let n = 0; n < 10; n++) yield* runtime.submit({ id: `a${n}`, agent: "a" })
          const ends = yield* Effect.forEach(
            Array.from({ length: 10 }, (_, n) => `b${n}`),
            (id) => start(runtime.execute("b", { id }))
          )
          yield* TestClock.adjust("11 seconds")
          for (const fiber of ends) assert.strictEqual((yield* Fiber.join(fiber)).state, "succeeded")
          assert.strictEqual((yield* runtime.agents).find((agent) => agent.id === "a")?.state, "working")
        })
    )
  })

  it.effect("C19 with 20 agents on one account and a limit of 10 a minute never more than 10 attempts start in a minute", () =>
    withRuntime(
      {
        drivers: { fake: driver(succeedAfter("1 second")) },
        config: {
          rateLimit: { perAccount: { name: "ten", algorithm: "sliding-window", limit: 10, window: "1 minute" } },
          bulkhead: { global: { permits: 50 }, perAccount: { permits: 50 } }
        }
      },
      (runtime) =>
        Effect.gen(function* () {
          const events = yield* recorded
          for (let n = 0; n < 20; n++) yield* runtime.spawn({ id: `a${n}`, driver: "fake", account: "one" })
          for (let n = 0; n < 60; n++) yield* runtime.submit({ id: `t${n}` })
          yield* TestClock.adjust("10 minutes")
          const starts = of(events, "AttemptStarted").map((event) => event.at)
          assert.strictEqual(starts.length, 60)
          for (const at of starts) assert.isAtMost(starts.filter((other) => other >= at && other < at + 60_000).length, 10)
          assert.isAtMost(Math.max(...starts) - Math.min(...starts), 5 * 60_000 + 5_000)
        })
    )
  )

  it.effect(
    "C24 one 429 parks every agent of the account until the reset, then lets them in at a ramp; no breaker trips, no attempt is spent",
    () =>
      withRuntime(
        {
          drivers: { fake: driver(inTurn(afterStart(Effect.fail(rateLimited(600_000))), succeedAfter("1 second"))) },
          config: { retry: { maxAttempts: 1 } }
        },
        (runtime) =>
          Effect.gen(function* () {
            const events = yield* recorded
            for (let n = 0; n < 8; n++) yield* runtime.spawn({ id: `a${n}`, driver: "fake", account: "one" })
            yield* runtime.submit({ id: "first", effect: "idempotent" })
            yield* TestClock.adjust("1 millis")
            for (let n = 0; n < 20; n++) yield* runtime.submit({ id: `t${n}`, effect: "idempotent" })
            yield* TestClock.adjust("9 minutes")
            assert.strictEqual(of(events, "AttemptStarted").length, 1)
            const waiting = (yield* runtime.tasks).map((task) => task.waiting?.for)
            assert.deepEqual([...new Set(waiting)], ["cooldown"])
            yield* TestClock.adjust("5 minutes")
            assert.strictEqual(of(events, "TaskSucceeded").length, 21)
            assert.strictEqual(of(events, "GateClosed").length, 1)
            assert.strictEqual(of(events, "CircuitStateChanged").length, 0)
            const reopened = of(events, "GateReopened")[0]!.at
            // The first to come back is alone.
            assert.strictEqual(of(events, "AttemptStarted").filter((event) => event.at >= reopened && event.at < reopened + 500).length, 1)
          })
      )
  )

  it.effect("C55 runs tasks after their dependencies; a failed one holds or cancels by rule, and a redrive that succeeds releases", () => {
    let healthy = false
    const script: Scripted.Script = (attempt) =>
      Effect.andThen(
        attempt.started(),
        attempt.task.id === "base" && !healthy ? Effect.fail(failure({ _tag: "Refused", detail: "no" })) : Effect.succeed(claim())
      )
    return withRuntime({ drivers: { fake: driver(script) } }, (runtime) =>
      Effect.gen(function* () {
        const events = yield* recorded
        yield* runtime.spawn({ id: "a", driver: "fake" })
        const tasks: ReadonlyArray<TaskInput> = [
          { id: "base", effect: "idempotent" },
          { id: "held", dependsOn: ["base"] },
          { id: "held-too", dependsOn: ["held"] },
          { id: "gone", dependsOn: ["base"], onDependencyFailed: "cancel" },
          { id: "gone-too", dependsOn: ["gone"], onDependencyFailed: "cancel" }
        ]
        yield* runtime.pause
        for (const task of tasks) yield* runtime.submit(task)
        yield* runtime.resume
        yield* TestClock.adjust("1 second")
        const states = () => Effect.map(runtime.tasks, (all) => Object.fromEntries(all.map((task) => [task.id, task.state])))
        assert.deepEqual(yield* states(), {
          base: "dead-lettered",
          held: "blocked",
          "held-too": "blocked",
          gone: "cancelled",
          "gone-too": "cancelled"
        })
        healthy = true
        const letters = yield* runtime.getDLQMessages
        assert.strictEqual(letters.length, 1)
        const answer = yield* runtime.retryDLQMessage(letters[0]!.id)
        assert.strictEqual(answer._tag, "Redriven")
        yield* TestClock.adjust("1 second")
        assert.deepEqual(yield* states(), {
          base: "succeeded",
          held: "succeeded",
          "held-too": "succeeded",
          gone: "cancelled",
          "gone-too": "cancelled"
        })
        assert.deepEqual(yield* runtime.getDLQMessages, [])
        // The success and the release of those that waited for it are one transaction: their events have consecutive numbers.
        const success = of(events, "TaskSucceeded").find((event) => event.taskId === "base")!
        const released = of(events, "TaskQueued").find((event) => event.taskId === "held")!
        assert.isTrue(released.seq! > success.seq! && released.seq! <= success.seq! + 3)
      })
    )
  })

  it.effect("C55 refuses a dependency that is not there and a circle, and nothing of it stays", () =>
    withRuntime({ drivers: { fake: driver(succeedAfter(1)) } }, (runtime) =>
      Effect.gen(function* () {
        const unknown = yield* Effect.flip(runtime.submit({ id: "t", dependsOn: ["nobody"] }))
        assert.strictEqual(unknown._tag, "TaskInvalid")
        assert.include(unknown.message, "nobody")
        assert.deepEqual(yield* runtime.tasks, [])
      })
    )
  )

  it.effect("C52 refuses with QueueFull at the limit, and takes tasks again when some have ended", () =>
    withRuntime({ drivers: { fake: driver(succeedAfter("1 second")) }, config: { queue: { limit: 3 } } }, (runtime) =>
      Effect.gen(function* () {
        for (const id of ["t1", "t2", "t3"]) yield* runtime.submit({ id })
        const full = yield* Effect.flip(runtime.submit({ id: "t4" }))
        assert.strictEqual(full._tag, "QueueFull")
        assert.strictEqual(full.message, "The queue is full: 3 have not ended, the limit is 3 (config.queue.limit)")
        const tasks = yield* Effect.forEach(["b1", "b2"], (id) => Schema.decodeEffect(TaskSpec)({ id }))
        const batch = yield* Effect.flip(runtime.submitBatch({ id: "b", file: "f", digest: "d", tasks }))
        assert.strictEqual(batch.message, "The queue has no room for 2 tasks: 3 have not ended, the limit is 3 (config.queue.limit)")
        yield* runtime.spawn({ id: "a", driver: "fake" })
        yield* TestClock.adjust("1 second")
        yield* runtime.submit({ id: "t4" })
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual((yield* runtime.await("t4")).state, "succeeded")
      })
    )
  )

  it.effect("C65 an unsafe task that had started is never started again: its outcome is unknown, for a person", () =>
    withRuntime({ drivers: { fake: driver(afterStart(Effect.fail(crash))) } }, (runtime) =>
      Effect.gen(function* () {
        const events = yield* recorded
        yield* runtime.spawn({ id: "a", driver: "fake" })
        const end = yield* start(runtime.execute("a", { id: "t" }))
        yield* TestClock.adjust("1 hour")
        assert.strictEqual((yield* Fiber.join(end)).state, "dead-lettered")
        assert.strictEqual(of(events, "AttemptStarted").length, 1)
        const [letter] = yield* runtime.getDLQMessages
        assert.strictEqual(letter?.cause, "OutcomeUnknown")
        assert.strictEqual(letter?.automatic, false)
      })
    )
  )

  it.effect("C65 an unsafe task that provably had not begun, or did nothing, is tried again", () =>
    withRuntime(
      {
        drivers: {
          fake: driver(
            inTurn(
              () => Effect.fail(failure({ _tag: "SpawnFailed", detail: "no", reason: "x" }, { started: false, sideEffects: "none" })),
              afterStart(Effect.fail(failure({ _tag: "Transient", detail: "503" }, { sideEffects: "none" }))),
              succeedAfter(1)
            )
          )
        }
      },
      (runtime) =>
        Effect.gen(function* () {
          yield* runtime.spawn({ id: "a", driver: "fake" })
          const end = yield* start(runtime.execute("a", { id: "t" }))
          yield* TestClock.adjust("1 hour")
          const { attempts, state } = yield* Fiber.join(end)
          assert.deepEqual({ attempts, state }, { attempts: 3, state: "succeeded" })
        })
    )
  )

  it.effect("C65 a resumable task goes on with its session on the agent that has it", () => {
    const seen: Array<string | undefined> = []
    const script = inTurn(
      (attempt) => Effect.andThen(attempt.started("session-1"), Effect.fail({ ...crash, sessionId: "session-1" })),
      (attempt: AttemptContext) => {
        seen.push(attempt.resume)
        return Effect.andThen(attempt.started(), Effect.succeed(claim()))
      }
    )
    return withRuntime({ drivers: { fake: driver(script, { resumable: true }) } }, (runtime) =>
      Effect.gen(function* () {
        const events = yield* recorded
        yield* runtime.spawn({ id: "a", driver: "fake" })
        yield* runtime.spawn({ id: "b", driver: "fake" })
        yield* runtime.submit({ id: "t", effect: "resumable" })
        yield* TestClock.adjust("10 minutes")
        assert.strictEqual((yield* runtime.await("t")).state, "succeeded")
        assert.deepEqual(seen, ["session-1"])
        assert.strictEqual(new Set(of(events, "AttemptStarted").map((event) => event.agentId)).size, 1)
      })
    )
  })

  it.effect("C64 changes confirm a claim only where nobody else worked in the same directory meanwhile", () =>
    withRuntime(
      {
        drivers: { fake: driver((attempt, agentId) => succeedAfter(agentId === "a" ? "1 minute" : "1 second")(attempt, agentId)) },
        check: Effect.succeed({ _tag: "Passed", verified: true })
      },
      (runtime) =>
        Effect.gen(function* () {
          for (const [id, cwd] of Object.entries({ a: "shared", b: "shared", c: "own" })) yield* runtime.spawn({ id, driver: "fake", cwd })
          const others = yield* start(runtime.execute("a", { id: "long-a" }))
          const tasks = { b: { changes: "required" }, c: { changes: "required" } } as const
          const verified: Record<string, boolean | undefined> = {}
          for (const [agent, task] of Object.entries(tasks)) {
            const end = yield* start(runtime.execute(agent, { id: agent, ...task }))
            yield* TestClock.adjust("2 seconds")
            verified[agent] = (yield* Fiber.join(end)).verified
          }
          const checked = yield* start(runtime.execute("b", { id: "checked", changes: "required", verify: ["x"] }))
          yield* TestClock.adjust("2 minutes")
          yield* Fiber.join(others)
          const alone = yield* start(runtime.execute("b", { id: "alone", changes: "required" }))
          yield* TestClock.adjust("2 seconds")
          verified["checked"] = (yield* Fiber.join(checked)).verified
          verified["alone"] = (yield* Fiber.join(alone)).verified
          assert.deepStrictEqual(verified, { b: false, c: true, checked: true, alone: true })
        })
    )
  )

  it.effect("C64 a claim whose check fails does not succeed, and `verified` tells which was checked", () => {
    let passes = false
    return withRuntime(
      {
        drivers: { fake: driver(succeedAfter(1)) },
        check: Effect.sync(() => (passes ? { _tag: "Passed", verified: true } : { _tag: "Failed", detail: "tests fail" })),
        config: { retry: { maxAttempts: 2 } }
      },
      (runtime) =>
        Effect.gen(function* () {
          yield* runtime.spawn({ id: "a", driver: "fake" })
          const bad = yield* start(runtime.execute("a", { id: "bad", verify: ["x"], effect: "idempotent" }))
          yield* TestClock.adjust("1 hour")
          const end = yield* Fiber.join(bad)
          assert.strictEqual(end.state, "dead-lettered")
          assert.include(end.reason, "CheckFailed")
          passes = true
          const good = yield* start(runtime.execute("a", { id: "good", verify: ["x"] }))
          yield* TestClock.adjust("1 hour")
          assert.strictEqual((yield* Fiber.join(good)).verified, true)
        })
    )
  })

  it.effect("C66 stops an attempt that repeats itself, and one that uses up its token budget", () => {
    const script: Scripted.Script = (attempt) =>
      Effect.andThen(
        attempt.started(),
        Effect.forever(
          Effect.andThen(
            Effect.sleep("1 second"),
            Effect.sync(() => {
              if (attempt.task.id === "loop") attempt.progress({ _tag: "Text", text: "I will try the very same thing once more.\n" })
              else attempt.progress({ _tag: "Usage", usage: { tokens: 1_000 } })
            })
          )
        )
      )
    return withRuntime({ drivers: { fake: driver(script) } }, (runtime) =>
      Effect.gen(function* () {
        yield* runtime.spawn({ id: "a", driver: "fake" })
        const loop = yield* start(runtime.execute("a", { id: "loop", effect: "idempotent" }))
        yield* TestClock.adjust("2 minutes")
        const looped = yield* Fiber.join(loop)
        assert.strictEqual(looped.state, "dead-lettered")
        assert.include(looped.reason, "Runaway")
        const spend = yield* start(runtime.execute("a", { id: "spend", effect: "idempotent", budget: { tokens: 1_000 } }))
        yield* TestClock.adjust("2 minutes")
        assert.include((yield* Fiber.join(spend)).reason, "token budget")
      })
    )
  })

  it.effect("C66 a spent budget of the day stops new attempts until the next day, and says so", () =>
    withRuntime({ drivers: { fake: driver(succeedAfter(1)) }, config: { budget: { perDay: { attempts: 2 } } } }, (runtime) =>
      Effect.gen(function* () {
        const events = yield* recorded
        yield* runtime.spawn({ id: "a", driver: "fake" })
        for (const id of ["t1", "t2", "t3"]) yield* runtime.submit({ id })
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(of(events, "AttemptStarted").length, 2)
        assert.strictEqual(of(events, "BudgetSpent").length, 1)
        assert.strictEqual((yield* runtime.tasks).find((task) => task.id === "t3")?.waiting?.for, "budget")
        yield* TestClock.adjust("25 hours")
        assert.strictEqual(of(events, "TaskSucceeded").length, 3)
      })
    )
  )

  it.effect("C11 a deadline ends a task that waits, and one that runs, and says which", () =>
    withRuntime({ drivers: { fake: driver(afterStart(Effect.never)) }, config: { timeLimit: { stall: "10 hours" } } }, (runtime) =>
      Effect.gen(function* () {
        yield* runtime.spawn({ id: "a", driver: "fake" })
        const running = yield* start(runtime.execute("a", { id: "running", deadline: "1 minute" }))
        const waiting = yield* start(runtime.execute("a", { id: "waiting", deadline: "30 seconds" }))
        yield* TestClock.adjust("29 seconds")
        assert.strictEqual(
          (yield* runtime.tasks).every((task) => task.state !== "dead-lettered"),
          true
        )
        yield* TestClock.adjust("1 second")
        assert.include((yield* Fiber.join(waiting)).reason, "deadline passed while it waited for agent")
        yield* TestClock.adjust("30 seconds")
        assert.include((yield* Fiber.join(running)).reason, "its deadline is due")
      })
    )
  )

  it.effect("C50 an attempt in which nothing moves is stopped with the evidence", () =>
    withRuntime(
      {
        drivers: { fake: driver(inTurn(afterStart(Effect.never), succeedAfter(1))) },
        config: { timeLimit: { stall: "2 minutes" } }
      },
      (runtime) =>
        Effect.gen(function* () {
          const events = yield* recorded
          yield* runtime.spawn({ id: "a", driver: "fake" })
          yield* runtime.submit({ id: "t", effect: "idempotent" })
          yield* TestClock.adjust("10 minutes")
          assert.strictEqual((yield* runtime.await("t")).state, "succeeded")
          const fault = of(events, "AttemptEnded")[0]?.fault
          assert.strictEqual(fault?._tag, "Stalled")
          assert.include(fault?._tag === "Stalled" ? fault.evidence : "", "no file change")
        })
    )
  )

  it.effect("cancels a waiting task, and a running one after it has stopped", () => {
    let stopped = 0
    return withRuntime(
      { drivers: { fake: driver(afterStart(Effect.onInterrupt(Effect.never, () => Effect.sync(() => void stopped++)))) } },
      (runtime) =>
        Effect.gen(function* () {
          yield* runtime.spawn({ id: "a", driver: "fake" })
          yield* runtime.submit({ id: "running" })
          yield* runtime.submit({ id: "waiting" })
          yield* TestClock.adjust("1 second")
          assert.strictEqual((yield* runtime.cancel("waiting")).state, "cancelled")
          assert.strictEqual(stopped, 0)
          assert.strictEqual((yield* runtime.cancel("running")).state, "cancelled")
          assert.strictEqual(stopped, 1)
          const again = yield* runtime.cancel("running")
          assert.strictEqual(again.state, "cancelled")
          assert.strictEqual((yield* Effect.flip(runtime.cancel("nobody")))._tag, "TaskNotFound")
          assert.strictEqual((yield* runtime.getReliabilityStatus).bulkhead.running, 0)
        })
    )
  })

  it.effect("C49 an agent whose process dies is restarted within its budget, then a dead letter", () => {
    let deaths = Deferred.makeUnsafe<void>()
    const dying = driver(succeedAfter(1), {
      exited: Effect.as(
        Effect.suspend(() => Deferred.await(deaths)),
        { _tag: "Crashed", detail: "gone", exitCode: 1, signal: null } as const
      )
    })
    return withRuntime({ drivers: { fake: dying }, config: { health: { restarts: 2, restartWindow: "1 hour" } } }, (runtime) =>
      Effect.gen(function* () {
        const events = yield* recorded
        yield* runtime.spawn({ id: "a", driver: "fake" })
        for (let n = 0; n < 3; n++) {
          const death = deaths
          deaths = Deferred.makeUnsafe()
          yield* Deferred.succeed(death, undefined)
          yield* TestClock.adjust("2 minutes")
        }
        assert.strictEqual(of(events, "AgentRestarted").length, 2)
        assert.strictEqual((yield* runtime.agents)[0]?.state, "failed")
        assert.deepEqual(
          (yield* runtime.getDLQMessages).map((letter) => letter.kind),
          ["restart"]
        )
        yield* runtime.restart("a")
        assert.strictEqual((yield* runtime.agents)[0]?.state, "idle")
        assert.deepEqual(yield* runtime.getDLQMessages, [])
      })
    )
  })

  it.effect("C28 an automatic redrive waits while the circuit is open, then comes by itself", () => {
    let down = true
    const outage = failure({ _tag: "Outage", detail: "nobody answers" })
    const script = afterStart(Effect.suspend(() => (down ? Effect.fail(outage) : Effect.succeed(claim()))))
    const config = {
      retry: { maxAttempts: 1 },
      circuitBreaker: { consecutiveFailures: 1, openTime: "20 minutes", maxOpenTime: "20 minutes" },
      deadLetter: { redriveAfter: "1 minute", redriveJitter: 0 }
    }
    return withRuntime({ drivers: { fake: driver(script) }, config }, (runtime) =>
      Effect.gen(function* () {
        const events = yield* recorded
        yield* runtime.spawn({ id: "a", driver: "fake" })
        const task = yield* start(runtime.execute("a", { id: "t", effect: "idempotent" }))
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual((yield* Fiber.join(task)).state, "dead-lettered")
        assert.include((yield* runtime.getDLQMessages)[0], { automatic: true, status: "pending" })
        down = false
        yield* TestClock.adjust("15 minutes")
        assert.deepEqual(of(events, "DeadLetterRedriven"), [], "its circuit is open")
        yield* TestClock.adjust("30 minutes")
        assert.strictEqual(of(events, "DeadLetterRedriven").length, 1)
        assert.strictEqual((yield* runtime.tasks).find((each) => each.id === "t")?.state, "succeeded")
        assert.deepEqual(yield* runtime.getDLQMessages, [])
      })
    )
  })

  it.effect("C56 a task whose submitter leaves while it is being written is written, and done", () => {
    const disk = MemoryStore.makeDisk()
    const open = () => {
      const store = disk.open()
      return { ...store, commit: (...args: Parameters<typeof store.commit>) => Effect.delay(store.commit(...args), "1 second") }
    }
    return Effect.gen(function* () {
      const body = yield* start(
        withRuntime({ drivers: { fake: driver(succeedAfter("1 second")) }, disk: { open } }, (runtime) =>
          Effect.gen(function* () {
            yield* runtime.spawn({ id: "a", driver: "fake" })
            const submitting = yield* start(runtime.submit({ id: "t" }))
            yield* start(Fiber.interrupt(submitting))
            yield* Effect.sleep("1 minute")
            assert.deepEqual(
              (yield* runtime.tasks).map(({ id, state }) => [id, state]),
              [["t", "succeeded"]]
            )
          })
        )
      )
      yield* TestClock.adjust("1 hour")
      yield* Fiber.join(body)
    })
  })

  it.effect("C28 an automatic redrive that came due while nobody ran comes soon after the start", () => {
    const disk = MemoryStore.makeDisk()
    const outage = failure({ _tag: "Outage", detail: "nobody answers" })
    const config = { retry: { maxAttempts: 1 }, deadLetter: { redriveAfter: "1 minute", redriveJitter: 0 } }
    const run = <A, E>(script: Scripted.Script, body: (runtime: AgentRuntime["Service"]) => Effect.Effect<A, E>) =>
      withRuntime({ drivers: { fake: driver(script) }, config, disk }, (runtime) =>
        Effect.andThen(runtime.spawn({ id: "a", driver: "fake" }), body(runtime))
      )
    return Effect.gen(function* () {
      yield* run(afterStart(Effect.fail(outage)), (runtime) => runtime.execute("a", { id: "t", effect: "idempotent" }))
      yield* TestClock.adjust("1 hour")
      yield* run(succeedAfter("1 second"), (runtime) =>
        Effect.gen(function* () {
          assert.lengthOf(yield* runtime.getDLQMessages, 1)
          yield* TestClock.adjust("5 seconds")
          assert.deepEqual(yield* runtime.getDLQMessages, [])
        })
      )
    })
  })

  it.effect("C25 a spawn that fails for good becomes a dead letter with its history, and can be redriven", () => {
    let broken = true
    const fault = { _tag: "SpawnFailed", detail: "no such program", reason: "ENOENT" } as const
    const open = Effect.suspend(() => (broken ? Effect.fail(fault) : Effect.void))
    return withRuntime({ drivers: { fake: driver(succeedAfter(1), { open }) }, config: { retry: { maxAttempts: 2 } } }, (runtime) =>
      Effect.gen(function* () {
        const spawning = yield* start(Effect.exit(runtime.spawn({ id: "a", driver: "fake" })))
        yield* TestClock.adjust("10 minutes")
        const exit = yield* Fiber.join(spawning)
        assert.isTrue(Exit.isFailure(exit))
        const [letter] = yield* runtime.getDLQMessages
        assert.strictEqual(letter?.kind, "spawn")
        assert.strictEqual((letter!.payload as { faults: ReadonlyArray<unknown> }).faults.length, 2)
        broken = false
        const redriven = yield* runtime.retryDLQMessage(letter!.id)
        assert.strictEqual(redriven._tag, "Redriven")
        assert.deepEqual(yield* runtime.getDLQMessages, [])
        assert.strictEqual((yield* runtime.agents)[0]?.state, "idle")
      })
    )
  })

  it.effect(
    "C04 an open circuit is looked at for free first, then tried with one task, an unsafe one only if nothing else waits; its first progress closes it",
    () => {
      let well = false
      let looks = 0
      const order: Array<string> = []
      const script: Scripted.Script = (attempt) =>
        Effect.andThen(
          attempt.started(),
          attempt.task.id === "breaks"
            ? Effect.fail(crash)
            : Effect.andThen(
                Effect.sync(() => {
                  order.push(attempt.task.id)
                  attempt.progress({ _tag: "Text", text: "working" })
                }),
                Effect.as(Effect.sleep("1 hour"), claim())
              )
        )
      const fake = {
        ...driver(script),
        probe: () =>
          Effect.suspend(() => {
            looks++
            return well ? Effect.void : Effect.fail({ _tag: "Outage", detail: "down" } as const)
          })
      }
      return withRuntime(
        {
          drivers: { fake },
          config: {
            circuitBreaker: { consecutiveFailures: 1, openTime: "1 minute", openTimeFactor: 1 },
            retry: { maxAttempts: 1 },
            timeLimit: { stall: "10 hours", attempt: "10 hours" }
          }
        },
        (runtime) =>
          Effect.gen(function* () {
            yield* runtime.spawn({ id: "a", driver: "fake" })
            yield* runtime.submit({ id: "breaks", effect: "idempotent" })
            yield* TestClock.adjust("1 second")
            yield* runtime.submit({ id: "unsafe", priority: "high" })
            yield* runtime.submit({ id: "safe", effect: "idempotent" })
            yield* TestClock.adjust("150 seconds")
            // Two looks, and no task was risked.
            assert.deepEqual({ looks, order }, { looks: 2, order: [] })
            assert.strictEqual((yield* runtime.getReliabilityStatus).bulkhead.running, 0)
            well = true
            yield* TestClock.adjust("1 minute")
            assert.deepEqual(order, ["safe"])
            // Its end is an hour away; that it works is enough.
            assert.strictEqual((yield* runtime.getAgentCircuitBreakerStatus("a")).state, "closed")
          })
      )
    }
  )

  it.effect("C43 a shutdown shows its phases and how much work is left while it drains", () =>
    withRuntime({ drivers: { fake: driver(succeedAfter("5 seconds")) } }, (runtime) =>
      Effect.gen(function* () {
        const events = yield* recorded
        for (const id of ["a", "b"]) yield* runtime.spawn({ id, driver: "fake" })
        for (const id of ["t1", "t2", "t3"]) yield* runtime.submit({ id })
        const ending = yield* start(runtime.shutdown)
        yield* TestClock.adjust("10 seconds")
        const report = yield* Fiber.join(ending)
        assert.deepEqual(
          of(events, "ShutdownPhaseStarted").map((event) => event.phase),
          ["stop-intake", "drain", "save-state", "stop-agents", "close-connections", "clean-up"]
        )
        assert.deepEqual(
          of(events, "ShutdownProgress").map((event) => [event.phase, event.remaining]),
          [
            ["drain", 2],
            ["drain", 1],
            ["drain", 0]
          ]
        )
        assert.deepEqual(report.abandoned, [])
        // What had begun was brought to its end; what waited waits for the next start.
        assert.deepEqual(
          (yield* runtime.tasks).map((task) => [task.id, task.state]),
          [
            ["t1", "succeeded"],
            ["t2", "succeeded"],
            ["t3", "queued"]
          ]
        )
      })
    )
  )
})
