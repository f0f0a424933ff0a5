/**
 * The JSON modes of one-shot agents, one dialect a function: an event to the state after it, and what it tells.
 *
 * Versions as measured: claude 2.1.330 (qwen 0.24.4 and cursor write the same), codex 0.169.0, gemini-cli 0.61.0, opencode 1.18.33. What a
 * dialect does not know leaves the state as it is.
 */
import type { Progress } from "./AgentDriver.ts"
import type { OneShotState } from "./OneShotOutput.ts"
import { isEffect, kindOfTool } from "./ToolKind.ts"

export type Step = readonly [OneShotState, ReadonlyArray<Progress>]
export type Json = Readonly<Record<string, unknown>>

export const record = (value: unknown): Json | undefined =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : undefined
const string = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined)
const list = (value: unknown): ReadonlyArray<Json> => (Array.isArray(value) ? value.map(record).filter((item) => item !== undefined) : [])
const count = (value: unknown): number => (typeof value === "number" && Number.isFinite(value) && value > 0 ? value : 0)

/** Longest answer that is kept, in characters: its end. */
const answerLimit = 65_536

/** Adds to the answer. */
export const say = (state: OneShotState, text: string): Step => [
  { ...state, text: (state.text + text).slice(-answerLimit) },
  text.trim() === "" ? [] : [{ _tag: "Text", text }]
]

const session = (state: OneShotState, id: unknown): OneShotState =>
  typeof id === "string" && id !== "" ? { ...state, sessionId: id } : state

/** Sums the fields that count tokens; of providers' many names, those that do not overlap. */
const tokensOf = (usage: unknown): number | undefined => {
  const fields = record(usage)
  if (fields === undefined) return undefined
  const total = count(fields.total_tokens ?? fields.totalTokens ?? fields.total)
  if (total > 0) return total
  const cache = record(fields.cache)
  return (
    count(fields.input_tokens ?? fields.inputTokens ?? fields.input) +
    count(fields.output_tokens ?? fields.outputTokens ?? fields.output) +
    count(fields.cache_creation_input_tokens) +
    count(fields.cache_read_input_tokens) +
    count(fields.reasoning) +
    count(cache?.read) +
    count(cache?.write)
  )
}

const withTokens = (state: OneShotState, usage: unknown): Step => {
  const tokens = tokensOf(usage)
  return tokens === undefined ? [state, []] : [{ ...state, tokens }, [{ _tag: "Usage", usage: { tokens, toolCalls: state.toolCalls } }]]
}

const tool = (state: OneShotState, id: unknown, name: unknown, status: string, title?: unknown): Step => {
  const label = string(name) ?? "tool"
  const kind = kindOfTool(label)
  const begins = status === "in_progress" || status === "new"
  return [
    { ...state, toolCalls: state.toolCalls + (begins ? 1 : 0), effects: state.effects || isEffect(kind) },
    [
      {
        _tag: "Tool",
        id: string(id) ?? "",
        title: (string(title) ?? label).slice(0, 200),
        kind,
        status: status === "new" ? "completed" : status
      }
    ]
  ]
}

const chain = (state: OneShotState, steps: ReadonlyArray<(state: OneShotState) => Step>): Step => {
  let current = state
  const progress: Array<Progress> = []
  for (const next of steps) {
    const [after, more] = next(current)
    current = after
    progress.push(...more)
  }
  return [current, progress]
}

/** claude `--output-format stream-json`, and those that write the same: qwen, cursor. */
export const claude = (before: OneShotState, event: Json, now: number): Step => {
  const state = session(before, event.session_id)
  switch (event.type) {
    case "system": {
      if (event.subtype !== "api_retry") return [state, []]
      const delay = count(event.retry_delay_ms)
      const detail = `The agent tries again by itself (${count(event.attempt)} of ${count(event.max_retries)}, status ${count(event.error_status)})`
      return [
        { ...state, limit: { error: event.error, error_status: event.error_status } },
        [{ _tag: "Waiting", detail, untilMillis: now + delay }]
      ]
    }
    case "assistant": {
      const message = record(event.message)
      const failed =
        event.error === undefined || event.error === null ? state : { ...state, limit: { ...record(state.limit), error: event.error } }
      return chain(
        failed,
        list(message?.content).map((block) => (current): Step => {
          if (block.type === "text") return say(current, `${string(block.text) ?? ""}\n`)
          if (block.type === "thinking") return [current, [{ _tag: "Thought", text: string(block.thinking) ?? "" }]]
          if (block.type === "tool_use") return tool(current, block.id, block.name, "in_progress")
          return [current, []]
        })
      )
    }
    case "user":
      return chain(
        state,
        list(record(event.message)?.content).map(
          (block) =>
            (current): Step =>
              block.type === "tool_result"
                ? [
                    current,
                    [
                      {
                        _tag: "Tool",
                        id: string(block.tool_use_id) ?? "",
                        title: "",
                        kind: "other",
                        status: block.is_error === true ? "failed" : "completed"
                      }
                    ]
                  ]
                : [current, []]
        )
      )
    case "rate_limit_event": {
      const info = record(event.rate_limit_info)
      return [
        info?.status === "rejected"
          ? { ...state, limit: { ...record(state.limit), error: "usage_limit_reached", resetsAt: info.resetsAt } }
          : state,
        []
      ]
    }
    case "result": {
      const ended = { ...state, ended: true }
      const wrong = event.is_error === true || (typeof event.subtype === "string" && event.subtype !== "success")
      const stopped = event.subtype === "error_max_turns" ? { ...ended, stop: "max_turn_requests" } : ended
      const { usage: _, modelUsage: __, ...rest } = event
      const answer = string(event.result)
      const told = wrong
        ? { ...stopped, failure: rest }
        : answer === undefined || answer === ""
          ? stopped
          : { ...stopped, text: answer.slice(-answerLimit) }
      return withTokens(told, event.usage)
    }
    default:
      return [state, []]
  }
}

/** codex `exec --json`. */
export const codex = (state: OneShotState, event: Json): Step => {
  const item = record(event.item)
  switch (event.type) {
    case "thread.started":
      return [session(state, event.thread_id), []]
    case "item.started":
    case "item.updated":
    case "item.completed": {
      const kind = string(item?.type) ?? ""
      const done = event.type === "item.completed"
      if (kind === "agent_message") return done ? say(state, `${string(item?.text) ?? ""}\n`) : [state, []]
      if (kind === "reasoning") return [state, done ? [{ _tag: "Thought", text: string(item?.text) ?? "" }] : []]
      if (kind === "error" || kind === "") return [state, []]
      if (event.type === "item.updated") return [state, []]
      const status = !done ? "in_progress" : item?.status === "failed" ? "failed" : kind === "file_change" ? "new" : "completed"
      return tool(state, item?.id, kind, status, item?.command)
    }
    case "turn.completed":
      // A turn that completes has survived what was reported before.
      return withTokens({ ...state, ended: true, failure: undefined }, event.usage)
    case "turn.failed":
      return [{ ...state, ended: true, failure: event.error ?? {} }, []]
    case "error": {
      const message = string(event.message) ?? ""
      if (/^Reconnecting\.\.\./.test(message))
        return [state, [{ _tag: "Waiting", detail: "The agent reconnects to its provider by itself" }]]
      return [{ ...state, failure: { message } }, []]
    }
    default:
      return [state, []]
  }
}

/** gemini `-o stream-json`. */
export const gemini = (before: OneShotState, event: Json): Step => {
  const state = session(before, event.session_id)
  switch (event.type) {
    case "message":
      return event.role === "assistant" ? say(state, string(event.content) ?? "") : [state, []]
    case "tool_use":
      return tool(state, event.tool_id, event.tool_name, "in_progress")
    case "tool_result":
      return [
        state,
        [
          {
            _tag: "Tool",
            id: string(event.tool_id) ?? "",
            title: "",
            kind: "other",
            status: event.status === "error" ? "failed" : "completed"
          }
        ]
      ]
    case "error":
      return event.severity === "warning" ? [state, []] : [{ ...state, failure: event }, []]
    case "result": {
      const ended = { ...state, ended: true }
      const failed = event.status === "success" ? { ...ended, failure: undefined } : { ...ended, failure: event.error ?? event }
      return withTokens(failed, event.stats)
    }
    default:
      return [state, []]
  }
}

/** opencode `run --format json`. */
export const opencode = (before: OneShotState, event: Json): Step => {
  const state = session(before, event.sessionID)
  const part = record(event.part)
  switch (event.type) {
    case "text":
      return say(state, `${string(part?.text) ?? ""}\n`)
    case "tool_use": {
      // It is told when it is over, so one event is a whole call.
      const over = record(part?.state)
      return tool(state, part?.callID, part?.tool, "new", over?.title)
    }
    case "step_finish": {
      // Figures are of one step here.
      const tokens = (state.tokens ?? 0) + (tokensOf(part?.tokens) ?? 0)
      return [{ ...state, tokens, ended: part?.reason === "stop" }, [{ _tag: "Usage", usage: { tokens, toolCalls: state.toolCalls } }]]
    }
    case "error":
      return [{ ...state, ended: true, failure: event.error ?? event }, []]
    default:
      return [state, []]
  }
}
