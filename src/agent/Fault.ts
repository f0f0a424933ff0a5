/**
 * Why an attempt failed: the taxonomy, and what each class of fault means for retry, breakers, gates and people.
 *
 * A fault is data, not an error: it is written to the journal, shown to users and decided upon. What was observed is turned
 * into a fault by `agent/Classification`; what follows from a fault is read from `consequences`, one row a class.
 */
import * as Schema from "effect/Schema"

const common = {
  /** One sentence for people, redacted. */
  detail: Schema.String,
  /** Id of the classification rule that matched, e.g. `codex/429`; absent when the runtime itself observed the fault. */
  rule: Schema.optionalKey(Schema.String)
}

const hints = {
  ...common,
  /** What the provider asked to wait, in milliseconds from the moment it was observed. */
  retryAfterMillis: Schema.optionalKey(Schema.Finite),
  /** When the provider said that the limit resets, Unix time in milliseconds. */
  resetsAt: Schema.optionalKey(Schema.Finite)
}

const evidenced = {
  ...common,
  /** What was looked at, and what was seen. */
  evidence: Schema.String
}

export const Fault = Schema.TaggedUnion({
  /** Network trouble, a reset connection, a 5xx answer. */
  Transient: hints,
  /** The provider said that it is overloaded. */
  Overloaded: hints,
  /** Nothing answers at all. */
  Outage: common,
  /** The account is over a rate limit. */
  RateLimited: hints,
  /** The account's usage window or credit is used up. */
  QuotaExhausted: hints,
  /** The provider wants a login. */
  AuthRequired: common,
  /** The request can never succeed as it is. */
  InvalidRequest: common,
  /** The model declined. */
  Refused: common,
  /** The prompt, or the session, is larger than the model's context. */
  ContextOverflow: common,
  /** The agent's process died, and nobody of ours had asked for it. */
  Crashed: {
    ...common,
    exitCode: Schema.NullOr(Schema.Int),
    signal: Schema.NullOr(Schema.String)
  },
  /** No output, no CPU, no I/O, no file change for the stall time. */
  Stalled: evidenced,
  /** Activity without progress, or a budget that was used up. */
  Runaway: evidenced,
  /** The attempt's time limit or the task's deadline ended. */
  TimedOut: { ...common, limitMillis: Schema.Finite },
  /** The agent could not be started: nothing was delivered to it. */
  SpawnFailed: { ...common, reason: Schema.String },
  /** The agent broke the protocol it is spoken to by. */
  ProtocolViolation: common,
  /** The agent claimed success for a turn that died. */
  FalseSuccess: evidenced,
  /** The task's own check did not pass. */
  CheckFailed: common,
  /** Our own event loop or the machine stood still: not the agent's fault. */
  LocalStall: { ...common, lagMillis: Schema.Finite },
  /** NofX was asked to stop it. */
  Cancelled: common,
  /** Nothing known matches. */
  Unknown: common
})
export type Fault = typeof Fault.Type

export type FaultClass = Fault["_tag"]

/** What a class of fault means. */
export interface Consequence {
  /** May another attempt be made, as far as the class decides? */
  readonly retry: boolean
  /** Whose breaker a failure counts against; `none`: nobody's. */
  readonly scope: "account" | "agent" | "task" | "none"
  /** Does the account's cooldown gate close? */
  readonly closesGate: boolean
  /** Does the attempt count against the task's maximum of attempts? */
  readonly spendsAttempt: boolean
  /** Is it worth a person's attention at once? */
  readonly tellsUser: boolean
  /** May the dead letter queue redrive it by itself later? Provider faults only. */
  readonly redrive: boolean
}

const row = (
  scope: Consequence["scope"],
  flags: ReadonlyArray<"retry" | "closesGate" | "free" | "tellsUser" | "redrive">
): Consequence => ({
  scope,
  retry: flags.includes("retry"),
  closesGate: flags.includes("closesGate"),
  spendsAttempt: !flags.includes("free"),
  tellsUser: flags.includes("tellsUser"),
  redrive: flags.includes("redrive")
})

/** One row a class; exhaustive by type. */
export const consequences: { readonly [Class in FaultClass]: Consequence } = {
  Transient: row("account", ["retry", "redrive"]),
  Overloaded: row("account", ["retry", "redrive"]),
  Outage: row("account", ["retry", "tellsUser", "redrive"]),
  RateLimited: row("none", ["retry", "closesGate", "free", "redrive"]),
  QuotaExhausted: row("none", ["retry", "closesGate", "free", "tellsUser", "redrive"]),
  AuthRequired: row("none", ["retry", "closesGate", "free", "tellsUser"]),
  InvalidRequest: row("task", []),
  Refused: row("none", []),
  ContextOverflow: row("task", []),
  Crashed: row("agent", ["retry"]),
  Stalled: row("agent", ["retry"]),
  Runaway: row("task", ["tellsUser"]),
  TimedOut: row("agent", ["retry"]),
  SpawnFailed: row("agent", ["retry"]),
  ProtocolViolation: row("agent", ["retry"]),
  FalseSuccess: row("task", ["retry"]),
  CheckFailed: row("task", ["retry"]),
  LocalStall: row("none", ["retry", "free"]),
  Cancelled: row("none", []),
  Unknown: row("none", ["tellsUser"])
}

/** What the provider asked to wait before the next call, in milliseconds from `now`; undefined without a hint. */
export const hintMillis = (fault: Fault, now: number): number | undefined => {
  switch (fault._tag) {
    case "Transient":
    case "Overloaded":
    case "RateLimited":
    case "QuotaExhausted": {
      const until = fault.resetsAt === undefined ? undefined : Math.max(0, fault.resetsAt - now)
      if (until === undefined) return fault.retryAfterMillis
      return Math.max(until, fault.retryAfterMillis ?? 0)
    }
    default:
      return undefined
  }
}
