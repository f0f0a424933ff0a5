import { assert, describe, it } from "@effect/vitest"
import * as Histogram from "../../src/simulation/Histogram.ts"
import * as Random from "../../src/simulation/SeededRandom.ts"
import * as Statistics from "../../src/simulation/Statistics.ts"

const random = () => Random.make(1, "bootstrap")

describe("Statistics", () => {
  it("C62 the share is that of all clusters together", () => {
    assert.strictEqual(
      Statistics.share([
        { possible: 10, good: 9 },
        { possible: 30, good: 30 }
      ]),
      39 / 40
    )
    assert.strictEqual(Statistics.share([]), 1)
  })

  it("C62 the bound holds the true share in about 95 of 100 measurements, although failures come in clusters", () => {
    const stream = Random.make(2, "measurements")
    // One day in ten is bad, and then a fifth fails: 98 % in the mean.
    const measure = () => Array.from({ length: 100 }, () => ({ possible: 100, good: stream.chance(0.1) ? 80 : 100 }))
    let held = 0
    for (let round = 0; round < 200; round++) if (Statistics.lower95(measure(), random()) <= 0.98) held++
    assert.isAtLeast(held, 182)
    assert.isAtMost(held, 200)
  })

  it("C62 the same number of failures says less when they came together", () => {
    const spread = Array.from({ length: 100 }, () => ({ possible: 100, good: 99 }))
    const together = Array.from({ length: 100 }, (_, day) => ({ possible: 100, good: day === 0 ? 0 : 100 }))
    assert.isBelow(Statistics.lower95(together, random()), Statistics.lower95(spread, random()))
  })

  it("C62 no failure in n tasks is not a promise of none: the rule of three bounds it", () => {
    const perfect = [{ possible: 1_000, good: 1_000 }]
    assert.approximately(Statistics.lower95(perfect, random()), 0.997, 1e-9)
    assert.strictEqual(Statistics.lower95([], random()), 0)
    assert.strictEqual(Statistics.lower95([{ possible: 0, good: 0 }], random()), 0)
  })
})

describe("Histogram", () => {
  it("answers quantiles within a tenth, whatever was added", () => {
    const histogram = Histogram.make()
    const values = Array.from({ length: 1_000 }, (_, index) => index * 37 + 1)
    for (const value of values) histogram.add(value)
    const { count, maxMillis, meanMillis, p50Millis, p95Millis } = histogram.quantiles()
    assert.strictEqual(count, 1_000)
    assert.strictEqual(maxMillis, values.at(-1))
    assert.approximately(meanMillis, values.reduce((sum, value) => sum + value, 0) / 1_000, 1)
    assert.approximately(p50Millis / values[499]!, 1, 0.11)
    assert.approximately(p95Millis / values[949]!, 1, 0.11)
    assert.strictEqual(Histogram.make().quantiles().p95Millis, 0)
  })
})
