import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import type { Priority, Task } from "../../src/task/Task.ts"
import { TaskSpec } from "../../src/task/Task.ts"
import * as TaskLife from "../../src/task/TaskLife.ts"
import * as TaskQueue from "../../src/task/TaskQueue.ts"

const ageing = 1_000

const task = (id: string, order: number, acceptedAt: number, priority: Priority, more: object = {}): Task =>
  TaskLife.accept(Schema.decodeUnknownSync(TaskSpec)({ id, priority, ...more }), { batch: "", order, now: acceptedAt })

/** Takes every task out, in the order of their turns. */
const drain = (queue: TaskQueue.TaskQueue): ReadonlyArray<string> => {
  const order: Array<string> = []
  for (let lane = queue.lanes()[0]; lane !== undefined; lane = queue.lanes()[0]) {
    order.push(lane.head!)
    queue.remove(lane.head!)
  }
  return order
}

describe("TaskQueue", () => {
  it("C55 gives turns by priority, then by age", () => {
    const queue = TaskQueue.make(ageing)
    queue.add(task("low", 1, 0, "low"))
    queue.add(task("medium-late", 3, 20, "medium"))
    queue.add(task("medium-early", 2, 10, "medium"))
    queue.add(task("high", 4, 30, "high"))
    assert.deepEqual(drain(queue), ["high", "medium-early", "medium-late", "low"])
  })

  it("C28 C55 gives a redriven task the turn of its age: those who wait for it have waited longest", () => {
    const queue = TaskQueue.make(ageing)
    queue.add(task("newer", 2, 10, "medium"))
    queue.add(TaskLife.redriven(task("redriven", 1, 0, "medium"), 500))
    assert.deepEqual(drain(queue), ["redriven", "newer"])
  })

  it("C52 lets a task that waited long enough overtake newer ones of higher priority: nothing starves", () => {
    const queue = TaskQueue.make(ageing)
    queue.add(task("old-low", 1, 0, "low"))
    queue.add(task("new-high", 2, 2 * ageing + 1, "high"))
    queue.add(task("earlier-high", 3, 2 * ageing - 1, "high"))
    assert.deepEqual(drain(queue), ["earlier-high", "old-low", "new-high"])
  })

  it("C55 keeps tasks of one agent, of a capability and of a resumed session in lanes of their own", () => {
    const queue = TaskQueue.make(ageing)
    queue.add(task("pinned", 1, 0, "medium", { agent: "a" }))
    queue.add(task("able", 2, 0, "medium", { capabilities: ["x", "y"] }))
    queue.add(task("able-too", 3, 0, "medium", { capabilities: ["y", "x", "x"] }))
    const resumed = task("resumed", 4, 0, "medium", { effect: "resumable", capabilities: ["x"] })
    queue.add({ ...resumed, session: { id: "s", agentId: "b" } })
    const repeated = task("repeated", 5, 0, "medium", { effect: "idempotent", capabilities: ["x"] })
    queue.add({ ...repeated, session: { id: "s", agentId: "b" } })
    assert.deepEqual(
      queue.lanes().map((lane) => [lane.name, lane.heap.length]),
      [
        ["@a", 1],
        [":x,y", 2],
        ["@b", 1],
        [":x", 1]
      ]
    )
  })

  it("offers an unproven agent the first task that is not unsafe, and an unsafe one only when there is no other", () => {
    const queue = TaskQueue.make(ageing)
    queue.add(task("unsafe", 1, 0, "high"))
    assert.strictEqual(queue.lanes()[0]!.safest, "unsafe")
    queue.add(task("later", 3, 5, "medium", { effect: "idempotent" }))
    queue.add(task("safe", 2, 0, "medium", { effect: "idempotent" }))
    assert.strictEqual(queue.lanes()[0]!.head, "unsafe")
    assert.strictEqual(queue.lanes()[0]!.safest, "safe")
  })

  const Operation = Schema.Union([
    Schema.Struct({
      add: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 30 })),
      at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5_000 })),
      priority: Schema.Literals(["high", "medium", "low"]),
      lane: Schema.Literals(["a", "b", "c"])
    }),
    Schema.Struct({ remove: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 30 })) }),
    Schema.Struct({ take: Schema.Literal(true) })
  ])

  it.effect.prop(
    "C55 agrees with a sorted list over any sequence of additions, removals and turns",
    [Schema.Array(Operation)],
    ([operations]) =>
      Effect.sync(() => {
        const queue = TaskQueue.make(ageing)
        const bonus = { high: 2, medium: 1, low: 0 }
        let model: Array<{ key: string; rank: number; order: number }> = []
        let order = 0
        for (const operation of operations) {
          if ("add" in operation) {
            const key = `t${operation.add}`
            if (!model.some((each) => each.key === key)) {
              model.push({ key, rank: operation.at - bonus[operation.priority] * ageing, order: ++order })
              model.sort((a, b) => a.rank - b.rank || a.order - b.order)
              queue.add(task(key, order, operation.at, operation.priority, { agent: operation.lane }))
            }
          } else if ("remove" in operation) {
            model = model.filter((each) => each.key !== `t${operation.remove}`)
            queue.remove(`t${operation.remove}`)
          } else {
            const head = queue.lanes()[0]?.head
            assert.strictEqual(head, model[0]?.key)
            if (head !== undefined) queue.remove(head)
            model.shift()
          }
          assert.strictEqual(queue.size, model.length)
        }
        assert.deepEqual(
          drain(queue),
          model.map((each) => each.key)
        )
        assert.deepEqual(queue.lanes(), [])
      })
  )
})
