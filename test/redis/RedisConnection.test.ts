/** Ways to a Redis that is more than an address: by TLS, and through a cluster. */
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { Context, Effect, Layer, Schema } from "effect"
import * as RateLimiter from "../../src/reliability/RateLimiter.ts"
import * as RedisConnection from "../../src/reliability/RedisConnection.ts"
import * as RedisOptions from "../../src/reliability/RedisOptions.ts"
import * as RedisRateLimiter from "../../src/reliability/RedisRateLimiter.ts"
import { temporary } from "../host/served.ts"
import { onPath, requires } from "../support/requirement.ts"
import { until } from "../support/until.ts"
import { redisClient } from "./redisClient.ts"
import * as RedisServer from "./redisServer.ts"

const connected = Effect.fnUntraced(function* (options: object) {
  const redis = Schema.decodeUnknownSync(RedisOptions.Options)({ whenAway: "refuse", maxBackoff: "100 millis", ...options })
  const layer = RedisRateLimiter.layer("test").pipe(Layer.provideMerge(RedisConnection.layer(redis, "test")))
  const context = yield* Layer.build(Layer.fresh(layer))
  return { limiter: Context.get(context, RateLimiter.RateLimiter), connection: Context.get(context, RedisConnection.RedisConnection) }
})

requires("redis-server", () => onPath("redis-server"))("RedisConnection", () => {
  it.live("C21 every algorithm decides on a cluster: whichever node is named, the one that has the keys is found", () =>
    Effect.gen(function* () {
      const [named] = yield* cluster
      const { connection, limiter } = yield* connected({ url: named.server.url })
      assert.strictEqual(connection.state()._tag, "Up")
      assert.strictEqual(connection.state().generation, 1, "it was never away")
      for (const algorithm of ["token-bucket", "sliding-window", "fixed-window", "leaky-bucket"] as const) {
        const of = (name: string): RateLimiter.Request => ({ limit: { ...RateLimiter.defaults, name, algorithm, limit: 2 }, key: "k" })
        const permits = yield* limiter.acquireAll([of("some"), of("others")])
        yield* limiter.settle(permits[1]!, 0.5)
        yield* limiter.refund(permits[0]!)
      }
    })
  )

  it.live("C21 keys that move to another node of the cluster are followed there", () =>
    Effect.gen(function* () {
      const [named, owner] = yield* cluster
      // Its keys are taken away and given to the other: nobody may write them anew between that.
      const { connection, limiter } = yield* connected({ url: named.server.url, heartbeat: "1 hour", afterLoss: "fresh" })
      yield* limiter.acquire(RateLimiter.defaults, "k")
      yield* Effect.promise(async () => {
        const slot = `${await named.send("KEYSLOT", "{nofx}")}`
        const id = await named.send("MYID")
        await owner.client.flushAll()
        for (const { send } of [named, owner]) await send("SETSLOT", slot, "NODE", id)
      })
      assert.strictEqual((yield* Effect.flip(limiter.acquire(RateLimiter.defaults, "k"))).reason, "away")
      yield* until(() => connection.state()._tag === "Up")
      yield* limiter.acquire(RateLimiter.defaults, "k")
      assert.isAbove(yield* Effect.promise(() => named.client.dbSize()), 0)
      assert.strictEqual(yield* Effect.promise(() => owner.client.dbSize()), 0)
    })
  )
})

/** Two nodes that know each other; the second has all slots. */
const cluster = Effect.gen(function* () {
  const node = Effect.gen(function* () {
    const busPort = `${yield* Effect.promise(RedisServer.freePort)}`
    const server = yield* RedisServer.make(["--cluster-enabled", "yes", "--cluster-port", busPort])
    const client = yield* redisClient(server.url)
    const send = (...words: ReadonlyArray<string>) => client.sendCommand<string>(["CLUSTER", ...words])
    return { server, client, send, busPort }
  })
  const nodes = [yield* node, yield* node] as const
  const [named, owner] = nodes
  yield* Effect.promise(() => named.send("MEET", "127.0.0.1", `${owner.server.port}`, owner.busPort))
  yield* Effect.promise(() => owner.send("ADDSLOTSRANGE", "0", "16383"))
  for (const { send } of nodes) yield* until(async () => (await send("INFO")).includes("cluster_state:ok"))
  return nodes
})

requires("openssl", () => onPath("openssl") && onPath("redis-server"))("RedisConnection by TLS", () => {
  it.live("C21 rediss:// is spoken with a server whose authority is trusted, and with no other", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const [key, certificate] = [join(directory, "key.pem"), join(directory, "certificate.pem")]
      const request = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=IP:127.0.0.1"
      ]
      execFileSync("openssl", [...request, "-keyout", key, "-out", certificate], { stdio: "ignore" })
      const port = yield* Effect.promise(RedisServer.freePort)
      yield* RedisServer.make(["--tls-port", `${port}`, "--tls-cert-file", certificate, "--tls-key-file", key, "--tls-auth-clients", "no"])
      const url = `rediss://127.0.0.1:${port}`
      const trusted = yield* connected({ url, certificateAuthority: readFileSync(certificate, "utf8") })
      yield* trusted.limiter.acquire(RateLimiter.defaults, "k")
      const state = (yield* connected({ url })).connection.state()
      assert(state._tag === "Away")
      assert.match(state.cause, /self.signed/)
    })
  )
})
