/** Two hundred random worlds of a virtual week each; `npm run fuzz:sim` looks at as many as one likes, and makes a broken one small. */
import { availableParallelism } from "node:os"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Fuzz from "../simulation/fuzz.ts"

const perTest = 20
const days = 7

describe("random worlds", () => {
  for (let first = 1; first <= 200; first += perTest) {
    const last = first + perTest - 1
    it.live(`C56 C62 C65 no promise is broken in a week of the worlds ${first} to ${last}`, () =>
      Effect.gen(function* () {
        const worlds = Array.from({ length: perTest }, (_, index) => Fuzz.generate(first + index, days))
        const broken: Array<string> = []
        let done = 0
        yield* Fuzz.search(worlds, availableParallelism(), {
          onBroken: ({ seed }, found) => void broken.push(`npm run fuzz:sim -- 1 ${seed} ${days}: ${found.join("; ")}`),
          onDone: (worlds) => {
            done = worlds
          }
        })
        assert.deepStrictEqual(broken, [])
        assert.strictEqual(done, perTest)
      })
    )
  }
})
