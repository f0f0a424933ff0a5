/** Rate limiter and bulkhead. */
import * as cockatiel from "cockatiel"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as EffectLimiter from "effect/persistence/RateLimiter"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import PQueue from "p-queue"
import { RateLimiterMemory } from "rate-limiter-flexible"
import * as Bulkhead from "../../src/reliability/Bulkhead.ts"
import * as RateLimiter from "../../src/reliability/RateLimiter.ts"
import { atOnce, awaited, inFiber } from "./Measure.ts"
import { above, ratio, type Suite } from "./Suite.ts"

const noop = Effect.promise(() => Promise.resolve(1))
const decode = Schema.decodeSync(RateLimiter.Limit)

/** Wide enough that nothing is ever refused. */
const wide = 1_000_000_000
const limitOf = (algorithm: RateLimiter.Limit["algorithm"]) => decode({ name: algorithm, algorithm, limit: wide, window: "1 minute" })

/** One of 10,000 keys after the other. */
const keys = Array.from({ length: 10_000 }, (_, index) => `key-${index}`)
const nextKey = () => {
  let index = 0
  return () => keys[index++ % keys.length] ?? ""
}

export const suite = async (): Promise<Suite> => {
  const runtime = ManagedRuntime.make(
    Layer.merge(RateLimiter.layer, EffectLimiter.layer.pipe(Layer.provide(EffectLimiter.layerStoreMemory)))
  )
  const context = await runtime.context()
  const limiter = Context.get(context, RateLimiter.RateLimiter)
  const effects = Context.get(context, EffectLimiter.RateLimiter)
  const local = limiter.local
  if (local === undefined) throw new Error("the limiter in memory has a synchronous face")
  const [sliding, fixed] = [limitOf("sliding-window"), limitOf("fixed-window")]
  const flexible = () => new RateLimiterMemory({ points: wide, duration: 60 })
  const [oneKey, manyKeys] = [flexible(), flexible()]
  const [ourNext, theirNext] = [nextKey(), nextKey()]
  const bulkhead = Bulkhead.make(Bulkhead.defaults)
  const semaphore = Semaphore.makeUnsafe(8)
  const compartment = cockatiel.bulkhead(8, 1000)
  const queue = new PQueue({ concurrency: 8 })

  return {
    name: "rate limiter and bulkhead",
    cases: [
      { name: "nothing: in-fiber promise", run: inFiber(noop) },
      ...(["token-bucket", "sliding-window", "fixed-window", "leaky-bucket"] as const).map((algorithm) => {
        const limit = limitOf(algorithm)
        return { name: `limiter: ours, ${algorithm}`, run: atOnce(() => local.tryAcquire(limit, "key")) }
      }),
      { name: "limiter: ours, 10,000 keys", run: atOnce(() => local.tryAcquire(sliding, ourNext())) },
      { name: "limiter: ours, 10,000 keys, fixed-window", run: atOnce(() => local.tryAcquire(fixed, ourNext())) },
      { name: "limiter: ours, in-fiber run", run: inFiber(limiter.run(sliding, "run")(noop)) },
      { name: "limiter: rate-limiter-flexible", run: awaited(() => oneKey.consume("key")) },
      { name: "limiter: rate-limiter-flexible, 10,000 keys", run: awaited(() => manyKeys.consume(theirNext())) },
      {
        name: "limiter: Effect's token bucket",
        run: inFiber(effects.consume({ key: "key", limit: wide, window: "1 minute", algorithm: "token-bucket" }))
      },
      { name: "bulkhead: ours", run: inFiber(bulkhead.run("key")(noop)) },
      {
        name: "bulkhead: ours, tryAcquire and release",
        run: atOnce(() => bulkhead.release(bulkhead.tryAcquire("key") as Bulkhead.Permit))
      },
      { name: "bulkhead: Effect's semaphore", run: inFiber(semaphore.withPermit(noop)) },
      { name: "bulkhead: cockatiel", run: awaited(() => compartment.execute(async () => 1)) },
      { name: "bulkhead: p-queue", run: awaited(() => queue.add(async () => 1)) }
    ],
    claims: [
      ...(["token-bucket", "sliding-window", "fixed-window", "leaky-bucket"] as const).map((algorithm) =>
        ratio(
          `a local decision (${algorithm}) is faster than rate-limiter-flexible's`,
          `limiter: ours, ${algorithm}`,
          "limiter: rate-limiter-flexible"
        )
      ),
      ratio("with 10,000 keys too", "limiter: ours, 10,000 keys", "limiter: rate-limiter-flexible, 10,000 keys"),
      ratio(
        "and by the algorithm that both have",
        "limiter: ours, 10,000 keys, fixed-window",
        "limiter: rate-limiter-flexible, 10,000 keys"
      ),
      ratio("the bulkhead is faster than p-queue", "bulkhead: ours", "bulkhead: p-queue"),
      above("it costs at most 0.5 µs over the floor", "bulkhead: ours", "nothing: in-fiber promise", 500)
    ],
    close: () => runtime.dispose()
  }
}
