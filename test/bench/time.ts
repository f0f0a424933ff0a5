/** Retries that never retry, and time limits that are never reached. */
import * as cockatiel from "cockatiel"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Retry from "../../src/reliability/Retry.ts"
import * as TimeLimit from "../../src/reliability/TimeLimit.ts"
import { awaited, inFiber } from "./Measure.ts"
import { ratio, type Suite } from "./Suite.ts"

const noop = Effect.promise(() => Promise.resolve(1))

export const suite = async (): Promise<Suite> => {
  const runtime = ManagedRuntime.make(TimeLimit.layer)
  const limit = Context.get(await runtime.context(), TimeLimit.TimeLimit)
  const retry = await Effect.runPromise(Retry.make())
  const again = cockatiel.retry(cockatiel.handleAll, { maxAttempts: 3, backoff: new cockatiel.ExponentialBackoff() })
  const aggressive = cockatiel.timeout(10_000, cockatiel.TimeoutStrategy.Aggressive)

  return {
    name: "retry and time limit",
    cases: [
      { name: "nothing: in-fiber promise", run: inFiber(noop) },
      { name: "retry: ours", run: inFiber(retry.run({ key: "key" })(noop)) },
      { name: "retry: Effect's", run: inFiber(Effect.retry(noop, { times: 3 })) },
      { name: "retry: cockatiel", run: awaited(() => again.execute(async () => 1)) },
      { name: "time limit: ours", run: inFiber(limit.within("10 seconds")(noop)) },
      { name: "time limit: Effect's", run: inFiber(Effect.timeout(noop, "10 seconds")) },
      { name: "time limit: cockatiel", run: awaited(() => aggressive.execute(async () => 1)) }
    ],
    claims: [
      ratio("a retry that never retries is faster than Effect's", "retry: ours", "retry: Effect's"),
      ratio("a time limit is faster than Effect's", "time limit: ours", "time limit: Effect's"),
      ratio("a time limit is faster than cockatiel's", "time limit: ours", "time limit: cockatiel")
    ],
    close: () => runtime.dispose()
  }
}
