/** The OTLP exporters, in a module of their own: only who exports loads them. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Otlp from "effect/observability/Otlp"
import * as OtlpExporter from "effect/observability/OtlpExporter"
import * as OtlpSerialization from "effect/observability/OtlpSerialization"
import * as Metrics from "./Metrics.ts"
import * as Traces from "./Traces.ts"

/** Sends what there is before the observers take their metrics away. */
const last = Layer.effectDiscard(Effect.flatMap(OtlpExporter.Flusher, ({ flush }) => Effect.addFinalizer(() => flush)))

/** What turns a runtime's events and state into metrics and spans. */
export const observers = Layer.provideMerge(last, Layer.mergeAll(Metrics.layer, Traces.layer))

/** What sends them, and the logs, to the collector. `protocol`: `http/json`, or else `http/protobuf`, the standard's default. */
export const exporters = (version: string, protocol: string | undefined) =>
  Otlp.layerFromConfig({ resource: { serviceName: "nofx", serviceVersion: version }, loggerMergeWithExisting: true }).pipe(
    Layer.provide(protocol === "http/json" ? OtlpSerialization.layerJson : OtlpSerialization.layerProtobuf),
    Layer.provide(NodeHttpClient.layerNodeHttp)
  )
