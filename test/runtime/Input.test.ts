import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Input from "../../src/runtime/Input.ts"
import { TaskSpec } from "../../src/task/Task.ts"

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

  it.effect("C60 whichever way it is given, a task is read as its schema reads it", () =>
    Effect.gen(function* () {
      const whole = {
        id: "a",
        kind: "review",
        prompt: "Do it",
        input: { of: { any: [1] } },
        agent: "b",
        capabilities: ["code"],
        priority: "high",
        effect: "idempotent",
        verify: ["npm", "test"],
        changes: "required",
        dependsOn: ["c"],
        onDependencyFailed: "cancel",
        deadline: "5 hours",
        timeLimit: "90 seconds"
      }
      const leftOut = Object.keys(TaskSpec.fields).map((field) => ({ id: "a", [field]: undefined }))
      const inherited = Object.assign(Object.create({ priority: "high", agent: "b" }), { id: "a" })
      for (const input of [{ id: "a" }, whole, ...leftOut, inherited, Object.assign(Object.create(null), whole)]) {
        const read = yield* Effect.exit(Input.task(input))
        const expected = Schema.decodeUnknownExit(TaskSpec)(input)
        assert.strictEqual(read._tag, expected._tag)
        if (read._tag === "Success" && expected._tag === "Success") {
          assert.deepStrictEqual(read.value, expected.value)
          assert.deepStrictEqual(Object.keys(read.value), Object.keys(expected.value))
        }
      }
      assert.match(yield* refused({ id: "a", [Symbol("promt")]: "x" }), /promt/)
    })
  )
})
