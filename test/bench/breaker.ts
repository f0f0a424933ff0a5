/** The circuit breaker: closed, refusing, failing. */
import * as cockatiel from "cockatiel"
import * as Effect from "effect/Effect"
import * as EffectBreaker from "effect/persistence/CircuitBreaker"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Schema from "effect/Schema"
import Opossum from "opossum"
import * as CircuitBreaker from "../../src/reliability/CircuitBreaker.ts"
import { atOnce, awaited, inFiber } from "./Measure.ts"
import { above, bytes, ratio, type Suite } from "./Suite.ts"

const noop = Effect.promise(() => Promise.resolve(1))
const failure = new Error("down")
const failing = Effect.promise(() => Promise.resolve()).pipe(Effect.andThen(Effect.fail(failure)))
const reject = () => Promise.reject(failure)
const decode = Schema.decodeSync(CircuitBreaker.Options)

const make = (options: typeof CircuitBreaker.Options.Encoded = {}) => Effect.runSync(CircuitBreaker.make(decode(options)))

/** Ours with a window of so many calls, all of them seen; one success in the window keeps it closed at a rate of 1. */
const withWindow = (size: number) => {
  const breaker = make({ consecutiveFailures: 0, countWindow: { size, failureRate: 1, minimumCalls: size } })
  let made = 0
  const outcome = () => (made++ % 64 === 0 ? "success" : "failure")
  for (let call = 0; call < size; call++) {
    const permit = breaker.tryAcquire("key")
    if (permit._tag === "Permit") breaker.record(permit, outcome())
  }
  return inFiber(Effect.exit(breaker.run("key", { classify: outcome })(failing)))
}

/** opossum with so many calls in its window. */
const opossumWithWindow = (size: number) => {
  let fails = false
  const breaker = new Opossum(() => (fails ? reject() : Promise.resolve()), {
    timeout: false,
    volumeThreshold: 1e9,
    rollingCountTimeout: 3_600_000
  })
  const filled = (async () => {
    for (let call = 0; call < size; call++) await breaker.fire()
    fails = true
  })()
  const run = awaited(() => breaker.fire().catch(() => {}))
  return { breaker, run: (calls: number) => filled.then(() => run(calls)) }
}

export const suite = async (): Promise<Suite> => {
  const runtime = ManagedRuntime.make(EffectBreaker.layerStoreMemory())
  const effects = await runtime.runPromise(
    Effect.scoped(EffectBreaker.make({ tripPolicy: EffectBreaker.consecutive(5), openDuration: "1 second" }))
  )
  const context = await runtime.context()
  const ours = make()
  const counting = make({ countWindow: { size: 100 } })
  const timing = make({ timeWindow: { duration: "30 seconds" } })
  const isolated = make()
  isolated.isolate("key", "measured")

  const open = (breaker: cockatiel.CircuitBreakerPolicy) => {
    breaker.isolate()
    return awaited(() => breaker.execute(() => 1).catch(() => {}))
  }
  const cockatiels = (breaker: cockatiel.IBreaker) => cockatiel.circuitBreaker(cockatiel.handleAll, { halfOpenAfter: 1000, breaker })
  const consecutive = cockatiels(new cockatiel.ConsecutiveBreaker(5))
  const sampling = cockatiels(new cockatiel.SamplingBreaker({ threshold: 0.5, duration: 30_000 }))
  const opossum = new Opossum(async () => 1, { timeout: false })
  const opened = new Opossum(async () => 1, { timeout: false })
  opened.open()
  const many = opossumWithWindow(5000)

  return {
    name: "circuit breaker",
    cases: [
      { name: "nothing: await", run: awaited(async () => 1) },
      { name: "nothing: in-fiber promise", run: inFiber(noop) },
      { name: "nothing: in-fiber exit", run: inFiber(Effect.exit(Effect.succeed(1))) },
      { name: "breaker: ours", run: inFiber(ours.run("key")(noop)) },
      { name: "breaker: ours, 100 calls", run: inFiber(counting.run("key")(noop)) },
      { name: "breaker: ours, 30 s", run: inFiber(timing.run("key")(noop)) },
      {
        name: "breaker: ours, tryAcquire and record",
        run: atOnce(() => ours.record(ours.tryAcquire("sync") as CircuitBreaker.Permit, "success"))
      },
      { name: "breaker: Effect's", run: inFiber(Effect.provideContext(effects.execute(noop, { key: "key" }), context)) },
      { name: "breaker: cockatiel", run: awaited(() => consecutive.execute(async () => 1)) },
      { name: "breaker: cockatiel, 30 s", run: awaited(() => sampling.execute(async () => 1)) },
      { name: "breaker: opossum", run: awaited(() => opossum.fire()) },
      { name: "refusal: ours", run: inFiber(Effect.exit(isolated.run("key")(noop))) },
      { name: "refusal: ours, tryAcquire", run: atOnce(() => isolated.tryAcquire("key")) },
      { name: "refusal: cockatiel", run: open(cockatiels(new cockatiel.ConsecutiveBreaker(5))) },
      { name: "refusal: opossum", run: awaited(() => opened.fire().catch(() => {})) },
      { name: "failure: ours, window of 100", run: withWindow(100) },
      { name: "failure: ours, window of 100,000", run: withWindow(100_000) },
      { name: "failure: opossum, window of 5,000", run: many.run, most: 20 }
    ],
    claims: [
      above("a breaker costs at most 0.5 µs over the floor", "breaker: ours", "nothing: in-fiber promise", 500),
      bytes("and the call 2 kB, the floor's included", "breaker: ours", 2000),
      ratio("a breaker is faster than Effect's", "breaker: ours", "breaker: Effect's"),
      above("a refusal costs at most 0.5 µs over the floor", "refusal: ours", "nothing: in-fiber exit", 500),
      ratio("a refusal is faster than cockatiel's", "refusal: ours", "refusal: cockatiel"),
      ratio("a refusal is faster than opossum's", "refusal: ours", "refusal: opossum"),
      ratio(
        "a failure costs the same in a window 1,000 times as large",
        "failure: ours, window of 100,000",
        "failure: ours, window of 100",
        1.3
      )
    ],
    close: async () => {
      for (const breaker of [opossum, opened, many.breaker]) breaker.shutdown()
      await runtime.dispose()
    }
  }
}
