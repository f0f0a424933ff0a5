import { assert, describe, it, vi } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { AttemptContext, AttemptFailure } from "../../src/agent/AgentDriver.ts"
import type { AgentSpec } from "../../src/agent/AgentSpec.ts"
import { classify } from "../../src/agent/Classification.ts"
import type { Observation } from "../../src/agent/Classification.ts"
import * as CommandDriver from "../../src/agent/CommandDriver.ts"
import * as ProcessTree from "../../src/agent/ProcessTree.ts"
import type { Claim, TaskSpec } from "../../src/task/Task.ts"
import {
  agentSpec,
  alive,
  attemptContext,
  directory,
  eventually,
  fixture,
  inheritEnv,
  node,
  openContext,
  pidsIn
} from "../support/processes/Scenario.ts"

// Real processes on a machine that may be busy with others: each wait is for a condition.
vi.setConfig({ testTimeout: 30_000 })

/** A driver, an agent and one attempt of it. */
const scene = Effect.fnUntraced(function* (
  spec: Partial<typeof AgentSpec.Encoded>,
  task: Partial<typeof TaskSpec.Encoded> = {},
  over: Partial<CommandDriver.Options> & { readonly attempt?: Partial<AttemptContext> } = {}
) {
  const path = yield* directory
  const observed: Array<Observation> = []
  const driver = yield* CommandDriver.make({
    classify: (observation) => {
      observed.push(observation)
      return classify(observation)
    },
    inheritEnv,
    cwd: path,
    graceMillis: 200,
    ...over
  })
  const open = openContext(path)
  const attempt = attemptContext({ id: "t1", prompt: "do it", ...task }, open, over.attempt)
  const session = yield* driver.open(agentSpec(spec), open)
  return { path, driver, open, attempt, session, observed, run: session.run(attempt) }
})

const sh = (script: string) => ({ command: ["sh", "-c", script] })
const faultOf = (exit: Exit.Exit<Claim, AttemptFailure>): AttemptFailure | undefined => {
  const reason = Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined
  return reason?._tag === "Fail" ? reason.error : undefined
}

describe.skipIf(process.platform === "win32")("CommandDriver", () => {
  it.live("C48 a task goes in as variables, arguments and JSON; what the program prints is the result", () =>
    Effect.gen(function* () {
      const { attempt, open, path, run } = yield* scene(
        {
          command: ["sh", "-c", 'cat; printf \'%s|%s|%s|%s\' "$1" "$NOFX_TASK_ATTEMPT" "$EXTRA" "$(pwd)"', "x", "{{task.input.package}}"],
          env: { EXTRA: "added" }
        },
        { prompt: 'say "hi"\n$(id)', input: { package: "core; ls" } },
        { attempt: { attempt: 2, run: 3 } }
      )
      const claim = yield* run
      const [json = "", rest] = claim.output.split("\n")
      assert.deepStrictEqual(JSON.parse(json), {
        id: "t1",
        kind: "task",
        prompt: 'say "hi"\n$(id)',
        input: { package: "core; ls" },
        priority: "medium",
        effect: "unsafe",
        agent: "agent",
        run: 3,
        attempt: 2
      })
      assert.strictEqual(rest, `core; ls|2|added|${path}`)
      assert.strictEqual(claim.stop, "exit")
      assert.strictEqual(claim.sideEffects, "unknown")
      assert.strictEqual(claim.outputFile, join(path, "batch-task-1-1.stdout.log"))
      assert.strictEqual(readFileSync(claim.outputFile ?? "", "utf8"), claim.output)
      assert.strictEqual(
        attempt.progressed.reduce((sum, progress) => sum + (progress._tag === "Output" ? progress.bytes : 0), 0),
        Buffer.byteLength(claim.output)
      )
      assert.deepStrictEqual(
        open.log.map((entry) => entry.replace(/\d+/, "PID")),
        ["intend", "register PID", "started", "gone"]
      )
    }).pipe(Effect.scoped, Effect.provide(ProcessTree.layer))
  )

  it.live("C48 an agent with stdin none reads nothing", () =>
    Effect.gen(function* () {
      const { run } = yield* scene({ ...sh("wc -c"), stdin: "none" })
      assert.strictEqual((yield* run).output.trim(), "0")
    }).pipe(Effect.scoped, Effect.provide(ProcessTree.layer))
  )

  const conventions: ReadonlyArray<readonly [string, string]> = [
    ["exit 0", "success"],
    ["exit 75", "Transient"],
    ["echo 'retry after 30 s' >&2; exit 75", "RateLimited"],
    ["exit 77", "AuthRequired"],
    ["exit 124", "TimedOut"],
    ["kill -SEGV $$", "Crashed"],
    ["exit 137", "Crashed"],
    ["echo 'HTTP 429 Too Many Requests' >&2; exit 1", "RateLimited"],
    ["echo 'it went wrong' >&2; exit 1", "Unknown"]
  ]
  for (const [script, expected] of conventions) {
    it.live(`C48 ${script} means ${expected}`, () =>
      Effect.gen(function* () {
        const { observed, run } = yield* scene(sh(`cat >/dev/null; ${script}`))
        const exit = yield* Effect.exit(run)
        const failure = faultOf(exit)
        assert.strictEqual(Exit.isSuccess(exit) ? "success" : failure?.fault._tag, expected)
        if (failure !== undefined) assert.deepInclude(failure, { started: true, sideEffects: "unknown" })
        assert.deepInclude(observed[0], { agent: "sh", mode: "command", ours: false, tokens: null })
      }).pipe(Effect.scoped, Effect.provide(ProcessTree.layer))
    )
  }

  it.live("C65 only what provably did not run counts as not started", () =>
    Effect.gen(function* () {
      const missing = yield* scene({ command: ["no-such-program-here"] })
      assert.deepInclude(yield* Effect.flip(missing.run), { started: false, sideEffects: "none" })
      assert.deepStrictEqual(
        (yield* Effect.flip(missing.driver.probe(agentSpec({ command: ["no-such-program-here"] }))))._tag,
        "SpawnFailed"
      )
      yield* missing.driver.probe(agentSpec({ command: ["sh"] }))

      const template = yield* scene({ command: ["sh", "{{task.input.nope}}"] })
      const asked = yield* Effect.flip(template.run)
      assert.deepStrictEqual([asked.fault._tag, asked.started], ["InvalidRequest", false])
      assert.include(asked.fault.detail, "task.input.nope")

      const nul = yield* Effect.flip((yield* scene(sh("true"), { prompt: "a\0b" })).run)
      assert.deepStrictEqual([nul.fault._tag, nul.started], ["InvalidRequest", false])

      const big = yield* Effect.flip((yield* scene({ command: ["echo", "{{task.prompt}}"] }, { prompt: "x".repeat(200_000) })).run)
      assert.deepStrictEqual([big.fault._tag, big.started], ["InvalidRequest", false])

      const broken = yield* scene({ command: ["./broken"] })
      writeFileSync(join(broken.path, "broken"), "#!/no/such/interpreter\n", { mode: 0o755 })
      const notRun = yield* Effect.flip(broken.run)
      assert.deepStrictEqual([notRun.fault._tag, notRun.started, notRun.sideEffects], ["SpawnFailed", false, "none"])
      const none = yield* CommandDriver.make({ classify, inheritEnv, cwd: "/" })
      assert.strictEqual((yield* Effect.flip(none.open(agentSpec({ command: [] }), openContext("/"))))._tag, "SpawnFailed")
    }).pipe(Effect.scoped, Effect.provide(ProcessTree.layer))
  )

  it.live("C48 a known agent in its JSON mode is read event by event: answer, tools, session, usage", () =>
    Effect.gen(function* () {
      const events = [
        { type: "thread.started", thread_id: "thread-1" },
        { type: "item.started", item: { id: "i1", type: "command_execution", command: "ls", status: "in_progress" } },
        { type: "item.completed", item: { id: "i1", type: "command_execution", command: "ls", status: "completed" } },
        { type: "item.completed", item: { id: "i2", type: "agent_message", text: "All done" } },
        { type: "turn.completed", usage: { input_tokens: 10, output_tokens: 5 } }
      ]
      const { attempt, observed, path, run } = yield* scene({ command: ["./codex", "exec", "--json"], preset: "codex" })
      writeFileSync(join(path, "codex"), `#!/bin/sh\ncat <<'END'\n${events.map((event) => JSON.stringify(event)).join("\n")}\nEND\n`, {
        mode: 0o755
      })
      const claim = yield* run
      assert.include(claim.output, "All done")
      assert.deepInclude(claim, { sessionId: "thread-1", sideEffects: "seen" })
      assert.strictEqual(claim.usage?.toolCalls, 1)
      assert.deepInclude(observed[0], { agent: "codex", toolCalls: 1 })
      assert.isTrue(attempt.progressed.some((progress) => progress._tag === "Tool"))
    }).pipe(Effect.scoped, Effect.provide(ProcessTree.layer))
  )

  it.live("C48 a long prompt still reaches the program on standard input", () =>
    Effect.gen(function* () {
      const { run } = yield* scene(sh('echo "${NOFX_TASK_PROMPT-unset}"; wc -c'), { prompt: "x".repeat(500_000) })
      const [variable, count] = (yield* run).output.split("\n")
      assert.strictEqual(variable, "unset")
      assert.isAbove(Number(count), 500_000)
    }).pipe(Effect.scoped, Effect.provide(ProcessTree.layer))
  )

  it.live("C11 C46 interrupting an attempt ends only when its whole tree is dead, and nothing happens after", () =>
    Effect.gen(function* () {
      const { open, path, run } = yield* scene({ command: [node, fixture("deserter.mjs"), "pids"] })
      const fiber = yield* Effect.forkChild(run)
      const [tool = 0] = yield* pidsIn(join(path, "pids"), 1)
      yield* Fiber.interrupt(fiber)
      assert.isFalse(alive(tool))
      assert.strictEqual(open.log.at(-1), "gone")
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
    }).pipe(Effect.scoped, Effect.provide(ProcessTree.layer))
  )

  it.live("C65 an attempt that is interrupted before its start was committed has delivered nothing", () =>
    Effect.gen(function* () {
      let committing = false
      const started = () =>
        Effect.andThen(
          Effect.sync(() => void (committing = true)),
          Effect.never
        )
      const { open, path, run } = yield* scene(sh("touch ran"), {}, { attempt: { started } })
      const fiber = yield* Effect.forkChild(run)
      yield* eventually("the commit", () => committing)
      const pid = Number(open.log.find((entry) => entry.startsWith("register"))?.slice("register ".length))
      assert.isTrue(alive(pid))
      yield* Fiber.interrupt(fiber)
      assert.isFalse(alive(pid))
      assert.isFalse(existsSync(join(path, "ran")))
      assert.strictEqual(open.log.at(-1), "gone")
    }).pipe(Effect.scoped, Effect.provide(ProcessTree.layer))
  )

  it.live("C51 an attempt that ends by itself leaves none of its tools behind", () =>
    Effect.gen(function* () {
      const { path, run } = yield* scene({ command: [node, fixture("deserter.mjs"), "pids", "leave"] })
      assert.strictEqual((yield* run).output, "left\n")
      const [tool = 0] = yield* pidsIn(join(path, "pids"), 1)
      assert.isFalse(alive(tool))
    }).pipe(Effect.scoped, Effect.provide(ProcessTree.layer))
  )

  it.live("C50 an attempt does not stand still while what its program left behind is being ended", () =>
    Effect.gen(function* () {
      const { run, session } = yield* scene(sh("(trap '' TERM; exec sleep 1000) > /dev/null 2>&1 & echo left"), {}, { graceMillis: 1_000 })
      const fiber = yield* Effect.forkChild(run, { startImmediately: true })
      const measured = yield* Effect.repeat(Effect.andThen(Effect.sleep(20), Effect.exit(session.activity)), {
        until: (exit) => Exit.isFailure(exit) || fiber.pollUnsafe() !== undefined
      })
      assert.isTrue(Exit.isFailure(measured))
      assert.strictEqual((yield* Fiber.join(fiber)).output, "left\n")
      assert.isTrue(Exit.isSuccess(yield* Effect.exit(session.activity)))
    }).pipe(Effect.scoped, Effect.provide(ProcessTree.layer))
  )

  it.live("C49 an agent that is killed from outside has crashed", () =>
    Effect.gen(function* () {
      const { open, run } = yield* scene(sh("sleep 1000"))
      const fiber = yield* Effect.forkChild(run)
      yield* eventually("the start", () => open.log.includes("started"))
      process.kill(Number(open.log[1]?.slice("register ".length)), "SIGKILL")
      const fault = faultOf(yield* Fiber.await(fiber))?.fault
      assert.deepInclude(fault, { _tag: "Crashed", exitCode: null, signal: "SIGKILL" })
    }).pipe(Effect.scoped, Effect.provide(ProcessTree.layer))
  )

  it.live("C66 a flood of output is reported in few sums, and its claim stays small", () =>
    Effect.gen(function* () {
      const { attempt, run } = yield* scene(sh("yes | head -c 20000000; echo end"), {}, { maxOutputBytes: 50_000 })
      const claim = yield* run
      assert.isAtMost(claim.output.length, 16_384)
      assert.isTrue(claim.output.endsWith("end\n"))
      assert.isBelow(readFileSync(claim.outputFile ?? "").length, 50_100)
      const sums = attempt.progressed.flatMap((progress) => (progress._tag === "Output" ? [progress.bytes] : []))
      assert.strictEqual(
        sums.reduce((sum, bytes) => sum + bytes, 0),
        20_000_004
      )
      assert.isBelow(sums.length, 200)
    }).pipe(Effect.scoped, Effect.provide(ProcessTree.layer))
  )

  it.live("C50 shows what a running attempt does: processes, and changes of files below its directory", () =>
    Effect.gen(function* () {
      const { open, path, run, session } = yield* scene(sh("sleep 1000"))
      const idle = yield* session.activity
      assert.deepInclude(idle, { cpuMillis: 0, processes: 0 })
      const fiber = yield* Effect.forkChild(run)
      yield* eventually("the start", () => open.log.includes("started"))
      const working = yield* session.activity
      assert.isAtLeast(working.processes, 1)
      assert.strictEqual((yield* session.activity).files, working.files)
      writeFileSync(join(path, "new-file"), "")
      assert.notStrictEqual((yield* session.activity).files, working.files)
      yield* Fiber.interrupt(fiber)
      assert.deepInclude(yield* session.activity, { cpuMillis: 0, processes: 0 })
    }).pipe(Effect.scoped, Effect.provide(ProcessTree.layer))
  )

  it.live("C11 says how long a stop may take at most", () =>
    Effect.gen(function* () {
      const { driver, session } = yield* scene(sh("true"), {}, { graceMillis: 1_000 })
      assert.strictEqual(driver.stopMillis, 3_500)
      assert.isFalse(session.resumable)
    }).pipe(Effect.scoped, Effect.provide(ProcessTree.layer))
  )
})
