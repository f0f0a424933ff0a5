/**
 * What happened: one tagged union that feeds the log, the metrics, the views, the journal and the simulation traces.
 *
 * Events are JSON as they stand: times are Unix milliseconds, durations say their unit. Those that change durable state are committed
 * with the change itself and get their `seq` in that transaction; `Stage` and `Progress` are live only and have none.
 */
import * as Schema from "effect/Schema"
import { Fault } from "./agent/Fault.ts"
import { Waiting } from "./task/Task.ts"

const task = { taskId: Schema.String, batch: Schema.String }
const attempt = { ...task, agentId: Schema.String, run: Schema.Int, attempt: Schema.Int, attemptId: Schema.String }
const at = { at: Schema.Finite, seq: Schema.optionalKey(Schema.Int) }
const letter = { deadLetterId: Schema.String, kind: Schema.String, subject: Schema.String }

/** The operations that go through the pipe. */
export const Operation = Schema.Literals(["execute", "spawn", "restart", "recover", "remove", "cancel", "shutdown"])
export type Operation = typeof Operation.Type

/** The stages of the pipe, in their order. */
export const stages = [
  "deadline",
  "retry",
  "cooldown",
  "rateLimit",
  "bulkhead",
  "circuitBreaker",
  "attemptLimit",
  "driver",
  "verify"
] as const
export const StageName = Schema.Literals(stages)
export type StageName = typeof StageName.Type

export const RuntimeEvent = Schema.TaggedUnion({
  RuntimeStarted: { ...at, epoch: Schema.Int, recovered: Schema.Int, reaped: Schema.Int },
  TaskAccepted: { ...at, ...task },
  /** It can be dispatched as soon as its turn comes. */
  TaskQueued: { ...at, ...task },
  TaskBlocked: { ...at, ...task, waiting: Waiting },
  TaskParked: { ...at, ...task, waiting: Waiting },
  /** Admitted through every stage; nothing was delivered yet. */
  AttemptAdmitted: { ...at, ...attempt },
  /** From here on the prompt may have been delivered. */
  AttemptStarted: { ...at, ...attempt },
  /** The agent claims that it is done; the check comes next. */
  AttemptClaimed: { ...at, ...attempt },
  AttemptEnded: {
    ...at,
    ...attempt,
    outcome: Schema.Literals(["succeeded", "failed", "cancelled"]),
    fault: Schema.optionalKey(Fault),
    /** What was decided: another attempt at this time, or the end. */
    next: Schema.optionalKey(Schema.String),
    durationMillis: Schema.Finite,
    /** As far as the agent reported them. */
    tokens: Schema.optionalKey(Schema.Finite)
  },
  TaskSucceeded: { ...at, ...task, agentId: Schema.String, run: Schema.Int, attempts: Schema.Int, verified: Schema.Boolean },
  TaskDeadLettered: { ...at, ...task, run: Schema.Int, attempts: Schema.Int, reason: Schema.String, deadLetterId: Schema.String },
  TaskCancelled: { ...at, ...task, run: Schema.Int, reason: Schema.String },
  /** An outcome that lost the compare-and-set on (task, run, attempt). */
  LateOutcome: { ...at, ...attempt, outcome: Schema.String },
  BudgetSpent: { ...at, budget: Schema.String, detail: Schema.String, taskId: Schema.optionalKey(Schema.String) },
  AgentStateChanged: {
    ...at,
    agentId: Schema.String,
    state: Schema.Literals(["starting", "idle", "working", "waiting", "stalled", "failed", "stopped"]),
    detail: Schema.String
  },
  AgentSpawned: { ...at, agentId: Schema.String, pid: Schema.optionalKey(Schema.Int) },
  AgentSpawnFailed: { ...at, agentId: Schema.String, fault: Fault },
  /** Its process ended, and nobody of ours had asked for it. */
  AgentExited: { ...at, agentId: Schema.String, fault: Fault },
  AgentRestarted: { ...at, agentId: Schema.String, restarts: Schema.Int },
  AgentRemoved: { ...at, agentId: Schema.String },
  CircuitStateChanged: {
    ...at,
    /** `agent:ID` or `account:NAME`. */
    key: Schema.String,
    from: Schema.String,
    to: Schema.String,
    cause: Schema.String,
    openMillis: Schema.optionalKey(Schema.Finite)
  },
  GateClosed: { ...at, account: Schema.String, until: Schema.Finite, cause: Schema.String },
  GateReopened: { ...at, account: Schema.String },
  DeadLetterAdded: { ...at, ...letter, reason: Schema.String },
  /** The same failure again, on the same record. */
  DeadLetterFailedAgain: { ...at, ...letter, reason: Schema.String },
  /** A redrive that did not begin, or was cancelled: it waits again. */
  DeadLetterReleased: { ...at, ...letter, reason: Schema.String },
  DeadLetterRedriven: { ...at, ...letter, by: Schema.Literals(["person", "schedule"]) },
  DeadLetterResolved: { ...at, ...letter },
  DeadLetterDiscarded: { ...at, ...letter },
  DeadLetterRestored: { ...at, ...letter },
  DeadLetterExpired: { ...at, ...letter },
  ComponentDegraded: { ...at, component: Schema.String, cause: Schema.String },
  ComponentRecovered: { ...at, component: Schema.String },
  HealthChanged: { ...at, check: Schema.String, status: Schema.String, evidence: Schema.String },
  HealthAlert: { ...at, incident: Schema.String, raised: Schema.Boolean, detail: Schema.String },
  RecoveryStarted: { ...at, check: Schema.String, attempt: Schema.Int },
  /** `recovered` only when the check was run again and did not fail. */
  RecoveryEnded: {
    ...at,
    check: Schema.String,
    attempt: Schema.Int,
    outcome: Schema.Literals(["recovered", "failed"]),
    detail: Schema.String
  },
  /** The recoveries of a check are used up for now: a person should look. Once an incident. */
  RecoveryEscalated: { ...at, check: Schema.String, detail: Schema.String },
  IntakePaused: { ...at, cause: Schema.String },
  IntakeResumed: { ...at },
  PermissionRequested: { ...at, requestId: Schema.String, agentId: Schema.String, taskId: Schema.String, title: Schema.String },
  PermissionAnswered: { ...at, requestId: Schema.String, answer: Schema.String, by: Schema.String },
  ShutdownPhaseStarted: { ...at, phase: Schema.String, remaining: Schema.Int },
  /** Live only: what is left to do in this phase, e.g. attempts that still run. */
  ShutdownProgress: { ...at, phase: Schema.String, remaining: Schema.Int },
  ShutdownPhaseEnded: { ...at, phase: Schema.String, outcome: Schema.String, durationMillis: Schema.Finite },
  ShutdownFinished: { ...at, abandoned: Schema.Array(Schema.String) },
  RunFinished: {
    ...at,
    batch: Schema.String,
    succeeded: Schema.Int,
    deadLettered: Schema.Int,
    cancelled: Schema.Int,
    /** Tasks that have not ended: only after an interruption. */
    left: Schema.Int
  },
  /** Live only: a stage of the pipe decided about an operation. */
  Stage: {
    ...at,
    operation: Operation,
    stage: StageName,
    decision: Schema.Literals(["passed", "refused", "bypassed"]),
    subject: Schema.String,
    detail: Schema.optionalKey(Schema.String)
  },
  /** Live only: an agent did something. */
  Progress: { ...at, ...attempt, kind: Schema.String, text: Schema.String }
})
export type RuntimeEvent = typeof RuntimeEvent.Type

/** One member of the union. */
export type EventOf<Tag extends RuntimeEvent["_tag"]> = Extract<RuntimeEvent, { readonly _tag: Tag }>
