/**
 * Reads the JSON modes of one-shot agents, line by line: answer, session, usage, tool calls, and how the turn failed.
 *
 * A pure fold: `(state, line, now) => [state, progress]`. Any line is survived; what is no event counts as plain output. The
 * failure is kept as the agent sent it, for `Classification` to judge.
 */
import { StringDecoder } from "node:string_decoder"
import type { SideEffects, Usage } from "../task/Task.ts"
import type { Progress } from "./AgentDriver.ts"
import type { OutputFormat } from "./AgentPresets.ts"
import type { Observation } from "./Classification.ts"
import { claude, codex, gemini, opencode, record, say } from "./OneShotDialects.ts"
import type { Json, Step } from "./OneShotDialects.ts"

export interface OneShotState {
  /** The end of the answer, bounded. */
  readonly text: string
  readonly sessionId?: string
  readonly tokens?: number
  readonly toolCalls: number
  /** A tool that may change something was called. */
  readonly effects: boolean
  /** The event that ends a turn was seen: everything the turn did was told before it. */
  readonly ended: boolean
  /** The agent's own account of a failure, as it sent it. */
  readonly failure?: unknown
  /** Of a usage window that is closed, as the agent sent it. */
  readonly limit?: unknown
  /** A reason of its own to stop, in the protocol's words. */
  readonly stop?: string
}

export const initial: OneShotState = { text: "", toolCalls: 0, effects: false, ended: false }

/** Longest line that is parsed, in characters. */
const lineLimit = 4_194_304

/** Takes one line of standard output, without its line break. `now`: Unix milliseconds. */
export const step = (format: OutputFormat, state: OneShotState, line: string, now: number): Step => {
  const event = format === "text" || line.length > lineLimit ? undefined : parse(line)
  if (event === undefined) return line === "" && format !== "text" ? [state, []] : say(state, `${line}\n`)
  switch (format) {
    case "claude":
      return claude(state, event, now)
    case "codex":
      return codex(state, event)
    case "gemini":
      return gemini(state, event)
    default:
      return opencode(state, event)
  }
}

/** Takes standard output as it comes. */
export interface Reader {
  /** Hands over what a chunk tells, in order. `now`: Unix milliseconds. */
  readonly push: (chunk: Uint8Array, now: number) => void
  /** Takes the last line, which may lack its end, and answers what the whole output told. */
  readonly end: (now: number) => OneShotState
}

/** Reads chunks; a line that is too long for an event is taken as plain output, piece by piece. */
export const makeReader = (format: OutputFormat, report: (progress: Progress) => void): Reader => {
  const decoder = new StringDecoder("utf8")
  let state = initial
  let rest = ""
  const take = (line: string, now: number): void => {
    const [next, progress] = step(format, state, line, now)
    state = next
    for (const each of progress) report(each)
  }
  const read = (text: string, now: number): void => {
    const lines = (rest + text).split("\n")
    rest = lines.pop() ?? ""
    for (const line of lines) take(line.endsWith("\r") ? line.slice(0, -1) : line, now)
    if (rest.length <= lineLimit) return
    take(rest, now)
    rest = ""
  }
  return {
    push: (chunk, now) => read(decoder.write(chunk as Buffer), now),
    end: (now) => {
      read(decoder.end(), now)
      if (rest !== "") take(rest, now)
      rest = ""
      return state
    }
  }
}

/** What the output adds to an observation. */
export const observe = (
  format: OutputFormat,
  state: OneShotState
): Pick<Observation, "stdoutTail" | "meta" | "stopReason" | "toolCalls" | "tokens"> => {
  if (format === "text") return { stdoutTail: state.text }
  const failure = state.failure === undefined ? undefined : { failure: state.failure, limit: state.limit }
  return {
    stdoutTail: state.text,
    ...(failure === undefined ? {} : { meta: failure }),
    ...(state.stop === undefined ? {} : { stopReason: state.stop }),
    toolCalls: state.toolCalls,
    tokens: state.tokens ?? null
  }
}

export const usageOf = (state: OneShotState): Usage | undefined =>
  state.tokens === undefined && state.toolCalls === 0
    ? undefined
    : { ...(state.tokens === undefined ? {} : { tokens: state.tokens }), toolCalls: state.toolCalls }

/** `none` only when the whole turn was told and held nothing that changes anything. */
export const sideEffectsOf = (format: OutputFormat, state: OneShotState): SideEffects =>
  state.effects ? "seen" : format !== "text" && state.ended ? "none" : "unknown"

const parse = (line: string): Json | undefined => {
  if (!line.startsWith("{")) return undefined
  try {
    const value: unknown = JSON.parse(line)
    return record(value)
  } catch {
    return undefined
  }
}
