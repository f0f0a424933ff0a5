import { assert, describe, it } from "@effect/vitest"
import { Cause, Schema } from "effect"
import { causeText, thrownText } from "../../src/reliability/CauseText.ts"

class Refused extends Schema.TaggedError<Refused>()("Refused", { code: Schema.Int, error: Schema.Defect() }) {}

describe("CauseText", () => {
  it("C16 a record has an error's stack, its fields, and its causes in turn", () => {
    const socket = Object.assign(new Error("socket hang up"), { code: "ECONNRESET" })
    const text = thrownText(new Refused({ code: -32_603, error: new Error("outer", { cause: socket }) }))
    assert.match(text, /^Refused.*\n\s+at .*CauseText\.test\.ts/)
    assert.include(text, "-32603")
    assert.include(text, "outer")
    const chained = thrownText(new Error("outer", { cause: socket }))
    assert.match(chained, /Error: outer[\s\S]*\ncaused by: Error: socket hang up[\s\S]*"ECONNRESET"/)
    assert.strictEqual(thrownText({ code: 429, data: { message: "slow down" } }), '{"code":429,"data":{"message":"slow down"}}')
    assert.strictEqual(thrownText("plain text"), "plain text")
  })

  it("C16 C25 neither text holds what looks like a secret", () => {
    const secret = "sk-ant-api03-0123456789abcdef"
    for (const text of [thrownText(new Error(secret)), thrownText({ headers: { authorization: secret } }), causeText(Cause.die(secret))]) {
      assert.notInclude(text, secret)
    }
  })

  it.prop("C60 anything that may be thrown has a text", [Schema.Unknown], ([value]) => {
    assert.isString(thrownText(value))
    assert.isString(causeText(Cause.die(value)))
  })

  it("C60 what is circular, endless or hostile has a text too", () => {
    const circular: Record<string, unknown> = {}
    circular["self"] = circular
    const endless = new Error("endless")
    endless.cause = endless
    const hostile = Object.defineProperty(new Error("x"), "stack", {
      get() {
        throw new Error("no")
      }
    })
    for (const thrown of [circular, endless, hostile, null, undefined, Symbol("s"), () => 1, 1n]) {
      assert.isString(thrownText(thrown))
      assert.isString(causeText(Cause.fail(thrown)))
    }
    assert.isBelow(thrownText(endless).length, 20_000)
  })
})
