/**
 * A collector of OpenTelemetry's protocol on loopback: takes the binary form and JSON, both by the protocol's own schema, and refuses what does not fit it, as one that knows nothing of
 * the sender does.
 */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { gunzipSync } from "node:zlib"
import { Effect } from "effect"

type Kind = "string" | "bool" | "int32" | "int64" | "double" | "fixed64" | "sfixed64" | "fixed32" | "bytes"
/** Number, name and type of a field; `[]`: repeated. */
type Field = readonly [name: string, type: string]

/** opentelemetry-proto 1.x: common, resource, trace, metrics, logs and their collector services. */
const schema: Readonly<Record<string, Readonly<Record<number, Field>>>> = {
  ExportMetricsServiceRequest: { 1: ["resourceMetrics", "ResourceMetrics[]"] },
  ExportTraceServiceRequest: { 1: ["resourceSpans", "ResourceSpans[]"] },
  ExportLogsServiceRequest: { 1: ["resourceLogs", "ResourceLogs[]"] },
  Resource: { 1: ["attributes", "KeyValue[]"], 2: ["droppedAttributesCount", "int32"] },
  InstrumentationScope: {
    1: ["name", "string"],
    2: ["version", "string"],
    3: ["attributes", "KeyValue[]"],
    4: ["droppedAttributesCount", "int32"]
  },
  KeyValue: { 1: ["key", "string"], 2: ["value", "AnyValue"] },
  AnyValue: {
    1: ["stringValue", "string"],
    2: ["boolValue", "bool"],
    3: ["intValue", "int64"],
    4: ["doubleValue", "double"],
    5: ["arrayValue", "ArrayValue"],
    6: ["kvlistValue", "KeyValueList"],
    7: ["bytesValue", "bytes"]
  },
  ArrayValue: { 1: ["values", "AnyValue[]"] },
  KeyValueList: { 1: ["values", "KeyValue[]"] },
  ResourceMetrics: { 1: ["resource", "Resource"], 2: ["scopeMetrics", "ScopeMetrics[]"], 3: ["schemaUrl", "string"] },
  ScopeMetrics: { 1: ["scope", "InstrumentationScope"], 2: ["metrics", "Metric[]"], 3: ["schemaUrl", "string"] },
  Metric: {
    1: ["name", "string"],
    2: ["description", "string"],
    3: ["unit", "string"],
    5: ["gauge", "Gauge"],
    7: ["sum", "Sum"],
    9: ["histogram", "Histogram"]
  },
  Gauge: { 1: ["dataPoints", "NumberDataPoint[]"] },
  Sum: { 1: ["dataPoints", "NumberDataPoint[]"], 2: ["aggregationTemporality", "int32"], 3: ["isMonotonic", "bool"] },
  Histogram: { 1: ["dataPoints", "HistogramDataPoint[]"], 2: ["aggregationTemporality", "int32"] },
  NumberDataPoint: {
    7: ["attributes", "KeyValue[]"],
    2: ["startTimeUnixNano", "fixed64"],
    3: ["timeUnixNano", "fixed64"],
    4: ["asDouble", "double"],
    6: ["asInt", "sfixed64"],
    8: ["flags", "int32"]
  },
  HistogramDataPoint: {
    9: ["attributes", "KeyValue[]"],
    2: ["startTimeUnixNano", "fixed64"],
    3: ["timeUnixNano", "fixed64"],
    4: ["count", "fixed64"],
    5: ["sum", "double"],
    6: ["bucketCounts", "fixed64[]"],
    7: ["explicitBounds", "double[]"],
    10: ["flags", "int32"],
    11: ["min", "double"],
    12: ["max", "double"]
  },
  ResourceSpans: { 1: ["resource", "Resource"], 2: ["scopeSpans", "ScopeSpans[]"], 3: ["schemaUrl", "string"] },
  ScopeSpans: { 1: ["scope", "InstrumentationScope"], 2: ["spans", "Span[]"], 3: ["schemaUrl", "string"] },
  Span: {
    1: ["traceId", "bytes"],
    2: ["spanId", "bytes"],
    3: ["traceState", "string"],
    4: ["parentSpanId", "bytes"],
    16: ["flags", "fixed32"],
    5: ["name", "string"],
    6: ["kind", "int32"],
    7: ["startTimeUnixNano", "fixed64"],
    8: ["endTimeUnixNano", "fixed64"],
    9: ["attributes", "KeyValue[]"],
    10: ["droppedAttributesCount", "int32"],
    11: ["events", "Event[]"],
    12: ["droppedEventsCount", "int32"],
    13: ["links", "Link[]"],
    14: ["droppedLinksCount", "int32"],
    15: ["status", "Status"]
  },
  Event: { 1: ["timeUnixNano", "fixed64"], 2: ["name", "string"], 3: ["attributes", "KeyValue[]"], 4: ["droppedAttributesCount", "int32"] },
  Link: {
    1: ["traceId", "bytes"],
    2: ["spanId", "bytes"],
    3: ["traceState", "string"],
    4: ["attributes", "KeyValue[]"],
    5: ["droppedAttributesCount", "int32"],
    6: ["flags", "fixed32"]
  },
  Status: { 2: ["message", "string"], 3: ["code", "int32"] },
  ResourceLogs: { 1: ["resource", "Resource"], 2: ["scopeLogs", "ScopeLogs[]"], 3: ["schemaUrl", "string"] },
  ScopeLogs: { 1: ["scope", "InstrumentationScope"], 2: ["logRecords", "LogRecord[]"], 3: ["schemaUrl", "string"] },
  LogRecord: {
    1: ["timeUnixNano", "fixed64"],
    11: ["observedTimeUnixNano", "fixed64"],
    2: ["severityNumber", "int32"],
    3: ["severityText", "string"],
    5: ["body", "AnyValue"],
    6: ["attributes", "KeyValue[]"],
    7: ["droppedAttributesCount", "int32"],
    8: ["flags", "fixed32"],
    9: ["traceId", "bytes"],
    10: ["spanId", "bytes"],
    12: ["eventName", "string"]
  }
}

/** How the types lie on the wire: varint, eight bytes, a length and bytes, four bytes. */
const wires: Readonly<Record<Kind, number>> = {
  bool: 0,
  int32: 0,
  int64: 0,
  double: 1,
  fixed64: 1,
  sfixed64: 1,
  string: 2,
  bytes: 2,
  fixed32: 5
}

const scalar = (type: Kind, bytes: Buffer, varint: bigint): unknown => {
  switch (type) {
    case "string":
      return new TextDecoder("utf-8", { fatal: true }).decode(bytes)
    case "bytes":
      return bytes.toString("hex")
    case "bool":
      return varint === 1n
    case "int32":
    case "int64":
      return Number(BigInt.asIntN(64, varint))
    case "double":
      return bytes.readDoubleLE()
    case "fixed32":
      return bytes.readUInt32LE()
    case "fixed64":
      return String(bytes.readBigUInt64LE())
    case "sfixed64":
      return Number(bytes.readBigInt64LE())
  }
}

/** Reads a message; throws on whatever the schema does not have. */
const decode = (message: string, buffer: Buffer): Record<string, unknown> => {
  const found: Record<string, unknown> = {}
  let offset = 0
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = buffer.readUInt8(offset++)
      value |= BigInt(byte & 127) << shift
      if (byte < 128) return value
    }
  }
  const take = (length: number): Buffer => {
    if (offset + length > buffer.length) throw new Error(`${message} ends too early`)
    return buffer.subarray(offset, (offset += length))
  }
  while (offset < buffer.length) {
    const tag = Number(varint())
    const field = schema[message]?.[tag >> 3]
    if (field === undefined) throw new Error(`${message} has no field ${tag >> 3}`)
    const [name, type] = field
    const one = type.replace("[]", "")
    const wire = tag & 7
    const own = one in wires ? wires[one as Kind] : 2
    const read = (at: Buffer, value: bigint): unknown => (one in wires ? scalar(one as Kind, at, value) : decode(one, at))
    const content = (of: number): readonly [Buffer, bigint] =>
      of === 0 ? [Buffer.alloc(0), varint()] : [take(of === 1 ? 8 : of === 5 ? 4 : Number(varint())), 0n]
    if (wire !== own) throw new Error(`${message}.${name} has wire type ${wire}, not ${own}`)
    const value = read(...content(wire))
    if (type.endsWith("[]")) ((found[name] ??= []) as Array<unknown>).push(value)
    else found[name] = value
  }
  return found
}

/** Holds what was sent as JSON against the same schema. */
const checked = (message: string, value: unknown): Record<string, unknown> => {
  const fields = new Map(Object.values(schema[message]!))
  for (const [name, inner] of Object.entries(value as object)) {
    const type = fields.get(name)
    if (type === undefined) throw new Error(`${message} has no field ${name}`)
    const one = type.replace("[]", "")
    for (const each of type.endsWith("[]") ? (inner as ReadonlyArray<unknown>) : [inner]) {
      if (!(one in wires)) checked(one, each)
      else if (one === "bytes" && !/^([0-9a-f]{2})*$/i.test(String(each))) throw new Error(`${message}.${name} is not hexadecimal`)
    }
  }
  return value as Record<string, unknown>
}

const services: Readonly<Record<string, string>> = {
  "/v1/metrics": "ExportMetricsServiceRequest",
  "/v1/traces": "ExportTraceServiceRequest",
  "/v1/logs": "ExportLogsServiceRequest"
}

export interface Attribute {
  readonly key: string
  readonly value: { readonly stringValue?: string; readonly intValue?: string | number; readonly doubleValue?: number }
}
export interface Point {
  readonly attributes?: ReadonlyArray<Attribute>
  readonly asDouble?: number
  readonly asInt?: string | number
  readonly count?: string | number
}
interface Points {
  readonly dataPoints: ReadonlyArray<Point>
  readonly isMonotonic?: boolean
}
export interface Metric {
  readonly name: string
  readonly unit: string
  readonly sum?: Points
  readonly gauge?: Points
  readonly histogram?: Points
}
export interface Span {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly attributes: ReadonlyArray<Attribute>
  readonly status: { readonly code: number }
}
export interface LogRecord {
  readonly traceId?: string
  readonly severityText: string
  readonly body: { readonly stringValue: string }
  readonly attributes: ReadonlyArray<Attribute>
}
interface Of<Scope> {
  readonly resource: { readonly attributes: ReadonlyArray<Attribute> }
  readonly scopeMetrics: ReadonlyArray<Scope>
  readonly scopeSpans: ReadonlyArray<Scope>
  readonly scopeLogs: ReadonlyArray<Scope>
}
export interface Payload {
  readonly path: string
  readonly headers: Readonly<Record<string, unknown>>
  readonly resourceMetrics: ReadonlyArray<Of<{ readonly metrics?: ReadonlyArray<Metric> }>>
  readonly resourceSpans: ReadonlyArray<Of<{ readonly spans: ReadonlyArray<Span> }>>
  readonly resourceLogs: ReadonlyArray<Of<{ readonly logRecords: ReadonlyArray<LogRecord> }>>
}

export interface Collector {
  readonly url: string
  readonly received: ReadonlyArray<Payload>
  /** Why something was refused. */
  readonly refused: ReadonlyArray<string>
}

export const collector = Effect.map(
  Effect.acquireRelease(
    Effect.promise(
      () =>
        new Promise<{ readonly collector: Collector; readonly close: () => void }>((resolve) => {
          const received: Array<Payload> = []
          const refused: Array<string> = []
          const server = createServer((request, response) => {
            const chunks: Array<Buffer> = []
            request.on("data", (chunk) => chunks.push(chunk))
            request.on("end", () => {
              const type = request.headers["content-type"] ?? ""
              try {
                const service = services[request.url ?? ""]
                if (service === undefined) throw new Error(`there is nothing at ${request.url}`)
                const sent = Buffer.concat(chunks)
                const body = request.headers["content-encoding"] === "gzip" ? gunzipSync(sent) : sent
                const json = type === "application/json"
                if (!json && type !== "application/x-protobuf") throw new Error(`no such content: ${type}`)
                const message = json ? checked(service, JSON.parse(body.toString())) : decode(service, body)
                received.push({ path: request.url ?? "", headers: request.headers, ...message } as unknown as Payload)
                response.setHeader("content-type", type).end(json ? "{}" : "")
              } catch (cause) {
                refused.push(String(cause))
                response.writeHead(400).end()
              }
            })
          })
          server.listen(0, "127.0.0.1", () => {
            const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
            resolve({ collector: { url, received, refused }, close: () => server.close() })
          })
        })
    ),
    ({ close }) => Effect.sync(close)
  ),
  ({ collector }) => collector
)
