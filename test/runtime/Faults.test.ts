/** What a failure means for its task, its agent, its account and everybody else, on the runtime's own surface. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect } from "effect"
import { TestClock } from "effect/testing"
import type { Activity } from "../../src/agent/AgentDriver.ts"
import { AgentRuntime } from "../../src/AgentRuntime.ts"
import type { EventOf, RuntimeEvent } from "../../src/RuntimeEvent.ts"
import { jumpingClock } from "../support/jumpingClock.ts"
import * as Scripted from "../support/runtime.ts"

const { afterStart, claim, driver, failure, succeedAfter } = Scripted

type Service = AgentRuntime["Service"]

const withRuntime = <A, E>(
  options: Scripted.Options,
  body: (runtime: Service, events: ReadonlyArray<RuntimeEvent>) => Effect.Effect<A, E>
) =>
  Effect.scoped(
    Effect.gen(function* () {
      const runtime = yield* AgentRuntime
      const events: Array<RuntimeEvent> = []
      yield* runtime.subscribe((event) => void events.push(event))
      return yield* Effect.ensuring(body(runtime, events), Effect.all([runtime.shutdown, runtime.shutdown], { concurrency: "unbounded" }))
    })
  ).pipe(Effect.provide(Scripted.layer(options)))

const of = <Tag extends RuntimeEvent["_tag"]>(events: ReadonlyArray<RuntimeEvent>, tag: Tag) =>
  events.filter((event): event is EventOf<Tag> => event._tag === tag)

const starts = (events: ReadonlyArray<RuntimeEvent>, taskId: string): ReadonlyArray<number> =>
  of(events, "AttemptStarted")
    .filter((event) => event.taskId === taskId)
    .map((event) => event.at)

const outage = failure({ _tag: "Outage", detail: "nothing answers" })
const crash = failure({ _tag: "Crashed", detail: "gone", exitCode: null, signal: "SIGSEGV" })
const overloaded = (retryAfterMillis: number) => failure({ _tag: "Overloaded", detail: "529", retryAfterMillis })
const numbered = (count: number, prefix = "t"): ReadonlyArray<string> => Array.from({ length: count }, (_, n) => `${prefix}${n}`)

/** No breaker opens: what is looked at is what the other patterns do alone. */
const noBreaker = { consecutiveFailures: 100_000 }
const steady = { strategy: "fixed", jitter: "none", baseDelay: "1 second" }

describe("AgentRuntime's answers to faults", () => {
  it.effect("C14 under a total outage the retries of all agents of an account stay within its budget; nothing is dead-lettered by it", () =>
    withRuntime(
      {
        drivers: { fake: driver((attempt, agentId) => (agentId === "z" ? inTurn : afterStart(Effect.fail(outage)))(attempt, agentId)) },
        config: {
          circuitBreaker: noBreaker,
          retry: { ...steady, maxAttempts: 1000, budget: { ratio: 0.2, minimum: 3, window: "1 minute" } },
          bulkhead: { global: { permits: 50 }, perAccount: { permits: 50 } }
        }
      },
      (runtime, events) =>
        Effect.gen(function* () {
          for (const id of numbered(10, "a")) yield* runtime.spawn({ id, driver: "fake", account: "down", capabilities: ["work"] })
          yield* runtime.spawn({ id: "z", driver: "fake", account: "well" })
          for (const id of numbered(100)) yield* runtime.submit({ id, effect: "idempotent", capabilities: ["work"] })
          yield* TestClock.adjust("10 minutes")
          const retries = of(events, "AttemptStarted").length - 100
          assert.isAtMost(retries, 0.2 * 100 + 3 * 11)
          assert.isAtLeast(retries, 0.2 * 100 + 3 * 9)
          assert.strictEqual((yield* runtime.getReliabilityStatus).tasks["dead-lettered"], 0)
          const metrics = yield* runtime.getRetryMetrics
          assert.strictEqual(metrics.retries, retries)
          // Each retry that the budget delayed is counted once, however often it asked again.
          assert.isAtLeast(metrics.budgetRefusals, 80)
          assert.isAtMost(metrics.budgetRefusals, retries + 100)
          const waiting = (yield* runtime.tasks).find((task) => task.id === "t50")!.waiting!
          assert.strictEqual(waiting.for, "budget")
          assert.include(waiting.detail, "retry budget of account down is spent")
          // Another account's budget is its own.
          yield* runtime.submit({ id: "elsewhere", agent: "z", effect: "idempotent" })
          yield* TestClock.adjust("2 seconds")
          assert.deepInclude(yield* runtime.await("elsewhere"), { state: "succeeded", attempts: 2 })
        })
    )
  )
  let turns = 0
  const inTurn: Scripted.Script = (attempt, agentId) =>
    (turns++ === 0 ? afterStart(Effect.fail(outage)) : succeedAfter(1))(attempt, agentId)

  it.effect("C15 an open circuit is not hammered by retries, and its refusals use up no attempts", () =>
    withRuntime(
      {
        drivers: { fake: driver(afterStart(Effect.fail(outage))) },
        config: {
          circuitBreaker: { consecutiveFailures: 1, openTime: "1 minute", openTimeFactor: 1 },
          retry: { ...steady, maxAttempts: 3 }
        }
      },
      (runtime, events) =>
        Effect.gen(function* () {
          yield* runtime.spawn({ id: "a", driver: "fake" })
          yield* runtime.submit({ id: "t", effect: "idempotent" })
          yield* TestClock.adjust("59 seconds")
          assert.strictEqual(starts(events, "t").length, 1)
          assert.strictEqual((yield* runtime.tasks)[0]?.waiting?.for, "circuitBreaker")
          yield* TestClock.adjust("4 minutes")
          const at = starts(events, "t")
          assert.strictEqual(at.length, 3)
          for (const [index, time] of at.entries()) if (index > 0) assert.isAtLeast(time - at[index - 1]!, 60_000)
          const end = yield* runtime.await("t")
          assert.deepInclude(end, { state: "dead-lettered", attempts: 3 })
          assert.include(end.reason, "3 of 3 attempts failed")
        })
    )
  )

  it.effect("C13 the next attempt is never earlier than the provider's hint", () => {
    let turn = 0
    const script: Scripted.Script = (attempt) =>
      Effect.andThen(attempt.started(), turn++ < 2 ? Effect.fail(overloaded(90_000)) : Effect.succeed(claim()))
    return withRuntime({ drivers: { fake: driver(script) }, config: { circuitBreaker: noBreaker, retry: steady } }, (runtime, events) =>
      Effect.gen(function* () {
        yield* runtime.spawn({ id: "a", driver: "fake" })
        yield* runtime.submit({ id: "t", effect: "idempotent" })
        yield* TestClock.adjust("10 minutes")
        const at = starts(events, "t")
        assert.strictEqual(at.length, 3)
        for (const [index, time] of at.entries()) if (index > 0) assert.isAtLeast(time - at[index - 1]!, 90_000)
        assert.strictEqual((yield* runtime.await("t")).state, "succeeded")
      })
    )
  })

  for (const [name, fault] of [
    ["an overload", overloaded(600_000)],
    ["a rate limit", failure({ _tag: "RateLimited", detail: "429", retryAfterMillis: 600_000 })]
  ] as const) {
    it.effect(`C13 a hint past the deadline ends the task at once, saying so: ${name}`, () =>
      withRuntime({ drivers: { fake: driver(afterStart(Effect.fail(fault))) } }, (runtime) =>
        Effect.gen(function* () {
          yield* runtime.spawn({ id: "a", driver: "fake" })
          yield* runtime.submit({ id: "t", effect: "idempotent", deadline: "5 minutes" })
          yield* TestClock.adjust("1 second")
          const end = yield* runtime.await("t")
          assert.deepInclude(end, { state: "dead-lettered", attempts: 1 })
          assert.include(end.reason, "the deadline is in 5m")
        })
      )
    )
  }

  it.effect("C11 a deadline counts the task's own check, which is stopped in time", () => {
    let stopped: number | undefined
    const check = Effect.onInterrupt(Effect.never, () =>
      Effect.clockWith((clock) => Effect.map(clock.currentTimeMillis, (now) => void (stopped = now)))
    )
    return withRuntime(
      { drivers: { fake: driver(succeedAfter("20 seconds")) }, check, checkStopMillis: 5_000, config: { retry: { maxAttempts: 1 } } },
      (runtime, events) =>
        Effect.gen(function* () {
          yield* runtime.spawn({ id: "a", driver: "fake" })
          yield* runtime.submit({ id: "t", effect: "idempotent", deadline: "1 minute", verify: ["true"] })
          yield* TestClock.adjust("54 seconds")
          assert.isUndefined(stopped)
          yield* TestClock.adjust("6 seconds")
          assert.strictEqual(stopped, 55_000)
          const end = yield* runtime.await("t")
          assert.deepInclude(end, { state: "dead-lettered", attempts: 1 })
          assert.include(end.reason, "deadline")
          assert.isAtMost(of(events, "TaskDeadLettered")[0]!.at, 60_000)
        })
    )
  })

  it.effect("C11 C50 a time in which NofX itself stood still does not end an attempt, and is told", () =>
    Effect.gen(function* () {
      const { jump, jumping } = yield* jumpingClock
      const drivers = { fake: driver(succeedAfter("70 seconds")) }
      yield* withRuntime({ drivers, config: { timeLimit: { attempt: "1 minute" }, health: { interval: "1 hour" } } }, (runtime, events) =>
        Effect.gen(function* () {
          yield* runtime.spawn({ id: "a", driver: "fake" })
          yield* runtime.submit({ id: "t" })
          yield* TestClock.adjust("30 seconds")
          jump(600_000)
          yield* TestClock.adjust("40 seconds")
          assert.deepInclude(yield* runtime.await("t"), { state: "succeeded", attempts: 1 })
          assert.deepEqual(
            of(events, "Progress").map(({ kind, text }) => `${kind}: ${text}`),
            ["Waiting: NofX itself stood still for 10m, which does not count"]
          )
        })
      ).pipe(Effect.provideService(Clock.Clock, jumping))
    })
  )

  it.effect("C66 what runs is given back when the day's tokens or its time are used up, and goes on the next day", () => {
    const eats: Scripted.Script = (attempt) =>
      Effect.gen(function* () {
        yield* attempt.started()
        for (let minute = 1; minute <= 3; minute++) {
          yield* Effect.sleep("1 minute")
          attempt.progress({ _tag: "Usage", usage: { tokens: minute * 100, toolCalls: minute } })
        }
        return claim()
      })
    const budgets: ReadonlyArray<readonly [object, string]> = [
      [{ tokens: 350 }, "350 tokens"],
      [{ time: "4 minutes" }, "4m"]
    ]
    return Effect.forEach(budgets, ([perDay, what]) =>
      withRuntime({ drivers: { fake: driver(eats) }, config: { budget: { perDay } } }, (runtime, events) =>
        Effect.gen(function* () {
          for (const id of ["a", "b"]) {
            yield* runtime.spawn({ id, driver: "fake" })
            yield* runtime.submit({ id: `t-${id}`, agent: id, effect: "idempotent" })
          }
          yield* TestClock.adjust("10 minutes")
          assert.lengthOf(of(events, "TaskSucceeded"), 0, what)
          assert.lengthOf(of(events, "AttemptStarted"), 2, what)
          for (const { durationMillis, outcome } of of(events, "AttemptEnded")) {
            assert.strictEqual(outcome, "cancelled", what)
            assert.isAtMost(durationMillis, 120_000, what)
          }
          assert.deepEqual(
            of(events, "BudgetSpent").map(({ detail }) => detail),
            [`today's budget of ${what} is spent`]
          )
          yield* runtime.cancel("t-b")
          yield* TestClock.adjust("25 hours")
          assert.lengthOf(of(events, "TaskSucceeded"), 1, what)
        })
      )
    )
  })

  it.effect("C65 a resumable task is not begun anew by an agent that cannot go on with its session", () => {
    const lost = failure({ _tag: "Transient", detail: "reset" }, { sessionId: "s", sideEffects: "seen" })
    return withRuntime({ drivers: { fake: driver(afterStart(Effect.fail(lost))) } }, (runtime, events) =>
      Effect.gen(function* () {
        yield* runtime.spawn({ id: "a", driver: "fake" })
        yield* runtime.submit({ id: "t", effect: "resumable" })
        yield* TestClock.adjust("1 hour")
        assert.lengthOf(of(events, "AttemptStarted"), 1)
        assert.include((yield* runtime.await("t")).reason, "outcome unknown")
      })
    )
  })

  // What a quiet agent does in a second, and whether that is a sign of life.
  const signs: ReadonlyArray<readonly [string, (seconds: number) => Partial<Activity>, boolean]> = [
    ["computes", (seconds) => ({ cpuMillis: seconds * 900 }), true],
    ["reads and writes", (seconds) => ({ ioBytes: seconds * 100_000 }), true],
    ["changes files", (seconds) => ({ files: `${Math.floor(seconds / 60)}` }), true],
    ["starts and ends tools", (seconds) => ({ processes: 1 + (Math.floor(seconds / 60) % 2) }), true],
    ["only keeps house", (seconds) => ({ cpuMillis: seconds * 10, ioBytes: seconds * 100 }), false]
  ]
  for (const [what, does, lives] of signs) {
    it.effect(`C49 C50 a quiet agent that ${what} ${lives ? "is left alone" : "has stalled"}`, () => {
      const activity = Effect.clockWith((clock) =>
        Effect.map(clock.currentTimeMillis, (now): Activity => ({ ...Scripted.idle, ...does(now / 1_000) }))
      )
      return withRuntime(
        { drivers: { fake: driver(succeedAfter("50 minutes"), { activity }) }, config: { timeLimit: { stall: "5 minutes" } } },
        (runtime, events) =>
          Effect.gen(function* () {
            yield* runtime.spawn({ id: "a", driver: "fake" })
            yield* runtime.submit({ id: "t" })
            yield* TestClock.adjust("51 minutes")
            assert.strictEqual((yield* runtime.await("t")).state, lives ? "succeeded" : "dead-lettered")
            const [ended] = of(events, "AttemptEnded")
            assert.strictEqual(ended?.fault?._tag, lives ? undefined : "Stalled")
          })
      )
    })
  }

  it.effect("C69 who waits for a person leaves its permits to others, and goes on only when it has them again", () => {
    const asks: Scripted.Script = (attempt) =>
      Effect.gen(function* () {
        yield* attempt.started()
        const options = [{ id: "yes", name: "Allow", kind: "allow_once" }]
        const answer = yield* attempt.permission({ title: "may I", kind: "execute", detail: "", options })
        yield* Effect.sleep("1 minute")
        return claim(answer)
      })
    return withRuntime(
      {
        drivers: { asks: driver(asks), works: driver(succeedAfter("1 hour")) },
        config: { bulkhead: { global: { permits: 1 } }, timeLimit: { stall: "10 hours", permission: "9 hours", attempt: "2 hours" } },
        environment: { waitsForClients: true }
      },
      (runtime, events) =>
        Effect.gen(function* () {
          yield* runtime.spawn({ id: "a", driver: "asks" })
          yield* runtime.spawn({ id: "b", driver: "works" })
          yield* runtime.submit({ id: "first", agent: "a" })
          for (const id of ["second", "third"]) yield* runtime.submit({ id, agent: "b" })
          yield* TestClock.adjust("30 minutes")
          // The first waits for its answer, and the second works.
          const [asked] = (yield* runtime.snapshot).permissions
          yield* runtime.answerPermission(asked?.requestId ?? "", "yes")
          yield* TestClock.adjust("29 minutes")
          assert.lengthOf(of(events, "TaskSucceeded"), 0)
          yield* TestClock.adjust("2 minutes")
          assert.deepEqual(
            of(events, "TaskSucceeded").map(({ taskId }) => taskId),
            ["second", "first"]
          )
          yield* TestClock.adjust("2 hours")
          assert.lengthOf(of(events, "TaskSucceeded"), 3)
          assert.deepInclude(yield* runtime.await("first"), { attempts: 1, output: "yes" })
        })
    )
  })

  it.effect("C16 a dead letter has every attempt with its agent, its times, its fault and the original error", () => {
    const errors = [new Error("socket hang up"), { code: "E_TEAPOT", deep: ["short and stout"] }, "plain text"]
    let turn = 0
    const script: Scripted.Script = (attempt) =>
      Effect.andThen(
        attempt.started(),
        Effect.andThen(
          Effect.sleep("2 seconds"),
          Effect.suspend(() => Effect.fail({ ...outage, cause: errors[turn++] }))
        )
      )
    return withRuntime(
      { drivers: { fake: driver(script) }, config: { circuitBreaker: noBreaker, retry: { ...steady, maxAttempts: 3 } } },
      (runtime) =>
        Effect.gen(function* () {
          yield* runtime.spawn({ id: "a", driver: "fake" })
          yield* runtime.submit({ id: "t", effect: "idempotent" })
          yield* TestClock.adjust("1 minute")
          const [letter] = yield* runtime.getDLQMessages
          const { attempts } = letter!.payload as { readonly attempts: ReadonlyArray<Record<string, unknown>> }
          assert.deepEqual(
            attempts.map(({ agentId, attempt, endedAt, fault, startedAt }) => [
              agentId,
              attempt,
              startedAt,
              endedAt,
              (fault as { _tag: string })._tag
            ]),
            [
              ["a", 1, 0, 2000, "Outage"],
              ["a", 2, 3000, 5000, "Outage"],
              ["a", 3, 6000, 8000, "Outage"]
            ]
          )
          assert.include(attempts[0]!["cause"], "Error: socket hang up")
          assert.include(attempts[0]!["cause"], "Faults.test.ts")
          assert.include(attempts[1]!["cause"], "E_TEAPOT")
          assert.include(attempts[1]!["cause"], "short and stout")
          assert.strictEqual(attempts[2]!["cause"], "plain text")
        })
    )
  })

  const bad: ReadonlyArray<readonly [string, Scripted.Script, string]> = [
    ["crashes at every task", afterStart(Effect.fail(crash)), "one"],
    ["crashes before it begins", () => Effect.fail(failure({ _tag: "SpawnFailed", detail: "no", reason: "x" }, { started: false })), "one"],
    ["breaks its protocol", afterStart(Effect.fail(failure({ _tag: "ProtocolViolation", detail: "noise" }))), "one"],
    ["hangs at every task", afterStart(Effect.never), "one"],
    ["has a driver with a bug", () => Effect.die(new Error("bug")), "one"],
    ["finds nobody at its provider", afterStart(Effect.fail(outage)), "two"],
    ["is limited all the time", afterStart(Effect.fail(failure({ _tag: "RateLimited", detail: "429" }))), "two"]
  ]
  for (const [name, script, account] of bad) {
    it.effect(`C45 an agent that ${name} leaves what another does as it was`, () => {
      /** When each task of b ended, beside an agent a or without it. */
      const ends = (beside: boolean) =>
        withRuntime(
          {
            drivers: { fake: driver((attempt, agentId) => (agentId === "a" ? script : succeedAfter("7 seconds"))(attempt, agentId)) },
            config: { bulkhead: { global: { permits: 2 }, perAccount: { permits: 2 } }, timeLimit: { stall: "1 minute" } }
          },
          (runtime, events) =>
            Effect.gen(function* () {
              if (beside) {
                yield* runtime.spawn({ id: "a", driver: "fake", account })
                for (const id of numbered(30, "a")) yield* runtime.submit({ id, agent: "a", effect: "idempotent", priority: "high" })
              }
              yield* runtime.spawn({ id: "b", driver: "fake", account: "one" })
              for (const id of numbered(50, "b")) yield* runtime.submit({ id, agent: "b", deadline: "10 minutes" })
              yield* TestClock.adjust("20 minutes")
              return of(events, "TaskSucceeded")
                .filter((event) => event.agentId === "b")
                .map((event) => [event.taskId, event.at])
            })
        )
      return Effect.gen(function* () {
        const alone = yield* ends(false)
        assert.strictEqual(alone.length, 50)
        yield* TestClock.setTime(0)
        assert.deepEqual(yield* ends(true), alone)
      })
    })
  }
})
