import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { written } from "./modelServer.ts"
import { gemini } from "./realAgents.ts"
import { task, world } from "./suite.ts"

describe("one account of real agents", () => {
  it.live("C24 with eight agents and one 429: one gate, one notice, no breaker, and every task succeeds after the reset", () =>
    Effect.gen(function* () {
      const { failures, file, model, of, runtime, spawn } = yield* world()
      const ids = Array.from({ length: 8 }, (_, n) => `a${n}`)
      yield* Effect.forEach(ids, (id) => spawn(gemini, "acp", id), { concurrency: 2 })
      model.fail([{ kind: "status", status: 429, retryAfter: 5 }])
      const ends = yield* Effect.forEach(ids, (id) => runtime.execute(id, task(`t-${id}`)), { concurrency: "unbounded" })
      for (const end of ends) assert.deepInclude(end, { state: "succeeded", verified: true })
      for (const id of ids) assert.strictEqual(file(id), written.content)
      assert.lengthOf(of("GateClosed"), 1)
      assert.lengthOf(of("CircuitStateChanged"), 0)
      assert.deepEqual(
        failures().map(({ _tag }) => _tag),
        ["RateLimited"]
      )
    }).pipe(Effect.scoped)
  )
})
