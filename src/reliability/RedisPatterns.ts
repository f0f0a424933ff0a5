/**
 * The patterns that several machines share, over one Redis. Whoever configures none never loads this module, nor the client.
 *
 * Redis being away degrades the component `redis`, with the cause, and blocks no work: the policies say what may go on.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import type * as CooldownGate from "./CooldownGate.ts"
import { Health } from "./Health.ts"
import { RedisConnection, layer as layerConnection, type State } from "./RedisConnection.ts"
import * as RedisCooldownGate from "./RedisCooldownGate.ts"
import type * as RedisOptions from "./RedisOptions.ts"
import * as RedisRateLimiter from "./RedisRateLimiter.ts"
import * as RedisRetryBudget from "./RedisRetryBudget.ts"
import * as Retry from "./Retry.ts"

export interface Options {
  readonly redis: RedisOptions.Options
  readonly cooldown: CooldownGate.Options
  readonly retry: Retry.Options
}

/** Limits, gates and retry budgets in Redis. */
export const layer = ({ cooldown, redis, retry }: Options) =>
  Layer.unwrap(
    Effect.map(Random.nextIntBetween(0, Number.MAX_SAFE_INTEGER), (number) => {
      const id = number.toString(36)
      return Layer.mergeAll(
        RedisRateLimiter.layer(id),
        RedisCooldownGate.layer(cooldown, id),
        Layer.effect(
          Retry.Retry,
          Effect.flatMap(RedisRetryBudget.make(retry.budget), (budget) => Retry.make(retry, budget))
        ),
        health
      ).pipe(Layer.provideMerge(layerConnection(redis, id)))
    })
  )

/** Shows whether Redis is there. */
const health = Layer.effectDiscard(
  Effect.gen(function* () {
    const connection = yield* RedisConnection
    const service = yield* Health
    const { whenAway } = connection.options
    const show = (state: State) =>
      state._tag === "Up" ? service.recovered("redis") : service.degrade("redis", `${state.cause}; limits: ${whenAway}`)
    yield* Effect.acquireRelease(
      Effect.sync(() => connection.onChange(show)),
      (unsubscribe) => Effect.sync(unsubscribe)
    )
    show(connection.state())
  })
)
