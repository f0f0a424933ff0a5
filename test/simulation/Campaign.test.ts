import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Campaign from "../../src/simulation/Campaign.ts"
import * as Simulation from "../../src/simulation/Simulation.ts"

const runs: ReadonlyArray<Campaign.Run> = [5, 6, 7].map((seed) => ({
  profile: { name: "stormy", text: undefined },
  seed,
  days: 0.25,
  agents: 2,
  without: []
}))

describe("Campaign", () => {
  it.live("C62 runs side by side in threads have the answers that they have alone, in their order", () =>
    Effect.gen(function* () {
      const moved = new Set<number>()
      const answers = yield* Campaign.run({ runs, threads: 2, onProgress: (run) => void moved.add(run) })
      for (const [index, { seed }] of runs.entries()) {
        const alone = yield* Simulation.run({ profile: "stormy", seed, days: 0.25, agents: 2 })
        assert.deepStrictEqual(answers[index], { _tag: "Ended", result: alone })
      }
      assert.strictEqual(moved.size, runs.length)
    })
  )

  it.live("C62 what is stopped answers with what there is, and begins nothing more", () =>
    Effect.gen(function* () {
      const long = runs.map((run) => ({ ...run, days: 3_000 }))
      let looks = 0
      const answers = yield* Campaign.run({ runs: long, threads: 2, onProgress: () => looks++, stop: () => looks > 3 })
      const [one, two, three] = answers
      assert(one?._tag === "Ended" && two?._tag === "Ended")
      assert.deepEqual([one.result.complete, two.result.complete, three], [false, false, undefined])
    })
  )

  it.effect("C62 a run that cannot be done says why, and the others are done", () =>
    Effect.gen(function* () {
      const wrong: Campaign.Run = { ...runs[0]!, profile: { name: "mine.yaml", text: "workload: 3" } }
      const answers = yield* Campaign.run({ runs: [wrong, runs[1]!], threads: 1 })
      assert(answers[0]?._tag === "Died")
      assert.match(answers[0].problem, /mine\.yaml/)
      assert.strictEqual(answers[1]?._tag, "Ended")
    })
  )
})
