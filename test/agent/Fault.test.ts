import { assert, describe, it } from "@effect/vitest"
import { consequences, hintMillis } from "../../src/agent/Fault.ts"
import type { Fault, FaultClass } from "../../src/agent/Fault.ts"

/** The table of DESIGN, written down a second time: a change of meaning must be made in both places. */
const table: { readonly [Class in FaultClass]: string } = {
  Transient: "account retry redrive",
  Overloaded: "account retry redrive",
  Outage: "account retry redrive tells",
  RateLimited: "none retry redrive gate free",
  QuotaExhausted: "none retry redrive gate free tells",
  AuthRequired: "none retry gate free tells",
  InvalidRequest: "task",
  Refused: "none",
  ContextOverflow: "task",
  Crashed: "agent retry",
  Stalled: "agent retry",
  Runaway: "task tells",
  TimedOut: "agent retry",
  SpawnFailed: "agent retry",
  ProtocolViolation: "agent retry",
  FalseSuccess: "task retry",
  CheckFailed: "task retry",
  LocalStall: "none retry free",
  Cancelled: "none",
  Unknown: "none tells"
}

describe("Fault", () => {
  it("C12 each class has exactly its consequences, and there is no class without a row", () => {
    assert.sameMembers(Object.keys(consequences), Object.keys(table))
    for (const [name, row] of Object.entries(consequences)) {
      const flags = [
        row.scope,
        row.retry && "retry",
        row.redrive && "redrive",
        row.closesGate && "gate",
        !row.spendsAttempt && "free",
        row.tellsUser && "tells"
      ]
      assert.strictEqual(flags.filter((flag) => flag !== false).join(" "), table[name as FaultClass], name)
    }
  })

  it("C12 what is unknown is not retried, and what was asked for is no failure", () => {
    assert.isFalse(consequences.Unknown.retry)
    assert.isFalse(consequences.Cancelled.retry)
  })

  it("C04 C24 classes that close a gate count against no breaker and spend no attempt", () => {
    for (const row of Object.values(consequences)) {
      if (row.closesGate) assert.deepStrictEqual([row.scope, row.spendsAttempt], ["none", false])
    }
  })

  it("C13 the later of two hints counts, and a reset in the past asks for no wait", () => {
    const limited = (hints: { retryAfterMillis?: number; resetsAt?: number }): Fault => ({ _tag: "RateLimited", detail: "", ...hints })
    assert.strictEqual(hintMillis(limited({}), 1_000), undefined)
    assert.strictEqual(hintMillis(limited({ retryAfterMillis: 5 }), 1_000), 5)
    assert.strictEqual(hintMillis(limited({ resetsAt: 1_500 }), 1_000), 500)
    assert.strictEqual(hintMillis(limited({ resetsAt: 1_500, retryAfterMillis: 900 }), 1_000), 900)
    assert.strictEqual(hintMillis(limited({ resetsAt: 500 }), 1_000), 0)
    assert.strictEqual(hintMillis({ _tag: "Unknown", detail: "" }, 1_000), undefined)
  })
})
