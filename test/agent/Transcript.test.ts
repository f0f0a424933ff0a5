import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as fs from "node:fs"
import * as path from "node:path"
import type { AttemptContext } from "../../src/agent/AgentDriver.ts"
import * as Transcript from "../../src/agent/Transcript.ts"
import * as TranscriptDriver from "../../src/agent/TranscriptDriver.ts"
import { TaskSpec } from "../../src/task/Task.ts"
import { temporaryDirectory } from "../support/stateDirectory.ts"
import { AgentSpec } from "../../src/agent/AgentSpec.ts"
import { claim, driver, failure, type Script } from "../support/runtime.ts"

const limits: Transcript.Limits = { maxBytes: 4_096, keepBytes: 1_000_000, keepAttempts: 100, keepMillis: 1_000_000 }
const same = <A>(value: A): A => value
const open = (directory: string, maxBytes = limits.maxBytes) => Transcript.open({ directory, attemptId: "a1", maxBytes, redact: same })
const usage = (tokens: number): Transcript.Entry => ({ _tag: "Usage", at: tokens, tokens })

const attempt = (directory: string): AttemptContext => ({
  attemptId: "a1",
  task: Schema.decodeUnknownSync(TaskSpec)({ id: "t", prompt: "Do it with s3cret" }),
  run: 1,
  attempt: 2,
  open: { marker: "m", directory, intend: Effect.void, register: () => Effect.void, gone: Effect.void },
  started: () => Effect.void,
  progress: () => {},
  permission: () => Effect.succeed("yes")
})

/** Runs a script as the driver's attempt, and answers what can be read afterwards. */
const recorded = (directory: string, script: Script) =>
  Effect.gen(function* () {
    const redact = <A>(value: A): A => JSON.parse(JSON.stringify(value).replaceAll("s3cret", "[redacted]"))
    const wrapped = TranscriptDriver.recorded(driver(script), { limits, redact })
    const session = yield* wrapped.open(Schema.decodeUnknownSync(AgentSpec)({ id: "w", driver: "test" }), attempt(directory).open)
    return yield* Effect.exit(session.run(attempt(directory)))
  })

describe("Transcript", () => {
  it.live("C68 an attempt's prompt, words, tools, permissions, output and end are written down, without secrets", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* recorded(directory, (context) =>
        Effect.gen(function* () {
          context.progress({ _tag: "Text", text: "Hel" })
          context.progress({ _tag: "Text", text: "lo s3c" })
          context.progress({ _tag: "Text", text: "ret\nnext" })
          context.progress({ _tag: "Tool", id: "1", title: "edit a", kind: "edit", status: "completed" })
          context.printed?.("stderr", new TextEncoder().encode("warn ü\n").subarray(0, 6))
          context.printed?.("stderr", new TextEncoder().encode("warn ü\n").subarray(6))
          context.progress({ _tag: "Output", bytes: 10 })
          yield* context.permission({
            title: "rm",
            kind: "execute",
            detail: "rm x",
            options: [{ id: "yes", name: "Allow", kind: "allow_once" }]
          })
          return claim()
        })
      )
      const entries = Transcript.read(directory, "a1").next()
      const shown = entries.map(({ at: _, ...rest }) => rest)
      assert.deepEqual(shown, [
        { _tag: "Began", taskId: "t", agentId: "w", run: 1, attempt: 2, attemptId: "a1", prompt: "Do it with [redacted]" },
        { _tag: "Text", text: "Hello [redacted]\n" },
        { _tag: "Text", text: "next" },
        { _tag: "Tool", id: "1", title: "edit a", kind: "edit", status: "completed" },
        { _tag: "Stderr", text: "warn ü\n" },
        { _tag: "Permission", title: "rm", kind: "execute", detail: "rm x", answer: "Allow" },
        { _tag: "Ended", outcome: "claimed", detail: "end_turn" }
      ])
      assert.strictEqual(fs.statSync(path.join(directory, "a1.1.jsonl")).mode & 0o777, 0o600)
    })
  )

  it.effect("C68 how an attempt failed, or that it was stopped, is its last entry", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* recorded(directory, () => Effect.fail(failure({ _tag: "Stalled", detail: "nothing moved", evidence: "" })))
      const last = () => Transcript.read(directory, "a1").next().at(-1)
      assert.deepInclude(last(), { _tag: "Ended", outcome: "failed", detail: "Stalled: nothing moved" })
      const fiber = yield* Effect.forkChild(
        recorded(directory, () => Effect.never),
        { startImmediately: true }
      )
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      assert.deepInclude(last(), { _tag: "Ended", outcome: "stopped" })
    })
  )

  it.live("C68 it can be read while it grows, line by line", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const reader = Transcript.read(directory, "a1")
      assert.deepEqual(reader.next(), [])
      const writer = open(directory)
      writer.append("Text", 0, "half a line")
      assert.deepEqual(reader.next(), [])
      writer.append("Text", 100, " is shown after a while")
      writer.append("Text", 1_200, ", at its end\nand")
      assert.deepEqual(reader.next(), [{ _tag: "Text", at: 0, text: "half a line is shown after a while, at its end\nand" }])
      writer.append("Text", 1_300, " more")
      writer.append("Text", 2_000, "\nand")
      assert.deepEqual(reader.next(), [{ _tag: "Text", at: 1_300, text: " more\n" }])
      writer.write(usage(3))
      assert.deepEqual(reader.next(), [{ _tag: "Text", at: 1_300, text: "and" }, usage(3)])
      fs.appendFileSync(path.join(directory, "a1.1.jsonl"), '{"_tag":"Usage","at":1,"tok')
      assert.deepEqual(reader.next(), [])
      fs.appendFileSync(path.join(directory, "a1.1.jsonl"), 'ens":4}\nnot json\n')
      assert.deepEqual(reader.next(), [{ _tag: "Usage", at: 1, tokens: 4 }])
      writer.close()
    })
  )

  it.live("C68 a flood is bounded on disk: the beginning and the end are kept, and the gap is told", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const writer = open(directory, 2_000)
      const following = Transcript.read(directory, "a1")
      let followed = 0
      for (let n = 0; n < 2_000; n++) {
        writer.write(usage(n))
        followed += following.next().length
      }
      writer.write({ _tag: "Text", at: 0, text: "x".repeat(100_000) })
      writer.close()
      assert.strictEqual(followed, 2_000)
      const sizes = fs.readdirSync(directory).map((name) => fs.statSync(path.join(directory, name)).size)
      assert.isAtMost(sizes.length, 4)
      assert.isAtMost(
        sizes.reduce((sum, size) => sum + size, 0),
        2_000
      )
      const entries = Transcript.read(directory, "a1").next()
      assert.deepEqual(entries[0], usage(0))
      assert.strictEqual(entries.filter((entry) => entry._tag === "Gap").length, 1)
      assert.include(JSON.stringify(entries.at(-1)), "… [cut]")
      assert.deepEqual(entries.at(-2), usage(1_999))
    })
  )

  it.live("C68 the oldest attempts make room, by count, by size and by age; the current one stays", () =>
    Effect.gen(function* () {
      const now = 10_000_000
      const remaining = (limit: Partial<Transcript.Limits>) =>
        Effect.gen(function* () {
          const directory = yield* temporaryDirectory
          for (let n = 0; n < 5; n++) {
            for (const name of [`a${n}.1.jsonl`, `a${n}.stdout.log`]) {
              fs.writeFileSync(path.join(directory, name), "x".repeat(100))
              fs.utimesSync(path.join(directory, name), (now - (5 - n) * 1_000) / 1_000, (now - (5 - n) * 1_000) / 1_000)
            }
          }
          Transcript.prune(directory, { ...limits, ...limit }, now, "a0")
          const left = fs.readdirSync(directory)
          assert.strictEqual(left.filter((name) => name.endsWith(".log")).length * 2, left.length)
          return left.filter((name) => name.endsWith(".log")).map((name) => name.split(".")[0])
        })
      assert.deepEqual(yield* remaining({}), ["a0", "a1", "a2", "a3", "a4"])
      assert.deepEqual(yield* remaining({ keepAttempts: 3 }), ["a0", "a3", "a4"])
      assert.deepEqual(yield* remaining({ keepBytes: 650 }), ["a0", "a2", "a3", "a4"])
      assert.deepEqual(yield* remaining({ keepMillis: 2_500 }), ["a0", "a3", "a4"])
    })
  )

  it.live("C68 a disk that cannot be written ends the transcript, not the attempt", () =>
    Effect.gen(function* () {
      const directory = path.join(yield* temporaryDirectory, "missing")
      const exit = yield* recorded(directory, (context) =>
        Effect.sync(() => {
          context.progress({ _tag: "Text", text: "x\n" })
          return claim()
        })
      )
      assert.strictEqual(exit._tag, "Success")
    })
  )
})
