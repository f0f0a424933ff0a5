/**
 * Exports metrics, traces and logs of a runtime over OTLP, where the standard variables of OpenTelemetry (`OTEL_EXPORTER_OTLP_ENDPOINT` and its relatives) say where to.
 *
 * Without them nothing is loaded, and the runtime does nothing for it.
 */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { AgentRuntime } from "../AgentRuntime.ts"

type Variables = Readonly<Record<string, string | undefined>>

const signals = ["TRACES", "METRICS", "LOGS"] as const

const on = (env: Variables, signal: (typeof signals)[number]): boolean => {
  const endpoint = env[`OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`] ?? env["OTEL_EXPORTER_OTLP_ENDPOINT"] ?? ""
  return env["OTEL_SDK_DISABLED"] !== "true" && endpoint !== "" && (env[`OTEL_${signal}_EXPORTER`] ?? "otlp") === "otlp"
}

/** Do the variables ask for traces? Then the runtime has to tell its stages. */
export const traces = (env: Variables): boolean => on(env, "TRACES")

/** A runtime whose metrics, traces and logs are exported until its scope closes, and what is left then. The same runtime where the variables name no collector. */
export const exported = <E, R>(
  runtime: Layer.Layer<AgentRuntime, E, R>,
  env: Variables,
  version: string
): Layer.Layer<AgentRuntime, E, R> => {
  const wanted = signals.filter((signal) => on(env, signal))
  if (wanted.length === 0) return runtime
  // Whoever names a collector wants it used: so says the standard, which the exporters do not take as their default.
  const variables = { ...env, ...Object.fromEntries(wanted.map((signal) => [`OTEL_${signal}_EXPORTER`, "otlp"])) }
  const provider = ConfigProvider.fromEnvRecord(Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== undefined)))
  return Layer.unwrap(
    Effect.map(
      Effect.promise(() => import("./OtlpExport.ts")),
      ({ exporters, observers }) =>
        Layer.provideMerge(observers, runtime).pipe(
          Layer.provide(exporters(version, env["OTEL_EXPORTER_OTLP_PROTOCOL"]).pipe(Layer.provide(ConfigProvider.layer(provider))))
        )
    )
  )
}
