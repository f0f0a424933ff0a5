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
      const node = Effect.gen(function* () {
        const server = yield* RedisServer.make([
          "--cluster-enabled",
          "yes",
          "--cluster-port",
          `${yield* Effect.promise(RedisServer.freePort)}`
        ])
        const client = yield* redisClient(server.url)
        const send = (...words: ReadonlyArray<string>) => client.sendCommand<string>(["CLUSTER", ...words])
        return { server, send }
      })
      const [named, owner] = [yield* node, yield* node]
      const bus = yield* Effect.promise(() => owner.send("NODES"))
      const busPort = /@(\d+)/.exec(bus)![1]!
      yield* Effect.promise(() => named.send("MEET", "127.0.0.1", `${owner.server.port}`, busPort))
      yield* Effect.promise(() => owner.send("ADDSLOTSRANGE", "0", "16383"))
      for (const { send } of [named, owner]) yield* until(async () => (await send("INFO")).includes("cluster_state:ok"))
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
