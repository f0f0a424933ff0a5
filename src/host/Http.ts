/**
 * What a machine asks a host over HTTP: is it alive, ready, started, and its metrics. Nothing here changes anything.
 *
 * It listens on loopback by default. On any other address it needs a token, which every request carries as `Authorization: Bearer TOKEN`; without one it is not started.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
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

/** It would listen for other machines without anything to know them by. Fails before anything listens. */
export class HttpTokenMissing extends Schema.TaggedError<HttpTokenMissing>()("HttpTokenMissing", { host: Schema.String }) {
  override get message() {
    return `Listening on ${this.host} needs a token of at least 16 characters: other machines could reach it`
  }
}

/** Health and metrics of the runtime, until the scope closes. Fails with `HttpTokenMissing`, or when the port cannot be had. */
export const layer = (options: Options) => {
  const { host = "127.0.0.1", port, token } = options
  const refused = (isLoopback(host) && token === undefined) || (token?.length ?? 0) >= shortest ? undefined : new HttpTokenMissing({ host })
  const allowed = Layer.effectDiscard(refused === undefined ? Effect.void : Effect.fail(refused))
  return HttpRouter.serve(routes(token), { disableLogger: true, disableListenLog: true }).pipe(
    Layer.provide(Metrics.layer),
    Layer.provideMerge(NodeHttpServer.layerServer(() => createServer(), { port, host })),
    Layer.provide(NodeHttpServer.layerHttpServices),
    Layer.provide(allowed)
  )
}

const shortest = 16

const isLoopback = (host: string): boolean => host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."))

const digest = (text: string): Buffer => createHash("sha256").update(text).digest()

/** Compares without telling by its time how much was right. */
const allows = (token: string | undefined, header: string | undefined): boolean =>
  token === undefined || timingSafeEqual(digest(`Bearer ${token}`), digest(header ?? ""))

type Probe = "live" | "ready" | "started"

const routes = (token: string | undefined) => {
  const guarded = <E, R>(answer: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
    Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) =>
      allows(token, headers["authorization"])
        ? answer
        : Effect.succeed(HttpServerResponse.text("a token is needed\n", { status: 401, headers: { "www-authenticate": "Bearer" } }))
    )
  const probe = (path: "/livez" | "/readyz" | "/startupz", which: Probe) =>
    HttpRouter.add(
      "GET",
      path,
      guarded(Effect.flatMap(AgentRuntime, (runtime) => Effect.map(runtime.getOverallHealthStatus, (report) => answerOf(report, which))))
    )
  return Layer.mergeAll(
    probe("/livez", "live"),
    probe("/readyz", "ready"),
    probe("/startupz", "started"),
    HttpRouter.add(
      "GET",
      "/metrics",
      guarded(
        Effect.map(Metrics.prometheusText, (text) =>
          HttpServerResponse.text(text, { contentType: "text/plain; version=0.0.4; charset=utf-8" })
        )
      )
    )
  )
}

/** Health in the format of the IETF draft "Health Check Response Format for HTTP APIs": `pass`, `warn` or `fail`, and what was observed. */
const answerOf = (report: HealthReport, probe: Probe): HttpServerResponse.HttpServerResponse => {
  const ok = report[probe]
  const status = ok ? (report.status === "healthy" ? "pass" : "warn") : "fail"
  const kind = { live: "liveness", ready: "readiness", started: "startup" }[probe] as "liveness" | "readiness" | "startup"
  const checks: Record<string, ReadonlyArray<object>> = {}
  for (const check of report.checks) {
    if (!check.kinds.includes(kind)) continue
    checks[check.name] = [
      { status: statuses[check.status], observedValue: check.observed, time: new Date(check.at).toISOString(), componentType: "component" }
    ]
  }
  if (probe === "ready")
    for (const { cause, component, since } of report.degraded)
      checks[`degraded:${component}`] = [{ status: "warn", output: cause, time: new Date(since).toISOString(), componentType: "component" }]
  return HttpServerResponse.jsonUnsafe(
    {
      status,
      version: "1",
      releaseId: version,
      serviceId: "nofx",
      description: `${kind} of the host`,
      ...(ok ? {} : { output: report.reasons.join("; "), notes: report.reasons }),
      draining: report.draining,
      checks
    },
    { status: ok ? 200 : 503, contentType: "application/health+json", headers: { "cache-control": "no-store" } }
  )
}

const statuses = { healthy: "pass", degraded: "warn", unhealthy: "fail", unknown: "warn" } as const
