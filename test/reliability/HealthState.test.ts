import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as HealthState from "../../src/reliability/HealthState.ts"

const { aggregate, defaults, initial, inWindow, mayRecover, observe } = HealthState
type Status = HealthState.Status

const rank = { healthy: 0, degraded: 1, unhealthy: 2 }
const Observations = Schema.Array(HealthState.Status).check(Schema.isMaxLength(40))
const Threshold = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 4 }))

/** The rule, said over the whole list of observations since the last change. */
const naive = (observations: ReadonlyArray<Status>, k: number, n: number): Status | "unknown" => {
  let status: Status | "unknown" = "unknown"
  let since: Array<Status> = []
  for (const each of observations) {
    since.push(each)
    const from: Status = status === "unknown" ? "healthy" : status
    const lastWorse = since.slice(-k)
    const lastBetter = since.slice(-n)
    if (status === "unknown" && each !== "unhealthy") {
      status = each
      since = []
    } else if (lastWorse.length === k && lastWorse.every((one) => rank[one] > rank[from])) {
      status = lastWorse.reduce((a, b) => (rank[a] <= rank[b] ? a : b))
      since = []
    } else if (lastBetter.length === n && lastBetter.every((one) => rank[one] < rank[from])) {
      status = lastBetter.reduce((a, b) => (rank[a] >= rank[b] ? a : b))
      since = []
    }
  }
  return status
}

const judged = (status: Status | "unknown", critical = false, weight = 1): HealthState.Judged => ({ status, critical, weight })
const [H, D, U, N] = [judged("healthy"), judged("degraded"), judged("unhealthy"), judged("unknown")]

describe("HealthState", () => {
  it.effect.prop(
    "C33 a status changes exactly when the last k or n observations agree on it",
    [Observations, Threshold, Threshold],
    ([observations, k, n]) =>
      Effect.sync(() => {
        const options = { failuresToUnhealthy: k, successesToHealthy: n }
        const state = observations.reduce((sofar, status, at) => observe(sofar, { status, evidence: status }, at + 1, options), initial(0))
        assert.strictEqual(state.status, naive(observations, k, n))
        assert.strictEqual(state.observed, observations.at(-1) ?? "not checked yet")
        assert.strictEqual(state.at, observations.length)
      }),
    { arbitrary: { runs: 500 } }
  )

  it.effect("C33 a check that swings at every run never changes its status", () =>
    Effect.sync(() => {
      let state = observe(initial(0), { status: "healthy", evidence: "" }, 1, defaults)
      for (let at = 2; at < 100; at++) {
        state = observe(state, { status: at % 2 === 0 ? "unhealthy" : "healthy", evidence: "" }, at, defaults)
        assert.strictEqual(state.status, "healthy")
        assert.strictEqual(state.since, 1)
      }
    })
  )

  const table: ReadonlyArray<readonly [checks: ReadonlyArray<HealthState.Judged>, worst: Status, weighted: Status, majority: Status]> = [
    [[], "healthy", "healthy", "healthy"],
    [[H], "healthy", "healthy", "healthy"],
    [[N, N], "healthy", "healthy", "healthy"],
    [[H, N], "healthy", "healthy", "healthy"],
    [[U, N], "unhealthy", "unhealthy", "unhealthy"],
    [[H, D], "degraded", "degraded", "degraded"],
    [[H, H, D], "degraded", "degraded", "healthy"],
    [[H, H, U], "unhealthy", "degraded", "healthy"],
    [[H, U], "unhealthy", "degraded", "degraded"],
    [[H, U, U], "unhealthy", "unhealthy", "unhealthy"],
    [[D, D], "degraded", "degraded", "degraded"],
    [[D, D, U], "unhealthy", "unhealthy", "degraded"],
    [[H, H, H, H, D], "degraded", "healthy", "healthy"],
    [[judged("healthy", false, 9), U], "unhealthy", "healthy", "degraded"],
    [[judged("unhealthy", false, 9), H], "unhealthy", "unhealthy", "degraded"],
    [[H, H, H, judged("unhealthy", true)], "unhealthy", "unhealthy", "unhealthy"],
    [[H, H, H, H, H, judged("degraded", true, 0.1)], "degraded", "degraded", "degraded"],
    [[H, H, H, judged("healthy", true)], "healthy", "healthy", "healthy"]
  ]

  for (const [checks, ...expected] of table) {
    const name =
      checks
        .map((check) => `${check.critical ? "critical " : ""}${check.status}${check.weight === 1 ? "" : `*${check.weight}`}`)
        .join(", ") || "nothing"
    it.effect(`C33 worst, weighted and majority of ${name} are ${expected.join(", ")}`, () =>
      Effect.sync(() => {
        for (const [index, strategy] of (["worst", "weighted", "majority"] as const).entries()) {
          assert.strictEqual(aggregate(checks, { ...defaults, strategy }), expected[index], strategy)
        }
      })
    )
  }

  it.effect.prop(
    "C33 a critical failure dominates every strategy, and order never matters",
    [Schema.Array(HealthState.Status).check(Schema.isMaxLength(12)), HealthState.Strategy],
    ([statuses, strategy]) =>
      Effect.sync(() => {
        const checks = statuses.map((status, index) => judged(status, false, (index % 3) + 1))
        const options = { ...defaults, strategy }
        assert.strictEqual(aggregate([...checks, judged("unhealthy", true, 0.01)], options), "unhealthy")
        assert.strictEqual(aggregate(checks.toReversed(), options), aggregate(checks, options))
      }),
    { arbitrary: { runs: 300 } }
  )

  it.effect.prop(
    "C34 no window ever holds more recoveries than its limit, and none begins before its backoff is over",
    [Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 400 }))).check(Schema.isMaxLength(60)), Threshold],
    ([steps, maxInWindow]) =>
      Effect.sync(() => {
        const limits = { maxInWindow, windowMillis: 1000, backoffMillis: 50, maxBackoffMillis: 300 }
        const began: Array<number> = []
        let tried: ReadonlyArray<number> = []
        let now = 0
        for (const step of steps) {
          now += step
          const decision = mayRecover(tried, now, limits)
          if (decision._tag === "Spent") {
            assert.isAbove(decision.until, now)
            continue
          }
          assert.isAtLeast(decision.at, now)
          if (decision.at > now) continue
          tried = [...inWindow(tried, now, limits), now]
          began.push(now)
        }
        for (const [index, at] of began.entries()) {
          const recent = began.slice(0, index + 1).filter((one) => one > at - 1000)
          assert.isAtMost(recent.length, maxInWindow)
          if (recent.length > 1) assert.isAtLeast(at - began[index - 1]!, Math.min(300, 50 * 2 ** (recent.length - 2)))
        }
      }),
    { arbitrary: { runs: 300 } }
  )
})
