import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { AgentRuntime } from "../../src/AgentRuntime.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import * as Scripted from "../support/runtime.ts"

describe("a snapshot", () => {
  it.effect("C71 shows after a restart what had ended before it, once, and counts it as no work of its own", () =>
    Effect.gen(function* () {
      const disk = MemoryStore.makeDisk()
      const drivers = { command: Scripted.driver(Scripted.succeedAfter("1 second")) }
      const session = <A, E>(work: (runtime: AgentRuntime["Service"]) => Effect.Effect<A, E>) =>
        Effect.provide(
          Effect.flatMap(AgentRuntime, (runtime) =>
            Effect.ensuring(work(runtime), Effect.all([runtime.shutdown, runtime.shutdown], { concurrency: "unbounded" }))
          ),
          Scripted.layer({ disk, drivers })
        )
      yield* session((runtime) =>
        Effect.gen(function* () {
          yield* runtime.spawn({ id: "a", driver: "command", command: ["x"] })
          yield* runtime.submit({ id: "done" })
          yield* TestClock.adjust("10 seconds")
        })
      )
      const { status, tasks } = yield* session(({ snapshot }) => snapshot)
      assert.deepStrictEqual(
        tasks.map(({ id, state }) => [id, state]),
        [["done", "succeeded"]]
      )
      assert.strictEqual(status.tasks.succeeded, 0)
    })
  )

  it.effect("C57 stays small with many tasks: all that run, the last ends, the head of the queue; its counts are of all", () =>
    Effect.gen(function* () {
      const runtime = yield* AgentRuntime
      const early = Array.from({ length: 600 }, (_, index) => `early-${index}`)
      const late = Array.from({ length: 3_000 }, (_, index) => `late-${index}`)
      yield* runtime.spawn({ id: "a", driver: "command", command: ["x"] })
      for (const id of early) yield* runtime.submit({ id })
      yield* TestClock.adjust("1 hour")
      yield* runtime.pause
      for (const id of late) yield* runtime.submit({ id })
      yield* runtime.submit({ id: "urgent", priority: "high" })
      yield* runtime.resume
      yield* TestClock.adjust("1 second")
      const { status, tasks } = yield* runtime.snapshot
      assert.strictEqual(tasks.length, 2_000)
      assert.deepStrictEqual(
        tasks.filter(({ state }) => state === "running").map(({ id }) => id),
        ["urgent"]
      )
      const ends = tasks.filter(({ state }) => state === "succeeded").map(({ id }) => id)
      assert.strictEqual(ends.length, 500)
      assert.include(ends, "early-599")
      assert.include(
        tasks.map(({ id }) => id),
        "late-0"
      )
      assert.strictEqual(status.tasks.queued, 3_000)
      yield* Effect.all([runtime.shutdown, runtime.shutdown], { concurrency: "unbounded" })
    }).pipe(
      Effect.provide(
        Scripted.layer({
          config: { rateLimit: { execute: "none", perAccount: "none" } },
          drivers: {
            command: Scripted.driver(({ started, task }) =>
              Effect.andThen(started(), Effect.as(Effect.sleep(task.id === "urgent" ? "1 hour" : "1 second"), Scripted.claim()))
            )
          }
        })
      )
    )
  )
})
