/**
 * One of several processes that hammer the same keys: `hammer.ts URL LIMIT WINDOW_MILLIS MILLIS SKEW_MILLIS POLICY`. Its clock is wrong by the skew. Says `ready`, begins
 * when it is told to on its standard input, and prints, by algorithm,
 * when calls were admitted: Unix milliseconds, by the server's clock where Redis counted them.
 */
import { once } from "node:events"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as RateLimiter from "../../src/reliability/RateLimiter.ts"
import * as RedisConnection from "../../src/reliability/RedisConnection.ts"
import * as RedisOptions from "../../src/reliability/RedisOptions.ts"
import * as RedisRateLimiter from "../../src/reliability/RedisRateLimiter.ts"

const [url, limit, window, millis, skew, whenAway] = process.argv.slice(2)
const options = Schema.decodeUnknownSync(RedisOptions.Options)({ url, whenAway, maxBackoff: "100 millis", heartbeat: "200 millis" })
const id = `hammer-${process.pid}`
const trueNow = () => performance.timeOrigin + performance.now()

const hammer = (algorithm: RateLimiter.Limit["algorithm"], until: number) =>
  Effect.gen(function* () {
    const limiter = yield* RateLimiter.RateLimiter
    const own: RateLimiter.Limit = {
      ...RateLimiter.defaults,
      name: "hammer",
      algorithm,
      limit: Number(limit),
      window: Duration.millis(Number(window))
    }
    const times: Array<number> = []
    while (trueNow() < until) {
      const answer = yield* Effect.result(limiter.acquire(own, "key"))
      if (answer._tag === "Success") times.push((answer.success as { serverAt?: number }).serverAt ?? trueNow())
      // The event loop goes round, and others get their turn.
      yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 1)))
    }
    return [algorithm, times] as const
  })

const program = Effect.gen(function* () {
  const clock = yield* Clock.Clock
  const shifted = Object.assign(Object.create(clock), {
    currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + Number(skew),
    monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe() + BigInt(Number(skew) + 1e9) * 1_000_000n
  })
  const all = Effect.gen(function* () {
    // The first answer of the service says that it is connected.
    yield* RateLimiter.RateLimiter
    console.log("ready")
    yield* Effect.promise(() => once(process.stdin, "data"))
    process.stdin.pause()
    const until = trueNow() + Number(millis)
    const algorithms = ["token-bucket", "sliding-window", "fixed-window", "leaky-bucket"] as const
    return yield* Effect.forEach(algorithms, (algorithm) => hammer(algorithm, until), { concurrency: "unbounded" })
  }).pipe(Effect.provide(RedisRateLimiter.layer(id).pipe(Layer.provide(RedisConnection.layer(options, id)))))
  return yield* Effect.provideService(all, Clock.Clock, shifted)
})

process.stdout.write(JSON.stringify(Object.fromEntries(await Effect.runPromise(program))))
