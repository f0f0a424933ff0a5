import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { AgentRuntime } from "../../src/AgentRuntime.ts"
import * as Telemetry from "../../src/telemetry/Telemetry.ts"
import { isolated, run, runtimeLayer } from "./scriptedRun.ts"

interface Attribute {
  readonly key: string
  readonly value: { readonly stringValue?: string; readonly intValue?: string | number }
}
interface Point {
  readonly attributes: ReadonlyArray<Attribute>
  readonly asDouble?: number
  readonly asInt?: string | number
  readonly count?: string | number
}
interface Span {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly attributes: ReadonlyArray<Attribute>
  readonly status: { readonly code: number }
}

interface Sum {
  readonly dataPoints: ReadonlyArray<Point>
  readonly isMonotonic?: boolean
}
interface Exported {
  readonly name: string
  readonly unit: string
  readonly sum?: Sum
  readonly gauge?: Sum
  readonly histogram?: Sum
}
interface Resource<Scope> {
  readonly resource: { readonly attributes: ReadonlyArray<Attribute> }
  readonly scopeMetrics: ReadonlyArray<Scope>
  readonly scopeSpans: ReadonlyArray<Scope>
}
interface Payload {
  readonly resourceMetrics: ReadonlyArray<Resource<{ readonly metrics: ReadonlyArray<Exported> }>>
  readonly resourceSpans: ReadonlyArray<Resource<{ readonly spans: ReadonlyArray<Span> }>>
}

/** A collector of the protocol's JSON form: keeps what comes, by path. */
const collector = Effect.acquireRelease(
  Effect.promise(
    () =>
      new Promise<{ readonly url: string; readonly received: Record<string, Array<Payload>>; readonly close: () => void }>((resolve) => {
        const received: Record<string, Array<Payload>> = { "/v1/metrics": [], "/v1/traces": [], "/v1/logs": [] }
        const server = createServer((request, response) => {
          let body = ""
          request.on("data", (chunk) => (body += chunk))
          request.on("end", () => {
            received[request.url ?? ""]?.push(JSON.parse(body))
            response.setHeader("content-type", "application/json").end("{}")
          })
        })
        server.listen(0, "127.0.0.1", () =>
          resolve({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received, close: () => server.close() })
        )
      })
  ),
  ({ close }) => Effect.sync(close)
)

const exportedRun = Effect.gen(function* () {
  const { received, url } = yield* collector
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_EXPORTER_OTLP_PROTOCOL: "http/json", OTEL_RESOURCE_ATTRIBUTES: "team=x" }
  const { events } = yield* isolated(run.pipe(Effect.scoped, Effect.provide(Telemetry.exported(runtimeLayer, env, "1.2.3"))))
  return { received, events }
})

describe("OTLP", () => {
  it.live("C59 a collector receives what a scripted run did, number for number", () =>
    Effect.gen(function* () {
      const { received } = yield* exportedRun
      // The exporter's own last word has no series any more: the runtime that they were of is gone.
      const [last] = received["/v1/metrics"]!.findLast(({ resourceMetrics }) =>
        resourceMetrics[0]!.scopeMetrics.some((scope) => scope.metrics.length > 0)
      )!.resourceMetrics
      const resource = last!.resource.attributes
      const attribute = (key: string) => resource.find((each) => each.key === key)?.value.stringValue
      assert.deepStrictEqual([attribute("service.name"), attribute("service.version"), attribute("team")], ["nofx", "1.2.3", "x"])
      const metrics = last!.scopeMetrics.flatMap((scope) => scope.metrics)
      const metricOf = (name: string): Exported => {
        const metric = metrics.find((each) => each.name === name)
        assert(metric !== undefined, name)
        return metric
      }
      const points = (name: string): ReadonlyArray<Point> => {
        const { gauge, histogram, sum } = metricOf(name)
        return (sum ?? gauge ?? histogram)?.dataPoints ?? []
      }
      const number = (name: string, labels: Record<string, string> = {}) => {
        const found = points(name).find(({ attributes }) =>
          Object.entries(labels).every(([key, value]) => attributes.some((each) => each.key === key && each.value.stringValue === value))
        )
        return Number(found?.asDouble ?? found?.asInt ?? found?.count)
      }
      assert.strictEqual(number("nofx.task.accepted"), 6)
      assert.strictEqual(number("nofx.task.ended", { "nofx.task.outcome": "succeeded" }), 3)
      assert.strictEqual(number("nofx.task.ended", { "nofx.task.outcome": "dead-lettered" }), 2)
      assert.strictEqual(number("nofx.attempt.started"), 7)
      assert.strictEqual(number("nofx.attempt.tokens"), 300)
      assert.strictEqual(number("nofx.dead_letters"), 1)
      assert.strictEqual(number("gen_ai.client.operation.duration", { "error.type": "InvalidRequest" }), 2)
      assert.strictEqual(metricOf("gen_ai.client.operation.duration").unit, "s")
      assert.strictEqual(metricOf("nofx.task.ended").sum?.isMonotonic, true)
    }).pipe(Effect.scoped)
  )

  it.live("C59 an attempt is a trace under its own id, with one span a stage in the order of the pipe", () =>
    Effect.gen(function* () {
      const { events, received } = yield* exportedRun
      const spans = received["/v1/traces"]!.flatMap(({ resourceSpans }) =>
        resourceSpans.flatMap((resource) => resource.scopeSpans.flatMap((scope) => scope.spans))
      )
      const attempts = events.filter((event) => event._tag === "AttemptEnded")
      assert.strictEqual(attempts.length, 7)
      assert.strictEqual(spans.filter(({ name }) => name === "invoke_agent").length, 7)
      for (const attempt of attempts) {
        const own = spans.filter(({ traceId }) => traceId === attempt.attemptId)
        const root = own.find(({ name }) => name === "invoke_agent")!
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

  it.live("C59 without a collector, or switched off, nothing is exported and the runtime is the same", () =>
    Effect.gen(function* () {
      const { received, url } = yield* collector
      assert.strictEqual(Telemetry.exported(runtimeLayer, {}, "1"), runtimeLayer)
      for (const off of [
        { OTEL_SDK_DISABLED: "true" },
        { OTEL_TRACES_EXPORTER: "none", OTEL_METRICS_EXPORTER: "none", OTEL_LOGS_EXPORTER: "none" }
      ])
        assert.strictEqual(Telemetry.exported(runtimeLayer, { OTEL_EXPORTER_OTLP_ENDPOINT: url, ...off }, "1"), runtimeLayer)
      assert.isFalse(Telemetry.traces({ OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_TRACES_EXPORTER: "none" }))
      yield* AgentRuntime.use((runtime) => runtime.agents).pipe(Effect.scoped, Effect.provide(runtimeLayer))
      assert.deepStrictEqual(Object.values(received).flat(), [])
    }).pipe(Effect.scoped)
  )
})
