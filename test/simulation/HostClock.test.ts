import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as HostClock from "../../src/simulation/HostClock.ts"
import * as Incarnation from "../../src/simulation/Incarnation.ts"
import * as Random from "../../src/simulation/SeededRandom.ts"
import * as Timeline from "../../src/simulation/Timeline.ts"

const begin = (watches: boolean) => {
  const timeline = Timeline.makeVirtual()
  let ahead = 0
  const wall = (): number => timeline.now() + ahead
  const incarnation = Incarnation.make(timeline, wall, Random.make(1, "clock"))
  const clock = HostClock.make(incarnation, wall)
  const told: Array<readonly [at: number, jump: number]> = []
  const watch = (): void => Effect.runSync(Effect.scoped(clock.watch((jump) => told.push([timeline.now(), jump]))))
  if (watches) watch()
  return {
    timeline,
    incarnation,
    clock,
    told,
    watch,
    jump: (millis: number, noticed: number): void => {
      ahead += millis
      clock.jump(millis, noticed)
    }
  }
}

describe("the wall clock of a simulated process", () => {
  it("C62 shows a jump when it has told of it: when its watch finds it, or as soon as somebody asks for the time", () => {
    const { clock, jump, timeline, told } = begin(true)
    jump(3_600_000, 10_000)
    timeline.advance(9_999)
    assert.deepStrictEqual(told, [])
    timeline.advance(10_000)
    assert.deepStrictEqual(told, [[10_000, 3_600_000]])
    assert.strictEqual(clock.now(), 3_610_000)
    jump(-60_000, 10_000)
    assert.strictEqual(clock.now(), 3_610_000)
    timeline.advance(10_001)
    assert.deepStrictEqual(told.slice(1), [[10_001, -60_000]])
    assert.strictEqual(clock.now(), 3_550_001)
    timeline.advance(30_000)
    assert.lengthOf(told, 2)
  })

  it("C62 tells of two jumps as one, of one before anybody watched when somebody does, and a dead process of none", () => {
    const { clock, incarnation, jump, timeline, told, watch } = begin(false)
    jump(1_000, 10)
    jump(2_000, 20)
    timeline.advance(100)
    assert.strictEqual(clock.now(), 100)
    watch()
    assert.deepStrictEqual(told, [[100, 3_000]])
    jump(5_000, 10)
    incarnation.crash()
    timeline.advance(200)
    assert.lengthOf(told, 1)
  })
})
