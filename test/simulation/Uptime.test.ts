import { assert, describe, it } from "@effect/vitest"
import * as Uptime from "../../src/simulation/Uptime.ts"

describe("Uptime", () => {
  it("C62 counts every lost moment once, and for the machine where both it and the runtime are to blame", () => {
    let now = 0
    const uptime = Uptime.make(() => now)
    const at = (time: number, reason: Uptime.Reason, on: boolean): void => {
      now = time
      uptime.set(reason, on)
    }
    at(10, "disk", true)
    at(12, "intake", true)
    at(20, "disk", false)
    at(23, "intake", false)
    at(30, "restart", true)
    at(30, "recovery", true)
    at(40, "restart", false)
    at(42, "recovery", false)
    now = 100
    assert.deepEqual(uptime.lost(), { restart: 10, stall: 0, disk: 10, recovery: 2, intake: 3 })
    assert.strictEqual(uptime.worked(), 100 - 10 - 10 - 2)
  })

  it("C62 time that is being lost counts up to now", () => {
    let now = 0
    const uptime = Uptime.make(() => now)
    uptime.set("stall", true)
    now = 7
    assert.strictEqual(uptime.lost().stall, 7)
    now = 9
    assert.strictEqual(uptime.lost().stall, 9)
  })
})
