import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { agentName, classify } from "../../src/agent/Classification.ts"
import type { Observation } from "../../src/agent/Classification.ts"
import { rules } from "../../src/agent/classificationRules.ts"
import { Fault } from "../../src/agent/Fault.ts"
import { recordings } from "../support/acp/Recordings.ts"

const now = Date.UTC(2026, 10, 24, 12)

const command = (changes: Partial<Observation> = {}): Observation => ({
  agent: "npm",
  mode: "command",
  exitCode: 1,
  signal: null,
  ours: false,
  stdoutTail: "",
  stderrTail: "",
  now,
  ...changes
})

const acp = (changes: Partial<Observation> = {}): Observation => ({
  agent: "opencode",
  mode: "acp",
  exitCode: null,
  signal: null,
  ours: false,
  stdoutTail: "",
  stderrTail: "",
  toolCalls: 1,
  tokens: null,
  now,
  ...changes
})

const tag = (observation: Observation): string => classify(observation)?._tag ?? "none"

describe("Classification", () => {
  const recorded = recordings()

  it("C12 every recorded run of a real agent gets the class of the fault that was injected, or its written exception", () => {
    assert.strictEqual(recorded.length, 176)
    const wrong = recorded.flatMap((recording) => {
      const got = tag(recording.observation)
      return got === recording.expected ? [] : [`${recording.name}: expected ${recording.expected}, got ${got}`]
    })
    assert.deepStrictEqual(wrong, [])
  })

  it("C13 every recorded hint reaches the fault", () => {
    const hinted = recorded.filter((recording) => recording.retryAfterMillis !== undefined)
    assert.isAbove(hinted.length, 3)
    for (const { name, observation, retryAfterMillis } of hinted) {
      const fault = classify(observation)
      assert.strictEqual(fault?._tag === "RateLimited" ? fault.retryAfterMillis : undefined, retryAfterMillis, name)
    }
  })

  it("C64 every recorded claim of success for a turn that died is recognised", () => {
    const claimed = recorded.filter(
      ({ expected, observation }) =>
        expected !== "none" && !observation.ours && (observation.stopReason === "end_turn" || observation.exitCode === 0)
    )
    assert.isAbove(claimed.length, 8)
    for (const { name, observation } of claimed) assert.notStrictEqual(tag(observation), "none", name)
  })

  it("C12 exit codes have their conventional meaning for any program", () => {
    const cases: ReadonlyArray<readonly [Partial<Observation>, string]> = [
      [{ exitCode: 0 }, "none"],
      [{ exitCode: 75 }, "Transient"],
      [{ exitCode: 75, stderrTail: "rate limited, retry after 30s" }, "RateLimited"],
      [{ exitCode: 75, stderrTail: "come back: retry-after: 30" }, "RateLimited"],
      [{ exitCode: 77 }, "AuthRequired"],
      [{ exitCode: 77, stderrTail: "rate limit exceeded" }, "AuthRequired"],
      [{ exitCode: 124 }, "TimedOut"],
      [{ exitCode: 127 }, "SpawnFailed"],
      [{ exitCode: 137 }, "Crashed"],
      [{ exitCode: 143, stderrTail: "overloaded" }, "Crashed"],
      [{ exitCode: null, signal: "SIGSEGV" }, "Crashed"],
      [{ exitCode: null, signal: "SIGTERM", ours: true }, "Cancelled"],
      [{ exitCode: 143, ours: true }, "Cancelled"],
      [{ exitCode: 0, ours: true, agent: "gemini" }, "Cancelled"],
      [{ exitCode: 3 }, "Unknown"],
      [{ exitCode: 1, stdoutTail: "test: rate limit exceeded is retried ... FAILED" }, "Unknown"],
      [{ exitCode: 255 }, "Unknown"]
    ]
    for (const [changes, expected] of cases) assert.strictEqual(tag(command(changes)), expected, JSON.stringify(changes))
  })

  it("C12 gemini's exit codes in its JSON mode are HTTP statuses modulo 256, and are not taken for signals", () => {
    const exits: ReadonlyArray<readonly [number, string]> = [
      [145, "AuthRequired"],
      [173, "RateLimited"],
      [247, "Overloaded"],
      [244, "Transient"],
      [144, "InvalidRequest"],
      [137, "Crashed"]
    ]
    for (const [exitCode, expected] of exits) assert.strictEqual(tag(command({ agent: "gemini", exitCode })), expected, String(exitCode))
  })

  it("C12 protocol errors are read in each agent's dialect", () => {
    const error = (code: number, message: string, data?: unknown): Observation => acp({ rpcError: { code, message, data } })
    const cases: ReadonlyArray<readonly [Observation, string]> = [
      [error(-32000, "Authentication required"), "AuthRequired"],
      [error(-32603, "Internal error", { codexErrorInfo: "usageLimitExceeded" }), "QuotaExhausted"],
      [error(-32603, "Internal error", { codexErrorInfo: { responseTooManyFailedAttempts: { httpStatusCode: 429 } } }), "RateLimited"],
      [error(-32603, "limited", { errorKind: "rate_limit", httpStatus: 429, retryAfterMs: 2_000 }), "RateLimited"],
      [error(-32603, "Internal error", { details: "429 Too Many Requests" }), "RateLimited"],
      [error(-32603, "Internal error", { errorKind: "model_not_found" }), "InvalidRequest"],
      [error(-32603, "Internal error", { errorName: "ContextOverflowError" }), "ContextOverflow"],
      [error(429, "x"), "RateLimited"],
      [error(503, "x"), "Overloaded"],
      [error(-32601, "Method not found"), "ProtocolViolation"],
      [error(-32602, "Invalid params"), "InvalidRequest"],
      [error(-32603, "Internal error"), "Unknown"],
      [
        acp({ agent: "x", rpcError: { code: -32603, message: "Internal error" }, stderrTail: "Error: connect ECONNREFUSED 127.0.0.1:9" }),
        "Outage"
      ]
    ]
    for (const [observation, expected] of cases) assert.strictEqual(tag(observation), expected, JSON.stringify(observation.rpcError))
  })

  it("C13 opencode's JSON errors keep the provider's header", () => {
    const fault = classify(
      command({
        agent: "opencode",
        meta: {
          failure: {
            name: "APIError",
            data: { statusCode: 429, isRetryable: true, responseHeaders: { "retry-after": "12" }, responseBody: "{}" }
          }
        }
      })
    )
    assert.deepInclude(fault, { _tag: "RateLimited", retryAfterMillis: 12_000 })
  })

  it("C24 a quota that comes back within minutes is a rate limit", () => {
    const text = "You exceeded your current quota, please check your plan and billing details. Please retry in 34.07s."
    assert.deepInclude(classify(acp({ agent: "gemini", rpcError: { code: 429, message: text } })), {
      _tag: "RateLimited",
      retryAfterMillis: 34_070
    })
    assert.strictEqual(tag(acp({ agent: "gemini", rpcError: { code: 429, message: text.replace("34.07s", "9h") } })), "QuotaExhausted")
  })

  it("C64 a turn that ended without answer, tool call or tokens did not succeed", () => {
    const turn = (changes: Partial<Observation>): string => tag(acp({ stopReason: "end_turn", ...changes }))
    assert.strictEqual(turn({ stdoutTail: "All done." }), "none")
    assert.strictEqual(turn({ stdoutTail: "", toolCalls: 0 }), "FalseSuccess")
    assert.strictEqual(turn({ agent: "gemini", stdoutTail: "hm", toolCalls: 0, tokens: 0 }), "FalseSuccess")
    assert.strictEqual(turn({ agent: "opencode", stdoutTail: "A server that counts no tokens.", toolCalls: 0, tokens: 0 }), "none")
    assert.strictEqual(turn({ stdoutTail: "hm", meta: { quota: { token_count: null } } }), "FalseSuccess")
    assert.strictEqual(turn({ stdoutTail: "hm", meta: { codex: { threadStatus: { type: "systemError" } } } }), "FalseSuccess")
    assert.strictEqual(tag(command({ agent: "codex", exitCode: 0 })), "FalseSuccess")
    assert.strictEqual(tag(command({ agent: "make", exitCode: 0 })), "none")
  })

  it("C64 a failure in the result's metadata outranks end_turn, and a warning that was survived does not", () => {
    const air = (category: string, severity: string, title: string): string =>
      tag(
        acp({
          stopReason: "end_turn",
          stdoutTail: "text",
          meta: { jetbrains: { air: { sessionFailure: { category, severity, title, actions: ["retry"] } } } }
        })
      )
    assert.strictEqual(air("limit", "error", "Too many requests"), "RateLimited")
    assert.strictEqual(air("limit", "error", "Quota exceeded. Check your plan. insufficient_quota"), "QuotaExhausted")
    assert.strictEqual(air("access", "error", "Log in again"), "AuthRequired")
    assert.strictEqual(air("connection", "error", "The network is gone"), "Transient")
    assert.strictEqual(air("request", "error", "Bad request"), "InvalidRequest")
    assert.strictEqual(air("something", "error", "?"), "FalseSuccess")
    assert.strictEqual(air("connection", "warning", "Reconnecting... 2/5"), "none")
  })

  it("C64 an answer that merely speaks of errors stays an answer", () => {
    const answers = [
      "I fixed the handler for `API Error: 529 Overloaded`.",
      "The client now retries on 429 Too Many Requests.\nDone.",
      "exceeded retry limit, last status: 429 Too Many Requests\nwas the message; it is fixed now."
    ]
    for (const stdoutTail of answers) {
      for (const agent of ["codex", "claude", "gemini", "opencode"])
        assert.strictEqual(tag(acp({ agent, stopReason: "end_turn", stdoutTail })), "none", stdoutTail)
    }
  })

  it("C48 stop reasons that are no success keep their meaning, and an agent that dies in a turn has crashed", () => {
    assert.strictEqual(tag(acp({ stopReason: "refusal" })), "Refused")
    assert.strictEqual(tag(acp({ stopReason: "max_tokens" })), "ContextOverflow")
    assert.strictEqual(tag(acp({ stopReason: "max_turn_requests" })), "Runaway")
    assert.strictEqual(tag(acp({ stopReason: "cancelled" })), "Unknown")
    assert.strictEqual(tag(acp({ stopReason: "on_fire" })), "Unknown")
    assert.strictEqual(tag(acp({ exitCode: 0 })), "Crashed")
    assert.strictEqual(tag(acp({ exitCode: 1 })), "Crashed")
    assert.strictEqual(tag(acp({ exitCode: 1, stderrTail: "attempt 1: 429 Too Many Requests" })), "Crashed")
    assert.strictEqual(tag(acp({ exitCode: 1, stderrTail: "Not logged in" })), "AuthRequired")
    assert.strictEqual(tag(acp({ exitCode: 75, stderrTail: "rate limit exceeded" })), "RateLimited")
    assert.strictEqual(tag(acp({ exitCode: 77 })), "AuthRequired")
    assert.strictEqual(tag(acp({ exitCode: null, signal: "SIGKILL" })), "Crashed")
  })

  it("C12 adapters, packages and paths count as their agent", () => {
    const names = [
      "codex-acp",
      "/usr/bin/codex",
      "C:\\x\\codex.cmd",
      "@agentclientprotocol/codex-acp@2.6.0",
      "claude-agent-acp",
      "gemini",
      ""
    ]
    assert.deepStrictEqual(names.map(agentName), ["codex", "codex", "codex", "codex", "claude", "gemini", ""])
  })

  it("C25 no fault quotes what the agent printed", () => {
    for (const { observation } of recorded) {
      const canary = "CANARY-7d1f"
      const fault = classify({
        ...observation,
        stdoutTail: `${observation.stdoutTail}${canary}`,
        stderrTail: `${observation.stderrTail}\n${canary}`
      })
      assert.notInclude(JSON.stringify(fault) ?? "", canary)
    }
  })

  it("C12 rules have unique ids, and no pattern keeps state between uses", () => {
    assert.strictEqual(new Set(rules.map((rule) => rule.id)).size, rules.length)
    for (const rule of rules) assert.isFalse(rule.text?.global === true || rule.text?.sticky === true, rule.id)
  })

  const fuzzed = Schema.Struct({
    exitCode: Schema.NullOr(Schema.Int),
    signal: Schema.NullOr(Schema.String),
    ours: Schema.Boolean,
    acp: Schema.Boolean,
    stdout: Schema.String,
    stderr: Schema.String,
    code: Schema.NullOr(Schema.Int),
    data: Schema.Unknown,
    meta: Schema.Unknown,
    stop: Schema.NullOr(Schema.String),
    pick: Schema.Int
  })
  it.effect.prop(
    "C60 any observation gives a fault that fits the schema, or none",
    [fuzzed],
    ([input]) =>
      Effect.gen(function* () {
        const base = recorded[Math.abs(input.pick) % recorded.length]?.observation ?? command()
        const fault = classify({
          ...base,
          mode: input.acp ? "acp" : "command",
          exitCode: input.exitCode,
          signal: input.signal,
          ours: input.ours,
          stdoutTail: base.stdoutTail + input.stdout,
          stderrTail: input.stderr + base.stderrTail.slice(0, 40),
          ...(input.code === null ? {} : { rpcError: { code: input.code, message: input.stderr, data: input.data } }),
          ...(input.stop === null ? {} : { stopReason: input.stop }),
          meta: input.meta
        })
        if (fault !== undefined) yield* Schema.decodeUnknownEffect(Fault)(JSON.parse(JSON.stringify(fault)))
      }),
    { arbitrary: { runs: 300 } }
  )

  it("C60 structured data that is deep, circular, huge or throws is survived", () => {
    const circular: Record<string, unknown> = { errorKind: "rate_limit" }
    circular.self = circular
    let deep: unknown = "x"
    for (let index = 0; index < 50_000; index++) deep = { deep }
    const throwing = new Proxy(
      {},
      {
        ownKeys: () => {
          throw new Error("no")
        },
        get: () => {
          throw new Error("no")
        }
      }
    )
    for (const data of [circular, deep, throwing, Array.from({ length: 100_000 }, () => ({ status: 429 })), () => 1, Symbol("x"), 10n]) {
      assert.isDefined(classify(acp({ rpcError: { code: -32603, message: "m", data }, meta: data })))
      assert.doesNotThrow(() => classify(acp({ stopReason: "end_turn", stdoutTail: "ok", meta: data })))
    }
  })

  it("C60 output made to exhaust a pattern matcher costs no more than output of its length", () => {
    const pieces = [
      "1",
      " ",
      "\n",
      "retry after ",
      "1 s ",
      "1m",
      "try again in 1 s and ",
      "rate limit ",
      "rate-limit",
      '{"error":{',
      "API Error: ",
      "status: 4",
      "\u001b[",
      "\u001b[0;",
      "model ",
      "resets at ",
      "limit reached|",
      "1:",
      "Unexpected token ",
      "retry",
      "context ",
      "12:00 ("
    ]
    const started = performance.now()
    for (const piece of pieces) {
      const text = piece.repeat(Math.ceil(65_536 / piece.length))
      for (const agent of ["gemini", "codex", "claude"]) {
        classify(command({ agent, stdoutTail: text, stderrTail: text }))
        classify(command({ agent, exitCode: 0, stdoutTail: text }))
        classify(acp({ agent, rpcError: { code: -32603, message: text, data: { details: text, retryAfter: text, resetsAt: text } } }))
      }
    }
    // 198 classifications; a pattern that backtracks takes minutes for one.
    assert.isBelow(performance.now() - started, 20_000)
  })
})
