import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { AgentRuntime } from "../../src/AgentRuntime.ts"
import * as Http from "../../src/host/Http.ts"
import * as Metrics from "../../src/telemetry/Metrics.ts"
import * as Scripted from "../support/runtime.ts"
import { isolated, run, runtimeLayer } from "./scriptedRun.ts"

/** The host's pages, of a runtime that the test has too. */
const served = (options: Partial<Http.Options> = {}, runtime = runtimeLayer) =>
  Effect.gen(function* () {
    const http = yield* Http.make({ port: 0, ...options })
    const get = getter(http.url)
    const context = yield* Layer.build(Layer.provideMerge(http.attached, runtime))
    return { http, get, runtime: Context.get(context, AgentRuntime) }
  })

const getter = (url: string) => {
  const { port } = new URL(url)
  return (path: string, headers: Record<string, string> = {}, method = "GET") =>
    Effect.promise(async () => {
      const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers, method })
      const text = await response.text()
      const type = response.headers.get("content-type") ?? ""
      return { status: response.status, type, text, json: type.includes("json") && text !== "" ? JSON.parse(text) : undefined }
    })
}

describe("Http", () => {
  it.live("C32 a host that is well answers three probes in the standard format, with what it observed", () =>
    isolated(
      Effect.gen(function* () {
        const { get, http, runtime } = yield* served()
        assert.strictEqual(new URL(http.url).hostname, "127.0.0.1")
        yield* runtime.runHealthChecks
        for (const path of ["/livez", "/readyz", "/startupz"]) {
          const { json, status, type } = yield* get(path)
          assert.strictEqual(status, 200)
          assert.include(type, "application/health+json")
          assert.deepInclude(json, { status: "pass", version: "1", serviceId: "nofx", draining: false })
        }
        const { json } = yield* get("/readyz")
        assert.strictEqual(json.checks.store[0].status, "pass")
        assert.match(json.checks.store[0].observedValue, /writes/)
        assert.strictEqual((yield* get("/other")).status, 404)
        assert.deepInclude(yield* get("/livez", {}, "HEAD"), { status: 200, text: "" })
      }).pipe(Effect.scoped)
    )
  )

  it.live("C32 an open breaker is a warning, never a host that is dead or not ready", () =>
    isolated(
      Effect.gen(function* () {
        const { get, runtime } = yield* served()
        yield* runtime.spawn({ id: "a", driver: "command", command: ["x"] })
        yield* runtime.isolateAgentCircuitBreaker("a", "by hand")
        yield* runtime.runHealthChecks
        assert.deepInclude((yield* get("/livez")).json, { status: "warn" })
        const { json, status } = yield* get("/readyz")
        assert.strictEqual(status, 200)
        assert.strictEqual(json.status, "warn")
        assert.isTrue(Object.keys(json.checks).some((name) => name.includes("circuit")))
      }).pipe(Effect.scoped)
    )
  )

  it.live("C32 while it drains it is alive and takes no new work", () =>
    isolated(
      Effect.gen(function* () {
        const runtimes = Scripted.layer({ drivers: { command: Scripted.driver(Scripted.succeedAfter("1 hour")) } })
        const { get, runtime } = yield* served({}, runtimes)
        yield* runtime.spawn({ id: "a", driver: "command", command: ["x"] })
        yield* runtime.submit({ id: "t", prompt: "p" })
        const ending = yield* Effect.forkChild(runtime.shutdown, { startImmediately: true })
        const ready = yield* get("/readyz")
        assert.strictEqual(ready.status, 503)
        assert.deepInclude(ready.json, { status: "fail", draining: true })
        assert.include(ready.json.output, "draining")
        assert.strictEqual((yield* get("/livez")).status, 200)
        assert.strictEqual((yield* get("/startupz")).status, 200)
        yield* runtime.shutdown
        yield* Effect.yieldNow
        void ending
      }).pipe(Effect.scoped)
    )
  )

  it.live("C32 before there is a runtime, and after, it is alive and neither started nor ready", () =>
    isolated(
      Effect.gen(function* () {
        const http = yield* Http.make({ port: 0 })
        const get = getter(http.url)
        const without = Effect.gen(function* () {
          assert.deepInclude(yield* get("/livez"), { status: 200, type: "application/health+json" })
          for (const path of ["/readyz", "/startupz"]) {
            const { json, status } = yield* get(path)
            assert.strictEqual(status, 503)
            assert.deepInclude(json, { status: "fail", output: "the runtime is not there" })
          }
        })
        yield* without
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* Layer.build(Layer.provide(http.attached, runtimeLayer))
            assert.strictEqual((yield* get("/startupz")).status, 200)
          })
        )
        yield* without
      }).pipe(Effect.scoped)
    )
  )

  it.live("C59 its numbers are its own: who exports them elsewhere too counts nothing twice", () =>
    isolated(
      Effect.gen(function* () {
        const { get, runtime } = yield* served({}, Layer.provideMerge(Metrics.layer, runtimeLayer))
        yield* Effect.provideService(run, AgentRuntime, runtime)
        for (const text of [(yield* get("/metrics")).text, yield* Metrics.prometheusText])
          assert.include(text, 'nofx_task_ended_total{nofx_task_outcome="succeeded"} 3\n')
      }).pipe(Effect.scoped)
    )
  )

  it.live("C60 a port that cannot be had is said", () =>
    Effect.gen(function* () {
      const { url } = yield* Http.make({ port: 0 })
      const error = yield* Effect.flip(Http.make({ port: Number(new URL(url).port) }))
      assert.match(error.message, /Cannot listen for HTTP on 127\.0\.0\.1, port \d+: .*EADDRINUSE/)
    }).pipe(Effect.scoped)
  )

  it.live("C59 /metrics tells what a run did", () =>
    isolated(
      Effect.gen(function* () {
        const { get, runtime } = yield* served()
        yield* Effect.provideService(run, AgentRuntime, runtime)
        const { text, type } = yield* get("/metrics")
        assert.include(type, "text/plain; version=0.0.4")
        assert.include(text, 'nofx_task_ended_total{nofx_task_outcome="succeeded"} 3\n')
      }).pipe(Effect.scoped)
    )
  )

  it.live("C60 other machines are served only with a token, which every request carries", () =>
    isolated(
      Effect.gen(function* () {
        for (const refused of [{ host: "0.0.0.0" }, { host: "::" }, { host: "0.0.0.0", token: "short" }]) {
          const error = yield* Effect.flip(Http.make({ port: 0, ...refused }))
          assert.strictEqual(error._tag, "HttpTokenMissing")
        }
        const token = "0123456789abcdef"
        const { get } = yield* served({ host: "0.0.0.0", token })
        for (const path of ["/livez", "/readyz", "/startupz", "/metrics"]) {
          assert.strictEqual((yield* get(path)).status, 401)
          assert.strictEqual((yield* get(path, { authorization: "Bearer 0123456789abcdeg" })).status, 401)
          assert.strictEqual((yield* get(path, { authorization: `Bearer ${token}` })).status, 200)
        }
      }).pipe(Effect.scoped)
    )
  )
})
