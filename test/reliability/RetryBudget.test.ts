import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as RetryBudget from "../../src/reliability/RetryBudget.ts"

const decode = Schema.decodeSync(RetryBudget.Options)

const Operation = Schema.Struct({
  op: Schema.Literals(["deposit", "withdraw"]),
  wait: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 30_000 }))
})

describe("RetryBudget", () => {
  it.effect.prop(
    "C14 retries never exceed the share of calls plus the allowance, and a wait that is obeyed is rewarded",
    [Schema.Array(Operation), Schema.Literals([0, 1, 5, 10]), Schema.Literals([0.1, 0.2, 1])],
    ([operations, minimum, ratio]) =>
      Effect.sync(() => {
        const options = decode({ minimum, ratio, window: "1 minute" })
        let state = RetryBudget.initial(options, 0)
        let now = 0
        let calls = 0
        let retries = 0
        for (const { op, wait } of operations) {
          now += wait
          if (op === "deposit") {
            calls++
            state = RetryBudget.deposited(options, state, now)
          } else {
            const next = RetryBudget.withdrawn(options, state, now)
            const millis = RetryBudget.waitMillis(options, state, now)
            assert.strictEqual(next !== undefined, millis === 0)
            if (millis === undefined) assert.strictEqual(minimum, 0)
            else assert.isDefined(RetryBudget.withdrawn(options, state, now + millis))
            if (next !== undefined) {
              retries++
              state = next
            }
          }
          assert.isAtMost(retries, ratio * calls + minimum * (now / 60_000 + 1) + 1e-6)
          assert.isAtMost(RetryBudget.tokensAt(options, state, now), 100)
          // After an unused window it is as new, which is why it may be forgotten.
          assert.closeTo(RetryBudget.tokensAt(options, state, now + 60_000), minimum, 1e-9)
        }
      })
  )

  it.effect("C14 all users of a key share its budget, and no other key's", () =>
    Effect.gen(function* () {
      const budget = yield* RetryBudget.make(decode({ ratio: 0.2, minimum: 2 }))
      for (let n = 0; n < 5; n++) budget.deposit("a")
      assert.deepStrictEqual(
        [1, 2, 3, 4].map(() => budget.tryWithdraw("a")),
        [true, true, true, false]
      )
      assert.isTrue(budget.tryWithdraw("b"))
      assert.strictEqual(budget.refusals(), 1)
      assert.closeTo(budget.waitMillis("a")!, 30_000, 1e-3)
      yield* TestClock.adjust("30 seconds")
      assert.isTrue(budget.tryWithdraw("a"))
    })
  )

  it.effect("C14 a budget that was not used for a window leaves no state", () =>
    Effect.gen(function* () {
      const budget = yield* RetryBudget.make()
      for (let n = 0; n < 10_000; n++) budget.deposit(`account:${n}`)
      assert.strictEqual(budget.keys().length, 10_000)
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(budget.keys(), [])
    })
  )

  it.effect("C54 a restored budget is as it was, and no clock can overfill it", () =>
    Effect.gen(function* () {
      const budget = yield* RetryBudget.make()
      for (let n = 0; n < 7; n++) budget.tryWithdraw("a")
      yield* TestClock.adjust(Duration.seconds(6))
      const next = yield* RetryBudget.make()
      next.restore("a", Schema.decodeUnknownSync(RetryBudget.Persisted)(JSON.parse(JSON.stringify(budget.dump("a")))))
      assert.strictEqual(next.tokens("a"), budget.tokens("a"))
      assert.closeTo(next.tokens("a"), 4, 1e-9)
      next.restore("a", { tokens: 1e300, at: 1e15 })
      assert.isAtMost(next.tokens("a"), 100)
      next.restore("a", { tokens: 0, at: -1e15 })
      assert.strictEqual(next.tokens("a"), 10)
      assert.strictEqual(next.dump("unknown"), undefined)
    })
  )
})
