/** What simulations found in the runtime, each as a test that needs no simulation. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schema } from "effect"
import { TestClock } from "effect/testing"
import type { AgentDriver } from "../../src/agent/AgentDriver.ts"
import type { Fault } from "../../src/agent/Fault.ts"
import { AgentRuntime } from "../../src/AgentRuntime.ts"
import * as TaskTable from "../../src/runtime/TaskTable.ts"
import type { RuntimeEvent } from "../../src/RuntimeEvent.ts"
import { TaskSpec } from "../../src/task/Task.ts"
import * as TaskLife from "../../src/task/TaskLife.ts"
import * as Scripted from "../support/runtime.ts"

const listening = Effect.gen(function* () {
  const events: Array<RuntimeEvent> = []
  yield* (yield* AgentRuntime).subscribe((event) => void events.push(event))
  return events
})

const failAfter = (millis: number, fault: Parameters<typeof Scripted.failure>[0]): Scripted.Script =>
  Scripted.afterStart(Effect.andThen(Effect.sleep(millis), Effect.fail(Scripted.failure(fault, { sideEffects: "none" }))))

describe("found by simulation", () => {
  it.effect("C56 an attempt's end is durable before the same task is given to another account's agent", () =>
    Effect.gen(function* () {
      const runtime = yield* AgentRuntime
      const events = yield* listening
      yield* runtime.spawn({ id: "a", driver: "limited", account: "one" })
      const task = yield* runtime.submit({ id: "t", effect: "idempotent" })
      yield* runtime.spawn({ id: "b", driver: "well", account: "two" })
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* runtime.await(task.key)).agentId, "b")
      const attempts = events.filter((event) => event._tag === "AttemptAdmitted" || event._tag === "AttemptEnded")
      assert.deepStrictEqual(
        attempts.map(({ _tag, attempt }) => `${_tag} ${attempt}`),
        ["AttemptAdmitted 1", "AttemptEnded 1", "AttemptAdmitted 2", "AttemptEnded 2"]
      )
    }).pipe(
      Effect.provide(
        Scripted.layer({
          drivers: {
            limited: Scripted.driver(failAfter(1_000, { _tag: "RateLimited", detail: "limit" })),
            well: Scripted.driver(Scripted.succeedAfter("1 second"))
          }
        })
      )
    )
  )

  it.effect("C51 an agent that two ask to be started at once has one process, and none once it is removed", () => {
    let broken = true
    let living = 0
    const open = Effect.gen(function* () {
      yield* Effect.sleep("1 second")
      if (broken) return yield* Effect.fail<Fault>({ _tag: "SpawnFailed", detail: "no such file", reason: "ENOENT" })
      yield* Effect.acquireRelease(
        Effect.sync(() => living++),
        () => Effect.sync(() => living--)
      )
    })
    const process: AgentDriver = {
      ...Scripted.driver(Scripted.succeedAfter("1 second")),
      open: () =>
        Effect.as(open, { resumable: false, exited: Effect.never, activity: Effect.succeed(Scripted.idle), run: () => Effect.never })
    }
    return Effect.gen(function* () {
      const runtime = yield* AgentRuntime
      const spawning = yield* Effect.forkChild(Effect.flip(runtime.spawn({ id: "a", driver: "process" })), { startImmediately: true })
      yield* TestClock.adjust("1 hour")
      yield* Fiber.join(spawning)
      broken = false
      const [letter] = yield* runtime.getDLQMessages
      const redriving = yield* Effect.forkChild(runtime.retryDLQMessage(letter!.id), { startImmediately: true })
      const restarting = yield* Effect.forkChild(runtime.restart("a"), { startImmediately: true })
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(redriving)
      assert.strictEqual((yield* Fiber.join(restarting)).state, "idle")
      assert.strictEqual(living, 1)
      yield* runtime.remove("a")
      assert.strictEqual(living, 0)
    }).pipe(Effect.provide(Scripted.layer({ drivers: { process } })))
  })

  it.effect("C28 C31 a task of a kind of its own is redriven like any other", () => {
    let calls = 0
    return Effect.gen(function* () {
      const runtime = yield* AgentRuntime
      yield* runtime.spawn({ id: "a", driver: "once" })
      yield* runtime.submit({ id: "t", kind: "review", effect: "idempotent" })
      yield* TestClock.adjust("1 minute")
      const [letter] = yield* runtime.getDLQMessages
      assert.strictEqual(letter?.kind, "review")
      const redriven = yield* runtime.retryDLQMessage(letter!.id)
      assert.strictEqual(redriven._tag, "Redriven")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* runtime.await("t")).state, "succeeded")
    }).pipe(
      Effect.provide(
        Scripted.layer({
          drivers: {
            once: Scripted.driver((attempt, agent) =>
              (++calls === 1 ? failAfter(1_000, { _tag: "Refused", detail: "no" }) : Scripted.succeedAfter("1 second"))(attempt, agent)
            )
          }
        })
      )
    )
  })

  it.effect("C28 what somebody cancels while it is redriven stays cancelled", () => {
    let down = true
    return Effect.gen(function* () {
      const runtime = yield* AgentRuntime
      const events = yield* listening
      yield* runtime.spawn({ id: "a", driver: "down" })
      yield* runtime.submit({ id: "t", effect: "idempotent" })
      while (!events.some((event) => event._tag === "DeadLetterAdded")) yield* TestClock.adjust("1 second")
      down = false
      while (!events.some((event) => event._tag === "DeadLetterRedriven")) yield* TestClock.adjust("10 seconds")
      yield* TestClock.adjust("1 second")
      yield* runtime.cancel("t")
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(events.filter((event) => event._tag === "DeadLetterRedriven").length, 1)
      assert.strictEqual((yield* runtime.await("t")).state, "cancelled")
    }).pipe(
      Effect.provide(
        Scripted.layer({
          config: { retry: { maxAttempts: 1 } },
          drivers: {
            down: Scripted.driver((attempt, agent) =>
              (down ? failAfter(1_000, { _tag: "Outage", detail: "down" }) : Scripted.succeedAfter("10 minutes"))(attempt, agent)
            )
          }
        })
      )
    )
  })

  it.effect("C03 tasks behind a probe that does not end go on when it is given up", () => {
    let calls = 0
    return Effect.gen(function* () {
      const runtime = yield* AgentRuntime
      const events = yield* listening
      yield* runtime.spawn({ id: "a", driver: "slow", account: "one" })
      yield* runtime.spawn({ id: "b", driver: "slow", account: "one" })
      for (const id of ["t1", "t2"]) yield* runtime.submit({ id, effect: "idempotent" })
      // Both fail, the circuit opens, and the probe is silent: nothing else happens that could wake anybody.
      yield* TestClock.adjust("15 minutes")
      const admitted = events.filter((event) => event._tag === "AttemptAdmitted")
      assert.strictEqual(admitted.length, 4)
      for (const id of ["t1", "t2"]) yield* runtime.cancel(id)
    }).pipe(
      Effect.provide(
        Scripted.layer({
          config: {
            retry: { maxAttempts: 100 },
            circuitBreaker: { consecutiveFailures: 2, openTime: "30 seconds", maxOpenTime: "30 seconds" },
            timeLimit: { stall: "1 hour" }
          },
          drivers: {
            slow: Scripted.driver((attempt, agent) =>
              (++calls <= 2 ? failAfter(1_000, { _tag: "Outage", detail: "down" }) : Scripted.succeedAfter("30 minutes"))(attempt, agent)
            )
          }
        })
      )
    )
  })

  it.effect("C55 a redrive does not begin what depends on a task that has not succeeded", () => {
    let refuses = true
    return Effect.gen(function* () {
      const runtime = yield* AgentRuntime
      const events = yield* listening
      yield* runtime.spawn({ id: "a", driver: "moody" })
      yield* runtime.submit({ id: "first", effect: "idempotent" })
      yield* runtime.submit({ id: "second", effect: "idempotent", dependsOn: ["first"], deadline: "10 minutes" })
      yield* TestClock.adjust("11 minutes")
      const letters = yield* runtime.getDLQMessages
      const letterOf = (subject: string) => letters.find((letter) => letter.subject === subject)!.id
      yield* runtime.retryDLQMessage(letterOf("second"))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* runtime.tasks).find((task) => task.id === "second")?.state, "blocked")
      refuses = false
      yield* runtime.retryDLQMessage(letterOf("first"))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* runtime.await("second")).state, "succeeded")
      assert.deepStrictEqual(
        events.flatMap((event) => (event._tag === "AttemptAdmitted" ? [event.taskId] : [])),
        ["first", "first", "second"]
      )
      assert.lengthOf(yield* runtime.getDLQMessages, 0)
    }).pipe(
      Effect.provide(
        Scripted.layer({
          drivers: {
            moody: Scripted.driver((attempt, agent) =>
              (refuses ? failAfter(1_000, { _tag: "Refused", detail: "no" }) : Scripted.succeedAfter("1 second"))(attempt, agent)
            )
          }
        })
      )
    )
  })

  // A laptop woke up, a retry had been due meanwhile, and its record from before was written over that of the attempt that began with it.
  it("C56 a parked task that is due when its record is put wakes afterwards: what is written next is not older than an attempt", () => {
    const armed: Array<() => void> = []
    let ready = 0
    const table = TaskTable.make({
      ageingMillis: 1_000,
      arm: (_, fire) => {
        armed.push(fire)
        return { cancel: () => {} }
      },
      wallNow: () => 10_000,
      due: TaskLife.queued,
      onReady: () => ready++,
      onDeadline: () => {}
    })
    const task = TaskLife.accept(Schema.decodeUnknownSync(TaskSpec)({ id: "t" }), { batch: "", order: 1, now: 0 })
    const parked = TaskLife.parked(task, { for: "retry", detail: "Transient", notBefore: 5_000 })
    table.put(parked)
    table.rearm()
    assert.deepStrictEqual([ready, table.get(task.key)], [0, parked])
    armed.at(-1)!()
    assert.deepStrictEqual([ready, table.get(task.key)?.state], [1, "queued"])
  })
})
