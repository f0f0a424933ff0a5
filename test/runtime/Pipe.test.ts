import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import * as Bulkhead from "../../src/reliability/Bulkhead.ts"
import * as CircuitBreaker from "../../src/reliability/CircuitBreaker.ts"
import * as CooldownGate from "../../src/reliability/CooldownGate.ts"
import * as RateLimiter from "../../src/reliability/RateLimiter.ts"
import * as Pipe from "../../src/runtime/Pipe.ts"

const permits = (count: number) => ({ permits: count, queue: 0 })
const once = { ...RateLimiter.api, name: "once", algorithm: "fixed-window", limit: 1 } as const
const request: Pipe.Request = { operation: "execute", subject: "t", agentId: "a", account: "x" }

/** A pipe over real patterns, with a count of everything that they announce. */
const piped = Effect.gen(function* () {
  const patterns: Pipe.Patterns = {
    gate: yield* CooldownGate.CooldownGate,
    limiter: yield* RateLimiter.RateLimiter,
    bulkhead: yield* Bulkhead.Bulkhead,
    breaker: yield* CircuitBreaker.CircuitBreaker
  }
  let told = 0
  const tell = () => void told++
  patterns.gate.onUpdate(tell)
  patterns.limiter.onChange(tell)
  patterns.bulkhead.onChange(tell)
  patterns.breaker.onChange(tell)
  const pipe = Pipe.make(patterns, { limits: () => ({ operation: RateLimiter.user, account: once }), wallNow: () => 0, trace: undefined })
  /** Asks twice, and answers the refusal and how often anybody was told of a change. */
  const refused = (now = 0) => {
    const before = told
    const answers = [pipe.admit(request, now), pipe.admit(request, now)]
    for (const answer of answers) assert.strictEqual(answer._tag, "Refusal")
    return { stage: (answers[0] as Pipe.Refusal).stage, told: told - before, running: patterns.bulkhead.metrics().running }
  }
  return { patterns, pipe, refused }
}).pipe(
  Effect.provide([
    CooldownGate.layer(),
    RateLimiter.layer,
    Bulkhead.layer({ global: permits(2), perAccount: permits(1) }),
    CircuitBreaker.layer()
  ])
)

describe("Pipe", () => {
  it.effect("C47 a refusal at any stage holds nothing and tells nobody, or those who wait would wake each other for ever", () =>
    Effect.gen(function* () {
      const { patterns, pipe, refused } = yield* piped
      for (const key of ["agent:a", "account:x"]) {
        patterns.breaker.isolate(key, "by hand")
        assert.deepEqual(refused(), { stage: "circuitBreaker", told: 0, running: 0 })
        patterns.breaker.reset(key)
      }
      const place = patterns.bulkhead.tryAcquire("x")
      assert(place._tag === "BulkheadPermit")
      assert.deepEqual(refused(), { stage: "bulkhead", told: 0, running: 1 })
      patterns.bulkhead.release(place)
      // Had one of the refusals kept its quota, this one would be refused.
      const admission = pipe.admit(request, 0)
      assert.strictEqual(admission._tag, "Admission")
      assert.deepEqual(refused(), { stage: "rateLimit", told: 0, running: 1 })
      patterns.gate.close("x", { cause: "RateLimited", retryAfterMillis: 1_000 })
      assert.deepEqual(refused(), { stage: "cooldown", told: 0, running: 1 })
    })
  )

  it.effect("C24 a refusal behind the gate leaves the ramp as wide as it was", () =>
    Effect.gen(function* () {
      const { patterns, refused } = yield* piped
      patterns.gate.close("x", { cause: "RateLimited", retryAfterMillis: 1_000 })
      patterns.breaker.isolate("agent:a", "by hand")
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(patterns.gate.status("x").state, "ramp")
      assert.deepEqual(refused(2_000), { stage: "circuitBreaker", told: 0, running: 0 })
      assert.strictEqual(patterns.gate.status("x").inFlight, 0)
    })
  )
})
