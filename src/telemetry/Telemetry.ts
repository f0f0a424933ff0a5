/**
 * Exports metrics, traces and logs of a runtime over OTLP, where the standard variables of OpenTelemetry (`OTEL_EXPORTER_OTLP_ENDPOINT` and its relatives) say where to.
 *
 * Without them nothing is loaded, and the runtime does nothing for it.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import type { AgentRuntime } from "../AgentRuntime.ts"

type Variables = Readonly<Record<string, string | undefined>>

const signals = ["TRACES", "METRICS", "LOGS"] as const
export type Signal = (typeof signals)[number]

const protocols = ["http/protobuf", "http/json"] as const

const protocolOf = (env: Variables, signal: Signal): string =>
  env[`OTEL_EXPORTER_OTLP_${signal}_PROTOCOL`] || env["OTEL_EXPORTER_OTLP_PROTOCOL"] || protocols[0]

/** Whoever names a collector wants it used, if nothing else is said: an empty variable says nothing. */
const asked = (env: Variables, signal: Signal): boolean => {
  const endpoint = env[`OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`] || env["OTEL_EXPORTER_OTLP_ENDPOINT"]
  const exporters = (env[`OTEL_${signal}_EXPORTER`] || "otlp").toLowerCase().split(",")
  return env["OTEL_SDK_DISABLED"]?.toLowerCase() !== "true" && (endpoint ?? "") !== "" && exporters.some((name) => name.trim() === "otlp")
}

const speaks = (env: Variables, signal: Signal): boolean => protocols.some((protocol) => protocol === protocolOf(env, signal))
const on = (env: Variables, signal: Signal): boolean => asked(env, signal) && speaks(env, signal)

/** Do the variables ask for traces? Then the runtime has to tell its stages. */
export const traces = (env: Variables): boolean => on(env, "TRACES")

/** A runtime whose metrics, traces and logs are exported until its scope closes, and what is left then. The same runtime where the variables name no collector. */
export const exported = <E, R>(
  runtime: Layer.Layer<AgentRuntime, E, R>,
  env: Variables,
  version: string
): Layer.Layer<AgentRuntime, E, R> => {
  const mute = signals.filter((signal) => asked(env, signal) && !speaks(env, signal))
  const wanted = signals.filter((signal) => on(env, signal))
  const told = Layer.effectDiscard(
    Effect.forEach(mute, (signal) =>
      Effect.logWarning(
        `${signal.toLowerCase()} are not exported: the protocol ${protocolOf(env, signal)} is not spoken here, only ${protocols.join(" and ")}`
      )
    )
  )
  const all = mute.length === 0 ? runtime : Layer.merge(runtime, told)
  if (wanted.length === 0) return all
  return Layer.unwrap(
    Effect.gen(function* () {
      const { exported } = yield* Effect.promise(() => import("./OtlpExport.ts"))
      const instance = (yield* Random.nextIntBetween(0, Number.MAX_SAFE_INTEGER)).toString(36)
      const how = wanted.map((signal) => ({ signal, json: protocolOf(env, signal) === "http/json" }))
      return exported(
        all,
        how,
        variables(env, wanted, { "service.name": "nofx", "service.version": version, "service.instance.id": instance })
      )
    })
  )
}

/** What the exporters read: without what says nothing, with what the standard has as its default, and with what is said of the resource unless the user says it. */
const variables = (env: Variables, wanted: ReadonlyArray<Signal>, resource: Readonly<Record<string, string>>): Record<string, string> => {
  const said = Object.fromEntries(Object.entries(env).filter((entry): entry is [string, string] => (entry[1] ?? "") !== ""))
  const attributes = (said["OTEL_RESOURCE_ATTRIBUTES"] ?? "").split(",").filter((pair) => pair.trim() !== "")
  const missing = Object.entries(resource).filter(
    ([name]) => !attributes.some((pair) => pair.trim().startsWith(`${name}=`)) && !(name === "service.name" && "OTEL_SERVICE_NAME" in said)
  )
  return {
    ...said,
    OTEL_RESOURCE_ATTRIBUTES: [...attributes, ...missing.map(([name, value]) => `${name}=${encodeURIComponent(value)}`)].join(","),
    ...Object.fromEntries(wanted.map((signal) => [`OTEL_${signal}_EXPORTER`, "otlp"]))
  }
}
