import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { AgentRuntime } from "../../src/AgentRuntime.ts"
import * as Redaction from "../../src/reliability/Redaction.ts"
import * as AccountStore from "../../src/store/AccountStore.ts"
import { StoreUnavailable } from "../../src/store/Store.ts"
import { afterStart, claim, driver, failure, layer, type Script } from "../support/runtime.ts"

/** A runtime of its own. Asked twice, its shutdown waits for nothing that no clock will end. */
const built = (runtime: Layer.Layer<AgentRuntime>) =>
  Effect.acquireRelease(
    Effect.map(Layer.build(Layer.fresh(runtime)), (context) => Context.get(context, AgentRuntime)),
    ({ shutdown }) => Effect.all([shutdown, shutdown], { concurrency: "unbounded" })
  )

/** One on the store that the user's runtimes share. */
const runtime = (store: AccountStore.AccountStore["Service"], script: Script) =>
  built(layer({ drivers: { test: driver(script) } }).pipe(Layer.provide(Layer.succeed(AccountStore.AccountStore, store))))

const agent = { id: "a", driver: "test", account: "anthropic" }
/** Is limited once; then the account has its quota back. */
const limited = (): Script => {
  let calls = 0
  const refused = failure({ _tag: "RateLimited", detail: "429", retryAfterMillis: 60_000 })
  return afterStart(Effect.suspend(() => (calls++ === 0 ? Effect.fail(refused) : Effect.succeed(claim()))))
}
const succeeding: Script = afterStart(Effect.succeed(claim()))

describe("AccountSync", () => {
  it.effect("C24 a limit met in one runtime parks the account's work in another, and no attempt is spent there", () =>
    Effect.gen(function* () {
      const store = AccountStore.makeMemory()
      const here = yield* runtime(store, limited())
      const there = yield* runtime(store, succeeding)
      yield* here.spawn(agent)
      yield* there.spawn(agent)
      yield* there.spawn({ ...agent, id: "other", account: "openai" })
      yield* here.submit({ id: "t", agent: "a", effect: "idempotent" })
      yield* TestClock.adjust("20 millis")
      const parked = yield* there.submit({ id: "t", agent: "a" })
      const free = yield* there.execute("other", { id: "free" })
      assert.strictEqual(free.state, "succeeded")
      yield* TestClock.adjust("59 seconds")
      const view = (yield* there.tasks).find((task) => task.key === parked.key)
      assert.strictEqual(view?.waiting?.for, "cooldown")
      assert.strictEqual(view?.attempts, 0)
      yield* TestClock.adjust("5 seconds")
      const end = yield* there.await(parked.key)
      assert.deepInclude(end, { state: "succeeded", attempts: 1 })
    })
  )

  it.effect("C24 a closing that is extended elsewhere is extended here before anything is admitted", () =>
    Effect.gen(function* () {
      const store = AccountStore.makeMemory()
      const there = yield* runtime(store, succeeding)
      const now = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
      const close = (until: number) =>
        store.put({ account: "anthropic", kind: "gate", generation: 0, until, state: { until, cause: "429", level: 0 } })
      yield* close(now + 10_000)
      yield* TestClock.adjust("20 millis")
      yield* there.spawn({ ...agent, account: "elsewhere" })
      yield* there.spawn({ ...agent, id: "b" }).pipe(Effect.forkChild)
      yield* TestClock.adjust("1 second")
      yield* close(now + 30_000)
      yield* TestClock.adjust("15 seconds")
      const [status] = (yield* there.snapshot).status.gates
      assert.deepInclude(status, { account: "anthropic", state: "closed" })
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual((yield* there.agents).find((each) => each.id === "b")?.state, "idle")
    })
  )

  it.effect("C53 a store of accounts that fails leaves limits local, shows as degraded, and recovers", () =>
    Effect.gen(function* () {
      const memory = AccountStore.makeMemory()
      let broken = true
      const guard = <A>(effect: Effect.Effect<A, StoreUnavailable>) =>
        Effect.suspend(() => (broken ? Effect.fail(new StoreUnavailable({ operation: "read", reason: "io", cause: "gone" })) : effect))
      const here = yield* runtime(
        {
          ...memory,
          put: (next) => guard(memory.put(next)),
          version: guard(memory.version),
          changesSince: (n) => guard(memory.changesSince(n))
        },
        succeeding
      )
      const degraded = Effect.map(here.getOverallHealthStatus, (report) =>
        JSON.stringify(report).includes("not shared with other runtimes")
      )
      yield* here.spawn(agent)
      yield* TestClock.adjust("20 millis")
      assert.strictEqual((yield* here.execute("a", { id: "one" })).state, "succeeded")
      assert.isTrue(yield* degraded)
      broken = false
      yield* TestClock.adjust("20 millis")
      yield* here.execute("a", { id: "two" })
      assert.isFalse(yield* degraded)
    })
  )

  it.effect("C16 C25 what a driver reports of a failure is kept without the secrets of the environment", () =>
    Effect.gen(function* () {
      const secret = "canary-5e1f0b7c"
      const script: Script = afterStart(
        Effect.fail(failure({ _tag: "InvalidRequest", detail: `refused ${secret}` }, { cause: new Error(`key ${secret} is wrong`) }))
      )
      const here = yield* built(layer({ drivers: { test: driver(script) }, environment: { redactor: Redaction.make([secret]) } }))
      const seen: Array<unknown> = []
      yield* here.subscribe((event) => void seen.push(event))
      yield* here.spawn(agent)
      const end = yield* here.execute("a", { id: "t" })
      const kept = JSON.stringify([end, seen, yield* here.snapshot, yield* here.getDLQMessages])
      assert.include(kept, "is wrong")
      assert.notInclude(kept, secret)
    })
  )
})
