import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as TaskTable from "../../src/runtime/TaskTable.ts"
import { TaskSpec } from "../../src/task/Task.ts"
import * as TaskLife from "../../src/task/TaskLife.ts"

const spec = Schema.decodeSync(TaskSpec)
const accepted = (id: string) => TaskLife.accept(spec({ id }), { batch: "", order: 0, now: 0 })

describe("the task table", () => {
  it("C28 keeps a task whose next run was opened, however many have ended since", () => {
    const table = TaskTable.make({
      ageingMillis: 60_000,
      arm: () => ({ cancel: () => {} }),
      wallNow: () => 0,
      due: (task) => task,
      onReady: () => {},
      onDeadline: () => {}
    })
    const failed = TaskLife.deadLettered(accepted("again"), "gone wrong", "letter", 0)
    table.put(accepted("again"))
    table.put(failed)
    table.put(TaskLife.redriven(failed, 0))
    for (let n = 0; n < 3_000; n++) {
      table.put(accepted(`t${n}`))
      table.put(TaskLife.cancelled(accepted(`t${n}`), "not wanted", 0))
    }
    assert.strictEqual(table.find("again")?.state, "queued")
    assert.isUndefined(table.find("t0"), "ends are forgotten")
    assert.include(table.counts(), { queued: 1, cancelled: 3_000, "dead-lettered": 0 })
  })
})
