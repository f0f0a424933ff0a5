import { mkdirSync } from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schema } from "effect"
import * as Transcript from "../../src/agent/Transcript.ts"
import * as ProcessSystem from "../../src/agent/ProcessSystem.ts"
import * as Ownership from "../../src/store/Ownership.ts"
import * as SqliteStore from "../../src/store/SqliteStore.ts"
import { TaskSpec } from "../../src/task/Task.ts"
import * as TaskLife from "../../src/task/TaskLife.ts"
import { temporaryDirectory } from "../support/stateDirectory.ts"
import { nofx } from "./commandLine.ts"

/** A state directory whose owner lives as long as the test, with a task that can be worked on. */
const fixture = Effect.gen(function* () {
  const directory = yield* temporaryDirectory
  const owner = yield* Ownership.acquire({ directory, kind: "run", version: "1", processes: ProcessSystem.make() })
  const store = yield* SqliteStore.make(owner.database.connection, owner.epoch)
  const spec = Schema.decodeUnknownSync(TaskSpec)({ id: "t", prompt: "Do it\ncarefully" })
  let task = TaskLife.accept(spec, { batch: "b", order: 1, now: 0 })
  const commit = (next: typeof task) => {
    task = next
    return store.commit([{ _tag: "PutTask", task }], owner.epoch)
  }
  yield* commit(task)
  mkdirSync(path.join(directory, "agents", "w"), { recursive: true })
  const begin = (id: string, attempt: number) =>
    Effect.map(commit(TaskLife.started(TaskLife.admitted(task, { id, agentId: "w", now: attempt }), attempt, undefined)), () => {
      const writer = Transcript.open({
        directory: path.join(directory, "agents", "w"),
        attemptId: id,
        maxBytes: 100_000,
        redact: (value) => value
      })
      writer.write({ _tag: "Began", at: 0, taskId: "t", agentId: "w", run: 1, attempt, attemptId: id, prompt: spec.prompt })
      return writer
    })
  const fail = Effect.suspend(() =>
    commit(TaskLife.failed(task, { fault: { _tag: "Transient", detail: "" }, started: true, sideEffects: "none" }, 9))
  )
  const succeed = Effect.suspend(() =>
    commit(TaskLife.succeeded(TaskLife.claimed(task, { stop: "end_turn", output: "", sideEffects: "none" }), false, 10))
  )
  const logs = (...more: ReadonlyArray<string>) => nofx(["logs", "t", "--state-dir", directory, ...more])
  return { begin, directory, fail, logs, succeed }
})

describe("nofx logs", () => {
  it.live("C68 the attempts of a task are read one after the other, as text and as JSON lines", () =>
    Effect.gen(function* () {
      const { begin, directory, fail, logs, succeed } = yield* fixture
      assert.match((yield* logs()).out, /^t has not begun: queued/)
      const first = yield* begin("a1", 1)
      first.append("Text", 1, "Hello")
      first.write({ _tag: "Tool", at: 2, id: "1", title: "edit \u001b[2Jfile", kind: "edit", status: "completed" })
      first.write({ _tag: "Stderr", at: 3, text: "oops\n" })
      first.write({ _tag: "Ended", at: 4, outcome: "failed", detail: "Transient: 503" })
      first.close()
      yield* fail
      const second = yield* begin("a2", 2)
      second.write({ _tag: "Ended", at: 5, outcome: "claimed", detail: "end_turn" })
      second.close()
      yield* succeed
      const { code, out } = yield* logs()
      assert.strictEqual(code, 0)
      const lines = out.replaceAll(/, \d{4}-.*/g, "").split("\n")
      assert.deepEqual(lines.slice(0, 7), [
        "── t, run 1, attempt 1 on w",
        "> Do it",
        "> carefully",
        "Hello",
        "* edit: edit \\x1b[2Jfile (completed)",
        "! oops",
        "── failed: Transient: 503"
      ])
      assert.include(lines, "── t, run 1, attempt 2 on w")
      const entries = (yield* logs("--json")).out
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line))
      assert.deepEqual(
        entries.map((entry) => `${entry._tag} ${entry.attempt}`),
        ["Began 1", "Text 1", "Tool 1", "Stderr 1", "Ended 1", "Began 2", "Ended 2"]
      )
      const unknown = yield* nofx(["logs", "nothing", "--state-dir", directory])
      assert.strictEqual(unknown.code, 2)
      assert.include(unknown.err, 'no task "nothing"')
    })
  )

  it.live("C68 a running task is followed to its end, over its next attempt", () =>
    Effect.gen(function* () {
      const { begin, fail, logs, succeed } = yield* fixture
      const following = yield* Effect.forkChild(logs("--follow", "--json"), { startImmediately: true })
      const first = yield* begin("a1", 1)
      first.write({ _tag: "Text", at: 1, text: "live\n" })
      first.close()
      yield* fail
      const second = yield* begin("a2", 2)
      second.write({ _tag: "Text", at: 1, text: "to the end\n" })
      second.close()
      assert.isUndefined(following.pollUnsafe())
      yield* succeed
      const { code, out } = yield* Fiber.join(following)
      assert.strictEqual(code, 0)
      assert.deepEqual(
        out
          .trim()
          .split("\n")
          .map((line) => JSON.parse(line).text ?? "began"),
        ["began", "live\n", "began", "to the end\n"]
      )
    })
  )
})
