import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { AgentRuntime } from "../../src/AgentRuntime.ts"
import * as Scripted from "../support/runtime.ts"

describe("AgentRuntime", () => {
  it.effect("runs a task on an agent and tells its end", () =>
    Effect.gen(function* () {
      const runtime = yield* AgentRuntime
      yield* runtime.spawn({ id: "a", driver: "fake" })
      const fiber = yield* Effect.forkChild(runtime.execute("a", { id: "t" }), { startImmediately: true })
      yield* TestClock.adjust("2 seconds")
      const end = yield* Fiber.join(fiber)
      assert.strictEqual(end.state, "succeeded")
      assert.strictEqual(end.output, "done")
      assert.strictEqual(end.verified, false)
    }).pipe(Effect.provide(Scripted.layer({ drivers: { fake: Scripted.driver(Scripted.succeedAfter("1 second")) } })))
  )
})
