import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { CountWindow, type Tally, TimeWindow } from "../../src/reliability/BreakerWindow.ts"

interface Ended {
  readonly at: number
  readonly failed: boolean
  readonly slow: boolean
}

const Calls = Schema.Array(
  Schema.Struct({ wait: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 40 })), failed: Schema.Boolean, slow: Schema.Boolean })
).check(Schema.isMaxLength(200))

const tallyOf = (calls: ReadonlyArray<Ended>): Tally => ({
  calls: calls.length,
  failed: calls.filter((call) => call.failed).length,
  slow: calls.filter((call) => call.slow).length
})

const plain = ({ calls, failed, slow }: Tally): Tally => ({ calls, failed, slow })

describe("BreakerWindow", () => {
  it.effect.prop(
    "C02 a count window remembers exactly the last calls, before and after a restart",
    [Calls, Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 50 }))],
    ([calls, size]) =>
      Effect.sync(() => {
        const window = new CountWindow(size)
        const all: Array<Ended> = []
        for (const { failed, slow } of calls) {
          window.add(failed, slow)
          all.push({ at: 0, failed, slow })
          assert.deepStrictEqual(plain(window), tallyOf(all.slice(-size)))
        }
        const restored = new CountWindow(size)
        restored.restore(window.dump())
        assert.deepStrictEqual([plain(restored), restored.dump()], [plain(window), window.dump()])
        window.clear()
        assert.deepStrictEqual([plain(window), window.dump()], [tallyOf([]), ""])
      })
  )

  it.effect.prop(
    "C02 a time window remembers exactly the calls that are younger than its duration, before and after a restart",
    [Calls, Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1000 }))],
    ([calls, duration]) =>
      Effect.sync(() => {
        let window = new TimeWindow(duration)
        let now = 1000
        const all: Array<Ended> = []
        for (const { failed, slow, wait } of calls) {
          now += wait
          window.add(now, failed, slow)
          all.push({ at: now, failed, slow })
          const young = all.filter((call) => now - call.at < duration)
          assert.deepStrictEqual(plain(window), tallyOf(young))
          const restored = new TimeWindow(duration)
          restored.restore(window.dump(now), now)
          window = restored
          assert.deepStrictEqual(plain(window), tallyOf(young))
        }
        window.forget(now + duration)
        assert.deepStrictEqual(plain(window), tallyOf([]))
      })
  )

  it("C02 a busy time window is bounded, and early by at most a thousandth", () => {
    const window = new TimeWindow(10_000)
    const all: Array<Ended> = []
    for (let n = 0; n < 60_000; n++) {
      const call = { at: n * 0.5, failed: n % 3 === 0, slow: n % 7 === 0 }
      all.push(call)
      window.add(call.at, call.failed, call.slow)
      if (n % 500 !== 0) continue
      const young = (duration: number): number => all.filter((each) => call.at - each.at < duration).length
      assert.isAtMost(window.calls, young(10_000))
      assert.isAtLeast(window.calls, young(9_990))
      assert.isAtMost(window.dump(call.at).length, 2049)
    }
  })
})
