import { spawn } from "node:child_process"
import { once } from "node:events"
import { connect } from "node:net"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Schema } from "effect"
import * as RateLimiter from "../../src/reliability/RateLimiter.ts"
import * as RedisConnection from "../../src/reliability/RedisConnection.ts"
import * as LimitScript from "../../src/reliability/RedisLimitScript.ts"
import * as RedisOptions from "../../src/reliability/RedisOptions.ts"
import * as RedisRateLimiter from "../../src/reliability/RedisRateLimiter.ts"
import { suite } from "../support/rateLimiterSuite.ts"
import { onPath, requires } from "../support/requirement.ts"
import { until } from "../support/until.ts"
import { redisClient } from "./redisClient.ts"
import * as RedisServer from "./redisServer.ts"

const algorithms = ["token-bucket", "sliding-window", "fixed-window", "leaky-bucket"] as const

const layerOf = (server: RedisServer.RedisServer, more: object = {}) =>
  RedisRateLimiter.layer("test").pipe(
    Layer.provideMerge(RedisConnection.layer(Schema.decodeUnknownSync(RedisOptions.Options)({ url: server.url, ...more }), "test"))
  )

/** What eight processes with wrong clocks admit, together and in order, while `meanwhile` happens. */
const hammered = (
  server: RedisServer.RedisServer,
  limit: number,
  window: number,
  millis: number,
  policy: string,
  meanwhile: Effect.Effect<void>
) =>
  Effect.gen(function* () {
    const children = Array.from({ length: 8 }, (_, index) => {
      const args = [join(import.meta.dirname, "hammer.ts"), server.url, limit, window, millis, (index - 4) * 90_000, policy].map(String)
      const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] })
      let output = ""
      child.stdout.on("data", (chunk) => (output += chunk))
      const ended = new Promise<Record<string, Array<number>>>((resolve, reject) =>
        child.once("close", (code) => (code === 0 ? resolve(JSON.parse(output.replace("ready", ""))) : reject(new Error(`exit ${code}`))))
      )
      return { ready: () => output.includes("ready"), go: () => child.stdin.write("go\n"), ended }
    })
    yield* until(() => children.every((child) => child.ready()))
    for (const child of children) child.go()
    const [all] = yield* Effect.all([Effect.promise(() => Promise.all(children.map((child) => child.ended))), meanwhile], {
      concurrency: "unbounded"
    })
    return (algorithm: string) => all.flatMap((each) => each[algorithm]!).sort((a, b) => a - b)
  })

/** The most that started in any one window. */
const busiest = (times: ReadonlyArray<number>, window: number): number => {
  let [most, from] = [0, 0]
  for (let to = 0; to < times.length; to++) {
    while (times[to]! - times[from]! >= window) from++
    most = Math.max(most, to - from + 1)
  }
  return most
}

const holds = (times: (algorithm: string) => ReadonlyArray<number>, limit: number, window: number, slack: number) => {
  assert.isAtMost(busiest(times("sliding-window"), window - slack), limit)
  assert.isAtMost(busiest(times("leaky-bucket"), window - slack), limit)
  assert.isAtMost(busiest(times("fixed-window"), window - slack), 2 * limit)
  const bucket = times("token-bucket")
  for (const [from, start] of bucket.entries())
    for (let to = from; to < bucket.length; to++) {
      const most = limit + ((bucket[to]! - start + slack) * limit) / window
      if (to - from + 1 > most + 1e-3) assert.fail(`${to - from + 1} in ${bucket[to]! - start} ms`)
    }
}

requires("redis-server", () => onPath("redis-server"))("RateLimiter on Redis", () => {
  suite("on Redis", Layer.unwrap(Effect.map(RedisServer.make(), (server) => layerOf(server))), { live: true, window: "1500 millis" })

  it.live("C21 eight processes with clocks wrong by minutes never exceed the limit, and use it up", () =>
    Effect.gen(function* () {
      const server = yield* RedisServer.make()
      const times = yield* hammered(server, 40, 1000, 6000, "refuse", Effect.void)
      holds(times, 40, 1000, 0)
      for (const algorithm of algorithms) {
        const of = times(algorithm)
        const nominal = ((of.at(-1)! - of[0]!) * 40) / 1000
        assert.isAtLeast(of.length, 0.8 * nominal, algorithm)
      }
      // A fixed window begins with its first call and holds the limit.
      let [start, used] = [Number.NEGATIVE_INFINITY, 0]
      for (const at of times("fixed-window")) {
        if (at >= start + 1000) [start, used] = [at, 0]
        assert.isAtMost(++used, 40)
      }
    })
  )

  for (const policy of ["refuse", "local-share"])
    it.live(`C22 eight processes never exceed the limit while Redis is killed and started again (${policy})`, () =>
      Effect.gen(function* () {
        const server = yield* RedisServer.make()
        let restartedAt = 0
        const crash = Effect.gen(function* () {
          yield* Effect.sleep(3000)
          yield* Effect.promise(server.kill)
          yield* Effect.sleep(2500)
          yield* Effect.promise(server.start)
          restartedAt = Date.now()
        })
        const times = yield* hammered(server, 40, 1000, 9500, policy, crash)
        // What a share admits is timed a little after it is decided.
        holds(times, 40, 1000, policy === "refuse" ? 0 : 50)
        assert.isAbove(times("sliding-window").filter((at) => at > restartedAt + 1000).length, 20, "it goes back")
        const alone = times("sliding-window").filter((at) => at > restartedAt - 1400 && at < restartedAt - 100).length
        if (policy === "refuse") assert.strictEqual(alone, 0)
        else assert.isAbove(alone, 10)
      })
    )

  it.live("C18 1,000 waiters of two processes start in the order in which they came", () =>
    Effect.gen(function* () {
      const server = yield* RedisServer.make()
      const patient = layerOf(server, { timeout: "10 seconds" })
      const [one, other] = [yield* Layer.build(patient), yield* Layer.build(Layer.fresh(patient))]
      const limit: RateLimiter.Limit = {
        ...RateLimiter.defaults,
        name: "queue",
        limit: 100,
        window: Duration.millis(250),
        maxQueue: 1000,
        maxWait: Duration.seconds(60)
      }
      const started: Array<{ readonly index: number; readonly at: number }> = []
      yield* Effect.forEach(
        Array.from({ length: 1000 }, (_, index) => index),
        (index) =>
          RateLimiter.RateLimiter.use((limiter) => limiter.wait(limit, "key")).pipe(
            Effect.map((permit) => started.push({ index, at: (permit as unknown as { serverAt: number }).serverAt })),
            Effect.provide(index % 2 === 0 ? one : other)
          ),
        { concurrency: "unbounded", discard: true }
      )
      assert.strictEqual(started.length, 1000)
      for (const parity of [0, 1]) {
        const own = started.filter(({ index }) => index % 2 === parity)
        assert.deepStrictEqual(
          own,
          own.toSorted((a, b) => a.index - b.index),
          "nobody is overtaken in a process"
        )
        assert.deepStrictEqual(
          own,
          own.toSorted((a, b) => a.at - b.at)
        )
      }
      const times = started.map(({ at }) => at)
      let latest = 0
      for (const at of times) {
        assert.isAbove(at, latest - 250, "nor by another process by as much as a window")
        latest = Math.max(latest, at)
      }
      assert.isAtMost(
        busiest(
          times.sort((a, b) => a - b),
          250
        ),
        100
      )
    })
  )

  it.live("C18 an interrupted waiter gives back its time, and the queue is bounded", () =>
    Effect.gen(function* () {
      const limiter = yield* RateLimiter.RateLimiter
      const limit: RateLimiter.Limit = {
        ...RateLimiter.defaults,
        name: "bounded",
        limit: 1,
        window: Duration.minutes(1),
        maxQueue: 1,
        maxWait: Duration.minutes(5)
      }
      yield* limiter.acquire(limit, "key")
      const waiter = yield* Effect.forkChild(limiter.wait(limit, "key"), { startImmediately: true })
      yield* until(() => limiter.metrics().waiting === 1)
      assert.strictEqual((yield* Effect.flip(limiter.wait(limit, "key"))).reason, "queue")
      yield* Fiber.interrupt(waiter)
      const { retryAfter } = yield* Effect.flip(limiter.acquire(limit, "key"))
      assert.isAtMost(Duration.toMillis(retryAfter!), 60_001)
    }).pipe(Effect.provide(Layer.unwrap(Effect.map(RedisServer.make(), (server) => layerOf(server)))))
  )

  it.live("C19 several limits admit together or not at all, on an estimate that is settled afterwards", () =>
    Effect.gen(function* () {
      const limiter = yield* RateLimiter.RateLimiter
      const requests: RateLimiter.Limit = { ...RateLimiter.defaults, name: "requests", limit: 3, window: Duration.minutes(1) }
      const tokens: RateLimiter.Limit = {
        ...RateLimiter.defaults,
        name: "tokens",
        algorithm: "token-bucket",
        limit: 1000,
        window: Duration.minutes(1)
      }
      const call = (estimate: number) =>
        limiter.acquireAll([
          { limit: requests, key: "k" },
          { limit: tokens, key: "k", cost: estimate }
        ])
      const [, estimated] = yield* call(900)
      assert.strictEqual((yield* Effect.flip(call(500))).limit, "tokens")
      yield* limiter.settle(estimated!, 300)
      yield* call(500)
      yield* call(100)
      assert.strictEqual((yield* Effect.flip(call(1))).limit, "requests", "the refused call spent no request")
    }).pipe(Effect.provide(Layer.unwrap(Effect.map(RedisServer.make(), (server) => layerOf(server)))))
  )

  it.live(
    "C19 requests, tokens and calls at once are admitted in one step; what was estimated is settled, and the place of a call that ended is free",
    () =>
      Effect.gen(function* () {
        const limiter = yield* RateLimiter.RateLimiter
        const requests: RateLimiter.Limit = { ...RateLimiter.defaults, name: "requests", limit: 10 }
        const tokens: RateLimiter.Limit = { ...RateLimiter.defaults, name: "tokens", algorithm: "token-bucket", limit: 1000 }
        // Who ends gives the whole permit back; who dies without a word holds it for the window.
        const atOnce: RateLimiter.Limit = { ...RateLimiter.defaults, name: "at once", limit: 2, window: Duration.hours(1) }
        const call = limiter.acquireAll(
          [requests, { ...tokens }, atOnce].map((limit) => ({ limit, key: "k", cost: limit.name === "tokens" ? 400.5 : 1 }))
        )
        const [first] = [yield* call, yield* call]
        assert.strictEqual((yield* Effect.flip(call)).limit, "at once")
        yield* limiter.refund(first[2]!)
        assert.strictEqual((yield* Effect.flip(call)).limit, "tokens", "a place is free, and its tokens are not")
        yield* limiter.settle(first[1]!, 100.25)
        yield* call
      }).pipe(Effect.provide(Layer.unwrap(Effect.map(RedisServer.make(), (server) => layerOf(server)))))
  )

  for (const algorithm of ["token-bucket", "sliding-window", "fixed-window"] as const)
    it.live(`C18 parts of a call are given back exactly (${algorithm})`, () =>
      Effect.gen(function* () {
        const limiter = yield* RateLimiter.RateLimiter
        const limit: RateLimiter.Limit = { ...RateLimiter.defaults, name: "parts", algorithm, limit: 1, window: Duration.hours(1) }
        const permit = yield* limiter.acquire(limit, "k", 0.7)
        yield* Effect.flip(limiter.acquire(limit, "k", 0.4))
        yield* limiter.settle(permit, 0.1)
        yield* limiter.acquire(limit, "k", 0.9)
        yield* Effect.flip(limiter.acquire(limit, "k", 0.1))
      }).pipe(Effect.provide(Layer.unwrap(Effect.map(RedisServer.make(), (server) => layerOf(server)))))
    )

  it.live("C20 keys that are idle are gone, through the limiter", () =>
    Effect.gen(function* () {
      const server = yield* RedisServer.make()
      const client = yield* redisClient(server.url)
      yield* Effect.gen(function* () {
        const limiter = yield* RateLimiter.RateLimiter
        for (const algorithm of algorithms) {
          const limit: RateLimiter.Limit = { ...RateLimiter.defaults, name: "many", algorithm, limit: 1, window: Duration.seconds(3) }
          const keys = Array.from({ length: 2500 }, (_, index) => `${index}`)
          yield* Effect.forEach(keys, (key) => limiter.acquire(limit, key), { concurrency: 100, discard: true })
        }
        assert.isAbove(yield* Effect.promise(() => client.dbSize()), 1000)
        // The members and the mark of the server's process.
        yield* until(() => client.dbSize().then((size) => size <= 2))
      }).pipe(Effect.provide(layerOf(server, { timeout: "10 seconds" })))
    })
  )

  it.live("C20 a million keys take less than 300 bytes each, and leave no memory taken when they are idle", () =>
    Effect.gen(function* () {
      const server = yield* RedisServer.make(["--enable-debug-command", "local", "--active-expire-effort", "10"])
      const client = yield* redisClient(server.url)
      const used = () => client.info("memory").then((text) => Number(/used_memory:(\d+)/.exec(text)?.[1]))
      let unused = 0
      yield* Effect.promise(async () => {
        await client.set("run", "any 0")
        // All are there at once, however long it takes to write them.
        await client.sendCommand(["DEBUG", "SET-ACTIVE-EXPIRE", "0"])
        const before = await used()
        const millionth = 1_000_000 / algorithms.length
        for (const algorithm of algorithms) {
          const hash = await client.scriptLoad(LimitScript.usual[algorithm].lua)
          await piped(server.port, millionth, (index) => {
            const key = `${algorithm}:${index}`
            const keys = algorithm === "sliding-window" ? ["run", key, `${key}:used`] : ["run", key]
            return [
              "EVALSHA",
              hash,
              `${keys.length}`,
              ...keys,
              "any 0",
              "1000",
              "1",
              `${LimitScript.measureOf({ algorithm, limit: 1 }, 1000)}`
            ]
          })
        }
        // A sliding window has two, and the mark has one.
        assert.strictEqual(await client.dbSize(), 5 * millionth + 1)
        assert.isBelow(((await used()) - before) / 1_000_000, 300)
        await client.sendCommand(["DEBUG", "SET-ACTIVE-EXPIRE", "1"])
        unused = before + 1_000_000
      })
      yield* until(async () => (await client.dbSize()) === 1 && (await used()) < unused)
    })
  )
})

/** Sends commands by thousands without waiting for each, and ends when the last is answered. */
const piped = async (port: number, count: number, command: (index: number) => ReadonlyArray<string>): Promise<void> => {
  const socket = connect(port, "127.0.0.1")
  let answers = ""
  const answered = new Promise<void>((resolve, reject) => {
    socket.on("data", (chunk) => {
      answers = (answers + chunk.toString("latin1")).slice(-16)
      if (answers.endsWith("+PONG\r\n")) resolve()
    })
    socket.once("error", reject)
  })
  for (let from = 0; from < count; from += 1000) {
    let text = ""
    for (let index = from; index < Math.min(count, from + 1000); index++) {
      const words = command(index)
      text += `*${words.length}\r\n`
      for (const word of words) text += `$${word.length}\r\n${word}\r\n`
    }
    if (!socket.write(text)) await once(socket, "drain")
  }
  socket.write("PING\r\n")
  await answered
  socket.destroy()
}
