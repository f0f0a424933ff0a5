import { assert, describe, it } from "@effect/vitest"
import type { RuntimeEvent } from "../../src/RuntimeEvent.ts"
import * as Ledger from "../../src/simulation/Ledger.ts"
import type { Plan } from "../../src/simulation/Workload.ts"

const hour = 3_600_000

/** A task that has an hour, and what is told of it at a time in which the runtime could work. */
const scene = () => {
  let worked = 0
  const ledger = Ledger.make(
    () => 10 * worked,
    () => worked,
    () => undefined
  )
  ledger.accept(0, { id: "t0", effect: "idempotent", deadline: hour } as Plan, undefined, 0)
  return {
    ledger,
    at: (time: number, _tag: "TaskDeadLettered" | "TaskQueued" | "TaskSucceeded", run = 1): void => {
      worked = time
      ledger.onEvent({ _tag, at: 0, taskId: "t0", batch: "", run } as unknown as RuntimeEvent)
    },
    close: (time: number): void => {
      worked = time
      ledger.close()
    },
    found: () => ledger.violations.map(({ detail, rule }) => `${rule}: ${detail}`)
  }
}

const overdue = "overdue: t0 had not ended 2.1 h after its deadline"

describe("the ledger of a simulated world", () => {
  it("C62 finds a run that ends long after its deadline, by the time in which the runtime could work", () => {
    for (const end of ["TaskDeadLettered", "TaskSucceeded"] as const) {
      const late = scene()
      late.at(3.1 * hour, end)
      assert.deepStrictEqual(late.found(), [overdue])
      const well = scene()
      well.at(2.9 * hour, end)
      assert.deepStrictEqual(well.found(), [])
    }
  })

  it("C62 gives a redriven task as much time again, and not one that is only released", () => {
    const redriven = scene()
    redriven.at(hour, "TaskDeadLettered")
    redriven.at(50 * hour, "TaskQueued")
    redriven.at(52.9 * hour, "TaskDeadLettered", 2)
    assert.deepStrictEqual(redriven.found(), [])
    redriven.at(60 * hour, "TaskQueued")
    redriven.at(63.1 * hour, "TaskSucceeded", 3)
    assert.deepStrictEqual(redriven.found(), [overdue])
    const released = scene()
    released.at(2 * hour, "TaskQueued")
    released.at(3.1 * hour, "TaskDeadLettered")
    assert.deepStrictEqual(released.found(), [overdue])
  })

  it("C62 finds at the end what has not ended, and says nothing of what waits for a person", () => {
    const open = scene()
    open.close(3.1 * hour)
    assert.deepStrictEqual(open.found(), [overdue])
    const dead = scene()
    dead.at(hour, "TaskDeadLettered")
    dead.close(99 * hour)
    assert.deepStrictEqual(dead.found(), [])
  })
})
