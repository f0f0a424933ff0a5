import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer } from "effect"
import { mkdirSync, readdirSync, readFileSync } from "node:fs"
import * as path from "node:path"
import { AgentRuntime, type TaskInput } from "../../src/AgentRuntime.ts"
import * as LocalRuntime from "../../src/LocalRuntime.ts"
import * as RuntimeConfig from "../../src/RuntimeConfig.ts"
import type { RuntimeEvent } from "../../src/RuntimeEvent.ts"
import { temporaryDirectory } from "../support/stateDirectory.ts"
import * as ModelServer from "./modelServer.ts"
import { agents, type RealAgent, specOf } from "./realAgents.ts"

const config = RuntimeConfig.decode({
  retry: { baseDelay: "200 millis", maxDelay: "2 seconds" },
  cooldown: { slack: "100 millis", baseClosed: "2 seconds", rampStep: "1 second" },
  bulkhead: { global: { permits: 8 }, perAccount: { permits: 8 } },
  timeLimit: { attempt: "3 minutes" }
})

/** A runtime over real processes, a model server, and a working directory for each agent. */
const world = Effect.gen(function* () {
  const base = yield* temporaryDirectory
  const model = yield* ModelServer.make
  const env = { PATH: process.env["PATH"] ?? "", LANG: "C.UTF-8", SHELL: "/bin/sh" }
  const layer = LocalRuntime.layerMemory({ config: yield* config, cwd: base, env, directory: path.join(base, "agents") })
  const runtime = Context.get(yield* Layer.build(layer.pipe(Layer.provide(NodeServices.layer))), AgentRuntime)
  yield* Effect.addFinalizer(() => runtime.shutdown)
  const events: Array<RuntimeEvent> = []
  yield* runtime.subscribe((event) => void events.push(event))
  const of = <Tag extends RuntimeEvent["_tag"]>(tag: Tag) =>
    events.filter((event): event is Extract<RuntimeEvent, { _tag: Tag }> => event._tag === tag)
  const spawn = (agent: RealAgent, mode: "acp" | "command", id = "a") => {
    const cwd = path.join(base, `work-${id}`)
    mkdirSync(cwd)
    return runtime.spawn({ ...specOf(agent, mode, id, base, model.url), cwd })
  }
  const file = (id = "a") => readFileSync(path.join(base, `work-${id}`, ModelServer.written.file), "utf8")
  return { base, model, runtime, of, spawn, file }
})

/** Done is what the file says, not the agent. */
const task = (id: string, more: Partial<TaskInput> = {}): TaskInput => ({
  id,
  prompt: `Write ${ModelServer.written.file}.`,
  effect: "idempotent",
  verify: ["grep", "-q", "hello from the model", ModelServer.written.file],
  ...more
})

/** Processes whose home lies below a directory, where they can be seen: Linux. */
const processesBelow = (directory: string): ReadonlyArray<string> => {
  if (process.platform !== "linux") return []
  return readdirSync("/proc").filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/environ`, "utf8").includes(`HOME=${directory}`)
    } catch {
      return false
    }
  })
}

const faults = [
  ["a 503, twice", { kind: "status", status: 503 }, 2, "Overloaded"],
  ["a 429 that says how long, twice", { kind: "status", status: 429, retryAfter: 2 }, 2, "RateLimited"],
  ["a 429 that does not say how long", { kind: "status", status: 429 }, 1, "RateLimited"],
  ["a connection that is reset", { kind: "reset" }, 1, "Transient"],
  ["an answer that comes slowly", { kind: "slow", gapMillis: 500 }, 1, undefined]
] as const satisfies ReadonlyArray<readonly [string, ModelServer.Fault, number, string | undefined]>

describe("real agents", () => {
  for (const agent of agents) {
    for (const mode of ["acp", "command"] as const) {
      it.live(`C48 C64 ${agent.name} as ${mode}: a prompt becomes an edited file, checked, and leaves no process`, () =>
        Effect.gen(function* () {
          const { base, file, of, runtime, spawn } = yield* world
          yield* spawn(agent, mode)
          const end = yield* runtime.execute("a", task("t", { changes: "required" }))
          assert.deepInclude(end, { state: "succeeded", verified: true, attempts: 1 })
          assert.strictEqual(file(), ModelServer.written.content)
          assert.lengthOf(of("AttemptEnded"), 1)
          yield* runtime.shutdown
          assert.deepEqual(processesBelow(base), [])
        }).pipe(Effect.scoped)
      )

      for (const [what, fault, times, tag] of faults) {
        it.live(`C12 C13 ${agent.name} as ${mode}: the task succeeds over ${what}`, () =>
          Effect.gen(function* () {
            const { file, model, of, runtime, spawn } = yield* world
            yield* spawn(agent, mode)
            model.fail(fault, times)
            const end = yield* runtime.execute("a", task("t"))
            assert.deepInclude(end, { state: "succeeded", verified: true })
            assert.strictEqual(file(), ModelServer.written.content)
            if (!agent.handsLimitsOn) return
            const failed = of("AttemptEnded").flatMap((event) => (event.fault === undefined ? [] : [event.fault._tag]))
            assert.deepEqual(failed, tag === undefined ? [] : Array.from({ length: times }, () => tag))
            // A limit is no failure: its gate closes, and no breaker knows of it.
            if (tag === "RateLimited") {
              assert.isAbove(of("GateClosed").length, 0)
              assert.lengthOf(of("CircuitStateChanged"), 0)
            }
          }).pipe(Effect.scoped)
        )
      }
    }

    it.live(`C49 ${agent.name} as acp: killed in the middle of a turn it is replaced, and the task succeeds`, () =>
      Effect.gen(function* () {
        const { file, model, of, runtime, spawn } = yield* world
        yield* spawn(agent, "acp")
        model.fail({ kind: "hang" }, 1)
        const fiber = yield* Effect.forkChild(runtime.execute("a", task("t")), { startImmediately: true })
        yield* model.reached(1)
        const pid = of("AgentSpawned")[0]?.pid ?? 0
        process.kill(pid, "SIGKILL")
        const end = yield* Fiber.join(fiber)
        assert.deepInclude(end, { state: "succeeded", verified: true, attempts: 2 })
        assert.strictEqual(file(), ModelServer.written.content)
        assert.strictEqual(of("AttemptEnded")[0]?.fault?._tag, "Crashed")
      }).pipe(Effect.scoped)
    )
  }

  it.live("C24 with eight agents on one account and one 429: one gate, one notice, no breaker, and every task succeeds", () =>
    Effect.gen(function* () {
      const { file, model, of, runtime, spawn } = yield* world
      const agent = agents.find((each) => each.handsLimitsOn)
      assert.isDefined(agent)
      const ids = Array.from({ length: 8 }, (_, n) => `a${n}`)
      yield* Effect.forEach(ids, (id) => spawn(agent, "acp", id), { concurrency: 2 })
      model.fail({ kind: "status", status: 429, retryAfter: 5 }, 1)
      const ends = yield* Effect.forEach(ids, (id) => runtime.execute(id, task(`t-${id}`)), { concurrency: "unbounded" })
      for (const end of ends) assert.deepInclude(end, { state: "succeeded", verified: true })
      for (const id of ids) assert.strictEqual(file(id), ModelServer.written.content)
      assert.lengthOf(of("GateClosed"), 1)
      assert.lengthOf(of("CircuitStateChanged"), 0)
      const failed = of("AttemptEnded").flatMap((event) => (event.fault === undefined ? [] : [event.fault._tag]))
      assert.deepEqual(failed, ["RateLimited"])
    }).pipe(Effect.scoped)
  )
})
