import * as fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { DatabaseSync } from "node:sqlite"
import * as path from "node:path"
import { temporaryDirectory } from "../../support/stateDirectory.ts"
import * as Harness from "./Harness.ts"

const bound = 120_000

const long = { id: "long-1", effect: "idempotent" }

/** A place whose tasks work until the test lets them end. */
const waitingFor = (tasks: ReadonlyArray<unknown>) =>
  Effect.map(temporaryDirectory, (directory) => {
    const place = Harness.layOut(directory, {
      tasks,
      command: ["sh", "-c", `echo started; while [ ! -e ${directory}/go ]; do sleep 0.05; done`]
    })
    return { ...place, go: () => fs.writeFileSync(path.join(directory, "go"), "") }
  })

const waiting = waitingFor([long])

/** A run that works on its task; killed with the scope. */
const working = (place: Harness.Place, args: ReadonlyArray<string> = []) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const run = Harness.start(place, args)
      await run.said('"AttemptStarted"')
      return run
    }),
    (run) =>
      Effect.promise(async () => {
        run.child.kill("SIGCONT")
        run.child.kill("SIGKILL")
        await run.ended
        for (const pid of Harness.agents(place)) process.kill(pid, "SIGKILL")
      })
  )

const ended = (run: Harness.Run) => Effect.promise(() => run.ended)

describe("one owner", () => {
  it.live(
    "C56 a second run exits 3 and names the owner, also while that is suspended; after its death the next one starts at once",
    () =>
      Effect.gen(function* () {
        const place = yield* waiting
        const owner = yield* working(place)
        const refused = Harness.start(place)
        assert.strictEqual(yield* ended(refused), 3)
        assert.include(refused.stderr(), `pid ${owner.child.pid}`)
        owner.child.kill("SIGSTOP")
        assert.strictEqual(yield* ended(Harness.start(place)), 3)
        owner.child.kill("SIGKILL")
        yield* ended(owner)
        place.go()
        const next = Harness.start(place)
        assert.strictEqual(yield* ended(next), 0, next.stderr())
        assert.deepStrictEqual(Harness.agents(place), [])
      }),
    bound
  )

  it.live(
    "C51 C56 a forced takeover ends the owner's agents and the owner, and goes on with its work",
    () =>
      Effect.gen(function* () {
        const place = yield* waiting
        const owner = yield* working(place)
        const before = Harness.agents(place)
        assert.isAbove(before.length, 0)
        const taker = yield* working(place, ["--take-over"])
        assert.strictEqual(yield* ended(owner), "SIGKILL")
        assert.deepStrictEqual(
          Harness.agents(place).filter((pid) => before.includes(pid)),
          []
        )
        place.go()
        assert.strictEqual(yield* ended(taker), 0, taker.stderr())
      }),
    bound
  )

  it.live(
    "C56 an owner that was fenced off while it was suspended ends its agents and exits 3 when it wakes up",
    () =>
      Effect.gen(function* () {
        const place = yield* waiting
        const owner = yield* working(place)
        owner.child.kill("SIGSTOP")
        const database = new DatabaseSync(path.join(place.stateDirectory, "nofx.db"))
        database.exec("UPDATE meta SET value = value + 1 WHERE key = 'epoch'")
        database.close()
        const before = Harness.agents(place)
        place.go()
        owner.child.kill("SIGCONT")
        assert.strictEqual(yield* ended(owner), 3, owner.stderr())
        assert.include(owner.stderr(), "owns this state directory now")
        assert.deepStrictEqual(
          Harness.agents(place).filter((pid) => before.includes(pid)),
          []
        )
      }),
    bound
  )
})

describe("signals", () => {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    it.live(
      `C40 C42 ${signal} drains what runs, starts nothing more, and exits 130; the same command goes on`,
      () =>
        Effect.gen(function* () {
          const place = yield* waitingFor([long, { id: "next-1", effect: "idempotent", dependsOn: ["long-1"] }])
          const run = yield* working(place)
          // As timeout(1) does: to the program, and to its group.
          run.child.kill(signal)
          yield* Effect.sleep("20 millis")
          run.child.kill(signal)
          yield* Effect.promise(() => run.said('"ShutdownPhaseStarted"'))
          place.go()
          const code = yield* ended(run)
          const stored = yield* Effect.promise(() => Harness.read(place))
          assert.deepStrictEqual(
            stored?.tasks.map((task) => task.state),
            ["succeeded", "queued"]
          )
          assert.strictEqual(code, 130)
          assert.strictEqual(yield* ended(Harness.start(place)), 0)
        }),
      bound
    )
  }

  it.live(
    "C40 C42 C70 a second signal stops what runs at once, reports it, and the same command goes on with the same batch",
    () =>
      Effect.gen(function* () {
        const place = yield* waiting
        const run = yield* working(place)
        run.child.kill("SIGINT")
        yield* Effect.promise(() => run.said('"ShutdownPhaseStarted"'))
        yield* Effect.sleep("150 millis")
        run.child.kill("SIGINT")
        assert.strictEqual(yield* ended(run), 130, run.stderr())
        assert.isTrue(
          run.lines.some((line) => line.includes('"ShutdownFinished"') && line.includes("long-1")),
          "it says what it gave up"
        )
        assert.deepStrictEqual(Harness.agents(place), [])
        const stopped = yield* Effect.promise(() => Harness.read(place))
        assert.deepStrictEqual(
          stopped?.tasks.map((task) => task.state),
          ["queued"]
        )
        place.go()
        assert.strictEqual(yield* ended(Harness.start(place)), 0)
        const after = yield* Effect.promise(() => Harness.read(place))
        assert.deepStrictEqual(
          after?.batches.map((batch) => batch.finishedAt !== undefined),
          [true]
        )
        assert.deepStrictEqual(
          after?.tasks.map((task) => [task.state, task.attempts.length]),
          [["succeeded", 2]]
        )
      }),
    bound
  )
})

describe("a check", () => {
  it.live(
    "C51 C64 that ran when the runtime was killed is ended at the next start, and made again; the work is not",
    () =>
      Effect.gen(function* () {
        const verify = ["sh", "-c", "[ -e checked ] || { touch checked; sleep 1000; }"]
        const place = yield* Effect.map(temporaryDirectory, (directory) =>
          Harness.layOut(directory, { tasks: [{ id: "quick-1", verify }] })
        )
        const run = Harness.start(place)
        yield* Effect.promise(() => run.said('"AttemptClaimed"'))
        yield* Effect.promise(async () => {
          while (!fs.existsSync(path.join(place.directory, "checked"))) await new Promise((resolve) => setTimeout(resolve, 10))
        })
        run.child.kill("SIGKILL")
        yield* ended(run)
        const left = Harness.agents(place)
        assert.isAbove(left.length, 0)
        const next = Harness.start(place)
        assert.strictEqual(yield* ended(next), 0, next.stderr())
        assert.deepStrictEqual(Harness.agents(place), [])
        const stored = yield* Effect.promise(() => Harness.read(place))
        assert.deepStrictEqual(
          stored?.tasks.map((task) => [task.state, task.attempts.length, task.result?.verified]),
          [["succeeded", 1, true]]
        )
      }),
    bound
  )
})

describe("batches", () => {
  it.live(
    "C70 a finished batch begins anew; an unfinished one of a changed file is refused with exit code 2 and the choice, until --fresh",
    () =>
      Effect.gen(function* () {
        const place = yield* waiting
        const run = yield* working(place)
        run.child.kill("SIGKILL")
        yield* ended(run)
        const document = JSON.parse(fs.readFileSync(place.file, "utf8"))
        fs.writeFileSync(place.file, JSON.stringify({ ...document, tasks: [...document.tasks, { id: "more-1", effect: "idempotent" }] }))
        const changed = Harness.start(place)
        assert.strictEqual(yield* ended(changed), 2)
        assert.include(changed.stderr(), "--fresh")
        assert.strictEqual((yield* Effect.promise(() => Harness.read(place)))?.batches.length, 1)
        place.go()
        const fresh = Harness.start(place, ["--fresh"])
        assert.strictEqual(yield* ended(fresh), 0, fresh.stderr())
        assert.strictEqual(yield* ended(Harness.start(place)), 0)
        const stored = yield* Effect.promise(() => Harness.read(place))
        assert.strictEqual(stored?.batches.length, 3)
        assert.deepStrictEqual(
          stored?.tasks.map((task) => task.state),
          ["cancelled", ...Array.from({ length: 4 }, () => "succeeded")]
        )
      }),
    bound
  )
})

describe("a damaged database", () => {
  it.live(
    "C27 is told of at the start, kept, and the run goes on with what could be read",
    () =>
      Effect.gen(function* () {
        const place = yield* waiting
        place.go()
        assert.strictEqual(yield* ended(Harness.start(place)), 0)
        const file = path.join(place.stateDirectory, "nofx.db")
        const bytes = fs.readFileSync(file)
        bytes.fill(0x5a, 4_096, 12_288)
        fs.writeFileSync(file, bytes)
        const run = Harness.start(place)
        assert.include([0, 1], yield* ended(run), run.stderr())
        assert.isTrue(
          run.lines.some((line) => line.includes("ComponentDegraded") && line.includes("damaged")),
          run.lines.join("\n")
        )
        assert.isTrue(fs.readdirSync(place.stateDirectory, { recursive: true }).some((name) => String(name).includes("damaged")))
      }),
    bound
  )
})
