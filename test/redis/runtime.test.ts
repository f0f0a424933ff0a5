import { assert, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { AgentRuntime } from "../../src/AgentRuntime.ts"
import type { RuntimeEvent } from "../../src/RuntimeEvent.ts"
import { onPath, requires } from "../support/requirement.ts"
import * as support from "../support/runtime.ts"
import { until } from "../support/until.ts"
import * as RedisServer from "./redisServer.ts"

/** A machine with two agents of one account that may start three attempts a minute, together with the others. */
const machine = (url: string, script = support.succeedAfter("1 millis"), more: object = {}) =>
  Effect.gen(function* () {
    const few = { name: "few", limit: 3, window: "1 minute" }
    const config = { rateLimit: { perAccount: few, ...more }, redis: { url } }
    const layer = support.layer({ config, drivers: { command: support.driver(script) }, environment: { tracesStages: true } })
    const runtime = Context.get(yield* Layer.build(Layer.fresh(layer)), AgentRuntime)
    const events: Array<RuntimeEvent> = []
    yield* runtime.subscribe((event) => events.push(event))
    for (const id of ["a", "b"]) yield* runtime.spawn({ id, driver: "command", command: ["x"], account: "shared", cwd: "/" })
    const submit = (id: string) => runtime.submit({ id, prompt: "p", effect: "idempotent" })
    return { runtime, events, submit, count: (tag: RuntimeEvent["_tag"]) => events.filter((event) => event._tag === tag).length }
  })

requires("redis-server", () => onPath("redis-server"))("the runtime on Redis", () => {
  it.live("C21 machines together start no more attempts than the account's limit; who is refused waits without attempt or failure", () =>
    Effect.gen(function* () {
      const server = yield* RedisServer.make()
      const machines = [yield* machine(server.url), yield* machine(server.url)]
      for (let task = 0; task < 4; task++) for (const { submit } of machines) yield* submit(`t${task}`)
      const sum = (tag: RuntimeEvent["_tag"]) => machines.reduce((total, { count }) => total + count(tag), 0)
      yield* until(() => sum("TaskSucceeded") === 3 && machines.every(({ count }) => count("TaskParked") > 0))
      // Who was asking when the last of them ended has its answer then.
      for (const { runtime } of machines)
        yield* until(async () => (await Effect.runPromise(runtime.agents)).every((agent) => agent.state === "idle"))
      for (const tag of ["AttemptAdmitted", "AttemptStarted", "AttemptEnded"] as const) assert.strictEqual(sum(tag), 3, tag)
      for (const { runtime } of machines) {
        for (const task of yield* runtime.tasks) {
          if (task.state === "succeeded") continue
          assert.strictEqual(task.attempts, 0)
          assert.strictEqual(task.waiting?.for, "rateLimit")
          assert.approximately(task.waiting?.notBefore ?? 0, Date.now() + 60_000, 10_000)
        }
        for (const agent of yield* runtime.agents) assert.strictEqual(agent.state, "idle")
        assert.strictEqual((yield* runtime.getRetryMetrics).retries, 0)
      }
    })
  )

  it.live(
    "C47 a limit that is counted elsewhere is asked last, before anything is delivered; what comes after a refusal is given back",
    () =>
      Effect.gen(function* () {
        const server = yield* RedisServer.make()
        const { events, runtime, submit } = yield* machine(server.url)
        yield* submit("t1")
        yield* until(() => events.some((event) => event._tag === "TaskSucceeded"))
        const stages = events.flatMap((event) => (event._tag === "Stage" && event.operation === "execute" ? [event.stage] : []))
        assert.deepStrictEqual(stages, [
          "deadline",
          "retry",
          "cooldown",
          "bulkhead",
          "circuitBreaker",
          "rateLimit",
          "attemptLimit",
          "driver"
        ])
        for (let task = 2; task <= 5; task++) yield* submit(`t${task}`)
        yield* until(() => events.some((event) => event._tag === "Stage" && event.stage === "rateLimit" && event.decision === "refused"))
        yield* until(() => events.filter((event) => event._tag === "TaskSucceeded").length === 3)
        yield* until(() => Effect.runPromise(runtime.getReliabilityStatus).then(({ bulkhead }) => bulkhead.running === 0))
      })
  )

  it.live("C47 a spawn waits for a limit that is counted elsewhere, and a cancelled task that waits for its answer ends cancelled", () =>
    Effect.gen(function* () {
      const server = yield* RedisServer.make()
      const { events, runtime, submit } = yield* machine(server.url, support.succeedAfter("1 millis"), {
        spawn: { name: "spawns", limit: 2, window: "400 millis" }
      })
      const before = performance.now()
      yield* runtime.spawn({ id: "c", driver: "command", command: ["x"], account: "shared", cwd: "/" })
      yield* runtime.spawn({ id: "d", driver: "command", command: ["x"], account: "shared", cwd: "/" })
      yield* runtime.spawn({ id: "e", driver: "command", command: ["x"], account: "shared", cwd: "/" })
      assert.isAbove(performance.now() - before, 200)
      server.signal("SIGSTOP")
      yield* submit("held")
      const end = yield* runtime.cancel("held")
      assert.strictEqual(end.state, "cancelled")
      assert.isFalse(events.some((event) => event._tag === "AttemptStarted"))
      server.signal("SIGCONT")
    })
  )
})
