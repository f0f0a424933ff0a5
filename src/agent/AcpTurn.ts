/**
 * One prompt turn of an agent, as its session updates tell it: answer, tool calls, usage, side effects, and signs of trouble.
 *
 * A pure fold: `(turn, update) => [turn, progress]`. Updates are read leniently, since agents are newer than any schema: what is not
 * understood counts as activity.
 */
import type { SideEffects, Usage } from "../task/Task.ts"
import type { Progress } from "./AgentDriver.ts"
import { isEffect } from "./ToolKind.ts"

interface Call {
  readonly kind: string
  readonly title: string
  readonly status: string
  /** A permission for it was refused: as it failed, it did nothing. */
  readonly refused: boolean
}

export interface Turn {
  /** The end of the answer's text, bounded. */
  readonly text: string
  readonly calls: ReadonlyMap<string, Call>
  /** Calls that were forgotten since there were too many. Count. */
  readonly forgotten: number
  /** What forgotten calls and served requests did. */
  readonly effects: SideEffects
  readonly tokens: number | undefined
  /** The last failure that updates reported, as the agent sent it; a warning is none. */
  readonly failure: { readonly jetbrains?: unknown; readonly codex?: unknown } | undefined
  /** A usage window that is closed, as the agent sent it. */
  readonly limit: unknown
}

export const initial: Turn = {
  text: "",
  calls: new Map(),
  forgotten: 0,
  effects: "none",
  tokens: undefined,
  failure: undefined,
  limit: undefined
}

/** Longest answer that is kept in memory, in characters: its end. */
const textLimit = 65_536
/** Most tool calls that are told apart. */
const callLimit = 256

type Json = Readonly<Record<string, unknown>>

const record = (value: unknown): Json | undefined =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : undefined
const string = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined)
const at = (value: unknown, ...path: ReadonlyArray<string>): unknown => path.reduce<unknown>((inner, key) => record(inner)?.[key], value)

/** Takes one session update. */
export const update = (turn: Turn, sent: unknown): readonly [Turn, Progress] => {
  const body = record(sent)
  const activity: Progress = { _tag: "Output", bytes: 0 }
  if (body === undefined) return [turn, activity]
  switch (body.sessionUpdate) {
    case "agent_message_chunk": {
      const text = string(at(body.content, "text")) ?? ""
      return [{ ...turn, text: (turn.text + text).slice(-textLimit) }, text === "" ? activity : { _tag: "Text", text }]
    }
    case "agent_thought_chunk":
      return [turn, { _tag: "Thought", text: string(at(body.content, "text")) ?? "" }]
    case "tool_call":
    case "tool_call_update":
      return toolCall(turn, body)
    case "usage_update":
      return usage(turn, body)
    case "session_info_update":
      return sessionInfo(turn, body)
    default:
      return [turn, activity]
  }
}

/** Something was done on the agent's behalf, beyond what its tool calls say: a file was written, a terminal opened. */
export const served = (turn: Turn): Turn => ({ ...turn, effects: "seen" })

/** A permission for a tool call was refused. */
export const refused = (turn: Turn, id: string): Turn => {
  const call = turn.calls.get(id)
  return {
    ...turn,
    calls: new Map(turn.calls).set(id, {
      kind: call?.kind ?? "other",
      title: call?.title ?? "",
      status: call?.status ?? "pending",
      refused: true
    })
  }
}

/** What the turn did: `none` only when every call that could change something was refused before it ran. */
export const sideEffectsOf = (turn: Turn): SideEffects => [...turn.calls.values()].map(effectOf).reduce(worse, turn.effects)

export const toolCallsOf = (turn: Turn): number => turn.calls.size + turn.forgotten

export const usageOf = (turn: Turn): Usage => ({
  ...(turn.tokens === undefined ? {} : { tokens: turn.tokens }),
  toolCalls: toolCallsOf(turn)
})

const worse = (one: SideEffects, other: SideEffects): SideEffects =>
  one === "seen" || other === "seen" ? "seen" : one === "unknown" || other === "unknown" ? "unknown" : "none"

const effectOf = (call: Call): SideEffects => {
  if (!isEffect(call.kind)) return "none"
  if (call.refused && call.status !== "completed" && call.status !== "in_progress") return "none"
  // Some agents run a tool while it still says pending.
  return call.status === "pending" ? "unknown" : "seen"
}

const toolCall = (turn: Turn, body: Json): readonly [Turn, Progress] => {
  const id = string(body.toolCallId) ?? ""
  const known = turn.calls.get(id)
  const call: Call = {
    kind: string(body.kind) ?? known?.kind ?? "other",
    title: (string(body.title) ?? known?.title ?? "").slice(0, 500),
    status: string(body.status) ?? known?.status ?? "pending",
    refused: known?.refused ?? false
  }
  const calls = new Map(turn.calls)
  let { effects, forgotten } = turn
  if (known === undefined && calls.size >= callLimit) {
    const [oldest] = calls
    if (oldest !== undefined) {
      calls.delete(oldest[0])
      effects = worse(effects, effectOf(oldest[1]))
      forgotten += 1
    }
  }
  calls.set(id, call)
  return [
    { ...turn, calls, effects, forgotten },
    { _tag: "Tool", id, title: call.title, kind: call.kind, status: call.status }
  ]
}

const usage = (turn: Turn, body: Json): readonly [Turn, Progress] => {
  const window = record(at(body._meta, "_claude/rateLimit"))
  const limit = window?.status === "rejected" ? { error: "usage_limit_reached", resetsAt: window.resetsAt } : turn.limit
  const used = typeof body.used === "number" && Number.isFinite(body.used) && body.used > 0 ? body.used : undefined
  // What the session's context holds: each call pays for it again, so it is a lower bound.
  const tokens = used === undefined ? turn.tokens : Math.max(used, turn.tokens ?? 0)
  const next = { ...turn, limit, tokens }
  return [next, { _tag: "Usage", usage: usageOf(next) }]
}

const sessionInfo = (turn: Turn, body: Json): readonly [Turn, Progress] => {
  const air = record(at(body._meta, "jetbrains", "air", "sessionFailure"))
  if (air !== undefined) {
    if (air.severity === "warning") return [turn, { _tag: "Waiting", detail: "The agent tries again by itself" }]
    return [
      { ...turn, failure: { ...turn.failure, jetbrains: { air: { sessionFailure: air } } } },
      { _tag: "Output", bytes: 0 }
    ]
  }
  const codex = record(at(body._meta, "codex"))
  const error = record(codex?.error)
  if (error?.willRetry === true) return [turn, { _tag: "Waiting", detail: "The agent tries again by itself" }]
  if (error !== undefined || at(codex, "threadStatus", "type") === "systemError") {
    const before = record(turn.failure?.codex)
    return [
      { ...turn, failure: { ...turn.failure, codex: { ...before, ...codex } } },
      { _tag: "Output", bytes: 0 }
    ]
  }
  return [turn, { _tag: "Output", bytes: 0 }]
}
