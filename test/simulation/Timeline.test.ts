import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, FiberSet } from "effect"
import { TestClock } from "effect/testing"
import * as Random from "../../src/simulation/SeededRandom.ts"
import * as Timeline from "../../src/simulation/Timeline.ts"

/** What fires when, if some timers set others and some are taken out. */
const scenario = (timeline: Timeline.Timeline, seed: number): ReadonlyArray<string> => {
  const random = Random.make(seed, "timers")
  const fired: Array<string> = []
  const timers: Array<Timeline.Timer> = []
  let left = 200
  const set = (): void => {
    if (left-- <= 0) return
    const name = `timer ${left}`
    timers.push(
      timeline.at(timeline.now() + Math.floor(random.between(-2, 40)), () => {
        fired.push(`${name} at ${timeline.now()}`)
        for (let more = random.pick([1, 2, 2]); more > 0; more--) set()
        if (random.chance(0.2)) timers[Math.floor(random.between(0, timers.length))]?.cancel()
      })
    )
  }
  for (let first = 0; first < 20; first++) set()
  return fired
}

describe("Timeline", () => {
  it("fires in the order of time, then of setting, never early and never what was taken out", () => {
    const timeline = Timeline.makeVirtual()
    const fired: Array<[string, number]> = []
    const note = (name: string) => () => void fired.push([name, timeline.now()])
    timeline.at(10, note("b"))
    timeline.at(5.2, note("a"))
    timeline.at(10, note("c"))
    timeline.at(10, note("gone")).cancel()
    timeline.at(0, note("now"))
    timeline.advance(10)
    assert.deepStrictEqual(fired, [
      ["now", 1],
      ["a", 6],
      ["b", 10],
      ["c", 10]
    ])
    timeline.advance(25)
    assert.strictEqual(timeline.now(), 25)
    assert.strictEqual(timeline.size(), 0)
  })

  it.effect("C62 goes over a TestClock exactly as by itself", () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      const fork = yield* FiberSet.runtime(yield* FiberSet.make<void, never>())<never>()
      for (let seed = 1; seed <= 20; seed++) {
        const virtual = Timeline.makeVirtual()
        const expected = scenario(virtual, seed)
        const tested = scenario(Timeline.overClock(clock, fork), seed)
        virtual.advance(10_000)
        yield* TestClock.adjust(10_000)
        assert.isAbove(expected.length, 20)
        assert.deepStrictEqual(tested, expected)
      }
    })
  )
})

describe("SeededRandom", () => {
  it("gives every name a stream of its own, the same for the same seed", () => {
    const draw = (seed: number, name: string) => Array.from({ length: 5 }, Random.make(seed, name).next)
    assert.deepStrictEqual(draw(1, "a"), draw(1, "a"))
    assert.notDeepEqual(draw(1, "a"), draw(1, "b"))
    assert.notDeepEqual(draw(1, "a"), draw(2, "a"))
  })

  it("draws from the distributions it names", () => {
    const random = Random.make(1, "distributions")
    const many = (draw: () => number) => Array.from({ length: 50_000 }, draw)
    const mean = (values: ReadonlyArray<number>) => values.reduce((sum, value) => sum + value, 0) / values.length
    const uniform = many(random.next)
    assert.approximately(mean(uniform), 0.5, 0.01)
    for (let tenth = 0; tenth < 10; tenth++)
      assert.approximately(uniform.filter((value) => Math.floor(value * 10) === tenth).length, 5_000, 300)
    const exponential = many(() => random.exponential(7))
    assert.approximately(mean(exponential), 7, 0.15)
    assert.approximately(exponential.filter((value) => value > 7).length / 50_000, Math.exp(-1), 0.01)
    const around = many(() => random.around(9))
    assert.approximately(mean(around), 9, 0.15)
    assert.isAbove(Math.min(...around), 0)
    const picked = many(() => random.pick([1, 0, 3]))
    assert.approximately(picked.filter((index) => index === 2).length / 50_000, 0.75, 0.01)
    assert.notInclude(picked, 1)
  })
})
