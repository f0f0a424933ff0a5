/** The closed path of the whole pipe: every stage lets the call through, and the call does nothing. */
import * as cockatiel from "cockatiel"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as EffectBreaker from "effect/persistence/CircuitBreaker"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import * as Bulkhead from "../../src/reliability/Bulkhead.ts"
import * as CircuitBreaker from "../../src/reliability/CircuitBreaker.ts"
import * as CooldownGate from "../../src/reliability/CooldownGate.ts"
import * as RateLimiter from "../../src/reliability/RateLimiter.ts"
import * as TimeLimit from "../../src/reliability/TimeLimit.ts"
import * as RuntimeConfig from "../../src/RuntimeConfig.ts"
import * as Pipe from "../../src/runtime/Pipe.ts"
import { awaited, inFiber } from "./Measure.ts"
import { bytes, nanos, ratio, type Suite } from "./Suite.ts"

const noop = Effect.promise(() => Promise.resolve(1))
const limitOf = (name: string) => Schema.decodeSync(RateLimiter.Limit)({ name, limit: 1_000_000_000 })
const attemptMillis = Duration.toMillis("10 seconds")

export const suite = async (): Promise<Suite> => {
  const config = RuntimeConfig.defaults
  const runtime = ManagedRuntime.make(
    Layer.mergeAll(
      CircuitBreaker.layer(config.circuitBreaker),
      CooldownGate.layer(config.cooldown),
      RateLimiter.layer,
      Bulkhead.layer(config.bulkhead),
      TimeLimit.layer,
      EffectBreaker.layerStoreMemory()
    )
  )
  const context = await runtime.context()
  const limits = Context.get(context, TimeLimit.TimeLimit)
  const limiting = { operation: limitOf("execute"), account: limitOf("account") }
  const pipe = Pipe.make(
    {
      gate: Context.get(context, CooldownGate.CooldownGate),
      limiter: Context.get(context, RateLimiter.RateLimiter),
      bulkhead: Context.get(context, Bulkhead.Bulkhead),
      breaker: Context.get(context, CircuitBreaker.CircuitBreaker)
    },
    { limits: () => limiting, wallNow: () => 0, trace: undefined }
  )
  const request: Pipe.Request = { operation: "execute", subject: "task", agentId: "agent", account: "account" }
  const deadline = limits.now() + Duration.toMillis("1 hour")

  // As the runtime goes through it. A retry is decided about attempts that failed: there is none here.
  const ours = Effect.suspend(() => {
    const now = limits.now()
    if (now >= deadline) return Effect.die("the deadline is an hour away")
    const admission = pipe.admit(request, now)
    if (admission._tag === "Refusal") return Effect.die(`nothing refuses: ${admission.detail}`)
    const attempt = limits.until(Math.min(deadline, now + attemptMillis))(noop)
    return Effect.onExit(attempt, (exit) => {
      admission.settle({ _tag: exit._tag === "Success" ? "Success" : "Neutral" })
      return Effect.void
    })
  })

  const effectBreaker = await runtime.runPromise(
    Effect.scoped(EffectBreaker.make({ tripPolicy: EffectBreaker.consecutive(5), openDuration: "1 second" }))
  )
  const semaphore = Semaphore.makeUnsafe(8)
  const stacked = semaphore.withPermit(
    Effect.retry(Effect.provideContext(effectBreaker.execute(Effect.timeout(noop, attemptMillis), { key: "key" }), context), { times: 3 })
  )
  const wrapped = cockatiel.wrap(
    cockatiel.bulkhead(8, 100),
    cockatiel.retry(cockatiel.handleAll, { maxAttempts: 3, backoff: new cockatiel.ExponentialBackoff() }),
    cockatiel.circuitBreaker(cockatiel.handleAll, { halfOpenAfter: 1000, breaker: new cockatiel.ConsecutiveBreaker(5) }),
    cockatiel.timeout(attemptMillis, cockatiel.TimeoutStrategy.Aggressive)
  )

  return {
    name: "the whole pipe, closed",
    cases: [
      { name: "nothing: in-fiber promise", run: inFiber(noop) },
      { name: "pipe: ours, eight stages", run: inFiber(ours) },
      { name: "pipe: cockatiel, four policies", run: awaited(() => wrapped.execute(async () => 1)) },
      { name: "pipe: Effect's four combinators", run: inFiber(stacked) }
    ],
    claims: [
      ratio("eight stages are faster than cockatiel's wrap of four", "pipe: ours, eight stages", "pipe: cockatiel, four policies"),
      ratio("and than Effect's four combinators", "pipe: ours, eight stages", "pipe: Effect's four combinators"),
      nanos("goal: 4 µs", "pipe: ours, eight stages", 4000),
      bytes("goal: 4 kB", "pipe: ours, eight stages", 4000)
    ],
    close: () => runtime.dispose()
  }
}
