import { assert, describe, it } from "vitest"
import * as Model from "../../extension/src/DashboardModel.ts"
import type { RuntimeEvent } from "../../src/RuntimeEvent.ts"
import { agent, now, snapshot, task, view } from "./support/views.ts"

const minute = 60_000
const status = (more: Parameters<typeof snapshot>[0], timeline: Model.Timeline = new Map()) => {
  const message = Model.message(view({ snapshot: snapshot(more) }), timeline, now)
  assert.strictEqual(message._tag, "Status")
  return message as Extract<Model.Message, { readonly _tag: "Status" }>
}
const changed = (at: number, state: "working" | "idle" | "waiting"): RuntimeEvent => ({
  _tag: "AgentStateChanged",
  at,
  agentId: "a",
  state,
  detail: ""
})

describe("the dashboard's message", () => {
  it("C57 counts what ended in columns of time, what ended well apart from what did not", () => {
    const ends = [
      task("good", { state: "succeeded", endedAt: now - 3 * minute }),
      task("bad", { state: "dead-lettered", endedAt: now - 3 * minute }),
      task("earlier", { state: "succeeded", endedAt: now - 5 * 60 * minute }),
      task("withdrawn", { state: "cancelled", endedAt: now - 3 * minute }),
      task("open", { state: "running" })
    ]
    const { availability, done, throughput } = status({ tasks: ends })
    const sum = (columns: ReadonlyArray<Model.Column>) =>
      columns.reduce(([good, bad], each) => [good! + each.good, bad! + each.bad], [0, 0])
    assert.deepStrictEqual(sum(throughput), [1, 1])
    assert.deepStrictEqual(sum(availability), [2, 1])
    assert.strictEqual(done, 2)
    for (const columns of [throughput, availability]) {
      assert.isAtLeast(columns.at(-1)!.from + columns.at(-1)!.millis, now)
      for (const [index, { from, millis }] of columns.slice(1).entries()) assert.strictEqual(from, columns[index]!.from + millis)
    }
  })

  it("C57 shows what an agent did before this window looked, from its tasks, and from then on what was seen", () => {
    const seen = [changed(now - 10 * minute, "idle"), changed(now - 8 * minute, "working")].reduce(Model.remember, new Map())
    const tasks = [
      task("before", { state: "succeeded", agentId: "a", startedAt: now - 30 * minute, endedAt: now - 20 * minute }),
      task("long ago", { state: "succeeded", agentId: "a", startedAt: now - 300 * minute, endedAt: now - 200 * minute }),
      task("running", { state: "running", agentId: "a", startedAt: now - 8 * minute })
    ]
    const { fleet, from } = status({ agents: [agent("a", { state: "working", stateSince: now - 8 * minute })], tasks }, seen)
    assert.deepStrictEqual(fleet[0]!.spans, [
      { state: "working", from: now - 30 * minute, to: now - 20 * minute },
      { state: "idle", from: now - 10 * minute, to: now - 8 * minute },
      { state: "working", from: now - 8 * minute, to: now }
    ])
    assert.strictEqual(from, now - 30 * minute)
  })

  it("C57 stays bounded with 200 agents, what needs somebody first", () => {
    const agents = Array.from({ length: 200 }, (_, index) => agent(`a${index}`, index === 150 ? { state: "failed" } : {}))
    const { fleet, more } = status({ agents })
    assert.strictEqual(fleet[0]!.id, "a150")
    assert.strictEqual(fleet.length + more, 200)
    assert.strictEqual(fleet.length, Model.rows)
  })

  it("C57 says that there is nothing yet, and why it cannot be reached", () => {
    assert.deepStrictEqual(Model.message(view({ snapshot: undefined, link: "failed", problem: "no Node" }), new Map(), now), {
      _tag: "Nothing",
      link: "failed",
      problem: "no Node"
    })
  })
})
