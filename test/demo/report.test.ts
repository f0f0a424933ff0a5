import { assert, describe, it } from "@effect/vitest"
import { answers } from "../../src/demo/answers.ts"
import { produced } from "../../src/demo/produced.ts"
import * as Report from "../../src/demo/report.ts"
import type { DemoScenario } from "../../src/demo/scenarios.ts"
import type { RuntimeEvent } from "../../src/RuntimeEvent.ts"

const scenario = (taskId: string, more: Partial<DemoScenario> = {}): DemoScenario => ({
  taskId,
  asked: `do ${taskId}`,
  steps: [],
  capability: "code",
  effect: "idempotent",
  verify: [],
  answeredBy: [],
  end: "succeeded",
  ...more
})

const ids = (taskId: string, attempt = 1, agentId = "a") =>
  ({ at: 0, taskId, batch: "b", agentId, run: 1, attempt, attemptId: `${taskId}-${attempt}` }) as const
const started = (taskId: string, attempt = 1, agentId = "a"): RuntimeEvent => ({ _tag: "AttemptStarted", ...ids(taskId, attempt, agentId) })
const failed = (taskId: string, fault: "Crashed" | "CheckFailed" | "Stalled"): RuntimeEvent =>
  ({
    _tag: "AttemptEnded",
    ...ids(taskId),
    outcome: "failed",
    durationMillis: 1_500,
    fault: { _tag: fault, detail: "why", exitCode: null, signal: "SIGSEGV", evidence: "" }
  }) as RuntimeEvent
const succeeded = (taskId: string, verified = true): RuntimeEvent => ({
  _tag: "TaskSucceeded",
  at: 0,
  taskId,
  batch: "b",
  agentId: "a",
  run: 1,
  attempts: 1,
  verified
})

const observed = (events: ReadonlyArray<RuntimeEvent>, more: Partial<Report.Observed> = {}): Report.Observed => ({
  events,
  before: new Map(),
  after: new Map(),
  deadLetters: [],
  leftBehind: [],
  processes: [],
  ...more
})

describe("the demo's report", () => {
  it("C64 tells every way in which a run was not as it must be", () => {
    const flaky = scenario("flaky", { fault: { kind: "flaky", times: 2 } })
    const good = [started("flaky"), failed("flaky", "Crashed"), failed("flaky", "Crashed"), succeeded("flaky")]
    const differs = (events: ReadonlyArray<RuntimeEvent>, scenarios: ReadonlyArray<DemoScenario>, more: Partial<Report.Observed> = {}) =>
      Report.make(observed(events, more), scenarios).differs
    assert.deepEqual(differs(good, [flaky]), [])
    assert.deepEqual(differs([], [scenario("t")]), ["t was to end succeeded, and is unfinished"])
    assert.deepEqual(differs([succeeded("t", false)], [scenario("t")]), ["t succeeded without having been checked"])
    assert.deepEqual(differs(good.slice(2), [flaky]), ["flaky was to fail 2 times on the way, and failed 1 times"])
    assert.deepEqual(differs(good, [flaky], { processes: [7] }), ["processes of its agents are left: 7"])
    const letter = { id: "dl", subject: "t", cause: "Unknown", reason: "" }
    assert.deepEqual(differs(good, [flaky], { deadLetters: [letter] }), ["0 dead letters were to be left, and there are 1"])
    const leaver = scenario("t", { fault: { kind: "grandchild" } })
    assert.deepEqual(differs([succeeded("t")], [leaver]), ["t was to leave a process behind, and left none"])
    assert.deepEqual(differs([succeeded("t")], [leaver], { leftBehind: [{ pid: 1, alive: false }] }), [])
  })

  it("C59 counts what each pattern did from the events, and claims nothing without them", () => {
    assert.isTrue(answers([], []).every(({ count }) => count === 0))
    const claimed: RuntimeEvent = { _tag: "AttemptClaimed", ...ids("liar") }
    const counts = (events: ReadonlyArray<RuntimeEvent>, left: ReadonlyArray<Report.LeftBehind> = []) =>
      Object.fromEntries(
        answers(events, left)
          .filter(({ count }) => count > 0)
          .map(({ count, part }) => [part, count])
      )
    assert.deepEqual(counts([started("t"), failed("t", "Crashed"), started("t", 2)]), { retry: 1 })
    assert.deepEqual(counts([started("t"), started("t", 2, "b")]), { retry: 1, dispatcher: 1 })
    // A check that fails without a claim before it has caught nobody.
    assert.deepEqual(counts([failed("liar", "CheckFailed")]), {})
    assert.deepEqual(counts([claimed, failed("liar", "CheckFailed")]), { verify: 1 })
    assert.deepEqual(counts([failed("t", "Stalled")]), { "attempt limit": 1 })
    assert.deepEqual(
      counts(
        [],
        [
          { pid: 1, alive: false },
          { pid: 2, alive: true }
        ]
      ),
      { "process tree": 1 }
    )
    const closed: RuntimeEvent = { _tag: "GateClosed", at: 0, account: "x", until: 2_100, cause: "RateLimited" }
    assert.include(answers([closed], []).find(({ part }) => part === "cooldown gate")?.did, "account x for 2.1 s (RateLimited)")
  })

  it("C64 tells the files that differ, with the lines that do", () => {
    const before = new Map([
      ["same", "x\n"],
      ["gone", "a\n"],
      ["mid", "1\n2\n3\n"]
    ])
    const after = new Map([
      ["same", "x\n"],
      ["mid", "1\nzwei\n3\n"],
      ["new", "n\n"]
    ])
    assert.deepEqual(produced(before, after), [
      { path: "gone", change: "removed", added: 0, removed: 1, lines: ["- a"] },
      { path: "mid", change: "changed", added: 1, removed: 1, lines: ["- 2", "+ zwei"] },
      { path: "new", change: "added", added: 1, removed: 0, lines: ["+ n"] }
    ])
  })
})
