/**
 * Turns what was observed of an attempt into a fault, or into no sign of failure.
 *
 * Pure and total: it never throws, and its cost is bounded whatever an agent printed. The knowledge stands in `classificationRules`;
 * here is only the order of looking: who ended the process, the protocol's own word, the rules, what success must look like. What no
 * rule knows stays `Unknown`, which is the safe class.
 */
import { gather, plain } from "./Evidence.ts"
import type { Evidence } from "./Evidence.ts"
import { counted, rules, talkative } from "./classificationRules.ts"
import type { Rule } from "./classificationRules.ts"
import type { Fault } from "./Fault.ts"

/** What a driver saw of one attempt, or of one start. */
export interface Observation {
  /** The program's or the preset's name; adapters such as `codex-acp` count as their agent. */
  readonly agent: string
  readonly mode: "command" | "acp"
  /** Null when it ended by a signal, or (`acp`) still runs. */
  readonly exitCode: number | null
  readonly signal: string | null
  /** NofX sent the signal, or asked for the end. */
  readonly ours: boolean
  /** The end of standard output; for `acp` the end of the answer's text. */
  readonly stdoutTail: string
  readonly stderrTail: string
  readonly rpcError?: { readonly code: number; readonly message: string; readonly data?: unknown }
  /** Structured data the agent sent about the turn: result metadata, parsed events. */
  readonly meta?: unknown
  /** `acp`: how the turn ended, in the protocol's words. */
  readonly stopReason?: string
  /** Tool calls that were seen; absent when they cannot be seen. */
  readonly toolCalls?: number
  /** Model tokens; null when the agent says nothing of them. */
  readonly tokens?: number | null
  /** Unix time in milliseconds. */
  readonly now: number
}

/** The fault, or undefined when nothing speaks of a failure. */
export const classify = (observation: Observation): Fault | undefined => {
  const agent = agentName(observation.agent)
  const { exitCode, mode, now, ours, rpcError, signal } = observation
  const answer = plain(observation.stdoutTail)
  const stderr = plain(observation.stderrTail)
  const claimed =
    rpcError === undefined &&
    signal === null &&
    (mode === "acp" ? exitCode === null && observation.stopReason !== undefined : exitCode === 0)

  if (ours) return { _tag: "Cancelled", rule: "ours", detail: "NofX ended it" }

  // The agent's own reason to stop counts whatever exit code it chose for it.
  const stopped = rpcError === undefined && signal === null ? byStopReason(observation.stopReason) : undefined
  if (stopped !== undefined) return stopped
  if (claimed) return claimedFault(observation, agent, answer)

  const crash = crashOf(observation, agent)
  if (crash !== undefined) return crash

  // Standard output of a program nobody knows is its result, and may speak of anything.
  const known = talkative.has(agent)
  const text = known ? `${answer}\n${stderr}` : stderr
  const structured =
    rpcError === undefined
      ? [observation.meta]
      : [observation.meta, { status: rpcError.code, message: rpcError.message, data: rpcError.data }]
  const evidence = gather(structured, text, now)
  const looks = {
    agent,
    mode,
    exitCode,
    rpcCode: rpcError?.code,
    text: evidence.message === "" ? text : `${evidence.message}\n${text}`,
    evidence
  }
  // Structured data first: the output's tail may hold earlier tries.
  const structuredOnly =
    evidence.message === "" && evidence.words.size === 0 ? undefined : first("failed", { ...looks, text: evidence.message, exitCode: null })
  const rule = (structuredOnly?.word ?? structuredOnly?.text ?? structuredOnly?.rpc) === undefined ? first("failed", looks) : structuredOnly
  // What an agent logged before it died is history; only what it lacks to live explains its end.
  const died = mode === "acp" && exitCode !== null && rpcError === undefined
  const explains = !died || exitCode === 75 || rule?.exit !== undefined || rule?.class === "AuthRequired"
  if (rule !== undefined && explains) return faultOf(rule, evidence, observation)
  if (exitCode === 2 && known && !died) return { _tag: "InvalidRequest", rule: "exit/2", detail: "The agent refused its arguments" }
  if (died) return ended(exitCode)
  return {
    _tag: "Unknown",
    detail: exitCode === null ? "The agent reported a failure that is not known" : `The program ended with exit code ${exitCode}`
  }
}

/** `codex-acp` and `codex` are one agent; so are their paths and package names. */
export const agentName = (name: string): string => {
  const base = (name.slice(-256).split(/[/\\]/).at(-1) ?? name)
    .toLowerCase()
    .replace(/\.(?:exe|cmd|bat|ps1|[cm]?[jt]s)$/, "")
    .replace(/(?<=.)@.{0,64}$/, "")
  const alias: Readonly<Record<string, string>> = {
    "claude-agent-acp": "claude",
    "claude-code": "claude",
    "claude-code-acp": "claude",
    "codex-acp": "codex",
    "gemini-cli": "gemini",
    "opencode-ai": "opencode",
    "qwen-code": "qwen",
    "cursor-agent": "cursor"
  }
  return alias[base] ?? base
}

const crashOf = (observation: Observation, agent: string): Fault | undefined => {
  const { exitCode, mode, rpcError, signal } = observation
  const crashed = (detail: string): Fault => ({ _tag: "Crashed", rule: "exit/signal", detail, exitCode, signal })
  if (signal !== null) return crashed(`The process was ended by ${signal}, and not by NofX`)
  // gemini's exit codes are HTTP statuses modulo 256, of which some look like signals.
  const status = agent === "gemini" && rules.some((rule) => rule.agent === "gemini" && rule.exit?.includes(exitCode ?? -1))
  if (exitCode !== null && exitCode > 128 && exitCode <= 128 + 64 && !status)
    return crashed(`The process ended with exit code ${exitCode}, as by signal ${exitCode - 128}`)
  if (mode === "acp" && exitCode === 0 && rpcError === undefined) return ended(0)
  return undefined
}

const ended = (exitCode: number): Fault => ({
  _tag: "Crashed",
  rule: "acp/exit",
  detail: `The agent's process ended by itself with exit code ${exitCode}`,
  exitCode,
  signal: null
})

interface Looks {
  readonly agent: string
  readonly mode: "command" | "acp"
  readonly exitCode: number | null
  readonly rpcCode: number | undefined
  readonly text: string
  readonly evidence: Evidence
}

const first = (when: Rule["when"], looks: Looks): Rule | undefined =>
  rules.find(
    (rule) =>
      rule.when === when &&
      (rule.agent === "*" || rule.agent === looks.agent) &&
      (rule.mode === "any" || rule.mode === looks.mode) &&
      (rule.exit === undefined || (looks.exitCode !== null && rule.exit.includes(looks.exitCode))) &&
      (rule.rpc === undefined || (looks.rpcCode !== undefined && rule.rpc.includes(looks.rpcCode))) &&
      (rule.status === undefined || (looks.evidence.status !== undefined && rule.status.includes(looks.evidence.status))) &&
      (rule.word === undefined || rule.word.some((word) => looks.evidence.words.has(word))) &&
      (rule.text === undefined || rule.text.test(looks.text))
  )

/** Below this a "quota" is a rate limit that its provider calls so: the window is minutes, not days. In milliseconds. */
const shortWindow = 10 * 60_000

const faultOf = (rule: Rule, evidence: Evidence, observation: Observation): Fault => {
  const common = { rule: rule.id, detail: rule.detail }
  const { resetsAt, retryAfterMillis } = evidence.hint
  const hints = { ...(retryAfterMillis === undefined ? {} : { retryAfterMillis }), ...(resetsAt === undefined ? {} : { resetsAt }) }
  const until = resetsAt === undefined ? retryAfterMillis : Math.max(resetsAt - observation.now, retryAfterMillis ?? 0)
  switch (rule.class) {
    case "QuotaExhausted":
      return until !== undefined && until < shortWindow
        ? { _tag: "RateLimited", ...common, ...hints }
        : { _tag: "QuotaExhausted", ...common, ...hints }
    case "Transient":
      // "Try later", with a time: that is a limit, whatever its name.
      if (rule.id === "exit/75" && until !== undefined) return { _tag: "RateLimited", ...common, ...hints }
      return { _tag: "Transient", ...common, ...hints }
    case "RateLimited":
    case "Overloaded":
      return { _tag: rule.class, ...common, ...hints }
    case "Outage":
    case "AuthRequired":
    case "InvalidRequest":
    case "Refused":
    case "ContextOverflow":
    case "ProtocolViolation":
      return { _tag: rule.class, ...common }
    case "FalseSuccess":
      return { _tag: "FalseSuccess", ...common, evidence: rule.detail }
    case "TimedOut":
      // Its own limit is not known here.
      return { _tag: "TimedOut", ...common, limitMillis: 0 }
    case "SpawnFailed":
      return { _tag: "SpawnFailed", ...common, reason: `exit code ${observation.exitCode}` }
    default:
      return { _tag: "Unknown", ...common }
  }
}

const byStopReason = (stopReason: string | undefined): Fault | undefined => {
  switch (stopReason) {
    case undefined:
    case "end_turn":
    case "exit":
      return undefined
    case "refusal":
      return { _tag: "Refused", rule: "stop/refusal", detail: "The model declined" }
    case "max_tokens":
      return { _tag: "ContextOverflow", rule: "stop/max-tokens", detail: "The turn ended at the model's token limit" }
    case "max_turn_requests":
      return {
        _tag: "Runaway",
        rule: "stop/max-turn-requests",
        detail: "The agent stopped at its own limit of requests",
        evidence: "stop reason max_turn_requests"
      }
    case "cancelled":
      return { _tag: "Unknown", rule: "stop/cancelled", detail: "The agent ended the turn as cancelled, and nobody here had asked for it" }
    default:
      return { _tag: "Unknown", rule: "stop/unknown", detail: "The agent ended the turn for a reason that the protocol does not know" }
  }
}

/** Failures behind a claim of success, out of what cannot be so in a turn that went well. */
const claimedFault = (observation: Observation, agent: string, answer: string): Fault | undefined => {
  const { meta, mode, now, toolCalls, tokens } = observation
  const evidence = gather([meta], "", now)
  const lines = answer.replace(/\n+$/, "")
  const lastLine = lines.slice(lines.lastIndexOf("\n") + 1)
  const looks = { agent, mode, exitCode: null, rpcCode: undefined, evidence, text: lastLine }
  const rule = first("claimed", looks)
  if (rule !== undefined) return faultOf(rule, gather([meta], lastLine, now), observation)

  const air = failureOfMeta(meta)
  if (air !== undefined) {
    // The agent did report a failure: its structured word decides, and without one the answer's text.
    const told = gather([air], lastLine, now)
    const real = first("failed", { ...looks, text: `${told.message}\n${lastLine}`, evidence: told })
    if (real !== undefined) return faultOf(real, told, observation)
    return falseSuccess("meta/failure", "The turn's metadata reports a failure")
  }
  const silent = answer.trim() === ""
  if (evidence.unused) return falseSuccess("claimed/unused", "The agent's own figures say that the model's answer never came")
  if (toolCalls === 0 && tokens === 0 && counted.has(agent)) return falseSuccess("claimed/nothing", "No tool call and no token was used")
  if (silent && toolCalls === 0 && mode === "acp")
    return falseSuccess("claimed/silent", "The turn ended without an answer and without a tool call")
  if (silent && mode === "command" && talkative.has(agent)) return falseSuccess("claimed/silent", "The agent ended without an answer")
  return undefined
}

const falseSuccess = (rule: string, evidence: string): Fault => ({
  _tag: "FalseSuccess",
  rule,
  detail: "The agent claimed success for a turn that died",
  evidence
})

/** The part of a result's metadata that reports a failure, wherever agents put it. */
const failureOfMeta = (meta: unknown): unknown => {
  const at = (value: unknown, ...path: ReadonlyArray<string>): unknown =>
    path.reduce<unknown>(
      (inner, key) => (typeof inner === "object" && inner !== null ? (inner as Record<string, unknown>)[key] : undefined),
      value
    )
  try {
    const air = at(meta, "jetbrains", "air", "sessionFailure")
    if (air !== undefined && air !== null && at(air, "severity") !== "warning") return air
    if (at(meta, "codex", "threadStatus", "type") === "systemError") return at(meta, "codex", "error") ?? { systemError: true }
    const failure = at(meta, "failure")
    if (failure !== undefined && failure !== null) return failure
  } catch {
    // A getter that throws says nothing.
  }
  return undefined
}
