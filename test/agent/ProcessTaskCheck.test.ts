import { assert, describe, it, vi } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { execFileSync, spawn } from "node:child_process"
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Checked } from "../../src/agent/AgentDriver.ts"
import * as ProcessTaskCheck from "../../src/agent/ProcessTaskCheck.ts"
import * as ProcessTree from "../../src/agent/ProcessTree.ts"
import * as StateDirectory from "../../src/store/StateDirectory.ts"
import type { TaskSpec } from "../../src/task/Task.ts"
import { agentSpec, alive, directory, fixture, inheritEnv, node, pidsIn, taskSpec } from "../support/processes/Scenario.ts"

// Real processes on a machine that may be busy with others: each wait is for a condition.
vi.setConfig({ testTimeout: 30_000 })

const agent = agentSpec({ command: ["true"], env: { FROM_AGENT: "yes" } })
const scene = Effect.gen(function* () {
  const path = yield* directory
  const service = yield* ProcessTaskCheck.make({ inheritEnv, cwd: path, graceMillis: 200 })
  const check = (task: Partial<typeof TaskSpec.Encoded>, baseline?: string) =>
    service.check(taskSpec({ id: "t1", ...task }), agent, baseline, "marker-of-a-test")
  return { path, service, check }
})
const detail = (checked: Checked) => (checked._tag === "Failed" ? checked.detail : "passed")

describe.skipIf(process.platform === "win32")("ProcessTaskCheck", () => {
  it.live("C64 without a check nothing is verified; with verify its exit code decides", () =>
    Effect.gen(function* () {
      const { check, path } = yield* scene
      assert.deepStrictEqual(yield* check({}), { _tag: "Passed", verified: false })
      assert.deepStrictEqual(yield* check({ verify: ["true"] }), { _tag: "Passed", verified: true })
      const script = 'echo out; echo "err $1 $FROM_AGENT $NOFX_TASK_ID $NOFX_RUN $(pwd)" >&2; exit 3'
      assert.strictEqual(
        detail(yield* check({ verify: ["sh", "-c", script, "x", "{{task.input.a}}"], input: { a: "'v'" } })),
        `The check ended with exit code 3:\nout\n\nerr 'v' yes t1 marker-of-a-test ${path}`
      )
      assert.strictEqual(detail(yield* check({ verify: ["sh", "-c", "kill -KILL $$"] })), "The check was ended by SIGKILL")
      assert.include(detail(yield* check({ verify: ["no-such-check"] })), '"no-such-check" was not found')
      assert.include(detail(yield* check({ verify: ["sh", "{{task.attempt}}"] })), "task.attempt")
      assert.isBelow(detail(yield* check({ verify: ["sh", "-c", "yes | head -c 100000; exit 1"] })).length, 2_100)
    }).pipe(Effect.scoped, Effect.provide(ProcessTree.layer))
  )

  it.live("C46 an interrupted check leaves nothing, and spares other processes with the attempt's marker", () =>
    Effect.gen(function* () {
      const { check, path } = yield* scene
      const held = spawn("/bin/sleep", ["1000"], { detached: true, stdio: "ignore", env: { NOFX_RUN: "marker-of-a-test" } })
      const fiber = yield* Effect.forkChild(check({ verify: [node, fixture("deserter.mjs"), "pids", "orphan"] }))
      const [tool = 0] = yield* pidsIn(join(path, "pids"), 1)
      yield* Fiber.interrupt(fiber)
      assert.isFalse(alive(tool))
      assert.isTrue(alive(held.pid ?? 0))
      held.kill("SIGKILL")
    }).pipe(Effect.scoped, Effect.provide(ProcessTree.layer))
  )

  const changes = { changes: "required" } as const
  const unchanged = "Changes are required, and nothing in the working tree has changed"

  it.live("C64 changes that are required must be there, in a directory without git too", () =>
    Effect.gen(function* () {
      const { check, path, service } = yield* scene
      writeFileSync(join(path, "a"), "1")
      const task = taskSpec({ id: "t1", ...changes })
      assert.isUndefined(yield* service.baseline(taskSpec({ id: "t1" }), agent))
      const before = yield* service.baseline(task, agent)
      assert.match(before ?? "", /^walk:/)
      assert.strictEqual(detail(yield* check(changes, before)), unchanged)
      assert.include(detail(yield* check(changes)), "not known")
      writeFileSync(join(path, "b"), "")
      assert.deepStrictEqual(yield* check(changes, before), { _tag: "Passed", verified: true })
      assert.include(detail(yield* check({ ...changes, verify: ["false"] }, before)), "exit code 1")
    }).pipe(Effect.scoped, Effect.provide(ProcessTree.layer))
  )

  it.live("C64 what NofX itself writes into a state directory that lies in the working directory is no change", () =>
    Effect.gen(function* () {
      const { check, path, service } = yield* scene
      const outputs = join(path, "state/agents/a")
      mkdirSync(outputs, { recursive: true })
      writeFileSync(join(path, "state", StateDirectory.ownerFile), "")
      const before = yield* service.baseline(taskSpec({ id: "t1", ...changes }), agent)
      writeFileSync(join(path, "state/nofx.db-wal"), "a commit")
      writeFileSync(join(outputs, "1.stdout.log"), "done")
      assert.strictEqual(detail(yield* check(changes, before)), unchanged)
      writeFileSync(join(path, "result"), "")
      assert.strictEqual(detail(yield* check(changes, before)), "passed")
    }).pipe(Effect.scoped, Effect.provide(ProcessTree.layer))
  )

  it.live(
    "C64 a git working tree differs by content, by files, and by commits; not by what is ignored",
    () =>
      Effect.gen(function* () {
        const { path, service } = yield* scene
        const git = (...args: ReadonlyArray<string>) =>
          void execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false", ...args], {
            cwd: path,
            stdio: "ignore"
          })
        const task = taskSpec({ id: "t1", ...changes })
        const look = Effect.map(service.baseline(task, agent), (seen) => seen ?? "")
        git("init")
        const unborn = yield* look
        assert.match(unborn, /^git:unborn:/)
        writeFileSync(join(path, "kept"), "1")
        writeFileSync(join(path, ".gitignore"), "ignored\n")
        git("add", ".")
        git("commit", "-m", "one")
        const clean = yield* look
        assert.notStrictEqual(clean, unborn)
        const differs = (what: string, change: () => void, undo: () => void) =>
          Effect.gen(function* () {
            change()
            const after = yield* look
            assert.notStrictEqual(after, clean, what)
            undo()
            assert.strictEqual(yield* look, clean, `${what}, undone`)
            return after
          })
        const file = join(path, "kept")
        yield* differs(
          "content",
          () => writeFileSync(file, "2"),
          () => writeFileSync(file, "1")
        )
        yield* differs(
          "a new file",
          () => writeFileSync(join(path, "new ä\n"), ""),
          () => rmSync(join(path, "new ä\n"))
        )
        yield* differs(
          "a removed file",
          () => rmSync(file),
          () => writeFileSync(file, "1")
        )
        yield* differs(
          "a link",
          () => symlinkSync("kept", join(path, "link")),
          () => rmSync(join(path, "link"))
        )
        yield* differs(
          "a commit",
          () => {
            writeFileSync(file, "3")
            git("commit", "-am", "two")
          },
          () => git("reset", "--hard", "HEAD~1")
        )

        // A file that was changed before the attempt and is changed again has the same status, and other content.
        writeFileSync(file, "dirty")
        const dirty = yield* look
        writeFileSync(file, "again")
        assert.notStrictEqual(yield* look, dirty)
        writeFileSync(file, "dirty")
        assert.strictEqual(yield* look, dirty)
        writeFileSync(file, "1")

        mkdirSync(join(path, "ignored"))
        writeFileSync(join(path, "ignored", "x"), "")
        assert.strictEqual(yield* look, clean)

        // Below the repository's root only what is there counts.
        mkdirSync(join(path, "sub"))
        writeFileSync(join(path, "sub", "s"), "")
        git("add", ".")
        git("commit", "-m", "three")
        const inner = yield* ProcessTaskCheck.make({ inheritEnv, cwd: join(path, "sub") })
        const before = yield* inner.baseline(task, agent)
        assert.match(before ?? "", /^git:/)
        writeFileSync(file, "elsewhere")
        assert.strictEqual(yield* inner.baseline(task, agent), before)
        writeFileSync(join(path, "sub", "s"), "here")
        const changed = yield* inner.baseline(task, agent)
        assert.notStrictEqual(changed, before)
        writeFileSync(join(path, "sub", "s"), "more")
        assert.notStrictEqual(yield* inner.baseline(task, agent), changed)
      }).pipe(Effect.scoped, Effect.provide(ProcessTree.layer)),
    60_000
  )
})
