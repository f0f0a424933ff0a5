/** The demo as a user runs it: one process, and what it leaves behind. */
import { execFile } from "node:child_process"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import type { DemoReport } from "../../src/demo/report.ts"
import { demoScenarios } from "../../src/demo/scenarios.ts"
import { RuntimeEvent } from "../../src/RuntimeEvent.ts"
import { nofx } from "../cli/commandLine.ts"
import { lives } from "./demoAgent.ts"

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))

const demo = (env: Record<string, string>, ...args: ReadonlyArray<string>) =>
  Effect.callback<{ readonly code: number; readonly out: string; readonly err: string }>((resume) => {
    const options = { env, maxBuffer: 64 * 1024 * 1024 }
    const child = execFile(process.execPath, ["--disable-warning=ExperimentalWarning", main, "demo", ...args], options, (error, out, err) =>
      resume(Effect.succeed({ code: typeof error?.code === "number" ? error.code : error === null ? 0 : -1, out, err }))
    )
    return Effect.sync(() => child.kill("SIGKILL"))
  })

describe("nofx demo", () => {
  it.live(
    "C30 C48 C64 real agents fail in every way, every task ends as it must, the dead letter is there to look at, and no process is left",
    () =>
      Effect.gen(function* () {
        const root = yield* Effect.acquireRelease(
          Effect.sync(() => mkdtempSync(join(tmpdir(), "nofx-demo-test-"))),
          (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
        )
        const env = { PATH: process.env["PATH"] ?? "", HOME: root, XDG_STATE_HOME: join(root, "home") }
        const directory = join(root, "demo")
        const { code, err, out } = yield* demo(env, "--dir", directory, "--json")
        const lines = out
          .trimEnd()
          .split("\n")
          .map((line) => JSON.parse(line))
        const report: DemoReport & { readonly _tag: string; readonly stateDirectory: string } = lines.at(-1)
        assert.deepEqual([code, report.differs, err], [0, [], ""])
        assert.strictEqual(report._tag, "DemoFinished")
        // Every line before is an event, and the last of them the end of the run.
        const events = Schema.decodeUnknownSync(Schema.Array(RuntimeEvent))(lines.slice(0, -1))
        assert.strictEqual(events.at(-1)?._tag, "RunFinished")
        // A task is never held by one that succeeded.
        assert.isFalse(events.some((event) => event._tag === "TaskBlocked" && event.waiting.detail.includes("succeeded")))

        assert.deepEqual(
          report.asked.map(({ end, taskId }) => [taskId, end]),
          demoScenarios.map(({ end, taskId }) => [taskId, end])
        )
        const faults = new Set(report.wrong.map(({ fault }) => fault))
        for (const fault of ["Crashed", "RateLimited", "Stalled", "CheckFailed", "Transient", "Unknown"])
          assert.isTrue(faults.has(fault), fault)
        const acted = new Map(report.answers.map(({ count, part }) => [part, count]))
        for (const part of ["retry", "cooldown gate", "circuit breaker", "attempt limit", "process tree", "verify", "dead letter queue"])
          assert.isAbove(acted.get(part) ?? 0, 0, part)
        assert.deepEqual(
          report.leftBehind.map(({ alive, pid }) => [alive, lives(pid)]),
          [[false, false]]
        )
        const files = report.produced.map(({ path }) => path)
        for (const path of ["src/slugify.js", "src/median.js", "announcements.log", "CHANGELOG.md"]) assert.include(files, path)
        for (const path of files) assert.isTrue(existsSync(join(directory, "library", path)), path)

        const dlq = yield* nofx(["dlq", "list", "--state-dir", report.stateDirectory, "--json"], { env })
        assert.deepEqual(
          JSON.parse(dlq.out).deadLetters.map(({ id }: { id: string }) => id),
          report.deadLetters.map(({ id }) => id)
        )

        const again = yield* nofx(["demo", "--dir", directory], { env })
        assert.deepEqual(again, { code: 2, out: "", err: `${directory} is not empty: the demo needs a new or an empty directory` })
      }).pipe(Effect.scoped),
    120_000
  )
})
