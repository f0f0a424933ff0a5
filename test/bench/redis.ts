/**
 * Decisions of limits in Redis, one after the other: the time until each is answered, and what it is on top of asking at all. That is the round trip of an `EVALSHA` of the same
 * client package that says as much, keys and arguments, of a script that only counts. Needs `redis-server`; measures nothing without it.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { RateLimiterRedis } from "rate-limiter-flexible"
import * as RateLimiter from "../../src/reliability/RateLimiter.ts"
import * as RedisConnection from "../../src/reliability/RedisConnection.ts"
import * as RedisOptions from "../../src/reliability/RedisOptions.ts"
import * as RedisRateLimiter from "../../src/reliability/RedisRateLimiter.ts"
import { redisClient } from "../redis/redisClient.ts"
import * as RedisServer from "../redis/redisServer.ts"
import { onPath } from "../support/requirement.ts"
import { awaited, inFiber } from "./Measure.ts"
import { ratio, type Suite } from "./Suite.ts"

const wide = 1_000_000_000
const algorithms = ["token-bucket", "sliding-window", "fixed-window", "leaky-bucket"] as const
const limitOf = (algorithm: RateLimiter.Limit["algorithm"]) =>
  Schema.decodeSync(RateLimiter.Limit)({ name: algorithm, algorithm, limit: wide, window: "1 second" })

export const suite = async (): Promise<Suite> => {
  const name = "rate limits in Redis"
  if (!onPath("redis-server")) return { name: `${name} (skipped: no redis-server)`, cases: [], claims: [], close: async () => {} }
  const scope = Scope.makeUnsafe()
  const { client, limiter } = await Effect.runPromise(
    Effect.gen(function* () {
      const server = yield* RedisServer.make()
      const options = Schema.decodeSync(RedisOptions.Options)({ url: server.url })
      const layer = RedisRateLimiter.layer("bench").pipe(Layer.provide(RedisConnection.layer(options, "bench")))
      return { client: yield* redisClient(server.url), limiter: Context.get(yield* Layer.build(layer), RateLimiter.RateLimiter) }
    }).pipe(Scope.provide(scope))
  )
  // As long as what a decision sends: where losses are noted, and the state; the server's process, window, cost and limit.
  const words = {
    keys: ["{nofx}:run", "{nofx}:limit:token-bucket:account:bare"],
    arguments: [`${"0".repeat(40)} 0`, "1000", "1", `${wide}`]
  }
  const sha = await client.scriptLoad("return redis.call('INCR', KEYS[2])")
  const flexible = new RateLimiterRedis({ storeClient: client, useRedisPackage: true, points: wide, duration: 1 })
  return {
    name,
    cases: [
      { name: "bare EVALSHA that counts", clock: "wall" as const, run: awaited(() => client.evalSha(sha, words)) },
      ...algorithms.map((algorithm) => ({
        name: `ours, ${algorithm}`,
        clock: "wall" as const,
        run: inFiber(limiter.acquire(limitOf(algorithm), "key"))
      })),
      { name: "rate-limiter-flexible", clock: "wall" as const, run: awaited(() => flexible.consume("key")) }
    ],
    // Short turns, many of them: what else the machine does comes and goes, and counts in time as it does not in work.
    effort: { rounds: 101, roundMillis: 15 },
    claims: [
      ...algorithms.map((algorithm) =>
        ratio(`a decision (${algorithm}) costs at most 1.3 times a bare EVALSHA`, `ours, ${algorithm}`, "bare EVALSHA that counts", 1.3)
      ),
      ...algorithms.map((algorithm) =>
        ratio(`a decision (${algorithm}) is ahead of rate-limiter-flexible's`, `ours, ${algorithm}`, "rate-limiter-flexible")
      )
    ],
    close: () => Effect.runPromise(Scope.close(scope, Exit.void))
  }
}
