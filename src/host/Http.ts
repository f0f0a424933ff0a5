/**
 * What a machine asks a host over HTTP: is it alive, ready, started, and its metrics. Nothing here changes anything.
 *
 * It listens on loopback by default. On any other address it needs a token, which every request carries as `Authorization: Bearer TOKEN`; without one it is not started.
 * It answers before there is a runtime, which may have much to recover: alive, and not started.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"
import { createHash, timingSafeEqual } from "node:crypto"
import { createServer } from "node:http"
import { isIP } from "node:net"
import { AgentRuntime } from "../AgentRuntime.ts"
import type { HealthReport } from "../reliability/Health.ts"
import * as Metrics from "../telemetry/Metrics.ts"
import { version } from "../version.ts"

export interface Options {
  /** 0: any that is free. */
  readonly port: number
  /** Address to listen on. Default 127.0.0.1. */
  readonly host?: string | undefined
  /** Needed on every request. Required where `host` is not loopback; at least 16 characters. */
  readonly token?: string | undefined
}

/** The variable that holds the token: an argument would be seen by every user of the machine. */
export const tokenVariable = "NOFX_HTTP_TOKEN"

/** It would listen for other machines without anything to know them by. Fails before anything listens. */
export class HttpTokenMissing extends Schema.TaggedError<HttpTokenMissing>()("HttpTokenMissing", { host: Schema.String }) {
  override get message() {
    return `Listening on ${this.host} needs a token of at least 16 characters in ${tokenVariable}: ${
      isLoopback(this.host) ? "the one that is there is shorter" : "other machines could reach it"
    }`
  }
}

/** The port cannot be had. */
export class HttpUnavailable extends Schema.TaggedError<HttpUnavailable>()("HttpUnavailable", {
  host: Schema.String,
  port: Schema.Int,
  cause: Schema.Defect()
}) {
  override get message() {
    return `Cannot listen for HTTP on ${this.host}, port ${this.port}: ${this.cause instanceof Error ? this.cause.message : String(this.cause)}`
  }
}

export interface Http {
  /** Where it listens. */
  readonly url: string
  /** The runtime that it tells of, from when this is built until it is closed. */
  readonly attached: Layer.Layer<never, never, AgentRuntime>
}

/** Health and metrics of a runtime that comes later, until the scope closes. */
export const make = Effect.fnUntraced(function* (options: Options) {
  const { host = "127.0.0.1", port, token } = options
  if (token === undefined ? !isLoopback(host) : token.length < shortest) return yield* new HttpTokenMissing({ host })
  let runtime: AgentRuntime["Service"] | undefined
  // Of its own: who exports metrics elsewhere counts in another one.
  const registry = Context.make(Metric.MetricRegistry, new Map())
  const pages: Pages = {
    report: Effect.suspend(() => (runtime === undefined ? Effect.succeed(undefined) : runtime.getOverallHealthStatus)),
    metrics: Effect.provideContext(Metrics.prometheusText, registry)
  }
  const context = yield* Layer.build(
    HttpRouter.serve(routes(token, pages), { disableLogger: true, disableListenLog: true }).pipe(
      Layer.provideMerge(NodeHttpServer.layerServer(() => createServer(), { port, host })),
      Layer.provide(NodeHttpServer.layerHttpServices)
    )
  ).pipe(Effect.catchTag("ServeError", ({ cause }) => Effect.fail(new HttpUnavailable({ host, port, cause }))))
  const attach = Effect.gen(function* () {
    runtime = yield* AgentRuntime
    yield* Effect.addFinalizer(() => Effect.sync(() => void (runtime = undefined)))
  })
  return {
    url: HttpServer.formatAddress(Context.get(context, HttpServer.HttpServer).address),
    attached: Layer.merge(Layer.effectDiscard(attach), Layer.provide(Layer.fresh(Metrics.layer), Layer.succeedContext(registry)))
  } satisfies Http
})

const shortest = 16

const isLoopback = (host: string): boolean => host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."))

const digest = (text: string): Buffer => createHash("sha256").update(text).digest()

/** Compares without telling by its time how much was right. */
const allows = (token: string | undefined, header: string | undefined): boolean =>
  token === undefined || timingSafeEqual(digest(`Bearer ${token}`), digest(header ?? ""))

type Probe = "live" | "ready" | "started"

/** What the routes answer with. */
interface Pages {
  /** Undefined: there is no runtime yet, or no more. */
  readonly report: Effect.Effect<HealthReport | undefined>
  readonly metrics: Effect.Effect<string>
}

const routes = (token: string | undefined, pages: Pages) => {
  const page = (path: `/${string}`, answer: Effect.Effect<HttpServerResponse.HttpServerResponse>) =>
    HttpRouter.add(
      "GET",
      path,
      Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) =>
        allows(token, headers["authorization"])
          ? answer
          : Effect.succeed(HttpServerResponse.text("a token is needed\n", { status: 401, headers: { "www-authenticate": "Bearer" } }))
      )
    )
  const probe = (path: `/${string}`, which: Probe) =>
    page(
      path,
      Effect.map(pages.report, (report) => (report === undefined ? withoutRuntime(which) : answerOf(report, which)))
    )
  return Layer.mergeAll(
    probe("/livez", "live"),
    probe("/readyz", "ready"),
    probe("/startupz", "started"),
    page(
      "/metrics",
      Effect.map(pages.metrics, (text) => HttpServerResponse.text(text, { contentType: "text/plain; version=0.0.4; charset=utf-8" }))
    )
  )
}

const kinds = { live: "liveness", ready: "readiness", started: "startup" } as const

/** The process is there, and nothing else: it recovers what was left, or it ends. */
const withoutRuntime = (probe: Probe): HttpServerResponse.HttpServerResponse =>
  probe === "live" ? respond(probe, true, "pass", {}) : respond(probe, false, "fail", { output: "the runtime is not there", checks: {} })

const respond = (probe: Probe, ok: boolean, status: "pass" | "warn" | "fail", more: object): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.jsonUnsafe(
    { status, version: "1", releaseId: version, serviceId: "nofx", description: `${kinds[probe]} of the host`, ...more },
    { status: ok ? 200 : 503, contentType: "application/health+json", headers: { "cache-control": "no-store" } }
  )

/** Health in the format of the IETF draft "Health Check Response Format for HTTP APIs": `pass`, `warn` or `fail`, and what was observed. */
const answerOf = (report: HealthReport, probe: Probe): HttpServerResponse.HttpServerResponse => {
  const ok = report[probe]
  const status = ok ? (report.status === "healthy" ? "pass" : "warn") : "fail"
  const checks: Record<string, ReadonlyArray<object>> = {}
  for (const check of report.checks) {
    if (!check.kinds.includes(kinds[probe])) continue
    checks[check.name] = [
      { status: statuses[check.status], observedValue: check.observed, time: new Date(check.at).toISOString(), componentType: "component" }
    ]
  }
  if (probe === "ready")
    for (const { cause, component, since } of report.degraded)
      checks[`degraded:${component}`] = [{ status: "warn", output: cause, time: new Date(since).toISOString(), componentType: "component" }]
  return respond(probe, ok, status, {
    ...(ok ? {} : { output: report.reasons.join("; "), notes: report.reasons }),
    draining: report.draining,
    checks
  })
}

const statuses = { healthy: "pass", degraded: "warn", unhealthy: "fail", unknown: "warn" } as const
