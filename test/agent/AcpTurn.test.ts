import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as AcpTurn from "../../src/agent/AcpTurn.ts"

const turnOf = (...updates: ReadonlyArray<unknown>): AcpTurn.Turn =>
  updates.reduce<AcpTurn.Turn>((turn, update) => AcpTurn.update(turn, update)[0], AcpTurn.initial)
const tool = (id: string, kind: string | undefined, status: string) => ({
  sessionUpdate: "tool_call",
  toolCallId: id,
  title: id,
  kind,
  status
})
const then = (id: string, status: string) => ({ sessionUpdate: "tool_call_update", toolCallId: id, status })

describe("AcpTurn", () => {
  it("C65 side effects are none only when no call could have had any", () => {
    const of = (...updates: ReadonlyArray<unknown>) => AcpTurn.sideEffectsOf(turnOf(...updates))
    assert.strictEqual(of(), "none")
    for (const kind of ["read", "search", "fetch", "think"]) assert.strictEqual(of(tool("a", kind, "completed")), "none", kind)
    for (const kind of ["edit", "delete", "move", "execute", "other", undefined]) {
      assert.strictEqual(of(tool("a", kind, "in_progress")), "seen", kind)
      assert.strictEqual(of(tool("a", kind, "pending")), "unknown", kind)
      assert.strictEqual(of(tool("a", kind, "pending"), then("a", "failed")), "seen", kind)
    }
    assert.strictEqual(AcpTurn.sideEffectsOf(AcpTurn.served(AcpTurn.initial)), "seen")
  })

  it("C65 a call whose permission was refused did nothing, unless it ran all the same", () => {
    const asked = AcpTurn.refused(turnOf(tool("a", "execute", "pending")), "a")
    assert.strictEqual(AcpTurn.sideEffectsOf(asked), "none")
    assert.strictEqual(AcpTurn.sideEffectsOf(AcpTurn.update(asked, then("a", "failed"))[0]), "none")
    assert.strictEqual(AcpTurn.sideEffectsOf(AcpTurn.update(asked, then("a", "completed"))[0]), "seen")
    assert.strictEqual(AcpTurn.sideEffectsOf(AcpTurn.refused(AcpTurn.initial, "never told")), "none")
  })

  it("C66 many calls are counted, few are kept, and what the forgotten ones did is kept", () => {
    const turn = turnOf(
      tool("first", "edit", "completed"),
      ...Array.from({ length: 2_000 }, (_, index) => tool(`t${index}`, "read", "completed"))
    )
    assert.strictEqual(AcpTurn.toolCallsOf(turn), 2_001)
    assert.isAtMost(turn.calls.size, 256)
    assert.strictEqual(AcpTurn.sideEffectsOf(turn), "seen")
  })

  it("C50 an agent's own retries show as waiting, and a warning is no failure", () => {
    const air = (severity: string) => ({
      sessionUpdate: "session_info_update",
      _meta: { jetbrains: { air: { sessionFailure: { severity, category: "connection", title: "Reconnecting... 2/5" } } } }
    })
    const [turn, progress] = AcpTurn.update(AcpTurn.initial, air("warning"))
    assert.strictEqual(progress._tag, "Waiting")
    assert.isUndefined(turn.failure)
    assert.isDefined(turnOf(air("error")).failure)
    const codex = { sessionUpdate: "session_info_update", _meta: { codex: { error: { willRetry: true } } } }
    assert.strictEqual(AcpTurn.update(AcpTurn.initial, codex)[1]._tag, "Waiting")
  })

  it.effect.prop("C60 any update is survived and counts as activity", [Schema.Unknown, Schema.String], ([value, text]) =>
    Effect.sync(() => {
      for (const sessionUpdate of ["agent_message_chunk", "tool_call", "tool_call_update", "usage_update", "session_info_update", text]) {
        const [turn, progress] = AcpTurn.update(AcpTurn.initial, {
          ...(typeof value === "object" ? value : {}),
          sessionUpdate,
          content: value,
          _meta: value,
          toolCallId: value
        })
        assert.isString(progress._tag)
        assert.isString(AcpTurn.sideEffectsOf(turn))
      }
      AcpTurn.update(AcpTurn.initial, value)
    })
  )
})
