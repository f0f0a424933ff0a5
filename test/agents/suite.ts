/** What every real agent must show in both of its modes: a prompt becomes an edited file, over every fault of its provider and of itself. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer } from "effect"
import { readdirSync, readFileSync } from "node:fs"
import * as path from "node:path"
import { AgentRuntime, type TaskInput } from "../../src/AgentRuntime.ts"
import * as LocalRuntime from "../../src/LocalRuntime.ts"
import * as RuntimeConfig from "../../src/RuntimeConfig.ts"
import type { RuntimeEvent } from "../../src/RuntimeEvent.ts"
import { temporaryDirectory } from "../support/stateDirectory.ts"
import * as ModelServer from "./modelServer.ts"
import { type Mode, type RealAgent, specOf } from "./realAgents.ts"

/** A runtime over real processes, a model server, and a working directory for each agent. */
export const world = Effect.fnUntraced(function* (timeLimit: Readonly<Record<string, string>> = {}) {
  const base = yield* temporaryDirectory
  const model = yield* ModelServer.make
  const config = yield* RuntimeConfig.decode({
    retry: { baseDelay: "200 millis", maxDelay: "2 seconds" },
    cooldown: { slack: "100 millis", baseClosed: "1 second", rampStep: "1 second" },
    bulkhead: { global: { permits: 8 }, perAccount: { permits: 8 } },
    timeLimit: { attempt: "3 minutes", ...timeLimit }
  })
  const env = { PATH: process.env["PATH"] ?? "", LANG: "C.UTF-8", SHELL: "/bin/sh" }
  const layer = LocalRuntime.layerMemory({ config, cwd: base, env, directory: path.join(base, "agents") })
  const runtime = Context.get(yield* Layer.build(layer.pipe(Layer.provide(NodeServices.layer))), AgentRuntime)
  yield* Effect.addFinalizer(() => runtime.shutdown)
  const events: Array<RuntimeEvent> = []
  yield* runtime.subscribe((event) => void events.push(event))
  const of = <Tag extends RuntimeEvent["_tag"]>(tag: Tag) =>
    events.filter((event): event is Extract<RuntimeEvent, { _tag: Tag }> => event._tag === tag)
  const spawn = (agent: RealAgent, mode: Mode, id = "a") => runtime.spawn(specOf(agent, mode, id, base, model.url))
  const file = (id = "a") => readFileSync(path.join(base, `work-${id}`, ModelServer.written.file), "utf8")
  /** The faults of the attempts that failed, in order. */
  const failures = () => of("AttemptEnded").flatMap((event) => (event.fault === undefined ? [] : [event.fault]))
  return { base, model, runtime, of, spawn, file, failures }
})

/** Done is what the file says, not the agent. */
export const task = (id: string, more: Partial<TaskInput> = {}): TaskInput => ({
  id,
  prompt: `Write ${ModelServer.written.file}.`,
  effect: "idempotent",
  verify: ["grep", "-q", "hello from the model", ModelServer.written.file],
  ...more
})

/** Processes whose home lies below a directory, the oldest first. Of Linux, where the agents of these tests run. */
const processesBelow = (directory: string): ReadonlyArray<number> =>
  readdirSync("/proc")
    .filter((name) => {
      try {
        return /^\d+$/.test(name) && readFileSync(`/proc/${name}/environ`, "utf8").includes(`HOME=${directory}`)
      } catch {
        return false
      }
    })
    .map(Number)
    .sort((one, other) => one - other)

const limit = (retryAfter?: number): ModelServer.Fault => ({
  kind: "status",
  status: 429,
  ...(retryAfter === undefined ? {} : { retryAfter })
})

const faults: ReadonlyArray<readonly [what: string, ReadonlyArray<ModelServer.Fault>, tags: ReadonlyArray<string>]> = [
  [
    "a 503 and a 529",
    [
      { kind: "status", status: 503 },
      { kind: "status", status: 529 }
    ],
    ["Overloaded", "Overloaded"]
  ],
  ["a 429 that says how long, and one that does not", [limit(2), limit()], ["RateLimited", "RateLimited"]],
  [
    "a connection that is reset before the answer, and in it",
    [{ kind: "reset" }, { kind: "cut", by: "reset" }],
    ["Transient", "Transient"]
  ],
  ["an answer that comes slowly", [{ kind: "slow", gapMillis: 500 }], []]
]

export const suite = (agent: RealAgent): void => {
  const { name } = agent

  describe.concurrent.each(["acp", "command"] as const)(`${name} as %s`, (mode) => {
    it.live("C48 C64 a prompt becomes an edited file, checked, and leaves no process", () =>
      Effect.gen(function* () {
        const { base, file, of, runtime, spawn } = yield* world()
        yield* spawn(agent, mode)
        const end = yield* runtime.execute("a", task("t", { changes: "required" }))
        assert.deepInclude(end, { state: "succeeded", verified: true, attempts: 1 })
        assert.strictEqual(file(), ModelServer.written.content)
        assert.lengthOf(of("AttemptEnded"), 1)
        yield* runtime.shutdown
        assert.deepEqual(processesBelow(base), [])
      }).pipe(Effect.scoped)
    )

    for (const [what, happens, tags] of faults) {
      it.live(`C12 C13 the task succeeds over ${what}`, () =>
        Effect.gen(function* () {
          const { failures, file, model, of, runtime, spawn } = yield* world()
          yield* spawn(agent, mode)
          model.fail(happens)
          const end = yield* runtime.execute("a", task("t"))
          assert.deepInclude(end, { state: "succeeded", verified: true })
          assert.strictEqual(file(), ModelServer.written.content)
          if (!agent.handsOn) return
          assert.deepEqual(
            failures().map(({ _tag }) => _tag),
            tags
          )
          // A limit is no failure: its gate closes, and no breaker knows of it.
          if (tags.includes("RateLimited")) {
            assert.isAbove(of("GateClosed").length, 0)
            assert.lengthOf(of("CircuitStateChanged"), 0)
          }
        }).pipe(Effect.scoped)
      )
    }

    it.live("C50 an answer that stops in the middle is noticed by evidence, and the task succeeds", () =>
      Effect.gen(function* () {
        const { failures, file, model, runtime, spawn } = yield* world({ stall: "5 seconds" })
        yield* spawn(agent, mode)
        model.fail([{ kind: "cut", by: "hang" }])
        const end = yield* runtime.execute("a", task("t"))
        assert.deepInclude(end, { state: "succeeded", verified: true, attempts: 2 })
        assert.strictEqual(file(), ModelServer.written.content)
        const [fault] = failures()
        assert.strictEqual(fault?._tag, "Stalled")
        assert.match(fault?.detail ?? "", /no output, no file change, \d+ ms CPU/)
      }).pipe(Effect.scoped)
    )

    it.live("C49 killed in the middle of a turn it is replaced, and the task succeeds", () =>
      Effect.gen(function* () {
        const { base, failures, file, model, runtime, spawn } = yield* world()
        yield* spawn(agent, mode)
        model.fail([{ kind: "cut", by: "hang" }])
        // Over the protocol it goes on with its session; what a command did is not known.
        const effect = mode === "acp" ? "resumable" : "idempotent"
        const fiber = yield* Effect.forkChild(runtime.execute("a", task("t", { effect })), { startImmediately: true })
        yield* model.reached(1)
        process.kill(processesBelow(base)[0] ?? 0, "SIGKILL")
        const end = yield* Fiber.join(fiber)
        assert.deepInclude(end, { state: "succeeded", verified: true, attempts: 2 })
        assert.strictEqual(file(), ModelServer.written.content)
        assert.strictEqual(failures()[0]?._tag, "Crashed")
      }).pipe(Effect.scoped)
    )
  })
}
