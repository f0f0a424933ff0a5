import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import { AgentRuntime } from "../../src/AgentRuntime.ts"
import * as Telemetry from "../../src/telemetry/Telemetry.ts"
import { type Attribute, type Collector, collector, type LogRecord, type Metric, type Point, type Span } from "./collector.ts"
import { expected, isolated, run, runtimeLayer } from "./scriptedRun.ts"
import { prometheusName } from "../../src/telemetry/catalogue.ts"

const exportedRun = Effect.fnUntraced(function* (more: Record<string, string> = {}) {
  const collected = yield* collector
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collected.url, OTEL_RESOURCE_ATTRIBUTES: "team=x", ...more }
  const { events } = yield* isolated(run.pipe(Effect.scoped, Effect.provide(Telemetry.exported(runtimeLayer, env, "1.2.3"))))
  assert.deepStrictEqual(collected.refused, [])
  return { ...collected, events }
})

const attribute = (attributes: ReadonlyArray<Attribute>, key: string) => attributes.find((each) => each.key === key)?.value.stringValue

const at = (path: string, { received }: Pick<Collector, "received">) => received.filter((payload) => payload.path === path)

/** The last ones that were sent: the exporter's own last word has no series any more, for the runtime that they were of is gone. */
const metricsOf = (from: Pick<Collector, "received">): ReadonlyArray<Metric> =>
  at("/v1/metrics", from)
    .map(({ resourceMetrics }) => resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics = [] }) => metrics)))
    .findLast((metrics) => metrics.length > 0) ?? []

const spansOf = (from: Pick<Collector, "received">): ReadonlyArray<Span> =>
  at("/v1/traces", from).flatMap(({ resourceSpans }) => resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)))

const logsOf = (from: Pick<Collector, "received">): ReadonlyArray<LogRecord> =>
  at("/v1/logs", from).flatMap(({ resourceLogs }) =>
    resourceLogs.flatMap(({ scopeLogs }) => scopeLogs.flatMap(({ logRecords }) => logRecords))
  )

/** A point as Prometheus would name it. */
const series = (metric: Metric, { attributes = [] }: Point): string => {
  const labels = attributes
    .filter(({ key }) => key !== "unit")
    .map(({ key, value }) => `${key.replaceAll(".", "_")}="${value.stringValue}"`)
  const name = `${prometheusName(metric.name)}${metric.histogram === undefined ? "" : "_count"}`
  return labels.length === 0 ? name : `${name}{${labels.join(",")}}`
}

describe("OTLP", () => {
  for (const protocol of ["http/protobuf", "http/json"])
    it.live(`C59 a collector receives what a scripted run did, number for number (${protocol})`, () =>
      Effect.gen(function* () {
        const exported = yield* exportedRun(protocol === "http/json" ? { OTEL_EXPORTER_OTLP_PROTOCOL: protocol } : {})
        const found = new Map<string, number>()
        for (const metric of metricsOf(exported))
          for (const point of (metric.sum ?? metric.gauge ?? metric.histogram)!.dataPoints)
            found.set(series(metric, point), Number(point.asDouble ?? point.asInt ?? point.count))
        assert.deepStrictEqual(Object.fromEntries(Object.keys(expected).map((name) => [name, found.get(name)])), { ...expected })
        const metricOf = (name: string) => metricsOf(exported).find((metric) => metric.name === name)
        assert.strictEqual(metricOf("gen_ai.client.operation.duration")?.unit, "s")
        assert.strictEqual(metricOf("nofx.task.ended")?.sum?.isMonotonic, true)
        assert.strictEqual(spansOf(exported).filter(({ name }) => name.startsWith("invoke_agent ")).length, 7)
        const ended = logsOf(exported).filter(({ body }) => body.stringValue === "AttemptEnded")
        assert.strictEqual(ended.length, 7)
      }).pipe(Effect.scoped)
    )

  it.live("C59 an attempt is a trace under its own id, with one span a stage in the order of the pipe", () =>
    Effect.gen(function* () {
      const exported = yield* exportedRun()
      const spans = spansOf(exported)
      const attempts = exported.events.filter((event) => event._tag === "AttemptEnded")
      assert.strictEqual(attempts.length, 7)
      for (const attempt of attempts) {
        const own = spans.filter(({ traceId }) => traceId === attempt.attemptId)
        const root = own.find(({ name }) => name === `invoke_agent ${attempt.agentId}`)!
        assert.strictEqual(root.parentSpanId ?? "", "", "it is the first of its trace")
        assert.strictEqual(attribute(root.attributes, "gen_ai.agent.name"), attempt.agentId)
        assert.strictEqual(attribute(root.attributes, "gen_ai.provider.name"), "acme")
        assert.strictEqual(root.status.code === 2, attempt.fault !== undefined)
        const stages = own
          .filter(({ parentSpanId }) => parentSpanId === root.spanId)
          .sort((a, b) => Number(BigInt(a.startTimeUnixNano) - BigInt(b.startTimeUnixNano)))
        const expected = ["deadline", "retry", "cooldown", "rateLimit", "bulkhead", "circuitBreaker", "attemptLimit", "driver"]
        if (attempt.taskId === "checked") expected.push("verify")
        assert.sameMembers(
          stages.map(({ name }) => name.replace("stage ", "")),
          expected
        )
        for (const stage of stages) assert.isAtLeast(Number(BigInt(stage.endTimeUnixNano) - BigInt(stage.startTimeUnixNano)), 0)
      }
    }).pipe(Effect.scoped)
  )

  it.live("C59 every event is a log record with the trace id of its attempt; a dead letter's attempts have the same ids", () =>
    Effect.gen(function* () {
      const exported = yield* exportedRun()
      const logs = logsOf(exported)
      const traces = new Set(spansOf(exported).map(({ traceId }) => traceId))
      for (const event of exported.events) {
        if (!("attemptId" in event) || event._tag === "Progress") continue
        const record = logs.find(
          ({ attributes, body }) => body.stringValue === event._tag && attribute(attributes, "nofx.attempt.id") === event.attemptId
        )
        assert.strictEqual(record?.traceId, event.attemptId)
        assert.isTrue(traces.has(event.attemptId))
      }
      const dead = logs.filter(({ body }) => body.stringValue === "TaskDeadLettered")
      assert.strictEqual(dead.length, 2)
      for (const { severityText, traceId } of dead) {
        assert.strictEqual(severityText, "Error")
        assert.isTrue(traces.has(traceId!))
      }
      assert.isFalse(logs.some(({ body }) => body.stringValue === "Stage"))
    }).pipe(Effect.scoped)
  )

  it.live("C59 what is exported is shown on no terminal", () =>
    Effect.gen(function* () {
      const shown: Array<unknown> = []
      const terminal = Logger.make(({ message }) => void shown.push(message))
      yield* Effect.provide(exportedRun(), Logger.layer([terminal]))
      assert.deepStrictEqual(shown, [])
    }).pipe(Effect.scoped)
  )

  it.live("C59 the standard variables say who exports, where to, with which headers, and what of", () =>
    Effect.gen(function* () {
      const other = yield* collector
      const exported = yield* exportedRun({
        OTEL_SERVICE_NAME: "mine",
        OTEL_RESOURCE_ATTRIBUTES: "team=y,service.name=not%20mine",
        OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20abc",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${other.url}/v1/traces`,
        OTEL_EXPORTER_OTLP_TRACES_HEADERS: "x-own=1",
        OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: "http/json",
        OTEL_EXPORTER_OTLP_COMPRESSION: "gzip",
        OTEL_TRACES_EXPORTER: "console, OTLP",
        OTEL_LOGS_EXPORTER: "none",
        OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: ""
      })
      assert.deepStrictEqual([...new Set(exported.received.map(({ path }) => path))], ["/v1/metrics"])
      assert.deepStrictEqual([...new Set(other.received.map(({ path }) => path))], ["/v1/traces"])
      const { headers, resourceMetrics } = exported.received[0]!
      assert.include(headers, { authorization: "Bearer abc", "content-type": "application/x-protobuf", "content-encoding": "gzip" })
      assert.include(other.received[0]!.headers, { "x-own": "1", "content-type": "application/json" })
      const { attributes } = resourceMetrics[0]!.resource
      assert.strictEqual(attribute(attributes, "service.name"), "mine")
      assert.strictEqual(attribute(attributes, "service.version"), "1.2.3")
      assert.strictEqual(attribute(attributes, "team"), "y")
      assert.isNotEmpty(attribute(attributes, "service.instance.id"))
    }).pipe(Effect.scoped)
  )

  it.live("C59 without a word about the service it is nofx; resource attributes may say otherwise", () =>
    Effect.gen(function* () {
      for (const [attributes, name] of [
        ["team=x", "nofx"],
        ["service.name=their%20own,service.version=9", "their own"]
      ] as const) {
        const { received } = yield* exportedRun({
          OTEL_RESOURCE_ATTRIBUTES: attributes,
          OTEL_LOGS_EXPORTER: "none",
          OTEL_TRACES_EXPORTER: "none"
        })
        const { resource } = received[0]!.resourceMetrics[0]!
        assert.strictEqual(attribute(resource.attributes, "service.name"), name)
        assert.strictEqual(attribute(resource.attributes, "service.version"), name === "nofx" ? "1.2.3" : "9")
      }
    }).pipe(Effect.scoped)
  )

  it.live("C59 variables that say nonsense, or a protocol that is not spoken, export nothing and are said; work goes on", () =>
    Effect.gen(function* () {
      const shown: Array<string> = []
      const terminal = Logger.layer([Logger.make(({ logLevel, message }) => void shown.push(`${logLevel} ${String(message)}`))])
      const { received } = yield* exportedRun({ OTEL_METRIC_EXPORT_INTERVAL: "soon", OTEL_LOGS_EXPORTER: "none" }).pipe(
        Effect.provide(terminal)
      )
      assert.deepStrictEqual(received, [])
      assert.include(shown.join(), "Warn telemetry is not exported")
      shown.length = 0
      const spoken = yield* exportedRun({ OTEL_EXPORTER_OTLP_PROTOCOL: "grpc", OTEL_EXPORTER_OTLP_LOGS_PROTOCOL: "http/json" }).pipe(
        Effect.provide(terminal)
      )
      assert.deepStrictEqual([...new Set(spoken.received.map(({ path }) => path))], ["/v1/logs"])
      assert.deepStrictEqual(
        shown,
        ["traces", "metrics"].map(
          (signal) => `Warn ${signal} are not exported: the protocol grpc is not spoken here, only http/protobuf and http/json`
        )
      )
    }).pipe(Effect.scoped)
  )

  it.live("C59 without a collector, or switched off, nothing is exported and the runtime is the same", () =>
    Effect.gen(function* () {
      const { received, url } = yield* collector
      for (const nothing of [{}, { OTEL_EXPORTER_OTLP_ENDPOINT: "" }])
        assert.strictEqual(Telemetry.exported(runtimeLayer, nothing, "1"), runtimeLayer)
      for (const off of [
        { OTEL_SDK_DISABLED: "true" },
        { OTEL_TRACES_EXPORTER: "none", OTEL_METRICS_EXPORTER: "none", OTEL_LOGS_EXPORTER: "none" }
      ])
        assert.strictEqual(Telemetry.exported(runtimeLayer, { OTEL_EXPORTER_OTLP_ENDPOINT: url, ...off }, "1"), runtimeLayer)
      assert.isFalse(Telemetry.traces({ OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_TRACES_EXPORTER: "none" }))
      yield* AgentRuntime.use((runtime) => runtime.agents).pipe(Effect.scoped, Effect.provide(runtimeLayer))
      assert.deepStrictEqual(received, [])
    }).pipe(Effect.scoped)
  )
})
