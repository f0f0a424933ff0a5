import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { lives, run, start, until } from "./demoAgent.ts"

/** A working directory and a place for the counters, gone with the scope. */
const place = Effect.acquireRelease(
  Effect.sync(() => {
    const root = mkdtempSync(join(tmpdir(), "nofx-demo-"))
    mkdirSync(join(root, "work"))
    return {
      root,
      work: join(root, "work"),
      state: join(root, "state"),
      read: (file: string) => readFileSync(join(root, "work", file), "utf8"),
      call: (prompt: string, fault?: object) =>
        run(JSON.stringify({ id: "t", prompt, input: fault === undefined ? {} : { fault } }), join(root, "work"), {
          NOFX_DEMO_STATE: join(root, "state")
        })
    }
  }),
  ({ root }) => Effect.sync(() => rmSync(root, { recursive: true, force: true }))
)

describe("demo agent", () => {
  it.live("C48 follows the instruction lines of the prompt and ignores the rest", () =>
    Effect.gen(function* () {
      const { call, read } = yield* place
      const ended = yield* call(
        "Please do this:\nwrite a/b.txt: one\\ntwo\nappend a/b.txt: three\nreplace a/b.txt: two => 2 $& 2\nsleep 1\nsay hello: there"
      )
      assert.deepEqual([ended.code, ended.stderr], [0, ""])
      assert.strictEqual(read("a/b.txt"), "one\n2 $& 2\nthree\n")
      assert.strictEqual(ended.stdout.toString(), "write a/b.txt\nappend a/b.txt\nreplace a/b.txt\nhello: there\nDone: 5 steps.\n")
    })
  )

  it.live("C48 a replacement may be asked for twice, and fails when there is nothing to replace", () =>
    Effect.gen(function* () {
      const { call, read, work } = yield* place
      writeFileSync(join(work, "f"), "a b")
      for (const _ of [1, 2]) assert.strictEqual((yield* call("replace f: a => c")).code, 0)
      assert.strictEqual(read("f"), "c b")
      const missing = yield* call("replace f: x => y")
      assert.deepEqual([missing.code, missing.stderr], [1, "Not found in f: x\n"])
    })
  )

  it.live("C60 refuses to leave its working directory, by path or by link", () =>
    Effect.gen(function* () {
      const { call, root, work } = yield* place
      writeFileSync(join(root, "outside"), "untouched")
      symlinkSync(root, join(work, "link"))
      symlinkSync(join(root, "none"), join(work, "dangling"))
      for (const path of ["../outside", join(root, "outside"), "link/outside", "link/new", "a/../../outside", "."]) {
        const ended = yield* call(`write ${path}: x`)
        assert.deepEqual([ended.code, ended.stderr], [1, `Refused: ${path} is outside of the working directory\n`])
      }
      assert.strictEqual(readFileSync(join(root, "outside"), "utf8"), "untouched")
      assert.isFalse(existsSync(join(root, "new")))
    })
  )

  it.live("C60 input that is no task is refused with a sentence", () =>
    Effect.gen(function* () {
      const { work } = yield* place
      for (const stdin of ["", "nonsense", "3", "[]", "{}", '{"prompt":1}']) {
        const ended = yield* run(stdin, work, {})
        assert.deepEqual([ended.code, ended.stderr], [2, "Expected a task as JSON on standard input, with a prompt\n"])
      }
    })
  )

  it.live("C48 crash: it kills itself with a signal, after the steps it was told to do, as often as it was told to", () =>
    Effect.gen(function* () {
      const { call, read } = yield* place
      const fault = { kind: "crash", times: 2, after: 1 }
      for (const _ of [1, 2]) {
        const ended = yield* call("append f: x\nappend f: y", fault)
        assert.deepEqual([ended.code, ended.signal], [null, "SIGSEGV"])
      }
      assert.strictEqual(read("f"), "x\nx\n")
      assert.strictEqual((yield* call("append f: x\nappend f: y", fault)).code, 0)
      assert.strictEqual(read("f"), "x\nx\nx\ny\n")
    })
  )

  it.live("C50 hang: it falls silent and stays, without using the processor, until somebody ends it", () =>
    Effect.gen(function* () {
      const { state, work } = yield* place
      const { ended, pid } = yield* start(JSON.stringify({ id: "t", prompt: "say x", input: { fault: { kind: "hang" } } }), work, {
        NOFX_DEMO_STATE: state
      })
      const processorTime = () => execFileSync("ps", ["-o", "time=", "-p", String(pid)]).toString()
      yield* until(() => existsSync(join(state, "t.calls")))
      const before = processorTime()
      yield* Effect.sleep("300 millis")
      assert.isTrue(lives(pid))
      assert.strictEqual(processorTime(), before)
      process.kill(pid, "SIGTERM")
      const { signal, stderr, stdout } = yield* Effect.promise(() => ended)
      assert.deepEqual([signal, stdout.toString(), stderr], ["SIGTERM", "", ""])
    })
  )

  it.live("C24 429: it reports the limit with its retry-after, and exits as one who wants to be asked later", () =>
    Effect.gen(function* () {
      const { call, work } = yield* place
      const fault = { kind: "429", times: 1, retryAfter: 2 }
      const ended = yield* call("write f: x", fault)
      assert.deepEqual([ended.code, ended.stdout.toString()], [75, ""])
      assert.match(ended.stderr, /429 Too Many Requests.*retry after 2s/)
      assert.isFalse(existsSync(join(work, "f")))
      assert.strictEqual((yield* call("write f: x", fault)).code, 0)
    })
  )

  it.live("C48 flaky: it fails as often as it was told to, then succeeds", () =>
    Effect.gen(function* () {
      const { call } = yield* place
      const codes: Array<number | null> = []
      for (const _ of [1, 2, 3]) codes.push((yield* call("say x", { kind: "flaky", times: 2 })).code)
      assert.deepEqual(codes, [75, 75, 0])
    })
  )

  it.live("C48 garbage: bytes that are no text, and exit code 1", () =>
    Effect.gen(function* () {
      const { call } = yield* place
      const ended = yield* call("say x", { kind: "garbage" })
      assert.strictEqual(ended.code, 1)
      assert.throws(() => new TextDecoder("utf-8", { fatal: true }).decode(ended.stdout))
    })
  )

  it.live("C64 claim-nothing: it claims success and has done nothing", () =>
    Effect.gen(function* () {
      const { call, work } = yield* place
      const ended = yield* call("write f: x", { kind: "claim-nothing" })
      assert.strictEqual(ended.code, 0)
      assert.match(ended.stdout.toString(), /All done!/)
      assert.isFalse(existsSync(join(work, "f")))
    })
  )

  it.live("C51 grandchild: it does its work and leaves a process in a session of its own that ignores SIGTERM", () =>
    Effect.gen(function* () {
      const { call, read, state } = yield* place
      assert.strictEqual((yield* call("write f: x", { kind: "grandchild" })).code, 0)
      assert.strictEqual(read("f"), "x\n")
      const pid = Number(readFileSync(join(state, "grandchild.pid"), "utf8"))
      // The whole group: what it forked must not outlive the test, even where the test fails.
      yield* Effect.addFinalizer(() => Effect.ignore(Effect.try(() => process.kill(-pid, "SIGKILL"))))
      // A trap is only set once the shell has got to it; its child appears after that.
      yield* until(() =>
        execFileSync("ps", ["-A", "-o", "ppid="])
          .toString()
          .split("\n")
          .some((parent) => Number(parent) === pid)
      )
      process.kill(pid, "SIGTERM")
      yield* Effect.sleep("100 millis")
      assert.isTrue(lives(pid))
      assert.strictEqual(Number(execFileSync("ps", ["-o", "pgid=", "-p", String(pid)]).toString()), pid)
    })
  )

  it.live("C60 an unknown fault is refused, and counting needs its directory", () =>
    Effect.gen(function* () {
      const { call, state, work } = yield* place
      assert.strictEqual((yield* call("say x", { kind: "sulk" })).stderr, "Unknown fault: sulk\n")
      assert.strictEqual(statSync(join(state, "t.calls")).size, 1)
      const ended = yield* run(JSON.stringify({ prompt: "say x", input: { fault: { kind: "hang" } } }), work, { NOFX_DEMO_STATE: "" })
      assert.strictEqual(ended.code, 2)
    })
  )
})
