import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Fuzz from "./fuzz.ts"
import * as Mutants from "./mutants.ts"

const numbers = (first: number, count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, index) => first + index)

describe("the fuzzer", () => {
  it.effect("C62 finds nothing in the runtime as it is, in random worlds", () =>
    Effect.gen(function* () {
      const found = yield* Fuzz.firstBroken(numbers(1, 5), 1)
      assert.strictEqual(found, undefined)
    })
  )

  for (const [name, mutation, rules] of [
    ["loses wake-ups", Mutants.lostWakeUp, ["starved"]],
    ["leaks permits", Mutants.leakedPermit, ["left-over", "starved"]],
    ["dispatches twice", Mutants.doubleDispatch, ["two-attempts", "unsafe-twice"]],
    ["skips fsync", Mutants.skippedFsync, ["sequence", "lost", "acted-on-ended", "unknown-task", "orphan", "two-attempts", "unsafe-twice"]]
  ] as const) {
    it.effect(`C62 catches a runtime that ${name}`, () =>
      Effect.gen(function* () {
        const caught = yield* Fuzz.firstBroken(numbers(1, 12), 1, mutation)
        assert(caught !== undefined, "nothing was found")
        const rule = caught.found[0]!.split(":")[0]!
        assert.include(rules, rule, caught.found[0])
      })
    )
  }

  it.effect("C62 catches a runtime that forgets deadlines, where there is more work than it can do", () =>
    Effect.gen(function* () {
      const crowded = 35
      const caught = yield* Fuzz.firstBroken([crowded], 3, Mutants.lostDeadlines)
      assert.include(caught?.found[0], "overdue: ")
      assert.strictEqual(yield* Fuzz.firstBroken([crowded], 3), undefined)
    })
  )

  it.effect("C62 makes a broken world smaller, and keeps it broken", () =>
    Effect.gen(function* () {
      const caught = yield* Fuzz.firstBroken(numbers(1, 3), 0.25, Mutants.doubleDispatch)
      assert(caught !== undefined)
      const small = yield* Fuzz.shrink(caught.world, Mutants.doubleDispatch)
      assert.isAbove((yield* Fuzz.broken(small, Mutants.doubleDispatch)).length, 0)
      assert.strictEqual(small.agents, 1)
      assert.include(Fuzz.commandLine(small, "world.yaml"), `--seed ${small.seed} --days ${small.days} --agents 1 --profile world.yaml`)
    })
  )
})
