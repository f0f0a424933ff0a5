import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Incarnation from "../../src/simulation/Incarnation.ts"
import * as Random from "../../src/simulation/SeededRandom.ts"
import * as Simulation from "../../src/simulation/Simulation.ts"
import * as Timeline from "../../src/simulation/Timeline.ts"

describe("a simulated process", () => {
  it("C62 does nothing any more once it is dead, whoever still holds it", () => {
    const timeline = Timeline.makeVirtual()
    const incarnation = Incarnation.make(timeline, timeline.now, Random.make(1, "process"))
    const done: Array<string> = []
    incarnation.after(10, () => done.push("a timer of its life"))
    incarnation.after(1_000, () => done.push("a timer that it did not live to see"))
    timeline.advance(100)
    incarnation.crash()
    incarnation.after(10, () => done.push("a timer of a dead process"))
    incarnation.enter(() => done.push("a call of a dead process"))
    incarnation.run(Effect.sync(() => done.push("an effect of a dead process")))
    timeline.advance(10_000)
    assert.deepStrictEqual(done, ["a timer of its life"])
  })

  it.effect("C62 is not brought back by the connections of agents that outlived it", () =>
    Effect.gen(function* () {
      const { violations } = yield* Simulation.run({
        profile: "hostile",
        days: 1,
        agents: 3,
        seed: 3,
        faults: {
          machine: {
            kill: { every: "20 minutes", restart: "15 minutes" },
            suspend: { every: "5 minutes", length: "1 minute", breaks: 1 }
          }
        }
      })
      assert.deepStrictEqual(violations, [])
    })
  )
})
