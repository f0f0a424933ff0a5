import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { consequences, type Fault, type FaultClass } from "../../src/agent/Fault.ts"
import * as Retry from "../../src/reliability/Retry.ts"
import { EffectClass, SideEffects, type Task, TaskSpec } from "../../src/task/Task.ts"
import * as TaskLife from "../../src/task/TaskLife.ts"
import * as Verdict from "../../src/task/Verdict.ts"

const decode = Schema.decodeUnknownSync(TaskSpec)
const example: { readonly [Class in FaultClass]: Fault } = {
  Transient: { _tag: "Transient", detail: "" },
  Overloaded: { _tag: "Overloaded", detail: "" },
  Outage: { _tag: "Outage", detail: "" },
  RateLimited: { _tag: "RateLimited", detail: "" },
  QuotaExhausted: { _tag: "QuotaExhausted", detail: "" },
  AuthRequired: { _tag: "AuthRequired", detail: "" },
  InvalidRequest: { _tag: "InvalidRequest", detail: "" },
  Refused: { _tag: "Refused", detail: "" },
  ContextOverflow: { _tag: "ContextOverflow", detail: "" },
  Crashed: { _tag: "Crashed", detail: "", exitCode: 1, signal: null },
  Stalled: { _tag: "Stalled", detail: "", evidence: "" },
  Runaway: { _tag: "Runaway", detail: "", evidence: "" },
  TimedOut: { _tag: "TimedOut", detail: "", limitMillis: 1 },
  SpawnFailed: { _tag: "SpawnFailed", detail: "", reason: "" },
  ProtocolViolation: { _tag: "ProtocolViolation", detail: "" },
  FalseSuccess: { _tag: "FalseSuccess", detail: "", evidence: "" },
  CheckFailed: { _tag: "CheckFailed", detail: "" },
  LocalStall: { _tag: "LocalStall", detail: "", lagMillis: 1 },
  Cancelled: { _tag: "Cancelled", detail: "" },
  Unknown: { _tag: "Unknown", detail: "" }
}
const classes = Object.keys(example) as ReadonlyArray<FaultClass>

/** A task that failed like this, one attempt after the other, each on the agent of its name. */
const failedWith = (spec: object, failures: ReadonlyArray<readonly [TaskLife.Failure, string]>): Task => {
  let task = TaskLife.accept(decode({ id: "t", ...spec }), { batch: "", order: 1, now: 0 })
  failures.forEach(([failure, agentId], n) => {
    task = TaskLife.admitted(task, { id: `${n}`, agentId, now: n })
    if (failure.started) task = TaskLife.started(task, n, undefined)
    task = TaskLife.failed(task, failure, n + 1)
  })
  return task
}

const of = (fault: Fault, more: Partial<TaskLife.Failure> = {}): TaskLife.Failure => ({
  fault,
  started: true,
  sideEffects: "unknown",
  ...more
})

const decide = (task: Task, failure: TaskLife.Failure, retry: Partial<Retry.Options> = {}) =>
  Verdict.decide(task, failure, { retry: { ...Retry.defaults, ...retry }, now: 1_000, random: 0.5, budgetWaitMillis: 0 })

describe("Verdict", () => {
  it("C12 after an agent that has tried again by itself the delays go on where its own ended", () => {
    const delayAfter = (fault: Fault, minutes: number, insideMillis: number): number => {
      const failure = of(fault)
      const admitted = TaskLife.admitted(TaskLife.accept(decode({ id: "t", effect: "idempotent" }), { batch: "", order: 1, now: 0 }), {
        id: "1",
        agentId: "a",
        now: 0
      })
      const task = TaskLife.failed(TaskLife.started(admitted, 0, undefined), failure, minutes * 60_000)
      const verdict = Verdict.decide(task, failure, {
        retry: Retry.defaults,
        now: 0,
        random: 0.999_999,
        budgetWaitMillis: 0,
        insideMillis
      })
      return verdict._tag === "Retry" ? Math.round(verdict.delayMillis) : -1
    }
    const alone = delayAfter(example.Overloaded, 1, 0)
    assert.strictEqual(alone, 3_000)
    assert.strictEqual(delayAfter(example.Overloaded, 1, 10_000), 30_000)
    assert.strictEqual(delayAfter(example.Overloaded, 1, Number.POSITIVE_INFINITY), 60_000)
    // It had no time to try again, or nothing of it was its provider's fault.
    assert.strictEqual(delayAfter(example.Overloaded, 0, 10_000), alone)
    assert.strictEqual(delayAfter(example.Crashed, 1, 10_000), alone)
  })

  it("C12 retries exactly the classes that the table says, and not the unknown one", () => {
    for (const tag of classes) {
      const failure = of(example[tag])
      const verdict = decide(failedWith({ effect: "idempotent" }, [[failure, "a"]]), failure)
      assert.strictEqual(verdict._tag, consequences[tag].retry ? "Retry" : "DeadLetter", tag)
    }
    assert.isFalse(consequences.Unknown.retry)
  })

  const Case = Schema.Struct({
    effect: EffectClass,
    started: Schema.Boolean,
    sideEffects: SideEffects,
    session: Schema.Boolean,
    tag: Schema.Literals(classes as [FaultClass, ...Array<FaultClass>])
  })
  it.effect.prop(
    "C65 work that may have happened is repeated only where its effect class allows it, whatever the fault",
    [Case],
    ([given]) =>
      Effect.sync(() => {
        const failure = of(example[given.tag], {
          started: given.started,
          sideEffects: given.sideEffects,
          sessionId: given.session ? "s" : undefined
        })
        const verdict = decide(failedWith({ effect: given.effect }, [[failure, "a"]]), failure)
        const mayRepeat =
          !given.started || given.sideEffects === "none" || given.effect === "idempotent" || (given.effect === "resumable" && given.session)
        if (!mayRepeat) {
          assert.strictEqual(verdict._tag, "DeadLetter")
          assert.strictEqual(verdict._tag === "DeadLetter" && verdict.cause, "OutcomeUnknown")
          assert.isFalse(verdict._tag === "DeadLetter" && verdict.automatic)
        } else {
          assert.strictEqual(verdict._tag, consequences[given.tag].retry ? "Retry" : "DeadLetter")
        }
      })
  )

  it("C24 a rate limit spends no attempt, however often it comes", () => {
    const failure = of(example.RateLimited)
    const task = failedWith(
      { effect: "idempotent" },
      Array.from({ length: 50 }, () => [failure, "a"] as const)
    )
    const verdict = decide(task, failure, { maxAttempts: 2 })
    assert.isTrue(verdict._tag === "Retry" && verdict.gate)
  })

  it("C13 a hint past the deadline ends the task at once, saying so; one before it is never undercut", () => {
    const hinted = of({ _tag: "Transient", detail: "503", retryAfterMillis: 30_000 })
    const late = decide(failedWith({ effect: "idempotent", deadline: "10 seconds" }, [[hinted, "a"]]), hinted)
    assert.isTrue(late._tag === "DeadLetter" && late.reason.includes("deadline"))
    const fine = decide(failedWith({ effect: "idempotent" }, [[hinted, "a"]]), hinted)
    assert.isTrue(fine._tag === "Retry" && fine.notBefore >= 31_000)
  })

  it("a task that crashed two different agents is poison", () => {
    const failure = of(example.Crashed)
    assert.strictEqual(
      decide(
        failedWith({ effect: "idempotent" }, [
          [failure, "a"],
          [failure, "a"]
        ]),
        failure
      )._tag,
      "Retry"
    )
    const poison = decide(
      failedWith({ effect: "idempotent" }, [
        [failure, "a"],
        [failure, "b"]
      ]),
      failure
    )
    assert.isTrue(poison._tag === "DeadLetter" && poison.cause === "Poison")
  })

  it("C66 a spent budget of attempts ends the task, over all its runs", () => {
    const failure = of(example.Transient)
    const task = failedWith({ effect: "idempotent", budget: { attempts: 2 } }, [
      [failure, "a"],
      [failure, "a"]
    ])
    const verdict = decide(task, failure, { maxAttempts: 100 })
    assert.isTrue(verdict._tag === "DeadLetter" && verdict.cause === "BudgetSpent")
  })

  it("C16 the record keeps every attempt's fault, in order", () => {
    const task = failedWith({ effect: "idempotent" }, [
      [of(example.Transient), "a"],
      [of(example.Crashed), "b"]
    ])
    assert.deepEqual(
      task.attempts.map((attempt) => [attempt.attempt, attempt.agentId, attempt.fault?._tag]),
      [
        [1, "a", "Transient"],
        [2, "b", "Crashed"]
      ]
    )
  })
})
