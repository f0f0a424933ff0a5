/** The OTLP exporters, in a module of their own: only who exports loads them. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as OtlpExporter from "effect/observability/OtlpExporter"
import * as OtlpLogger from "effect/observability/OtlpLogger"
import * as OtlpMetrics from "effect/observability/OtlpMetrics"
import * as OtlpSerialization from "effect/observability/OtlpSerialization"
import * as OtlpTracer from "effect/observability/OtlpTracer"
import type { AgentRuntime } from "../AgentRuntime.ts"
import * as Logs from "./Logs.ts"
import * as Metrics from "./Metrics.ts"
import type { Signal } from "./Telemetry.ts"
import * as Traces from "./Traces.ts"

/** A signal, and how it is written: the protocol's binary form, or JSON. */
export interface Wanted {
  readonly signal: Signal
  readonly json: boolean
}

/** Sends what there is before the observers take their metrics away. */
const last = Layer.effectDiscard(Effect.flatMap(OtlpExporter.Flusher, ({ flush }) => Effect.addFinalizer(() => flush)))

const exporterOf = ({ json, signal }: Wanted) => {
  const exporter = {
    TRACES: OtlpTracer.layerFromConfig(),
    METRICS: OtlpMetrics.layerFromConfig(),
    LOGS: OtlpLogger.layerFromConfig({ mergeWithExisting: true })
  }[signal]
  return Layer.provide(exporter, json ? OtlpSerialization.layerJson : OtlpSerialization.layerProtobuf)
}

/** Tells of a runtime, with what the variables say of each signal's exporter. One that says nonsense is no reason to run without a runtime: nothing is exported, and that is said. */
export const exported = <E, R>(
  runtime: Layer.Layer<AgentRuntime, E, R>,
  wanted: ReadonlyArray<Wanted>,
  variables: Record<string, string>
) =>
  Layer.unwrap(
    Effect.map(Logger.CurrentLoggers, (others) => {
      const [first, ...rest] = wanted.map(exporterOf)
      const exporters = Layer.mergeAll(OtlpExporter.layerFlusher, ...(first === undefined ? [] : [first, ...rest])).pipe(
        Layer.provide(NodeHttpClient.layerNodeHttp),
        Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord(variables))),
        Layer.catchCause((cause) =>
          Layer.merge(OtlpExporter.layerFlusher, Layer.effectDiscard(Effect.logWarning("telemetry is not exported", cause)))
        )
      )
      const observers = { TRACES: Traces.layer, METRICS: Metrics.layer, LOGS: Logs.layer(others) }
      const [one = Layer.empty, ...more] = wanted.map(({ signal }) => observers[signal])
      return Layer.provideMerge(last, Layer.mergeAll(one, ...more)).pipe(Layer.provideMerge(runtime), Layer.provide(exporters))
    })
  )
