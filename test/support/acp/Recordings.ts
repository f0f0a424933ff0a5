/** The recorded runs of real agents under injected faults, as observations with the class each must get. */
import { readFileSync } from "node:fs"
import { gunzipSync } from "node:zlib"
import type { Observation } from "../../../src/agent/Classification.ts"
import type { FaultClass } from "../../../src/agent/Fault.ts"

interface Row {
  readonly label: string
  readonly agent: string
  readonly fault: { readonly kind: string; readonly retryAfter?: number; readonly times?: number } | null
  readonly exit?: number | null
  readonly signal?: string | null
  readonly timedOut?: boolean
  readonly stdout?: string
  readonly stderr?: string
  readonly at: string
  readonly hang?: boolean
  readonly stopReason?: string
  readonly promptError?: { readonly kind: string; readonly code?: number; readonly message: string; readonly data?: unknown } | null
  readonly resultMeta?: unknown
  readonly text?: string
  readonly usage?: { readonly totalTokens?: number } | null
  readonly tools?: ReadonlyArray<string>
  readonly cancelStop?: string
}

export interface Recording {
  readonly name: string
  readonly observation: Observation
  readonly expected: FaultClass | "none"
  /** What the provider asked to wait, where the agent passes it on. */
  readonly retryAfterMillis?: number
  /** Why the expected class is not the injected fault's own. */
  readonly exception?: string
}

const load = (file: string): ReadonlyArray<Row> =>
  gunzipSync(readFileSync(new URL(`../../fixtures/recordings/${file}`, import.meta.url)))
    .toString("utf8")
    .split("\n")
    .filter((line) => line.includes('"fault"'))
    .map((line) => JSON.parse(line) as Row)

const injected: Readonly<Record<string, FaultClass>> = {
  "429": "RateLimited",
  quota: "QuotaExhausted",
  "529": "Overloaded",
  "500": "Transient",
  "401": "AuthRequired",
  "400": "InvalidRequest",
  reset: "Transient",
  "reset-mid": "Transient",
  "eof-mid": "Transient",
  "garbage-mid": "Transient",
  refused: "Outage"
}

/** Where the agent's output honestly says something else than what was injected. By agent and fault, in both modes. */
const exceptions: Readonly<Record<string, readonly [FaultClass, string]>> = {
  "codex/400": ["ContextOverflow", "the injected 400 is this provider family's context overflow"],
  "opencode/400": ["ContextOverflow", "the injected 400 is this provider family's context overflow"],
  "codex/500": ["Overloaded", "codex prints 'experiencing high demand' for every 500"],
  "gemini/refused": ["Transient", "gemini prints the same 'fetch failed' for a refused and for a reset connection"],
  "gemini/eof-mid": ["FalseSuccess", "gemini claims success for a cut answer: there is no error to classify"]
}

const toRecording = (row: Row, mode: "command" | "acp"): Recording => {
  const stopped = row.timedOut === true || row.hang === true
  const succeeded = mode === "command" ? row.exit === 0 && !stopped : row.stopReason !== undefined && !stopped
  const kind = row.fault?.kind
  const survived = kind === undefined || kind === "slow" || row.fault?.times !== undefined || (kind === "eof-mid" && row.agent === "claude")
  const exception = kind === undefined ? undefined : exceptions[`${row.agent}/${kind}`]
  // A fault that comes a limited number of times is survived by every agent but gemini, which dies of one garbled line.
  const own = kind === undefined || (survived && succeeded) ? "none" : (injected[kind] ?? "none")
  const expected = stopped ? "Cancelled" : own === "none" ? "none" : (exception?.[0] ?? own)
  const { promptError } = row
  const tokens = row.usage?.totalTokens ?? null
  return {
    name: `${mode}/${row.agent}/${row.label}`,
    expected,
    ...(exception === undefined || stopped || own === "none" ? {} : { exception: exception[1] }),
    ...(row.agent === "gemini" && kind === "429" && expected === "RateLimited" && row.fault?.retryAfter !== undefined
      ? { retryAfterMillis: row.fault.retryAfter * 1_000 }
      : {}),
    observation: {
      agent: row.agent,
      mode,
      exitCode: mode === "command" ? (row.exit ?? null) : null,
      signal: row.signal ?? null,
      ours: stopped,
      stdoutTail: (mode === "command" ? row.stdout : row.text) ?? "",
      stderrTail: row.stderr ?? "",
      ...(promptError?.kind === "RequestError"
        ? { rpcError: { code: promptError.code ?? 0, message: promptError.message, data: promptError.data } }
        : {}),
      ...(row.resultMeta === undefined || row.resultMeta === null ? {} : { meta: row.resultMeta }),
      ...(row.stopReason === undefined ? {} : { stopReason: row.stopReason }),
      ...(mode === "acp" ? { toolCalls: row.tools?.length ?? 0, tokens } : {}),
      now: Date.parse(row.at)
    }
  }
}

export const recordings = (): ReadonlyArray<Recording> => [
  ...load("oneshot.jsonl.gz").map((row) => toRecording(row, "command")),
  ...load("acp.jsonl.gz").map((row) => toRecording(row, "acp"))
]
