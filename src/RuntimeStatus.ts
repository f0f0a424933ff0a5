/**
 * What the runtime shows of itself: schemas, so that the host, the editor and programs see the same documents.
 *
 * Times are Unix milliseconds; durations say their unit. Every number comes from the state or the counters of the code path that does the
 * work.
 */
import * as Schema from "effect/Schema"
import { DeadLetter } from "./reliability/DeadLetterQueue.ts"
import { HealthReport } from "./reliability/Health.ts"
import { Fault } from "./agent/Fault.ts"
import { State, Waiting } from "./task/Task.ts"

/** A breaker. `key` is `agent:ID` or `account:NAME`. */
export const BreakerView = Schema.Struct({
  key: Schema.String,
  state: Schema.Literals(["closed", "open", "half-open", "isolated"]),
  /** Failures in a row. */
  failures: Schema.Finite,
  /** calls = succeeded + failed + ignored + rejected. */
  calls: Schema.Finite,
  succeeded: Schema.Finite,
  failed: Schema.Finite,
  ignored: Schema.Finite,
  rejected: Schema.Finite,
  /** Admitted calls that have not ended; not yet counted. */
  inFlight: Schema.Finite,
  /** When it lets a probe through. */
  retryAt: Schema.optionalKey(Schema.Finite),
  cause: Schema.optionalKey(Schema.String)
})
export type BreakerView = typeof BreakerView.Type

/** Both breakers that an agent's work goes through. */
export const AgentCircuitBreakerStatus = Schema.Struct({
  agentId: Schema.String,
  account: Schema.String,
  /** Closed only when both are: the worse of the two. */
  state: Schema.Literals(["closed", "open", "half-open", "isolated"]),
  agentBreaker: BreakerView,
  accountBreaker: BreakerView
})
export type AgentCircuitBreakerStatus = typeof AgentCircuitBreakerStatus.Type

/** What a reset did. */
export const BreakerReset = Schema.Struct({
  agentId: Schema.String,
  result: Schema.Literals(["Reset", "AlreadyClosed"]),
  /** The keys that were not closed before. */
  reset: Schema.Array(Schema.String)
})
export type BreakerReset = typeof BreakerReset.Type

/** An account's cooldown gate. */
export const GateView = Schema.Struct({
  account: Schema.String,
  state: Schema.Literals(["open", "closed", "ramp"]),
  /** When it lets work through again. */
  until: Schema.optionalKey(Schema.Finite),
  cause: Schema.optionalKey(Schema.String)
})
export type GateView = typeof GateView.Type

export const AgentView = Schema.Struct({
  id: Schema.String,
  driver: Schema.String,
  account: Schema.String,
  capabilities: Schema.Array(Schema.String),
  state: Schema.Literals(["starting", "idle", "working", "waiting", "stalled", "failed", "stopped"]),
  detail: Schema.String,
  stateSince: Schema.Finite,
  /** Id of the task it works on. */
  task: Schema.optionalKey(Schema.String),
  pid: Schema.optionalKey(Schema.Int),
  restarts: Schema.Int,
  /** A permission request that it waits for. */
  permission: Schema.optionalKey(Schema.String)
})
export type AgentView = typeof AgentView.Type

export const TaskView = Schema.Struct({
  key: Schema.String,
  id: Schema.String,
  batch: Schema.String,
  state: State,
  priority: Schema.String,
  effect: Schema.String,
  acceptedAt: Schema.Finite,
  endedAt: Schema.optionalKey(Schema.Finite),
  deadlineAt: Schema.optionalKey(Schema.Finite),
  run: Schema.Int,
  /** Attempts of the current run. */
  attempts: Schema.Int,
  /** The agent of the last attempt. */
  agentId: Schema.optionalKey(Schema.String),
  /** When the last attempt began. */
  startedAt: Schema.optionalKey(Schema.Finite),
  waiting: Schema.optionalKey(Waiting),
  dependsOn: Schema.Array(Schema.String),
  lastFault: Schema.optionalKey(Fault),
  verified: Schema.optionalKey(Schema.Boolean),
  reason: Schema.optionalKey(Schema.String),
  deadLetterId: Schema.optionalKey(Schema.String)
})
export type TaskView = typeof TaskView.Type

export const TaskCounts = Schema.Struct({
  queued: Schema.Int,
  blocked: Schema.Int,
  running: Schema.Int,
  parked: Schema.Int,
  /** Ends since the runtime started. */
  succeeded: Schema.Int,
  "dead-lettered": Schema.Int,
  cancelled: Schema.Int
})
export type TaskCounts = typeof TaskCounts.Type

/** Retries, since the runtime started. */
export const RetryMetrics = Schema.Struct({
  /** Attempts that began. */
  attempts: Schema.Int,
  /** Attempts after a task's first in its run. */
  retries: Schema.Int,
  /** Tasks that ended because no attempt was left. */
  exhausted: Schema.Int,
  /** Retries that a spent budget delayed. */
  budgetRefusals: Schema.Int,
  /** Faults by class. */
  faults: Schema.Record(Schema.String, Schema.Int)
})
export type RetryMetrics = typeof RetryMetrics.Type

export const RateLimiterMetrics = Schema.Struct({
  admitted: Schema.Int,
  refused: Schema.Int,
  /** Keys that hold state. */
  keys: Schema.Int
})
export type RateLimiterMetrics = typeof RateLimiterMetrics.Type

export const DLQMetrics = Schema.Struct({
  /** Dead letters that wait for a decision or are being redriven. */
  size: Schema.Int,
  capacity: Schema.Int,
  added: Schema.Int,
  redriven: Schema.Int,
  resolved: Schema.Int,
  discarded: Schema.Int,
  expired: Schema.Int,
  byCause: Schema.Record(Schema.String, Schema.Int)
})
export type DLQMetrics = typeof DLQMetrics.Type

export const BulkheadMetrics = Schema.Struct({ running: Schema.Int, permits: Schema.Int, refused: Schema.Int })
export type BulkheadMetrics = typeof BulkheadMetrics.Type

/** Everything at a glance. */
export const ReliabilityStatus = Schema.Struct({
  at: Schema.Finite,
  phase: Schema.Literals(["starting", "running", "paused", "draining", "stopped"]),
  health: HealthReport,
  agents: Schema.Record(Schema.String, Schema.Int),
  tasks: TaskCounts,
  breakers: Schema.Array(BreakerView),
  gates: Schema.Array(GateView),
  retry: RetryMetrics,
  rateLimiter: RateLimiterMetrics,
  bulkhead: BulkheadMetrics,
  deadLetters: DLQMetrics
})
export type ReliabilityStatus = typeof ReliabilityStatus.Type

/** A permission request that waits for an answer. */
export const PermissionView = Schema.Struct({
  requestId: Schema.String,
  agentId: Schema.String,
  taskId: Schema.String,
  askedAt: Schema.Finite,
  title: Schema.String,
  kind: Schema.String,
  detail: Schema.String,
  options: Schema.Array(Schema.Struct({ id: Schema.String, name: Schema.String, kind: Schema.String }))
})
export type PermissionView = typeof PermissionView.Type

/** State as of an event: what follows has a higher `seq`. */
export const Snapshot = Schema.Struct({
  epoch: Schema.Int,
  seq: Schema.Int,
  status: ReliabilityStatus,
  agents: Schema.Array(AgentView),
  /** Tasks that have not ended, and the last ones that have; bounded. */
  tasks: Schema.Array(TaskView),
  deadLetters: Schema.Array(DeadLetter),
  permissions: Schema.Array(PermissionView)
})
export type Snapshot = typeof Snapshot.Type
