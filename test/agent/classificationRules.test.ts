import { assert, describe, it } from "@effect/vitest"
import { classify } from "../../src/agent/Classification.ts"
import type { Observation } from "../../src/agent/Classification.ts"
import { rules } from "../../src/agent/classificationRules.ts"
import { recordings } from "../support/acp/Recordings.ts"

const base = { signal: null, ours: false, stdoutTail: "", stderrTail: "", now: 0 } as const
const exit = (exitCode: number, agent = "make"): Observation => ({ ...base, agent, mode: "command", exitCode })
const rpc = (code: number, message: string, data?: unknown, agent = "x"): Observation => ({
  ...base,
  agent,
  mode: "acp",
  exitCode: null,
  rpcError: { code, message, data }
})
const kind = (errorKind: string): Observation => rpc(-32603, "Internal error", { errorKind })
const said = (agent: string, stdoutTail: string): Observation => ({
  ...base,
  agent,
  mode: "acp",
  exitCode: null,
  stopReason: "end_turn",
  toolCalls: 1,
  stdoutTail: `I looked at it.\n${stdoutTail}\n\n`
})

/** One observation for each row that no recording reaches. */
const examples: Readonly<Record<string, Observation>> = {
  "exit/77": exit(77),
  "exit/124": exit(124),
  "exit/75": exit(75),
  "exit/126": exit(126),
  "acp/not-found": rpc(-32002, "Resource not found"),
  "acp/cancelled": rpc(-32800, "Request cancelled"),
  "acp/params": rpc(-32602, "Invalid params"),
  "acp/method": rpc(-32601, "Method not found"),
  "gemini/exit-429": exit(173, "gemini"),
  "gemini/exit-503": exit(247, "gemini"),
  "gemini/exit-5xx": exit(244, "gemini"),
  "gemini/exit-401": exit(145, "gemini"),
  "gemini/exit-4xx": exit(144, "gemini"),
  "gemini/daily": rpc(429, "You have exhausted your daily quota on this model.", undefined, "gemini"),
  "claude/window": { ...exit(1, "claude"), stdoutTail: "5-hour limit reached ∙ resets 3pm" },
  "claude/long": { ...exit(1, "claude"), stdoutTail: "Prompt is too long" },
  "word/quota": rpc(-32603, "Internal error", { codexErrorInfo: "usageLimitExceeded" }),
  "word/rate": kind("rate_limit"),
  "word/auth": kind("authentication_failed"),
  "word/overloaded": kind("overloaded"),
  "word/rate-google": rpc(-32603, "Internal error", { error: { status: "RESOURCE_EXHAUSTED" } }),
  "word/refused": kind("content_filter"),
  "word/transient": kind("server_error"),
  "word/invalid": kind("model_not_found"),
  "word/limit": rpc(-32603, "Internal error", { category: "limit" }),
  "status/402": rpc(402, "x"),
  "status/429": rpc(429, "x"),
  "status/401": rpc(403, "x"),
  "status/overloaded": rpc(-32603, "x", { statusCode: 529 }),
  "status/413": rpc(413, "x"),
  "text/invalid": rpc(-32603, "The model gpt-9 does not exist"),
  "codex/claimed-5xx": said("codex", "exceeded retry limit, last status: 500 Internal Server Error"),
  "codex/claimed-status": said("codex", "unexpected status 502 Bad Gateway: x"),
  "codex/claimed-auth": said("codex", "unexpected status 401 Unauthorized: x"),
  "codex/claimed-invalid": said("codex", "unexpected status 404 Not Found: x"),
  "codex/claimed-quota": said("codex", "You've hit your usage limit. Try again later."),
  "codex/claimed-error": said("codex", '{"error":{"message":"Unsupported parameter","type":"invalid_request_error"}}'),
  "claude/claimed-429": said("claude", "API Error: Request rejected (429) · slow down"),
  "claude/claimed-529": said("claude", "API Error: 529 Overloaded."),
  "claude/claimed-5xx": said("claude", "API Error: Connection dropped (ECONNRESET)."),
  "claude/claimed-refused": said("claude", "API Error: Connection refused — a firewall"),
  "claude/claimed-auth": said("claude", "Invalid API key · Fix external API key"),
  "claude/claimed-quota": said("claude", "Credit balance is too low"),
  "claude/claimed-4xx": said("claude", "API Error: 400 messages: invalid thing"),
  "qwen/claimed-429": said("qwen", "[API Error: 429 slow down]"),
  "qwen/claimed-quota": said("qwen", "[API Error: You exceeded your current quota]"),
  "qwen/claimed-auth": said("qwen", "[API Error: 401 Incorrect API key]"),
  "qwen/claimed-error": said("qwen", "[API Error: Connection error.]"),
  "claimed/429": said("x", "Error: 429 Too Many Requests"),
  "claimed/overloaded": said("x", "API Error: 529 overloaded"),
  "claimed/5xx": said("x", "Error: HTTP 500 internal"),
  "claimed/auth": said("x", "Error: 401 Unauthorized")
}

describe("classificationRules", () => {
  const byRule = new Map(recordings().map(({ observation }) => [classify(observation)?.rule, observation]))

  it("C12 every row is reached by a recording or by its example, and gives its class", () => {
    for (const rule of rules) {
      const observation = examples[rule.id] ?? byRule.get(rule.id)
      assert.isDefined(observation, rule.id)
      if (observation !== undefined) assert.deepInclude(classify(observation), { rule: rule.id, _tag: rule.class }, rule.id)
    }
  })

  it("C12 no example has outlived its row", () => {
    const ids = new Set(rules.map((rule) => rule.id))
    assert.deepStrictEqual(
      Object.keys(examples).filter((id) => !ids.has(id)),
      []
    )
  })
})
