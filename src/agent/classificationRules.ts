/**
 * What failures of agents look like, one row a pattern, with the agent and version it was seen on. Data for `Classification`.
 *
 * Order matters: the first row that matches decides. Rows about one agent come before rows about any; rows that name a cause come
 * before rows that name a symptom (an exhausted quota arrives as status 429 too).
 */
import type { FaultClass } from "./Fault.ts"

export interface Rule {
  /** Kept in the fault, so that a wrong decision can be traced to its row. */
  readonly id: string
  /** The agent's name as presets call it; `*` for any program. */
  readonly agent: string
  /** The version it was seen on; `-` for conventions that belong to no version. */
  readonly version: string
  readonly mode: "command" | "acp" | "any"
  /**
   * `failed`: the attempt reports a failure. `claimed`: it reports success; such a row is about the agent's last line only, so that an
   * answer that merely speaks of errors stays an answer.
   */
  readonly when: "failed" | "claimed"
  readonly class: FaultClass
  /** What people read. Fixed text: output may hold secrets. */
  readonly detail: string
  /** All of these that are given must hold. */
  readonly exit?: ReadonlyArray<number>
  readonly rpc?: ReadonlyArray<number>
  readonly status?: ReadonlyArray<number>
  /** One of these identifiers, in lower case, in structured data. */
  readonly word?: ReadonlyArray<string>
  /** In the messages and output; when `claimed`: the whole last line of the answer. */
  readonly text?: RegExp
}

type Place = Pick<Rule, "agent" | "version" | "mode" | "when">
type Row = Omit<Rule, keyof Place>

const on = (place: Place, rows: ReadonlyArray<Row>): ReadonlyArray<Rule> => rows.map((row) => ({ ...place, ...row }))

const codex = { agent: "codex", version: "0.169.0" } as const
const claude = { agent: "claude", version: "2.1.330" } as const
const gemini = { agent: "gemini", version: "0.61.0" } as const
const opencode = { agent: "opencode", version: "1.18.33" } as const
const any = { agent: "*", version: "-", mode: "any" } as const

const limited = "The provider's rate limit is reached"
const quota = "The account's quota or usage window is used up"
const auth = "The provider or the agent asks for a login"
const overflow = "The context is larger than the model's"
const overloaded = "The provider is overloaded"
const outage = "Nothing answers at the provider's address"
const network = "The connection to the provider broke"
const server = "The provider answered with an error of its own"
const invalid = "The provider refused the request as invalid"

/** Exit codes that mean something for any program. */
const conventions: ReadonlyArray<Rule> = on({ ...any, when: "failed" }, [
  { id: "exit/77", exit: [77], class: "AuthRequired", detail: auth },
  { id: "exit/124", exit: [124], class: "TimedOut", detail: "The program ended with the exit code of a time limit of its own" },
  { id: "acp/auth", rpc: [-32000], class: "AuthRequired", detail: auth },
  {
    id: "acp/not-found",
    rpc: [-32002],
    class: "InvalidRequest",
    detail: "The agent does not know what was asked of it, such as a session"
  },
  {
    id: "acp/cancelled",
    rpc: [-32800],
    class: "Unknown",
    detail: "The agent ended the request as cancelled, and nobody here had asked for it"
  },
  { id: "acp/params", rpc: [-32602, -32600], class: "InvalidRequest", detail: "The agent refused the request as invalid" },
  { id: "acp/method", rpc: [-32601, -32700], class: "ProtocolViolation", detail: "The agent does not speak the protocol as expected" }
])

/** Statuses that gemini's `-o stream-json` mode reports as its exit code, modulo 256. Measured for 401; the rest by its arithmetic. */
const geminiExits: ReadonlyArray<Rule> = on({ ...gemini, mode: "command", when: "failed" }, [
  { id: "gemini/exit-429", exit: [429 % 256], class: "RateLimited", detail: limited },
  { id: "gemini/exit-503", exit: [503 % 256], class: "Overloaded", detail: overloaded },
  { id: "gemini/exit-5xx", exit: [500 % 256, 502 % 256, 504 % 256], class: "Transient", detail: server },
  { id: "gemini/exit-401", exit: [401 % 256, 403 % 256], class: "AuthRequired", detail: auth },
  { id: "gemini/exit-4xx", exit: [400 % 256, 404 % 256, 413 % 256], class: "InvalidRequest", detail: invalid }
])

const dialects: ReadonlyArray<Rule> = [
  ...on({ ...codex, mode: "any", when: "failed" }, [
    { id: "codex/context", text: /ran out of room in the model's context window/, class: "ContextOverflow", detail: overflow },
    { id: "codex/quota", text: /Quota exceeded\. Check your plan/, class: "QuotaExhausted", detail: quota },
    { id: "codex/429", text: /exceeded retry limit, last status: 429/, class: "RateLimited", detail: limited },
    { id: "codex/high-demand", text: /currently experiencing high demand/, class: "Overloaded", detail: overloaded },
    { id: "codex/stream", text: /stream disconnected before completion/, class: "Transient", detail: network }
  ]),
  ...on({ ...claude, mode: "any", when: "failed" }, [
    { id: "claude/credit", text: /Credit balance is too low/, class: "QuotaExhausted", detail: quota },
    { id: "claude/window", text: /(?:usage|session|weekly|5-hour) limit reached/i, class: "QuotaExhausted", detail: quota },
    { id: "claude/429", text: /Request rejected \(429\)/, class: "RateLimited", detail: limited },
    { id: "claude/529", text: /API Error: 529 /, class: "Overloaded", detail: overloaded },
    { id: "claude/key", text: /Invalid API key|Please run \/login/, class: "AuthRequired", detail: auth },
    { id: "claude/long", text: /Prompt is too long/, class: "ContextOverflow", detail: overflow }
  ]),
  ...on({ ...gemini, mode: "any", when: "failed" }, [
    { id: "gemini/daily", text: /exhausted your (?:daily|monthly) quota/, class: "QuotaExhausted", detail: quota },
    { id: "gemini/fetch", text: /TypeError: fetch failed/, class: "Transient", detail: network },
    { id: "gemini/cut", text: /TypeError: terminated|^terminated$/m, class: "Transient", detail: network },
    {
      id: "gemini/garbled",
      text: /(?:Unterminated string in|Unexpected (?:token|end)[^\n]{0,80}) JSON/,
      class: "Transient",
      detail: server
    }
  ]),
  ...on({ ...opencode, mode: "any", when: "failed" }, [
    { id: "opencode/connect", text: /Cannot connect to API: Unable to connect/, class: "Outage", detail: outage },
    { id: "opencode/closed", text: /Cannot connect to API:|Connection reset by server/, class: "Transient", detail: network },
    { id: "opencode/internal", text: /(?:^|error: )internal$/im, class: "Transient", detail: server }
  ])
]

/** What any agent may say, by identifiers and by words. */
const common: ReadonlyArray<Rule> = on({ ...any, when: "failed" }, [
  {
    id: "word/context",
    word: ["contextwindowexceeded", "context_length_exceeded", "contextoverflowerror", "context_window_exceeded", "max_output_tokens"],
    class: "ContextOverflow",
    detail: overflow
  },
  {
    id: "word/quota",
    word: [
      "billing_error",
      "insufficient_quota",
      "usagelimitexceeded",
      "usage_limit_exceeded",
      "usage_limit_reached",
      "quota_exceeded",
      "usage_not_included",
      "payment_required"
    ],
    class: "QuotaExhausted",
    detail: quota
  },
  {
    id: "word/rate",
    word: [
      "rate_limit",
      "rate_limited",
      "rate_limit_error",
      "rate_limit_exceeded",
      "ratelimiterror",
      "too_many_requests",
      "throttlingexception"
    ],
    class: "RateLimited",
    detail: limited
  },
  {
    id: "word/auth",
    word: [
      "auth",
      "access",
      "unauthorized",
      "unauthenticated",
      "authentication_failed",
      "authentication_error",
      "invalid_api_key",
      "providerautherror",
      "permission_denied",
      "oauth_org_not_allowed"
    ],
    class: "AuthRequired",
    detail: auth
  },
  {
    id: "text/context",
    text: /maximum context length|context (?:length|window) (?:is )?exceeded|exceeds? (?:the )?(?:model'?s? )?(?:context|maximum (?:number of )?tokens)|prompt is too long/i,
    class: "ContextOverflow",
    detail: overflow
  },
  {
    id: "text/quota",
    text: /exceeded your current quota|insufficient[_ ]quota|(?:usage|spending|credit) limit (?:reached|exceeded)|hit your usage limit|out of credits|credit balance is too low|payment required/i,
    class: "QuotaExhausted",
    detail: quota
  },
  {
    id: "text/rate",
    text: /rate[ _-]?limit(?:ed)?\b(?:[^\n]{0,40}(?:reached|exceeded|hit|error)|ed\b|[_ ]error)|rate limited|too many requests|would exceed your rate limit|resource_exhausted|resource has been exhausted/i,
    class: "RateLimited",
    detail: limited
  },
  {
    id: "text/auth",
    text: /(?:incorrect|invalid|missing|no) (?:api[ -]?key|x-api-key|credentials)|api key not valid|authentication (?:required|failed)|not logged in|please (?:log ?in|sign in)|unauthenticated\b|status 401/i,
    class: "AuthRequired",
    detail: auth
  },
  {
    id: "text/outage",
    text: /ECONNREFUSED|connection refused|waiting for network|ENOTFOUND|EAI_AGAIN|getaddrinfo|network is unreachable|ENETUNREACH/i,
    class: "Outage",
    detail: outage
  },
  {
    id: "word/overloaded",
    word: ["overloaded", "overloaded_error", "serveroverloaded", "server_overloaded"],
    class: "Overloaded",
    detail: overloaded
  },
  { id: "text/overloaded", text: /\boverloaded\b|service unavailable|status:? 529/i, class: "Overloaded", detail: overloaded },
  {
    id: "text/network",
    text: /ECONNRESET|ETIMEDOUT|EPIPE|socket hang up|connection (?:was )?(?:dropped|reset|closed|lost)|fetch failed|stream (?:disconnected|ended|closed)|premature close/i,
    class: "Transient",
    detail: network
  },
  { id: "status/402", status: [402], class: "QuotaExhausted", detail: quota },
  { id: "status/429", status: [429], class: "RateLimited", detail: limited },
  { id: "status/401", status: [401, 403], class: "AuthRequired", detail: auth },
  { id: "status/overloaded", status: [503, 529], class: "Overloaded", detail: overloaded },
  { id: "status/5xx", status: [408, 425, 500, 502, 504, 520, 521, 522, 523, 524], class: "Transient", detail: server },
  { id: "status/413", status: [413], class: "ContextOverflow", detail: overflow },
  { id: "status/4xx", status: [400, 404, 405, 409, 415, 422], class: "InvalidRequest", detail: invalid },
  { id: "word/rate-google", word: ["resource_exhausted"], class: "RateLimited", detail: limited },
  {
    id: "word/refused",
    word: ["refusal", "content_filter", "content_policy_violation", "prompt_blocked"],
    class: "Refused",
    detail: "The model declined"
  },
  {
    id: "word/transient",
    word: [
      "server_error",
      "api_error",
      "internal",
      "internal_error",
      "internalservererror",
      "connection",
      "network",
      "timeout",
      "unavailable",
      "service",
      "reset",
      "responsestreamdisconnected",
      "responsestreamconnectionfailed",
      "httpconnectionfailed",
      "responsetoomanyfailedattempts"
    ],
    class: "Transient",
    detail: server
  },
  {
    id: "word/invalid",
    word: [
      "invalid_request",
      "invalid_request_error",
      "model_not_found",
      "invalid_argument",
      "badrequest",
      "not_found_error",
      "permanent",
      "request"
    ],
    class: "InvalidRequest",
    detail: invalid
  },
  {
    id: "text/invalid",
    text: /model [^\n]{0,80}(?:not found|does not exist)|invalid request\b/i,
    class: "InvalidRequest",
    detail: invalid
  },
  // AIR's category for rate limits and quotas alike: the gate closes in both, and without a reset time a short wait is the better guess.
  { id: "word/limit", word: ["limit"], class: "RateLimited", detail: limited },
  { id: "exit/75", exit: [75], class: "Transient", detail: "The program asked to be run again later" },
  { id: "exit/126", exit: [126, 127], class: "SpawnFailed", detail: "The program could not be found or run" }
])

/** Successes that are none: the answer's last line, whole, is an error message of the agent itself. */
const falseSuccesses: ReadonlyArray<Rule> = [
  ...on({ ...codex, mode: "acp", when: "claimed" }, [
    { id: "codex/claimed-429", text: /^exceeded retry limit, last status: 429 /, class: "RateLimited", detail: limited },
    { id: "codex/claimed-5xx", text: /^exceeded retry limit, last status: 5\d\d /, class: "Transient", detail: server },
    { id: "codex/claimed-503", text: /^unexpected status (?:503|529) /, class: "Overloaded", detail: overloaded },
    { id: "codex/claimed-status", text: /^unexpected status 5\d\d /, class: "Transient", detail: server },
    { id: "codex/claimed-auth", text: /^unexpected status 40[13] /, class: "AuthRequired", detail: auth },
    { id: "codex/claimed-invalid", text: /^unexpected status 4\d\d /, class: "InvalidRequest", detail: invalid },
    { id: "codex/claimed-stream", text: /^stream disconnected before completion: /, class: "Transient", detail: network },
    {
      id: "codex/claimed-demand",
      text: /^We.re currently experiencing high demand, which may cause temporary errors\.$/,
      class: "Overloaded",
      detail: overloaded
    },
    {
      id: "codex/claimed-quota",
      text: /^(?:Quota exceeded\. Check your plan|You've hit your usage limit)/,
      class: "QuotaExhausted",
      detail: quota
    },
    {
      id: "codex/claimed-context",
      text: /^(?:\{"error":\{.{0,400}context_length_exceeded|Codex ran out of room)/,
      class: "ContextOverflow",
      detail: overflow
    },
    { id: "codex/claimed-error", text: /^\{"error":\{"message":/, class: "InvalidRequest", detail: invalid }
  ]),
  ...on({ ...claude, mode: "any", when: "claimed" }, [
    { id: "claude/claimed-429", text: /^API Error: (?:429 |Request rejected \(429\))/, class: "RateLimited", detail: limited },
    { id: "claude/claimed-529", text: /^API Error: (?:529|503) /, class: "Overloaded", detail: overloaded },
    { id: "claude/claimed-5xx", text: /^API Error: (?:5\d\d |Connection (?:dropped|reset))/, class: "Transient", detail: server },
    { id: "claude/claimed-refused", text: /^API Error: Connection refused/, class: "Outage", detail: outage },
    { id: "claude/claimed-auth", text: /^(?:Invalid API key|API Error: 40[13] )/, class: "AuthRequired", detail: auth },
    {
      id: "claude/claimed-quota",
      text: /^(?:Credit balance is too low|Claude (?:AI )?usage limit reached)/,
      class: "QuotaExhausted",
      detail: quota
    },
    { id: "claude/claimed-4xx", text: /^API Error: 4\d\d /, class: "InvalidRequest", detail: invalid }
  ]),
  ...on({ agent: "qwen", version: "0.24.4", mode: "any", when: "claimed" }, [
    { id: "qwen/claimed-429", text: /^\[API Error: 429/, class: "RateLimited", detail: limited },
    { id: "qwen/claimed-quota", text: /^\[API Error: [^\n]{0,60}(?:quota|insufficient)/i, class: "QuotaExhausted", detail: quota },
    { id: "qwen/claimed-auth", text: /^\[API Error: 40[13]/, class: "AuthRequired", detail: auth },
    { id: "qwen/claimed-error", text: /^\[API Error: /, class: "Transient", detail: server }
  ]),
  ...on({ ...gemini, mode: "command", when: "claimed" }, [
    // A stream that is cut ends in the middle of a sentence; a finished answer ends neither with ": " nor with ", ".
    { id: "gemini/claimed-cut", text: /[:,;] $/, class: "FalseSuccess", detail: "The answer ends in the middle of a sentence" }
  ]),
  // The five forms above as other agents print them; the whole line must be the message.
  ...on({ ...any, when: "claimed" }, [
    { id: "claimed/429", text: /^(?:API )?Error: (?:HTTP )?429\b[^\n]{0,200}$/i, class: "RateLimited", detail: limited },
    { id: "claimed/overloaded", text: /^(?:API )?Error: (?:HTTP )?(?:503|529)\b[^\n]{0,200}$/i, class: "Overloaded", detail: overloaded },
    { id: "claimed/5xx", text: /^(?:API )?Error: (?:HTTP )?5\d\d\b[^\n]{0,200}$/i, class: "Transient", detail: server },
    { id: "claimed/auth", text: /^(?:API )?Error: (?:HTTP )?40[13]\b[^\n]{0,200}$/i, class: "AuthRequired", detail: auth }
  ])
]

export const rules: ReadonlyArray<Rule> = [...conventions, ...geminiExits, ...dialects, ...common, ...falseSuccesses]

/** Programs that always answer when a turn went well, so that silence is a sign of failure. */
export const talkative: ReadonlySet<string> = new Set([
  "claude",
  "codex",
  "gemini",
  "opencode",
  "qwen",
  "copilot",
  "goose",
  "cursor",
  "kimi"
])

/** Agents whose providers always count tokens: a turn of theirs that cost none had no model behind it. Others may talk to servers that do not count. */
export const counted: ReadonlySet<string> = new Set(["claude", "codex", "gemini"])
