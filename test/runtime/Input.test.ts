import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Input from "../../src/runtime/Input.ts"

const refused = (input: unknown) => Effect.map(Effect.flip(Input.task(input)), ({ problem }) => problem)

describe("a task as it is submitted", () => {
  it.effect("C60 every mistake is told at once, a misspelt field too, wherever it stands", () =>
    Effect.gen(function* () {
      const both = yield* refused({ id: "not an id", priority: "urgent", promt: "x" })
      for (const part of [/id/, /priority/, /promt/]) assert.match(both, part)
      assert.match(yield* refused({ id: "a", promt: "x" }), /promt/)
      assert.match(yield* refused({ id: "a", toString: "x" }), /toString/)
      assert.match(yield* refused({ id: "a", budget: { attempt: 1 } }), /attempt/)
      for (const input of [undefined, null, "a", [], {}]) assert.notStrictEqual(yield* refused(input), "")
    })
  )

  it.effect("C60 a right task gets its defaults, with a budget and without", () =>
    Effect.gen(function* () {
      const plain = yield* Input.task({ id: "a" })
      assert.deepStrictEqual(yield* Input.task({ id: "a", budget: { attempts: 2 } }), { ...plain, budget: { attempts: 2 } })
      assert.strictEqual(plain.effect, "unsafe")
      assert.deepStrictEqual(plain.dependsOn, [])
    })
  )
})
