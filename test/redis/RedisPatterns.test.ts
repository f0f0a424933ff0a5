import { assert, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Schema } from "effect"
import * as CooldownGate from "../../src/reliability/CooldownGate.ts"
import * as Health from "../../src/reliability/Health.ts"
import * as RateLimiter from "../../src/reliability/RateLimiter.ts"
import { RedisConnection } from "../../src/reliability/RedisConnection.ts"
import * as RedisOptions from "../../src/reliability/RedisOptions.ts"
import * as RedisPatterns from "../../src/reliability/RedisPatterns.ts"
import * as Retry from "../../src/reliability/Retry.ts"
import { onPath, requires } from "../support/requirement.ts"
import { until } from "../support/until.ts"
import * as RedisServer from "./redisServer.ts"

/** One machine of several; each call builds another. */
const machine = (url: string, more: object = {}) =>
  Effect.gen(function* () {
    const redis = Schema.decodeUnknownSync(RedisOptions.Options)({
      url,
      heartbeat: "100 millis",
      maxBackoff: "100 millis",
      timeout: "500 millis",
      ...more
    })
    const layer = Layer.fresh(
      RedisPatterns.layer({ redis, cooldown: CooldownGate.defaults, retry: Retry.defaults }).pipe(Layer.provideMerge(Health.layer()))
    )
    const context = yield* Layer.build(layer)
    return {
      gate: Context.get(context, CooldownGate.CooldownGate),
      health: Context.get(context, Health.Health),
      limiter: Context.get(context, RateLimiter.RateLimiter),
      connection: Context.get(context, RedisConnection),
      budget: Context.get(context, Retry.Retry).budget
    }
  })

const limit: RateLimiter.Limit = { ...RateLimiter.defaults, name: "few", limit: 4, window: Duration.minutes(1) }

requires("redis-server", () => onPath("redis-server"))("patterns on Redis", () => {
  it.live(
    "C24 a rate limit on one machine closes the account's gate on every other, one that starts later too, until somebody opens it",
    () =>
      Effect.gen(function* () {
        const server = yield* RedisServer.make()
        const [one, two] = [yield* machine(server.url), yield* machine(server.url)]
        one.gate.close("anthropic", { cause: "RateLimited", retryAfterMillis: 60_000 })
        yield* until(() => two.gate.status("anthropic").state === "closed")
        const later = yield* machine(server.url)
        yield* until(() => later.gate.status("anthropic").state === "closed")
        for (const { gate } of [one, two, later]) {
          const refusal = gate.tryAcquire("anthropic")
          assert(refusal._tag === "GateClosed")
          assert.approximately(Duration.toMillis(refusal.retryAfter), 61_000, 5_000)
          assert.strictEqual(refusal.cause, "RateLimited")
          assert.strictEqual(gate.tryAcquire("openai")._tag, "GatePermit")
        }
        two.gate.open("anthropic")
        yield* until(() => [one, two, later].every(({ gate }) => gate.tryAcquire("anthropic")._tag === "GatePermit"))
      })
  )

  it.live("C24 a gate that closes while Redis is away is told to the others when it is back", () =>
    Effect.gen(function* () {
      const server = yield* RedisServer.make()
      const [one, two] = [yield* machine(server.url), yield* machine(server.url)]
      yield* Effect.promise(server.kill)
      yield* until(() => one.connection.state()._tag === "Away")
      one.gate.close("anthropic", { cause: "RateLimited", retryAfterMillis: 60_000 })
      yield* Effect.promise(server.start)
      yield* until(() => two.gate.status("anthropic").state === "closed")
    })
  )

  it.live("C14 machines together never spend more retries than one budget holds, and what was fetched and not used goes back", () =>
    Effect.gen(function* () {
      const server = yield* RedisServer.make()
      const [one, two] = [yield* machine(server.url), yield* machine(server.url)]
      let spent = 0
      // A minute brings 10 tokens, 10 calls bring 2: what trickles in during the test is less than one more.
      for (let call = 0; call < 10; call++) (call % 2 === 0 ? one : two).budget.deposit("x")
      yield* until(() => {
        for (const { budget } of [one, two]) if (budget.tryWithdraw("x")) spent++
        return spent >= 11
      })
      yield* until(() => one.budget.tokens("x") < 1 && two.budget.tokens("x") < 1)
      assert.isAtMost(spent, 13)
      assert.isAbove(one.budget.refusals() + two.budget.refusals(), 0)
      assert.isAbove(one.budget.waitMillis("x")!, 0)
    })
  )

  it.live("C22 Redis away is a degraded component with its cause, and refuses, allows or shares as configured", () =>
    Effect.gen(function* () {
      const server = yield* RedisServer.make()
      const policies = { refuse: 0, allow: 9, "local-share": 4 / 2 } as const
      const machines = yield* Effect.forEach(Object.keys(policies), (whenAway) =>
        Effect.all([
          machine(server.url, { whenAway, prefix: whenAway, afterLoss: "fresh" }),
          machine(server.url, { whenAway, prefix: whenAway })
        ])
      )
      yield* until(() => machines.every(([one]) => one.connection.members().count === 2))
      for (const [{ health }] of machines) assert.deepStrictEqual(health.degraded(), [])
      yield* Effect.promise(server.kill)
      for (const [index, expected] of Object.values(policies).entries()) {
        const { connection, health, limiter } = machines[index]![0]
        yield* until(() => connection.state()._tag === "Away")
        const [component] = health.degraded()
        assert.strictEqual(component?.component, "redis")
        assert.include(component?.cause, connection.options.whenAway)
        const answers = yield* Effect.forEach(Array.from({ length: 9 }), () => Effect.result(limiter.acquire(limit, "k")))
        assert.strictEqual(answers.filter((answer) => answer._tag === "Success").length, expected)
        const refusal = answers.find((answer) => answer._tag === "Failure")
        if (refusal !== undefined) assert.isDefined(refusal.failure.retryAfter)
      }
      yield* Effect.promise(server.start)
      for (const [{ connection, health }] of machines) {
        yield* until(() => connection.state()._tag === "Up")
        assert.deepStrictEqual(health.degraded(), [])
      }
    })
  )

  it.live("C22 a Redis that hangs is away within the time limit, and nothing waits for it meanwhile", () =>
    Effect.gen(function* () {
      const server = yield* RedisServer.make()
      const { connection, limiter } = yield* machine(server.url, { whenAway: "refuse" })
      yield* limiter.acquire(limit, "k")
      server.signal("SIGSTOP")
      const before = performance.now()
      const refusals = yield* Effect.forEach(Array.from({ length: 50 }), () => Effect.flip(limiter.acquire(limit, "k")), {
        concurrency: 50
      })
      assert.isBelow(performance.now() - before, 5_000)
      for (const { reason } of refusals) assert.strictEqual(reason, "away")
      server.signal("SIGCONT")
      yield* until(() => connection.state()._tag === "Up")
    })
  )

  it.live("C22 it starts without Redis, degraded, and uses it as soon as it is there", () =>
    Effect.gen(function* () {
      const server = yield* RedisServer.make()
      yield* Effect.promise(server.kill)
      const { connection, health } = yield* machine(server.url)
      assert.strictEqual(health.degraded()[0]?.component, "redis")
      yield* Effect.promise(server.start)
      yield* until(() => connection.state()._tag === "Up" && health.degraded().length === 0)
    })
  )

  it.live("C25 a password and a database are used, and no message shows the password", () =>
    Effect.gen(function* () {
      const server = yield* RedisServer.make(["--requirepass", "canary-secret"])
      const good = yield* machine(server.url, { password: "canary-secret", database: 3 })
      yield* good.limiter.acquire(limit, "k")
      for (const more of [{}, { password: "canary-wrong" }]) {
        const { connection, health } = yield* machine(server.url.replace("//", "//:canary-in-url@"), more)
        const state = connection.state()
        assert(state._tag === "Away")
        assert.notInclude(JSON.stringify([state, health.report(), connection.options]), "canary-wrong")
        assert.notInclude(JSON.stringify([state, health.report()]), "canary")
      }
    })
  )
})
