import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { type AlgorithmName, algorithmOf, type Rule, slidingWindow } from "../../src/reliability/LimitAlgorithm.ts"

const names: ReadonlyArray<AlgorithmName> = ["token-bucket", "sliding-window", "fixed-window", "leaky-bucket"]

/** Admits or refuses by the book: whole histories, no cleverness. */
const naive = (name: AlgorithmName, { limit, window }: Rule) => {
  let history: Array<readonly [at: number, cost: number]> = []
  let tokens = limit
  let refilledAt = 0
  let freeAt = 0
  return (cost: number, now: number): boolean => {
    const spend = (ok: boolean) => {
      if (ok) history = [...history, [now, cost]]
      return ok
    }
    switch (name) {
      case "token-bucket": {
        tokens = Math.min(limit, tokens + ((now - refilledAt) * limit) / window)
        refilledAt = now
        if (tokens < cost) return false
        tokens -= cost
        return true
      }
      case "leaky-bucket": {
        if (now < freeAt) return false
        freeAt = now + (cost * window) / limit
        return true
      }
      case "sliding-window":
        return spend(history.filter(([at]) => at > now - window).reduce((sum, [, each]) => sum + each, 0) + cost <= limit)
      case "fixed-window": {
        const start = history[0]?.[0] ?? now
        if (now >= start + window) history = []
        return spend(history.reduce((sum, [, each]) => sum + each, 0) + cost <= limit)
      }
    }
  }
}

// Powers of two, so that the naive sums are exact too.
const rule: Rule = { limit: 4, window: 64 }
const Ask = Schema.Struct({
  wait: Schema.Literals([0, 0, 0, 1, 4, 8, 15.5, 16, 17, 40, 64, 100]),
  cost: Schema.Literals([1, 1, 1, 1, 0.25, 0.5, 2, 4])
})
const Asks = Schema.Array(Ask).check(Schema.isMaxLength(80))

for (const name of names) {
  const algorithm = algorithmOf(name)
  const tryTake = (state: typeof algorithm.fresh, cost: number, now: number) => {
    const trimmed = algorithm.trim(rule, state, now)
    return algorithm.startAt(rule, trimmed, cost, now) <= now ? algorithm.take(rule, trimmed, cost, now) : undefined
  }

  describe(`LimitAlgorithm ${name}`, () => {
    it.effect.prop(
      `C17 ${name} admits and refuses as a naive model does`,
      [Asks],
      ([asks]) =>
        Effect.sync(() => {
          const model = naive(name, rule)
          let state = algorithm.fresh
          let now = 0
          for (const { wait, cost } of asks) {
            now += wait
            const next = tryTake(state, cost, now)
            assert.strictEqual(next !== undefined, model(cost, now), `at ${now}, cost ${cost}`)
            state = next ?? state
          }
        }),
      { arbitrary: { runs: 200 } }
    )

    it.effect.prop(
      `C18 ${name} admits at the time it names, and not before; in the order of asking`,
      [Asks, Schema.Literals([0.5, 1, 3])],
      ([asks, cost]) =>
        Effect.sync(() => {
          let state = algorithm.fresh
          let now = 0
          for (const ask of asks) {
            now += ask.wait
            state = tryTake(state, ask.cost, now) ?? state
          }
          const at = algorithm.startAt(rule, state, cost, now)
          assert.isDefined(tryTake(state, cost, at))
          if (at > now + 0.01) assert.isUndefined(tryTake(state, cost, at - 0.01))
          let [promised, last] = [state, now]
          for (const ask of asks) {
            const start = algorithm.startAt(rule, promised, ask.cost, now)
            assert.isAtLeast(start, last)
            promised = algorithm.take(rule, promised, ask.cost, start)
            last = start
          }
        }),
      { arbitrary: { runs: 100 } }
    )

    it.effect.prop(
      `C18 ${name} forgets an admission that is given back at once; time, trimming and JSON change no answer`,
      [Asks, Schema.Literals([0, 3, 20, 70, 200])],
      ([asks, later]) =>
        Effect.sync(() => {
          let state = algorithm.fresh
          let now = 0
          const answers = (of: typeof state, at: number) => [0.25, 1, 2, 4].map((cost) => algorithm.startAt(rule, of, cost, at))
          for (const { wait, cost } of asks) {
            now += wait
            const next = tryTake(state, cost, now)
            if (next === undefined) continue
            const before = answers(algorithm.trim(rule, state, now), now)
            const spent = { cost, at: now, mark: algorithm.mark(next, now) }
            assert.deepEqual(answers(algorithm.giveBack(rule, next, spent, cost, now), now), before)
            assert.deepEqual(answers(algorithm.trim(rule, state, now), now), before, "an older state is as it was")
            state = next
          }
          assert.deepEqual(answers(algorithm.trim(rule, state, now + later), now + later), answers(state, now + later))
          assert.deepEqual(answers(JSON.parse(JSON.stringify(state)), now), answers(state, now))
          const freshAt = Math.max(now, algorithm.freshAt(rule, state))
          assert.deepEqual(answers(state, freshAt), answers(algorithm.fresh, freshAt))
        }),
      { arbitrary: { runs: 100 } }
    )

    it(`C17 ${name}: a fresh one admits exactly its limit, and over a long run its rate is within 1 % of nominal`, () => {
      // Neither the limit nor the window divides the other, and the clock is far from zero.
      const odd: Rule = { limit: 7, window: 1000 }
      const start = 86_400_000 * 365.25
      for (const cost of [1, 0.7]) {
        let state = algorithm.fresh
        let accepted = 0
        for (; accepted < 100; accepted++) {
          if (algorithm.acceptAt(odd, state, cost, start) > start) break
          const at = algorithm.startAt(odd, state, cost, start)
          // Who is accepted into a leaky bucket starts within the window; the others start at once.
          if (name === "leaky-bucket" ? at >= start + odd.window - 1e-3 : at > start) break
          state = algorithm.take(odd, state, cost, at)
        }
        assert.strictEqual(accepted, Math.floor((odd.limit + 1e-9) / cost))
        let admitted = 0
        state = algorithm.fresh
        for (let now = start; now < start + 1_000_000; ) {
          state = algorithm.trim(odd, state, now)
          const at = algorithm.startAt(odd, state, cost, now)
          if (at <= now) {
            state = algorithm.take(odd, state, cost, now)
            admitted += cost
          } else now = at
        }
        // A full bucket at the start is on top of the rate.
        assert.closeTo(admitted / (name === "token-bucket" ? 7007 : 7000), 1, 0.01)
      }
    })
  })
}

describe("LimitAlgorithm", () => {
  for (const name of ["sliding-window", "leaky-bucket"] as const) {
    it.effect.prop(
      `C17 ${name} never lets more than the limit start in any window`,
      [Schema.Array(Schema.Literals([0, 0, 0, 1, 3.7, 16, 63.9, 64, 80])).check(Schema.isMaxLength(100))],
      ([waits]) =>
        Effect.sync(() => {
          const algorithm = algorithmOf(name)
          let state = algorithm.fresh
          let now = 0
          const starts: Array<number> = []
          for (const wait of waits) {
            now += wait
            const at = algorithm.startAt(rule, state, 1, now)
            state = algorithm.take(rule, state, 1, at)
            starts.push(at)
          }
          for (const start of starts)
            assert.isAtMost(starts.filter((at) => at >= start && at < start + rule.window - 1e-6).length, rule.limit)
        }),
      { arbitrary: { runs: 100 } }
    )
  }

  it("C20 a sliding window keeps no more than what the last window spent", () => {
    let log = slidingWindow.fresh
    for (let now = 0; now < 100_000; now++) {
      log = slidingWindow.trim(rule, log, now)
      if (slidingWindow.startAt(rule, log, 1, now) <= now) log = slidingWindow.take(rule, log, 1, now)
    }
    assert.isAtMost(log.entries.length, 200)
    assert.isAtMost((log.tail - log.head) / 2, rule.limit)
  })

  it("C18 what is given back late is only what time has not given back", () => {
    const bucket = algorithmOf("token-bucket")
    const taken = bucket.take(rule, bucket.fresh, 4, 0)
    const spent = { cost: 4, at: 0, mark: bucket.mark(taken, 0) }
    const drained = bucket.take(rule, taken, 2, 32)
    // Half of the four has come back by itself at 32, and was spent again.
    const back = bucket.giveBack(rule, drained, spent, 4, 32)
    assert.isAtMost(bucket.startAt(rule, back, 2, 32), 32)
    assert.isAbove(bucket.startAt(rule, back, 2.1, 32), 32)
    assert.strictEqual(bucket.giveBack(rule, drained, spent, 4, 100), drained)
  })
})
