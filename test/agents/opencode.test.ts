import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type * as ModelServer from "./modelServer.ts"
import { opencode } from "./realAgents.ts"
import { suite, task, world } from "./suite.ts"

suite(opencode)

function* endless(): Generator<ModelServer.Fault> {
  for (;;) yield { kind: "cut", by: "end" }
}

describe.concurrent.each(["acp", "command"] as const)("opencode as %s in a loop", (mode) => {
  // 1.18.33 asks its model again and again, for ever, when a stream ends without saying why.
  it.live("C66 an endless loop with flowing output is stopped as a runaway, with evidence, and is not tried again", () =>
    Effect.gen(function* () {
      const { failures, model, runtime, spawn } = yield* world()
      yield* spawn(opencode, mode)
      model.fail(endless())
      const end = yield* runtime.execute("a", task("t"))
      assert.deepInclude(end, { state: "dead-lettered", attempts: 1 })
      const [fault] = failures()
      assert.strictEqual(fault?._tag, "Runaway")
      assert.match(fault?.detail ?? "", /no progress: the same/)
    }).pipe(Effect.scoped)
  )
})
