import { execFile } from "node:child_process"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem } from "effect"
import { DemoDirectoryNotEmpty, layOut } from "../../src/demo/repository.ts"
import { demoAgents, demoScenarios } from "../../src/demo/scenarios.ts"
import { RuntimeConfig } from "../../src/RuntimeConfig.ts"
import * as TaskFile from "../../src/task/TaskFile.ts"
import { programsExist } from "../../src/task/TaskFilePrograms.ts"
import { run } from "./demoAgent.ts"

const laidOut = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const directory = yield* fs.makeTempDirectoryScoped()
  return yield* layOut(`${directory}/demo`, { node: process.execPath })
})

const exitCode = ([program = "", ...args]: ReadonlyArray<string>, cwd: string) =>
  // The test runner of this process must not be taken for the demo's.
  Effect.callback<number>((resume) => {
    const { NODE_OPTIONS: _, NODE_TEST_CONTEXT: __, ...env } = process.env
    execFile(program, args, { cwd, env }, (error) =>
      resume(Effect.succeed(typeof error?.code === "number" ? error.code : error === null ? 0 : 1))
    )
  })

describe("demo repository", () => {
  it.live("C58 the demo's task file is valid, and everything it names is there", () =>
    Effect.gen(function* () {
      const layout = yield* laidOut
      const file = yield* TaskFile.load(layout.taskFile, { configSchema: RuntimeConfig })
      yield* programsExist(file, { path: "", extensions: [] })
      assert.deepEqual(
        file.tasks.map(({ id }) => id),
        demoScenarios.map(({ taskId }) => taskId)
      )
      assert.deepEqual(
        file.agents.map(({ id, account, cwd }) => [id, account, cwd]),
        demoAgents.map(({ id, account }) => [id, account, layout.repository])
      )
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("C58 refuses a directory that has something in it, and writes nothing", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped()
      yield* fs.writeFileString(`${directory}/mine`, "")
      const error = yield* Effect.flip(layOut(directory, { node: "node" }))
      assert.instanceOf(error, DemoDirectoryNotEmpty)
      assert.deepEqual(yield* fs.readDirectory(directory), ["mine"])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it("C64 every kind of fault has a task, two accounts have agents, and each way to end is there", () => {
    const kinds = new Set(demoScenarios.map(({ fault }) => fault?.kind))
    for (const kind of ["crash", "hang", "429", "flaky", "garbage", "claim-nothing", "grandchild"] as const)
      assert.isTrue(kinds.has(kind), kind)
    assert.strictEqual(new Set(demoAgents.map(({ account }) => account)).size, 2)
    assert.deepEqual([...new Set(demoScenarios.map(({ end }) => end))].toSorted(), ["cancelled", "dead-lettered", "succeeded"])
  })

  // Real checks by real test runs, one after the other: each starts a node of its own.
  it.live(
    "C64 each task's own check fails before its work is done and passes after it",
    () =>
      Effect.gen(function* () {
        const layout = yield* laidOut
        const { tasks } = yield* TaskFile.load(layout.taskFile)
        for (const scenario of demoScenarios.filter(({ end }) => end === "succeeded")) {
          const task = tasks.find(({ id }) => id === scenario.taskId)
          assert.isDefined(task?.verify)
          assert.notStrictEqual(yield* exitCode(task.verify, layout.repository), 0, `${task.id} before`)
          const ended = yield* run(JSON.stringify({ id: task.id, prompt: task.prompt }), layout.repository, {})
          assert.strictEqual(ended.code, 0, ended.stderr)
          assert.strictEqual(yield* exitCode(task.verify, layout.repository), 0, `${task.id} after`)
        }
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
    60_000
  )
})
