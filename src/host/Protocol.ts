/**
 * What a host and its clients say to each other: one request for each operation of `AgentRuntime`, under the same name, and the stream of
 * what happens.
 *
 * `hello` comes first on every connection. It and `retire` must never change, so that any version can tell any other that they do not fit
 * together, and have it replaced. Operations that change something carry a `requestId`: asked again under the same one, after a lost
 * connection, the host answers what it answered before.
 */
import * as Schema from "effect/Schema"
import * as Rpc from "effect/rpc/Rpc"
import * as RpcGroup from "effect/rpc/RpcGroup"
import { TaskEnd } from "../AgentRuntime.ts"
import { DeadLetter, Filter } from "../reliability/DeadLetterQueue.ts"
import { HealthReport } from "../reliability/Health.ts"
import { ShutdownReport } from "../reliability/Shutdown.ts"
import { RuntimeEvent } from "../RuntimeEvent.ts"
import * as Status from "../RuntimeStatus.ts"
import { InputInvalid, TaskNotFound } from "../runtime/Input.ts"
import { IntakeStopped, QueueFull, TaskInvalid } from "../runtime/Intake.ts"
import { PermissionGone } from "../runtime/Permissions.ts"
import { AgentExists, AgentNotFound, AgentSpawnFailed, DriverUnknown } from "../runtime/Supervisor.ts"
import { Fenced } from "../store/Store.ts"
import { TaskSpec } from "../task/Task.ts"

/** Of the requests below. Both sides must have the same. */
export const protocolVersion = 1

/** What becomes of the work when the last editor has gone. */
export const LeaveMode = Schema.Literals(["finish", "pause", "stop"])
export type LeaveMode = typeof LeaveMode.Type

/** Host and client do not speak the same version. Nothing was asked. */
export class VersionMismatch extends Schema.TaggedError<VersionMismatch>()("VersionMismatch", {
  hostVersion: Schema.String,
  hostProtocol: Schema.Int,
  clientVersion: Schema.String,
  clientProtocol: Schema.Int
}) {
  override get message(): string {
    return (
      `The NofX host that is running is version ${this.hostVersion} (protocol ${this.hostProtocol}); this is version ${this.clientVersion} ` +
      `(protocol ${this.clientProtocol}). Restart the host: it ends as soon as no attempt runs, and loses nothing`
    )
  }
}

/** The client does not know the host's token: it is not this user's, or it read an old `host.json`. */
export class TokenRefused extends Schema.TaggedError<TokenRefused>()("TokenRefused", {}) {
  override get message(): string {
    return "The NofX host refused the token of this client"
  }
}

/** What a host says of itself. Times are Unix milliseconds. */
export const Welcome = Schema.Struct({
  protocol: Schema.Int,
  /** Version of NofX. */
  version: Schema.String,
  epoch: Schema.Int,
  pid: Schema.Int,
  /** Version of its Node. */
  node: Schema.String,
  startedAt: Schema.Finite,
  /** Its state directory. */
  directory: Schema.String,
  /** Where agents work that name no directory. */
  cwd: Schema.String
})
export type Welcome = typeof Welcome.Type

/** Up to where a client has seen everything. */
export const Position = Schema.Struct({ epoch: Schema.Int, seq: Schema.Int })
export type Position = typeof Position.Type

/** What the stream of events consists of. */
export const Update = Schema.TaggedUnion({
  /** Everything as it is; what follows comes after it. `start`: the client had nothing; `gap`: it missed too much; `lag`: it was too slow. */
  Snapshot: { reason: Schema.Literals(["start", "gap", "lag"]), snapshot: Status.Snapshot },
  /** The client is as it was: what it missed follows. Agents and permission requests have no place in the order, so they come along. */
  Resumed: { ...Position.fields, agents: Schema.Array(Status.AgentView), permissions: Schema.Array(Status.PermissionView) },
  Event: { event: RuntimeEvent }
})
export type Update = typeof Update.Type

const SubmitError = Schema.Union([QueueFull, IntakeStopped, TaskInvalid])

const BatchEnd = Schema.Struct({
  batch: Schema.String,
  succeeded: Schema.Int,
  deadLettered: Schema.Int,
  cancelled: Schema.Int,
  left: Schema.Int
})

const RedriveResult = Schema.TaggedUnion({
  Redriven: { outcome: Schema.Literals(["resolved", "failed", "requeued"]), letter: DeadLetter },
  InFlight: {},
  Gone: {},
  Blocked: { reason: Schema.String }
})

const DecisionResult = Schema.TaggedUnion({ Done: { letter: DeadLetter }, InFlight: {}, Gone: {}, Blocked: { reason: Schema.String } })

const Retirement = Schema.Struct({
  /** Attempts that it waits for; none: it ends now. */
  running: Schema.Int
})

/** The operation changes something. */
const once = { requestId: Schema.String }
const agentId = { agentId: Schema.String }
const taskId = { taskId: Schema.String }
const messageId = { messageId: Schema.String }
const reason = { reason: Schema.optionalKey(Schema.String) }

/** All requests that a host answers. */
export const HostRpcs = RpcGroup.make(
  Rpc.make("hello", {
    payload: {
      protocol: Schema.Int,
      version: Schema.String,
      token: Schema.String,
      /** Who connects, for the host's log. */
      client: Schema.String,
      /** Given by who can answer permission requests, such as an editor: what becomes of the work when the last of them has gone. */
      onLeave: Schema.optionalKey(LeaveMode)
    },
    success: Welcome,
    error: Schema.Union([VersionMismatch, TokenRefused])
  }),
  Rpc.make("retire", { payload: { token: Schema.String }, success: Retirement, error: TokenRefused }),
  Rpc.make("clientLeaving", { payload: { mode: LeaveMode } }),
  Rpc.make("updates", { payload: { after: Schema.optionalKey(Position) }, success: Update, stream: true }),

  Rpc.make("spawn", {
    payload: { ...once, spec: Schema.Unknown },
    success: Status.AgentView,
    error: Schema.Union([InputInvalid, AgentExists, DriverUnknown, AgentSpawnFailed])
  }),
  Rpc.make("execute", {
    payload: { ...once, ...agentId, task: Schema.Unknown },
    success: TaskEnd,
    error: Schema.Union([InputInvalid, QueueFull, IntakeStopped, TaskInvalid, AgentNotFound])
  }),
  Rpc.make("submit", {
    payload: { ...once, task: Schema.Unknown },
    success: Status.TaskView,
    error: Schema.Union([InputInvalid, QueueFull, IntakeStopped, TaskInvalid])
  }),
  Rpc.make("submitBatch", {
    payload: { ...once, id: Schema.String, file: Schema.String, digest: Schema.String, tasks: Schema.Array(TaskSpec) },
    success: Schema.Array(Status.TaskView),
    error: SubmitError
  }),
  Rpc.make("unfinishedBatches", {
    payload: { file: Schema.String },
    success: Schema.Array(Schema.Struct({ id: Schema.String, digest: Schema.String, left: Schema.Int }))
  }),
  Rpc.make("awaitBatch", { payload: { id: Schema.String }, success: BatchEnd }),
  Rpc.make("standing", { payload: { id: Schema.String }, success: BatchEnd }),
  Rpc.make("cancelBatch", { payload: { ...once, id: Schema.String, reason: Schema.String } }),
  Rpc.make("await", { payload: taskId, success: TaskEnd, error: TaskNotFound }),
  Rpc.make("cancel", { payload: { ...once, ...taskId, ...reason }, success: TaskEnd, error: TaskNotFound }),
  Rpc.make("remove", { payload: { ...once, ...agentId }, error: AgentNotFound }),
  Rpc.make("restart", {
    payload: { ...once, ...agentId },
    success: Status.AgentView,
    error: Schema.Union([AgentNotFound, AgentSpawnFailed])
  }),
  Rpc.make("agents", { success: Schema.Array(Status.AgentView) }),
  Rpc.make("tasks", { success: Schema.Array(Status.TaskView) }),
  Rpc.make("snapshot", { success: Status.Snapshot }),
  Rpc.make("pause", { payload: once }),
  Rpc.make("resume", { payload: once }),
  Rpc.make("shutdown", { payload: once, success: ShutdownReport }),
  Rpc.make("fenced", { success: Fenced }),
  Rpc.make("getReliabilityStatus", { success: Status.ReliabilityStatus }),
  Rpc.make("getOverallHealthStatus", { success: HealthReport }),
  Rpc.make("getAgentCircuitBreakerStatus", { payload: agentId, success: Status.AgentCircuitBreakerStatus, error: AgentNotFound }),
  Rpc.make("resetAgentCircuitBreaker", { payload: { ...once, ...agentId }, success: Status.BreakerReset, error: AgentNotFound }),
  Rpc.make("isolateAgentCircuitBreaker", {
    payload: { ...once, ...agentId, ...reason },
    success: Status.AgentCircuitBreakerStatus,
    error: AgentNotFound
  }),
  Rpc.make("getRetryMetrics", { success: Status.RetryMetrics }),
  Rpc.make("getRateLimiterMetrics", { success: Status.RateLimiterMetrics }),
  Rpc.make("getDLQMessages", { success: Schema.Array(DeadLetter) }),
  Rpc.make("getDLQMetrics", { success: Status.DLQMetrics }),
  Rpc.make("retryDLQMessage", { payload: { ...once, ...messageId }, success: RedriveResult }),
  Rpc.make("discardDLQMessage", { payload: { ...once, ...messageId }, success: DecisionResult }),
  Rpc.make("restoreDLQMessage", { payload: { ...once, ...messageId }, success: DecisionResult }),
  Rpc.make("exportDLQ", { success: Schema.String, stream: true }),
  Rpc.make("purgeDLQ", { payload: { ...once, filter: Filter }, success: Schema.Int, error: InputInvalid }),
  Rpc.make("runHealthChecks", { success: HealthReport }),
  Rpc.make("answerPermission", {
    payload: { ...once, permissionId: Schema.String, option: Schema.optionalKey(Schema.String), by: Schema.optionalKey(Schema.String) },
    error: PermissionGone
  })
)
export type HostRpcs = typeof HostRpcs
