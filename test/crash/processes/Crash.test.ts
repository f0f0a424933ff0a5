import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { temporaryDirectory } from "../../support/stateDirectory.ts"
import * as Harness from "./Harness.ts"

const bound = 280_000

describe("the real program on real processes", () => {
  it.live(
    "C27 C51 C56 C65 C70 killed at random moments it loses nothing, does nothing twice, and leaves no process",
    () =>
      Effect.gen(function* () {
        const place = Harness.layOut(yield* temporaryDirectory)
        const sum = yield* Effect.promise(() => Harness.soak(place, { kills: 10, seed: 20_261_124 }))
        assert.strictEqual(sum.kills, 10)
        assert.isAbove(sum.succeeded, 0)
      }),
    bound
  )

  it.live(
    "C27 C51 C56 C65 C70 killed right before or after a commit it goes on where it stopped",
    () =>
      Effect.gen(function* () {
        const directory = yield* temporaryDirectory
        let died = true
        let deaths = 0
        for (let commit = 1; died; commit += 9) {
          const own = path.join(directory, String(commit))
          fs.mkdirSync(own)
          died = yield* Effect.promise(() => Harness.diesAt(Harness.layOut(own), commit, commit % 2 === 0))
          if (died) deaths++
        }
        assert.isAbove(deaths, 3)
      }),
    bound
  )
})
