/** `nofx dlq retry --all` where nobody works: the wish is kept for the next run, which sends one first. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { DeadLetter } from "../../src/reliability/DeadLetterQueue.ts"
import { temporaryDirectory } from "../support/stateDirectory.ts"
import { nofx } from "./commandLine.ts"

/** A run of five tasks that all fail for good, as long as there is no file `mended`; agents write each attempt down. */
const failedRun = Effect.gen(function* () {
  const root = yield* temporaryDirectory
  const at = (name: string): string => path.join(root, name)
  const env = { PATH: process.env["PATH"] ?? "", HOME: root, XDG_STATE_HOME: at("home") }
  fs.mkdirSync(env.XDG_STATE_HOME)
  const call = (...args: ReadonlyArray<string>) => nofx([...args, "--state-dir", at("state")], { env })
  const json = (...args: ReadonlyArray<string>) => Effect.map(call(...args, "--json"), ({ out }) => JSON.parse(out))
  const script = `echo {{task.id}} >> ${at("log")}; test -f ${at("mended")} || { echo strange >&2; exit 1; }`
  const tasks = ["a", "b", "c", "d", "e"].map((id) => ({ id, effect: "idempotent" }))
  const agents = [{ id: "sh", driver: "command", command: ["sh", "-c", script], count: 3 }]
  // That the circuits stay closed: they are not what keeps the others back.
  const config = { circuitBreaker: { consecutiveFailures: 1_000 } }
  fs.writeFileSync(at("nofx.json"), JSON.stringify({ agents, tasks, config }))
  const run = (...args: ReadonlyArray<string>) => call("run", at("nofx.json"), ...args)
  /** Attempts since the last time. */
  const attempted = (): ReadonlyArray<string> => {
    const lines = fs.readFileSync(at("log"), "utf8").split("\n").slice(0, -1)
    fs.writeFileSync(at("log"), "")
    return lines.sort()
  }
  const letters: Effect.Effect<ReadonlyArray<DeadLetter>> = Effect.map(json("dlq", "list"), ({ deadLetters }) => deadLetters)
  assert.strictEqual((yield* run()).code, 1)
  assert.deepEqual(attempted(), ["a", "b", "c", "d", "e"])
  return { at, attempted, call, json, letters, run, mend: () => fs.writeFileSync(at("mended"), "") }
})

const taskOf = (letter: DeadLetter | undefined): string => letter?.subject.split("/").at(-1) ?? ""

const states = (tasks: Record<string, number>) => Object.fromEntries(Object.entries(tasks).filter(([, count]) => count > 0))

describe("retrying many dead letters for the next run", () => {
  it.live("C28 one goes first, and when it fails again the rest stay dead letters and say why", () =>
    Effect.gen(function* () {
      const { attempted, call, json, letters, run } = yield* failedRun
      const before = yield* letters
      const asked = yield* json("dlq", "retry", "--all")
      assert.deepInclude(asked, { _tag: "DeadLettersRetried", redriven: [], refused: [], skipped: 0 })
      assert.deepEqual(
        asked.asked.map(({ id }: { id: string }) => id),
        before.map(({ id }) => id)
      )
      assert.deepEqual(attempted(), [])
      assert.lengthOf((yield* call("dlq", "list")).out.match(/^dl-\S+ +pending, asked for /gm) ?? [], 5)
      assert.match(
        (yield* call("dlq", "show", before[0]!.id)).out,
        /\nasked +at .*: waits for the next run, which tries one of them first\n/
      )
      const status = yield* json("status")
      assert.deepEqual([status.batches.length, status.batches[0].left], [1, 5])

      assert.strictEqual((yield* run()).code, 1)
      assert.deepEqual(attempted(), [taskOf(before[0])])
      const after = yield* letters
      assert.deepEqual(
        after.map(({ failures, id, status, asked: wish }) => [id, status, failures, wish?.left]),
        before.map(({ id }, n) => [id, "pending", n === 0 ? 2 : 1, n === 0 ? undefined : "the first one failed again"])
      )
      assert.match((yield* call("dlq", "show", before[1]!.id)).out, /\nasked +at .*; left as it is: the first one failed again\n/)
      assert.notInclude((yield* call("dlq", "list")).out, "asked for")
      // All of it is over: the same command begins anew.
      assert.deepEqual((yield* json("status")).batches, [])
      yield* run()
      assert.deepEqual(attempted(), ["a", "b", "c", "d", "e"])
    })
  )

  it.live("C28 C70 when the first one succeeds the same run goes on with all the others, in the batch that was over", () =>
    Effect.gen(function* () {
      const { attempted, call, json, letters, mend, run } = yield* failedRun
      const { out } = yield* call("dlq", "retry", "--all")
      assert.lengthOf(out.match(/waits for the next run$/gm) ?? [], 5, out)
      assert.include(out, "\nThe next nofx run of the task file tries one of them first, and the rest when it has succeeded.")
      mend()
      const ended = yield* run()
      assert.match(ended.out, /5 succeeded, 0 dead-lettered/)
      assert.strictEqual(ended.code, 0)
      assert.deepEqual(attempted(), ["a", "b", "c", "d", "e"])
      assert.deepEqual(states((yield* json("status")).tasks), { succeeded: 5 })
      assert.deepEqual(yield* letters, [])
      assert.notInclude(JSON.stringify(yield* json("dlq", "list", "--archived")), '"asked"')
    })
  )

  it.live("C30 a wish is taken back by a discard, and by --fresh; one letter alone is retried as ever", () =>
    Effect.gen(function* () {
      const { attempted, call, json, letters, mend, run } = yield* failedRun
      const [first, ...others] = yield* letters
      yield* call("dlq", "retry", "--all")
      yield* call("dlq", "discard", first!.id)
      yield* call("dlq", "restore", first!.id)
      assert.notProperty(yield* json("dlq", "show", first!.id), "asked")
      const alone = others.at(-1)
      assert.include((yield* call("dlq", "retry", alone!.id)).out, `/${taskOf(alone)} is queued again`)
      mend()
      assert.strictEqual((yield* run()).code, 1)
      assert.deepEqual(attempted(), others.map(taskOf).sort())

      yield* call("dlq", "retry", "--all")
      yield* run("--fresh")
      assert.deepEqual(attempted(), ["a", "b", "c", "d", "e"])
      assert.deepEqual(
        (yield* letters).map(({ asked, id }) => [id, asked?.left]),
        [[first!.id, "given up on with --fresh"]]
      )
    })
  )

  it.live("C28 a task that was added waits for any run", () =>
    Effect.gen(function* () {
      const { attempted, call, letters, mend, run } = yield* failedRun
      yield* call("add", "Do it", "--id", "solo", "--effect", "idempotent")
      yield* run()
      attempted()
      const solo = (yield* letters).find(({ subject }) => subject === "solo")!
      assert.include(
        (yield* call("dlq", "retry", "--all")).out,
        "\nThe next nofx run of the task file (any nofx run, for tasks that were added)"
      )
      yield* call("dlq", "discard", solo.id)
      yield* call("dlq", "restore", solo.id)
      assert.include((yield* call("dlq", "retry", solo.id)).out, "solo is queued again\nThe next nofx run here starts it.")
      mend()
      yield* run()
      assert.deepEqual(
        attempted().filter((id) => id === "solo"),
        ["solo"]
      )
    })
  )

  it.live("C28 a cause that is not there, and an empty queue, ask for nothing", () =>
    Effect.gen(function* () {
      const { call, letters, mend, run } = yield* failedRun
      assert.strictEqual((yield* call("dlq", "retry", "--all", "--cause", "Outage")).out, "Nothing to retry")
      assert.isTrue((yield* letters).every(({ asked }) => asked === undefined))
      yield* call("dlq", "retry", "--all", "--cause", "Unknown")
      mend()
      yield* run()
      assert.strictEqual((yield* call("dlq", "retry", "--all")).out, "Nothing to retry")
    })
  )
})
