import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { AgentRuntime } from "../../src/AgentRuntime.ts"
import { HealthReport } from "../../src/reliability/Health.ts"
import * as RuntimeConfig from "../../src/RuntimeConfig.ts"
import type { RuntimeEvent } from "../../src/RuntimeEvent.ts"
import * as Status from "../../src/RuntimeStatus.ts"
import * as Scripted from "../support/runtime.ts"

const { afterStart, claim, driver, failure, succeedAfter } = Scripted

const withRuntime = <A, E>(options: Scripted.Options, body: (runtime: AgentRuntime["Service"]) => Effect.Effect<A, E>) =>
  Effect.flatMap(AgentRuntime, (runtime) =>
    Effect.ensuring(body(runtime), Effect.all([runtime.shutdown, runtime.shutdown], { concurrency: "unbounded" }))
  ).pipe(Effect.provide(Scripted.layer(options)))

const transient = failure({ _tag: "Transient", detail: "503" })

describe("AgentRuntime's promises", () => {
  const Plan = Schema.Struct({
    tasks: Schema.Array(
      Schema.Struct({
        millis: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5_000 })),
        fails: Schema.Literals(["no", "transient", "crash", "limited", "dies"]),
        effect: Schema.Literals(["idempotent", "unsafe"]),
        cancelAt: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 6_000 })))
      })
    ).check(Schema.isMaxLength(12)),
    removeAt: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 6_000 })))
  })

  it.effect.prop(
    "C44 whatever fails, is cancelled or removed when, permits, reservations and probes are as they were, and every task ends or waits",
    [Plan],
    ([plan]) => {
      let limited = 0
      const script: Scripted.Script = (attempt) => {
        const task = plan.tasks[Number(attempt.task.input["n"])] ?? { millis: 1, fails: "no" }
        return Effect.andThen(
          attempt.started(),
          Effect.andThen(
            Effect.sleep(task.millis),
            task.fails === "no" || (task.fails === "limited" && ++limited > 5)
              ? Effect.succeed(claim())
              : task.fails === "dies"
                ? Effect.die("bug in a driver")
                : Effect.fail(
                    task.fails === "transient"
                      ? transient
                      : task.fails === "crash"
                        ? failure({ _tag: "Crashed", detail: "x", exitCode: 1, signal: null })
                        : failure({ _tag: "RateLimited", detail: "429", retryAfterMillis: 1_000 })
                  )
          )
        )
      }
      return withRuntime(
        {
          drivers: { fake: driver(script) },
          config: {
            retry: { maxAttempts: 2, baseDelay: "100 millis", maxDelay: "1 second" },
            circuitBreaker: { consecutiveFailures: 2, openTime: "2 seconds" }
          }
        },
        (runtime) =>
          Effect.gen(function* () {
            const starts = new Map<string, number>()
            const ends = new Map<string, number>()
            yield* runtime.subscribe((event) => {
              if (event._tag === "AttemptStarted") starts.set(event.taskId, (starts.get(event.taskId) ?? 0) + 1)
              if (event._tag === "TaskSucceeded" || event._tag === "TaskCancelled" || event._tag === "TaskDeadLettered") {
                const run = `${event.taskId} ${event.run}`
                ends.set(run, (ends.get(run) ?? 0) + 1)
              }
            })
            for (const id of ["a", "b"]) yield* runtime.spawn({ id, driver: "fake", account: "one" })
            for (const [n, task] of plan.tasks.entries()) {
              yield* runtime.submit({ id: `t${n}`, input: { n }, effect: task.effect })
              if (task.cancelAt !== undefined) {
                yield* Effect.forkChild(Effect.andThen(Effect.sleep(task.cancelAt), Effect.ignore(runtime.cancel(`t${n}`))))
              }
            }
            if (plan.removeAt !== undefined) {
              yield* Effect.forkChild(Effect.andThen(Effect.sleep(plan.removeAt), Effect.ignore(runtime.remove("b"))))
            }
            yield* TestClock.adjust("2 hours")
            const status = yield* runtime.getReliabilityStatus
            assert.strictEqual(status.bulkhead.running, 0)
            assert.deepEqual(status.tasks.running, 0)
            for (const agent of yield* runtime.agents) assert.strictEqual(agent.state, "idle")
            for (const breaker of status.breakers) {
              assert.strictEqual(breaker.calls, breaker.succeeded + breaker.failed + breaker.ignored + breaker.rejected)
              assert.strictEqual(breaker.inFlight, 0)
            }
            for (const [n, task] of plan.tasks.entries()) {
              assert.strictEqual(ends.get(`t${n} 1`), 1, `run 1 of t${n} ended ${ends.get(`t${n} 1`)} times`)
              if (task.effect === "unsafe") assert.isAtMost(starts.get(`t${n}`) ?? 0, 1)
            }
            for (const [run, count] of ends) assert.strictEqual(count, 1, `run ${run}`)
            // The agents are as good as new.
            const fresh = yield* Effect.forkChild(runtime.submit({ id: "after", input: { n: -1 } }), { startImmediately: true })
            yield* Fiber.join(fresh)
          }).pipe(Effect.scoped)
      )
    },
    { arbitrary: { runs: 40 } }
  )

  it.effect(
    "C53 a store that cannot write shows as degraded with its cause; nothing starts meanwhile, nothing ends because of it, and all goes on afterwards",
    () =>
      Effect.gen(function* () {
        let broken = false
        const disk = Scripted.flakyDisk(() => broken)
        yield* withRuntime({ drivers: { fake: driver(succeedAfter("1 second")) }, disk }, (runtime) =>
          Effect.gen(function* () {
            yield* runtime.spawn({ id: "a", driver: "fake" })
            for (const id of ["t1", "t2"]) yield* runtime.submit({ id })
            broken = true
            yield* TestClock.adjust("10 seconds")
            const degraded = (yield* runtime.getOverallHealthStatus).degraded
            assert.deepEqual(
              degraded.map((each) => each.component),
              ["store"]
            )
            assert.include(degraded[0]!.cause, "full")
            const refused = yield* Effect.flip(runtime.submit({ id: "t3" }))
            assert.strictEqual(refused._tag, "IntakeStopped")
            assert.deepEqual((yield* runtime.getReliabilityStatus).tasks["dead-lettered"], 0)
            broken = false
            yield* TestClock.adjust("20 seconds")
            assert.deepEqual((yield* runtime.getOverallHealthStatus).degraded, [])
            assert.strictEqual((yield* runtime.getReliabilityStatus).tasks.succeeded, 2)
            yield* runtime.submit({ id: "t3" })
            yield* TestClock.adjust("2 seconds")
            assert.strictEqual((yield* runtime.await("t3")).state, "succeeded")
          })
        )
      })
  )

  it.effect("C53 a full dead letter queue stops intake, visibly, and takes in again when there is room", () =>
    withRuntime(
      {
        drivers: { fake: driver(afterStart(Effect.fail(failure({ _tag: "Refused", detail: "no" })))) },
        config: { deadLetter: { maxLetters: 2 } }
      },
      (runtime) =>
        Effect.gen(function* () {
          yield* runtime.spawn({ id: "a", driver: "fake" })
          for (const id of ["t1", "t2"]) yield* runtime.submit({ id, effect: "idempotent" })
          yield* TestClock.adjust("1 second")
          assert.strictEqual((yield* Effect.flip(runtime.submit({ id: "t3" })))._tag, "IntakeStopped")
          assert.include(JSON.stringify((yield* runtime.getOverallHealthStatus).degraded), "dead letter queue is full")
          const [letter] = yield* runtime.getDLQMessages
          assert.strictEqual((yield* runtime.discardDLQMessage(letter!.id))._tag, "Done")
          yield* runtime.submit({ id: "t3", effect: "idempotent" })
        })
    )
  )

  it.effect("C52 under ten times the load every accepted task ends, the rest is refused, and the useful throughput stays", () =>
    withRuntime({ drivers: { fake: driver(succeedAfter("1 second")) }, config: { queue: { limit: 50 } } }, (runtime) =>
      Effect.gen(function* () {
        for (let n = 0; n < 4; n++) yield* runtime.spawn({ id: `a${n}`, driver: "fake" })
        let accepted = 0
        let refused = 0
        for (let second = 0; second < 30; second++) {
          for (let n = 0; n < 40; n++) {
            const refusal = yield* runtime
              .submit({ id: `t${second}-${n}`, priority: n % 2 === 0 ? "high" : "low" })
              .pipe(Effect.as(undefined), Effect.catch(Effect.succeed))
            if (refusal === undefined) accepted++
            else {
              refused++
              assert.strictEqual(refusal._tag, "QueueFull")
            }
          }
          assert.isAtMost((yield* runtime.getReliabilityStatus).tasks.queued, 50)
          yield* TestClock.adjust("1 second")
        }
        yield* TestClock.adjust("1 minute")
        const { tasks } = yield* runtime.getReliabilityStatus
        assert.strictEqual(tasks.succeeded, accepted)
        assert.isAbove(refused, 500)
        assert.isAtLeast(accepted, 4 * 30)
      })
    )
  )

  it.effect("C57 every status method exists under its name, answers its documented schema, and follows the state", () =>
    withRuntime(
      {
        drivers: { fake: driver(afterStart(Effect.fail(transient))) },
        config: { retry: { maxAttempts: 2 }, circuitBreaker: { consecutiveFailures: 1, openTime: "1 minute" } }
      },
      (runtime) =>
        Effect.gen(function* () {
          yield* runtime.spawn({ id: "a", driver: "fake", account: "acc" })
          yield* runtime.submit({ id: "t", effect: "idempotent" })
          yield* TestClock.adjust("1 second")
          const decode = <S extends Schema.Top & { readonly DecodingServices: never }>(schema: S, value: unknown) =>
            Schema.decodeUnknownSync(schema, { onExcessProperty: "error" })(JSON.parse(JSON.stringify(value)))
          decode(Status.ReliabilityStatus, yield* runtime.getReliabilityStatus)
          decode(HealthReport, yield* runtime.getOverallHealthStatus)
          const breaker = decode(Status.AgentCircuitBreakerStatus, yield* runtime.getAgentCircuitBreakerStatus("a"))
          assert.strictEqual(breaker.state, "open")
          assert.strictEqual(breaker.accountBreaker.failed, 1)
          assert.strictEqual((yield* Effect.flip(runtime.getAgentCircuitBreakerStatus("nobody")))._tag, "AgentNotFound")
          const reset = decode(Status.BreakerReset, yield* runtime.resetAgentCircuitBreaker("a"))
          assert.deepEqual(reset, { agentId: "a", result: "Reset", reset: ["account:acc"] })
          assert.strictEqual((yield* runtime.resetAgentCircuitBreaker("a")).result, "AlreadyClosed")
          yield* TestClock.adjust("2 minutes")
          const retry = decode(Status.RetryMetrics, yield* runtime.getRetryMetrics)
          assert.deepEqual(
            { attempts: retry.attempts, retries: retry.retries, exhausted: retry.exhausted },
            { attempts: 2, retries: 1, exhausted: 1 }
          )
          assert.deepEqual(retry.faults, { Transient: 2 })
          decode(Status.RateLimiterMetrics, yield* runtime.getRateLimiterMetrics)
          const letters = yield* runtime.getDLQMessages
          assert.strictEqual(letters.length, 1)
          assert.strictEqual(decode(Status.DLQMetrics, yield* runtime.getDLQMetrics).size, 1)
          assert.strictEqual((yield* runtime.retryDLQMessage("nobody"))._tag, "Gone")
          assert.strictEqual((yield* runtime.retryDLQMessage(letters[0]!.id))._tag, "Redriven")
          assert.strictEqual((yield* runtime.isolateAgentCircuitBreaker("a")).state, "isolated")
          decode(Status.Snapshot, yield* runtime.snapshot)
          const lines = yield* Stream.runCollect(runtime.exportDLQ)
          assert.strictEqual(JSON.parse(lines[0]!).id, letters[0]!.id)
        })
    )
  )

  it.effect.prop(
    "C60 whatever is given as a task or an agent is accepted or refused with a typed error that names it",
    [Schema.Unknown],
    ([input]) =>
      withRuntime({ drivers: { fake: driver(succeedAfter(1)) } }, (runtime) =>
        Effect.gen(function* () {
          for (const operation of [runtime.submit(input as never), runtime.spawn(input as never)]) {
            const exit = yield* Effect.exit(operation as Effect.Effect<unknown, { readonly _tag: string }>)
            if (Exit.isSuccess(exit)) continue
            const [reason] = exit.cause.reasons
            assert.strictEqual(reason?._tag, "Fail")
            assert.strictEqual(reason?._tag === "Fail" ? reason.error._tag : "", "InputInvalid")
          }
        })
      )
  )

  it("C58 a bad configuration is refused with its path, and defaults are safe", () => {
    const bad: ReadonlyArray<readonly [unknown, string]> = [
      [{ bulkhead: { global: { permits: -1 } } }, "permits"],
      [{ queue: { limit: 0 } }, "limit"],
      [{ retry: { strategy: "magic" } }, "strategy"],
      [{ nonsense: true }, "nonsense"],
      [{ timeLimit: { attempt: "-3 seconds" } }, "attempt"]
    ]
    for (const [config, path] of bad) {
      const exit = Effect.runSyncExit(RuntimeConfig.decode(config))
      assert.isTrue(Exit.isFailure(exit))
      assert.include(String(Exit.isFailure(exit) ? exit.cause : ""), path)
    }
    assert.deepEqual(Effect.runSync(RuntimeConfig.decode({})), RuntimeConfig.defaults)
  })

  it.effect("the event stream gives every durable event once, in order", () =>
    withRuntime({ drivers: { fake: driver(succeedAfter("1 second")) } }, (runtime) =>
      Effect.gen(function* () {
        const collected = yield* Effect.forkChild(
          runtime.events.pipe(
            Stream.filter((event: RuntimeEvent) => event.seq !== undefined),
            Stream.take(12),
            Stream.runCollect
          ),
          { startImmediately: true }
        )
        yield* TestClock.adjust(1)
        yield* runtime.spawn({ id: "a", driver: "fake" })
        for (const id of ["t1", "t2", "t3"]) yield* runtime.submit({ id })
        yield* TestClock.adjust("10 seconds")
        const seqs = (yield* Fiber.join(collected)).map((event) => event.seq!)
        assert.deepEqual(
          seqs,
          seqs.map((_, n) => seqs[0]! + n)
        )
      })
    )
  )
})
