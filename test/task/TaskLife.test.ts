import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { isEnd, Task, TaskSpec } from "../../src/task/Task.ts"
import * as TaskLife from "../../src/task/TaskLife.ts"

const spec = Schema.decodeUnknownSync(TaskSpec)({ id: "t", deadline: "1 hour" })
const failure: TaskLife.Failure = { fault: { _tag: "Transient", detail: "503" }, started: true, sideEffects: "unknown" }

const Step = Schema.Literals(["admit", "start", "claim", "succeed", "fail", "requeue", "park", "deadLetter", "cancel", "redrive"])

describe("TaskLife", () => {
  it.effect.prop(
    "C56 along any sequence of transitions each run ends at most once, and only the open attempt can be settled",
    [Schema.Array(Step)],
    ([steps]) =>
      Effect.sync(() => {
        let task = TaskLife.accept(spec, { batch: "b", order: 1, now: 0 })
        const ends = new Map<number, string>()
        let now = 0
        for (const step of steps) {
          now++
          const last = TaskLife.lastAttempt(task)
          const open = last !== undefined && TaskLife.isOpen(task, last.id)
          const end = (next: Task): void => {
            assert.isFalse(ends.has(next.run), `run ${next.run} ended twice`)
            ends.set(next.run, next.state)
            task = next
          }
          if (step === "admit" && task.state === "queued") task = TaskLife.admitted(task, { id: `a${now}`, agentId: "x", now })
          else if (step === "start" && open) task = TaskLife.started(task, now, undefined)
          else if (step === "claim" && open) task = TaskLife.claimed(task, { stop: "exit", output: "", sideEffects: "unknown" })
          else if (step === "succeed" && open && last.claim !== undefined) end(TaskLife.succeeded(task, true, now))
          else if (step === "fail" && open) {
            task = TaskLife.failed(task, failure, now)
            assert.isFalse(TaskLife.isOpen(task, last.id), "a settled attempt is not open")
          } else if (step === "requeue" && !isEnd(task.state) && !open) task = TaskLife.queued(task)
          else if (step === "park" && task.state === "queued") {
            task = TaskLife.queued(TaskLife.parked(task, { for: "retry", detail: "", notBefore: now }))
          } else if (step === "deadLetter" && !isEnd(task.state) && !open) end(TaskLife.deadLettered(task, "x", "dl", now))
          else if (step === "cancel" && !isEnd(task.state) && !open) end(TaskLife.cancelled(task, "x", now))
          else if (step === "redrive" && task.state === "dead-lettered") task = TaskLife.redriven(task, now)
          // What is written can be read again, whatever the state.
          assert.deepEqual(Schema.decodeUnknownSync(Task)(JSON.parse(JSON.stringify(Schema.encodeSync(Task)(task)))), task)
          assert.strictEqual(TaskLife.attemptsOfRun(task), task.attempts.filter((attempt) => attempt.run === task.run).length)
          if (task.state !== "running") assert.isFalse(task.attempts.some((attempt) => TaskLife.isOpen(task, attempt.id)))
        }
      })
  )

  it("a redrive opens the next run with a deadline of its own", () => {
    const dead = TaskLife.deadLettered(TaskLife.accept(spec, { batch: "", order: 1, now: 0 }), "x", "dl", 10)
    const again = TaskLife.redriven(dead, 1_000)
    assert.deepEqual(
      { run: again.run, state: again.state, deadlineAt: again.deadlineAt, letter: again.deadLetterId },
      { run: 2, state: "queued", deadlineAt: 1_000 + 3_600_000, letter: "dl" }
    )
  })
})
