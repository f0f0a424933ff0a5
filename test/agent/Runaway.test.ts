import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import type { Progress } from "../../src/agent/AgentDriver.ts"
import * as Runaway from "../../src/agent/Runaway.ts"

const options = Schema.decodeSync(Runaway.Options)({})

/** What a detector says to progress, at the first time that it says anything. */
const shown = (progress: Iterable<Progress>): string | undefined => {
  const look = Runaway.detector(options)
  for (const each of progress) {
    const evidence = look(each)
    if (evidence !== undefined) return evidence
  }
  return undefined
}

const chunks = (text: string, size: number): ReadonlyArray<Progress> =>
  Array.from({ length: Math.ceil(text.length / size) }, (_, n) => ({ _tag: "Text", text: text.slice(n * size, (n + 1) * size) }))
const tool = (id: number, title: string): Progress => ({ _tag: "Tool", id: `${id}`, kind: "execute", title, status: "in_progress" })
const usage = (tokens: number): Progress => ({ _tag: "Usage", usage: { tokens, toolCalls: 0 } })

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** Sentences that never repeat. */
const story = (length: number): string =>
  Array.from({ length }, (_, n) => `Step ${n} of ${length} looks at file number ${n * n}.`).join(" ")

describe("Runaway", () => {
  it("C66 the same line again and again is a runaway, and a long answer is not", () => {
    assert.match(shown(chunks("I will look at the file again.\n".repeat(40), 7)) ?? "", /the same line 30 times/)
    assert.isUndefined(shown(chunks(story(2_000), 50)))
    assert.isUndefined(shown(chunks(story(2_000).replaceAll(". ", ".\n"), 50)))
  })

  it.effect.prop(
    "C66 the same text again and again is a runaway without any line's end, whatever its period, its chunks and what went before",
    [Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(400)), between(1, 500), between(0, 400)],
    ([part, size, before]) =>
      Effect.sync(() => {
        const loop = part.repeat(Math.ceil(20_000 / part.length))
        assert.match(shown(chunks(story(before) + loop, size)) ?? "", /the same (?:line|\d+ characters) \d+ times/)
      })
  )

  it("C66 text that repeats a little is none: a ruler, an indentation, a short list", () => {
    for (const text of ["-".repeat(500), `${" ".repeat(80)}x\n`.repeat(10), "- [ ] to do\n".repeat(25)]) {
      assert.isUndefined(shown(chunks(`${story(50)}${text}${story(50)}`, 11)), text)
    }
  })

  it("C66 the same tool call again and again is a runaway, also when others come between; one call's many updates are not", () => {
    assert.match(
      shown(Array.from({ length: 90 }, (_, n) => tool(n, ["ls", "cat x", `step ${n}`][n % 3]!))) ?? "",
      /same tool call 30 times/
    )
    assert.isUndefined(shown(Array.from({ length: 500 }, () => tool(1, "npm test"))))
    assert.isUndefined(shown(Array.from({ length: 500 }, (_, n) => tool(n, `cat file-${n}`))))
  })

  it("C66 usage without a tool call is a runaway at its limit, and a tool call begins the count anew", () => {
    const limit = options.tokensWithoutTool
    assert.isUndefined(shown([usage(limit - 1)]))
    assert.match(shown([usage(limit)]) ?? "", /500000 tokens without a tool call/)
    assert.isUndefined(shown([usage(limit - 1), tool(1, "ls"), usage(2 * limit - 2)]))
  })
})
