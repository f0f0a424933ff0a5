/** Two real runs of one user, in two repositories: what one learns of an account holds for the other. */
import { spawn } from "node:child_process"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import * as readline from "node:readline"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import type { RuntimeEvent } from "../../src/RuntimeEvent.ts"
import { temporaryDirectory } from "../support/stateDirectory.ts"

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))

/** `nofx run --json` in a directory of its own; ends with the scope at the latest. */
const running = (directory: string, file: object) =>
  Effect.gen(function* () {
    mkdirSync(directory)
    writeFileSync(path.join(directory, "nofx.json"), JSON.stringify(file))
    const events: Array<RuntimeEvent> = []
    const waits: Array<{ readonly when: (event: RuntimeEvent) => boolean; readonly done: Deferred.Deferred<RuntimeEvent> }> = []
    const closed = yield* Deferred.make<void>()
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", main, "run", "nofx.json", "--json"], {
          cwd: directory,
          stdio: ["ignore", "pipe", "inherit"]
        })
        readline.createInterface({ input: child.stdout }).on("line", (line) => {
          const event: RuntimeEvent = JSON.parse(line)
          events.push(event)
          for (const wait of waits) if (wait.when(event)) Deferred.doneUnsafe(wait.done, Effect.succeed(event))
        })
        child.on("close", () => Deferred.doneUnsafe(closed, Effect.void))
        return child
      }),
      (child) => {
        child.kill("SIGTERM")
        return Deferred.await(closed)
      }
    )
    const until = (when: (event: RuntimeEvent) => boolean) =>
      Effect.suspend(() => {
        const found = events.find(when)
        if (found !== undefined) return Effect.succeed(found)
        const done = Deferred.makeUnsafe<RuntimeEvent>()
        waits.push({ when, done })
        return Deferred.await(done)
      })
    return { events, until, ended: Deferred.await(closed) }
  })

/** Runs a shell script for each task, on one account. */
const agent = (script: string) => ({ id: "w", driver: "command", account: "anthropic", stdin: "none", command: ["/bin/sh", "-c", script] })
const task = (id: string, more: object = {}) => ({ id, agent: "w", effect: "idempotent", ...more })

describe("AccountSync between processes", () => {
  it.live(
    "C24 a 429 in one repository holds the account's work in another that is running already, with no attempt spent and one notice",
    () =>
      Effect.gen(function* () {
        const base = yield* temporaryDirectory
        const go = path.join(base, "go")
        // Its first task lasts until the other run has met the limit.
        const there = yield* running(path.join(base, "there"), {
          agents: [agent(`[ "$NOFX_TASK_ID" = second ] || while [ ! -e ${go} ]; do sleep 0.05; done`)],
          tasks: [task("first"), task("second", { dependsOn: ["first"] })]
        })
        yield* there.until((event) => event._tag === "AttemptStarted")
        const mark = path.join(base, "limited")
        const here = yield* running(path.join(base, "here"), {
          agents: [agent(`[ -e ${mark} ] && exit 0; : > ${mark}; echo 'HTTP 429 Too Many Requests, retry-after: 3' >&2; exit 75`)],
          tasks: [task("limited")]
        })
        const closed = yield* here.until((event) => event._tag === "GateClosed")
        assert(closed._tag === "GateClosed")
        writeFileSync(go, "")
        yield* Effect.all([here.ended, there.ended], { concurrency: 2 })
        const of = <Tag extends RuntimeEvent["_tag"]>(tag: Tag) =>
          there.events.filter((event): event is Extract<RuntimeEvent, { _tag: Tag }> => event._tag === tag)
        const begun = of("AttemptStarted").find((event) => event.taskId === "second")
        assert.isDefined(begun)
        assert.isAtLeast(begun.at, Math.floor(closed.until))
        assert.deepEqual(
          of("AttemptEnded").map((event) => [event.taskId, event.outcome]),
          [
            ["first", "succeeded"],
            ["second", "succeeded"]
          ]
        )
        assert.lengthOf(of("GateClosed"), 1)
        assert.lengthOf(of("CircuitStateChanged"), 0)
        assert.deepInclude(here.events.at(-1), { _tag: "RunFinished", succeeded: 1 })
        assert.isAbove(readFileSync(path.join(process.env["XDG_STATE_HOME"] ?? "", "nofx", "accounts.db")).length, 0)
      })
  )
})
