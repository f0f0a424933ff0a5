import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { AgentSpec } from "../../src/agent/AgentSpec.ts"
import { agentOf, outputFormatOf, PresetUnknown, presets, resolvePreset } from "../../src/agent/AgentPresets.ts"
import { classify } from "../../src/agent/Classification.ts"
import { initial, makeReader, observe, sideEffectsOf, step, usageOf } from "../../src/agent/OneShotOutput.ts"
import type { OneShotState } from "../../src/agent/OneShotOutput.ts"
import type { OutputFormat } from "../../src/agent/AgentPresets.ts"

const now = Date.UTC(2026, 10, 24, 12)
const spec = (given: object): AgentSpec => {
  const whole: unknown = { id: "a", driver: "acp", ...given }
  return Schema.decodeUnknownSync(AgentSpec)(whole)
}
const resolved = (given: object): AgentSpec => {
  const answer = resolvePreset(spec(given))
  assert.notInstanceOf(answer, PresetUnknown)
  return answer as AgentSpec
}

describe("AgentPresets", () => {
  it("C48 every preset gives a command and an account, and none grants a permission by itself", () => {
    for (const name of Object.keys(presets)) {
      for (const driver of ["acp", "command"]) {
        for (const permissions of ["ask", "edits", "all", "reject"]) {
          const answer = resolvePreset(spec({ driver, preset: name, permissions }))
          if (answer instanceof PresetUnknown) continue
          assert.isAbove(answer.command.length, 0)
          assert.isString(answer.account)
          if (permissions !== "ask" && permissions !== "reject") continue
          assert.notMatch(answer.command.join(" "), /yolo|bypass|dangerously|accept|auto[_-]?edit|--force|allow|workspace-write/i)
        }
      }
    }
  })

  it("C48 what the user configured wins over the preset", () => {
    const own = resolved({
      preset: "claude",
      command: ["node", "mine.js"],
      account: "work",
      env: { CLAUDE_CODE_MAX_RETRIES: "7", MINE: "1" }
    })
    assert.deepStrictEqual(
      [own.command, own.account, own.env.CLAUDE_CODE_MAX_RETRIES, own.env.MINE],
      [["node", "mine.js"], "work", "7", "1"]
    )
    const plain = resolved({ preset: "claude" })
    assert.deepStrictEqual([plain.command, plain.account, plain.env.CLAUDE_CODE_MAX_RETRIES], [["claude-agent-acp"], "anthropic", "1"])
    assert.deepStrictEqual(resolvePreset(plain), plain)
    const none = spec({ command: ["x"] })
    assert.strictEqual(resolvePreset(none), none)
  })

  it("C48 one-shot presets carry the prompt in one argument and nothing on standard input", () => {
    const codex = resolved({ driver: "command", preset: "codex", permissions: "edits" })
    assert.deepStrictEqual(codex.command, [
      "codex",
      "exec",
      "--sandbox",
      "workspace-write",
      "--skip-git-repo-check",
      "--json",
      "--",
      "{{task.prompt}}"
    ])
    assert.strictEqual(codex.stdin, "none")
    for (const [name, preset] of Object.entries(presets)) {
      if (preset.oneShot === undefined) continue
      const { command } = resolved({ driver: "command", preset: name })
      const at = command.findIndex((argument) => argument.includes("{{task.prompt}}"))
      // A prompt that begins with a dash must not become an option.
      assert.isTrue(command[at - 1] === "--" || /^--[a-z]+=\{\{/.test(command[at] ?? ""), name)
    }
  })

  it("C60 an unknown preset, or one without that mode, names those that would do", () => {
    for (const given of [
      { preset: "nobody" },
      { preset: "__proto__" },
      { preset: "kimi", driver: "command" },
      { preset: "claude", driver: "mine" }
    ]) {
      const answer = resolvePreset(spec(given))
      assert.instanceOf(answer, PresetUnknown)
      assert.include((answer as PresetUnknown).message, `"${given.preset}"`)
    }
  })

  it("C12 an agent is known by its preset, or by its program behind launchers and adapters", () => {
    const names = [
      { preset: "codex" },
      { command: ["npx", "-y", "@agentclientprotocol/codex-acp@2.6.0"] },
      { command: ["node", "/x/claude-agent-acp.js"] },
      { command: ["/opt/bin/opencode", "acp"] },
      { command: ["make"] }
    ]
    assert.deepStrictEqual(
      names.map((given) => agentOf(spec(given))),
      ["codex", "codex", "claude", "opencode", "make"]
    )
  })

  it("C48 JSON output is expected only where it was asked for", () => {
    const format = (given: object) => outputFormatOf(spec({ driver: "command", ...given }))
    assert.strictEqual(format({ command: ["claude", "-p", "--output-format", "stream-json", "x"] }), "claude")
    assert.strictEqual(format({ command: ["claude", "-p", "x"] }), "text")
    assert.strictEqual(format({ command: ["my-tool", "--json"] }), "text")
    assert.strictEqual(outputFormatOf(resolved({ driver: "command", preset: "opencode" })), "opencode")
  })
})

describe("OneShotOutput", () => {
  const feed = (format: OutputFormat, ...events: ReadonlyArray<unknown>): OneShotState =>
    events.reduce<OneShotState>(
      (state, event) => step(format, state, typeof event === "string" ? event : JSON.stringify(event), now)[0],
      initial
    )
  const fault = (agent: string, format: OutputFormat, state: OneShotState, exitCode: number) =>
    classify({ agent, mode: "command", exitCode, signal: null, ours: false, stderrTail: "", now, ...observe(format, state) })

  const use = (name: string) => ({
    type: "assistant",
    message: {
      content: [
        { type: "text", text: "Working." },
        { type: "tool_use", id: "1", name, input: {} }
      ]
    }
  })
  const result = (more: object) => ({ type: "result", session_id: "s1", usage: { input_tokens: 20, output_tokens: 10 }, ...more })

  it("C48 claude's events give answer, session, usage and side effects", () => {
    const state = feed(
      "claude",
      { type: "system", subtype: "init", session_id: "s1" },
      use("Write"),
      result({ subtype: "success", is_error: false, result: "Done." })
    )
    assert.deepInclude(state, { text: "Done.", sessionId: "s1", ended: true })
    assert.deepStrictEqual(usageOf(state), { tokens: 30, toolCalls: 1 })
    assert.strictEqual(sideEffectsOf("claude", state), "seen")
    assert.isUndefined(fault("claude", "claude", state, 0))
    assert.strictEqual(sideEffectsOf("claude", feed("claude", use("Read"), result({ subtype: "success", result: "x" }))), "none")
    assert.strictEqual(sideEffectsOf("claude", feed("claude", use("Read"))), "unknown")
  })

  it("C12 C64 claude's failures are read from its result, whatever its exit code", () => {
    const retry = {
      type: "system",
      subtype: "api_retry",
      attempt: 1,
      max_retries: 10,
      retry_delay_ms: 2403,
      error_status: 429,
      error: "rate_limit"
    }
    assert.deepStrictEqual(step("claude", initial, JSON.stringify(retry), now)[1], [
      { _tag: "Waiting", detail: "The agent tries again by itself (1 of 10, status 429)", untilMillis: now + 2403 }
    ])
    const failed = feed(
      "claude",
      retry,
      result({ subtype: "success", is_error: true, terminal_reason: "api_error", result: "API Error: Request rejected (429)" })
    )
    for (const exitCode of [0, 1]) assert.strictEqual(fault("claude", "claude", failed, exitCode)?._tag, "RateLimited", String(exitCode))
    const reset = now / 1_000 + 3_600
    const closed = feed(
      "claude",
      { type: "rate_limit_event", rate_limit_info: { status: "rejected", resetsAt: reset, rateLimitType: "five_hour" } },
      result({ subtype: "success", is_error: true, result: "limit" })
    )
    assert.deepInclude(fault("claude", "claude", closed, 1), { _tag: "QuotaExhausted", resetsAt: reset * 1_000 })
    assert.strictEqual(
      fault("claude", "claude", feed("claude", result({ subtype: "error_max_turns", is_error: true })), 1)?._tag,
      "Runaway"
    )
    const survived = feed("claude", retry, use("Write"), result({ subtype: "success", is_error: false, result: "Done." }))
    assert.isUndefined(fault("claude", "claude", survived, 0))
  })

  it("C12 C48 codex's events give answer, thread, usage, retries and failure", () => {
    const message = { type: "item.completed", item: { id: "2", type: "agent_message", text: "Done." } }
    const run = { id: "1", type: "command_execution", command: "touch x", status: "in_progress" }
    const state = feed(
      "codex",
      { type: "thread.started", thread_id: "t1" },
      { type: "item.started", item: run },
      { type: "item.completed", item: { ...run, status: "completed" } },
      message,
      {
        type: "turn.completed",
        usage: { input_tokens: 20, cached_input_tokens: 0, output_tokens: 10 }
      }
    )
    assert.deepInclude(state, { text: "Done.\n", sessionId: "t1", toolCalls: 1, tokens: 30 })
    assert.isUndefined(fault("codex", "codex", state, 0))
    assert.strictEqual(
      step("codex", initial, JSON.stringify({ type: "error", message: "Reconnecting... 2/5" }), now)[1][0]?._tag,
      "Waiting"
    )
    const failed = feed("codex", { type: "turn.failed", error: { message: "exceeded retry limit, last status: 429 Too Many Requests" } })
    assert.strictEqual(fault("codex", "codex", failed, 1)?._tag, "RateLimited")
    assert.strictEqual(sideEffectsOf("codex", failed), "none")
  })

  it("C12 C64 gemini's result decides, also about an answer that was cut", () => {
    const failed = feed("gemini", {
      type: "result",
      status: "error",
      error: { type: "Error", message: "API key not valid. Please pass a valid API key." }
    })
    assert.strictEqual(fault("gemini", "gemini", failed, 145)?._tag, "AuthRequired")
    const said = { type: "message", role: "assistant", content: "Done: ", delta: true }
    const cut = feed("gemini", { type: "init", session_id: "g" }, said, {
      type: "result",
      status: "success",
      stats: { total_tokens: 0, tool_calls: 0 }
    })
    assert.strictEqual(fault("gemini", "gemini", cut, 0)?._tag, "FalseSuccess")
    const good = feed(
      "gemini",
      { type: "tool_use", tool_name: "write_file", tool_id: "1" },
      { ...said, content: "Done." },
      { type: "result", status: "success", stats: { total_tokens: 30 } }
    )
    assert.isUndefined(fault("gemini", "gemini", good, 0))
    assert.strictEqual(sideEffectsOf("gemini", good), "seen")
  })

  it("C12 C13 opencode's error keeps status and header; its figures are summed over steps", () => {
    const error = {
      name: "APIError",
      data: { message: "Rate limit", statusCode: 429, isRetryable: true, responseHeaders: { "retry-after": "12" } }
    }
    assert.deepInclude(fault("opencode", "opencode", feed("opencode", { type: "error", sessionID: "ses", error }), 1), {
      _tag: "RateLimited",
      retryAfterMillis: 12_000
    })
    const finish = (reason: string) => ({
      type: "step_finish",
      sessionID: "ses",
      part: { reason, tokens: { input: 10, output: 5, reasoning: 0, cache: { read: 0, write: 0 } } }
    })
    const state = feed(
      "opencode",
      { type: "tool_use", part: { callID: "1", tool: "write", state: { status: "completed", title: "x" } } },
      finish("tool-calls"),
      { type: "text", part: { text: "Done." } },
      finish("stop")
    )
    assert.deepInclude(state, { tokens: 30, toolCalls: 1, sessionId: "ses", ended: true })
    assert.isUndefined(fault("opencode", "opencode", state, 0))
  })

  it("C48 C60 events are read the same however their bytes are cut, the last line without its end too", () => {
    const lines = [use("Write"), result({ subtype: "success", is_error: false, result: "Döne. ✓" })].map((event) => JSON.stringify(event))
    const bytes = new TextEncoder().encode(lines.join("\r\n"))
    for (const size of [1, 3, 7, bytes.length]) {
      const reported: Array<string> = []
      const reader = makeReader("claude", (progress) => void reported.push(progress._tag))
      for (let at = 0; at < bytes.length; at += size) reader.push(bytes.subarray(at, at + size), now)
      assert.deepInclude(reader.end(now), { text: "Döne. ✓", ended: true, toolCalls: 1 })
      assert.deepStrictEqual(reported, ["Text", "Tool", "Usage"])
    }
    const flood = makeReader("claude", () => {})
    for (let index = 0; index < 12; index++) flood.push(new Uint8Array(1024 * 1024).fill(120), now)
    assert.isAtMost(flood.end(now).text.length, 65_536)
  })

  it("C60 lines that are no events are output, and no line breaks the reading", () => {
    for (const format of ["text", "claude", "codex", "gemini", "opencode"] as const) {
      const lines = [
        "plain",
        "{",
        "{}",
        "[]",
        "null",
        '{"type":"result"}',
        '{"type":"assistant","message":7}',
        '{"type":"item.completed"}',
        '{"type":"error"}',
        '{"type":"text","part":null}',
        '{"type":"user","message":{"content":[1,null,{}]}}'
      ]
      const state = feed(format, ...lines)
      assert.include(state.text, "plain")
      fault("claude", format, state, 1)
    }
  })
})
