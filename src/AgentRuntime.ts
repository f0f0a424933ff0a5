/**
 * The one service that callers use, and the only place where the patterns are composed.
 *
 * Every operation takes the stages of DESIGN's pipe in their order: deadline, retry, cooldown gate, rate limiter, bulkhead, circuit breaker,
 * attempt limit, driver, verify. The four that may make work wait stand in `runtime/Pipe`, in one synchronous step; waiting itself happens in the
 * task table only. Whatever is acknowledged is written first.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { AgentSpec } from "./agent/AgentSpec.ts"
import * as Bulkhead from "./reliability/Bulkhead.ts"
import * as CircuitBreaker from "./reliability/CircuitBreaker.ts"
import * as CooldownGate from "./reliability/CooldownGate.ts"
import type * as DeadLetterQueue from "./reliability/DeadLetterQueue.ts"
import * as Health from "./reliability/Health.ts"
import * as RateLimiter from "./reliability/RateLimiter.ts"
import * as Retry from "./reliability/Retry.ts"
import * as Shutdown from "./reliability/Shutdown.ts"
import * as TimeLimit from "./reliability/TimeLimit.ts"
import * as TimerWheel from "./reliability/TimerWheel.ts"
import type { RuntimeConfig } from "./RuntimeConfig.ts"
import type { RuntimeEvent } from "./RuntimeEvent.ts"
import type * as Status from "./RuntimeStatus.ts"
import type { BatchEnd, UnfinishedBatch } from "./runtime/Batches.ts"
import type { InputInvalid, TaskNotFound } from "./runtime/Input.ts"
import type { Batch, SubmitError } from "./runtime/Intake.ts"
import type { PermissionGone } from "./runtime/Permissions.ts"
import type { AgentExists, AgentNotFound, AgentSpawnFailed, DriverUnknown } from "./runtime/Supervisor.ts"
import * as Wiring from "./runtime/Wiring.ts"
import type { Fenced } from "./store/Store.ts"
import type { TaskSpec } from "./task/Task.ts"

/** How a run of a task ended. */
export const TaskEnd = Schema.Struct({
  taskId: Schema.String,
  state: Schema.Literals(["succeeded", "dead-lettered", "cancelled"]),
  run: Schema.Int,
  attempts: Schema.Int,
  agentId: Schema.optionalKey(Schema.String),
  /** Of a success: was it confirmed by a check of the task's own? */
  verified: Schema.optionalKey(Schema.Boolean),
  /** The end of what the agent answered. */
  output: Schema.optionalKey(Schema.String),
  outputFile: Schema.optionalKey(Schema.String),
  /** Of another end: why. */
  reason: Schema.optionalKey(Schema.String),
  deadLetterId: Schema.optionalKey(Schema.String)
})
export type TaskEnd = typeof TaskEnd.Type

/** An agent as a program writes it down: what has a default may be left out. */
export type AgentInput = typeof AgentSpec.Encoded
/** A task as a program writes it down: what has a default may be left out, durations are text such as `"30 minutes"`. */
export type TaskInput = typeof TaskSpec.Encoded

/**
 * Runs tasks on agents and loses none.
 *
 * What `submit` acknowledges ends in exactly one of succeeded, dead-lettered, cancelled, whatever crashes meanwhile.
 */
export class AgentRuntime extends Context.Service<
  AgentRuntime,
  {
    /** Starts an agent. Fails when it could not be started for good; that is a dead letter then. */
    readonly spawn: (spec: AgentInput) => Effect.Effect<Status.AgentView, InputInvalid | AgentExists | DriverUnknown | AgentSpawnFailed>
    /** `submit`, pinned to an agent, and `await`. */
    readonly execute: (agentId: string, task: TaskInput) => Effect.Effect<TaskEnd, InputInvalid | SubmitError | AgentNotFound>
    /** Accepts a task. It is durable when this returns; answers its view. */
    readonly submit: (task: TaskInput) => Effect.Effect<Status.TaskView, InputInvalid | SubmitError>
    /** Accepts the tasks of a file together, or none. */
    readonly submitBatch: (batch: Batch) => Effect.Effect<ReadonlyArray<Status.TaskView>, SubmitError>
    /** Batches of a task file that have not finished, newest first. */
    readonly unfinishedBatches: (file: string) => Effect.Effect<ReadonlyArray<UnfinishedBatch>>
    /** Waits until nothing of a batch can go on: every task has ended, or is held by a failed one. Writes down that it is finished. */
    readonly awaitBatch: (id: string) => Effect.Effect<BatchEnd>
    /** A batch as it stands. */
    readonly standing: (id: string) => Effect.Effect<BatchEnd>
    /** Ends every task of a batch that has not ended as cancelled, and the batch with them. */
    readonly cancelBatch: (id: string, reason: string) => Effect.Effect<void>
    /** Waits for the end of the task's current run. */
    readonly await: (taskId: string) => Effect.Effect<TaskEnd, TaskNotFound>
    /** Ends a task as cancelled; a running one is stopped first. Answers how it ended. Never refused. */
    readonly cancel: (taskId: string, reason?: string) => Effect.Effect<TaskEnd, TaskNotFound>
    /** Stops an agent and forgets it. The task that it worked on is given back as its effect class allows. Never refused. */
    readonly remove: (agentId: string) => Effect.Effect<void, AgentNotFound>
    /** Stops an agent and starts it again; its restart budget begins anew. */
    readonly restart: (agentId: string) => Effect.Effect<Status.AgentView, AgentNotFound | AgentSpawnFailed>
    readonly agents: Effect.Effect<ReadonlyArray<Status.AgentView>>
    /** Tasks that have not ended, and the last ones that have. */
    readonly tasks: Effect.Effect<ReadonlyArray<Status.TaskView>>
    readonly snapshot: Effect.Effect<Status.Snapshot>
    /** What happens from now on, in order. A consumer that falls behind by more than the buffer misses events: `seq` shows the gap. */
    readonly events: Stream.Stream<RuntimeEvent>
    /** Calls back with every event, synchronously and in order, until the scope closes: for those who must not miss any. */
    readonly subscribe: (listener: (event: RuntimeEvent) => void) => Effect.Effect<void, never, Scope.Scope>
    /** Nothing new is dispatched; what runs goes on. Survives a restart. */
    readonly pause: Effect.Effect<void>
    readonly resume: Effect.Effect<void>
    /** Goes through the phases of shutdown; a second call makes it faster. */
    readonly shutdown: Effect.Effect<Shutdown.ShutdownReport>
    /** Completes when another process has taken over the state: this runtime writes nothing any more, ends its agents and shuts down. */
    readonly fenced: Effect.Effect<Fenced>

    readonly getReliabilityStatus: Effect.Effect<Status.ReliabilityStatus>
    readonly getOverallHealthStatus: Effect.Effect<Health.HealthReport>
    readonly getAgentCircuitBreakerStatus: (agentId: string) => Effect.Effect<Status.AgentCircuitBreakerStatus, AgentNotFound>
    readonly resetAgentCircuitBreaker: (agentId: string) => Effect.Effect<Status.BreakerReset, AgentNotFound>
    /** Holds an agent's breaker open until it is reset. */
    readonly isolateAgentCircuitBreaker: (
      agentId: string,
      reason?: string
    ) => Effect.Effect<Status.AgentCircuitBreakerStatus, AgentNotFound>
    readonly getRetryMetrics: Effect.Effect<Status.RetryMetrics>
    readonly getRateLimiterMetrics: Effect.Effect<Status.RateLimiterMetrics>

    readonly getDLQMessages: Effect.Effect<ReadonlyArray<DeadLetterQueue.DeadLetter>>
    readonly getDLQMetrics: Effect.Effect<Status.DLQMetrics>
    /** Opens the next run on the same record. Concurrent calls run it once. */
    readonly retryDLQMessage: (messageId: string) => Effect.Effect<DeadLetterQueue.RedriveResult>
    /** Puts a dead letter aside; `restoreDLQMessage` brings it back. */
    readonly discardDLQMessage: (messageId: string) => Effect.Effect<DeadLetterQueue.DecisionResult>
    readonly restoreDLQMessage: (messageId: string) => Effect.Effect<DeadLetterQueue.DecisionResult>
    /** Every dead letter, the archive too, as JSON lines. */
    readonly exportDLQ: Stream.Stream<string>
    /**
     * Deletes dead letters for ever, and answers how many: those of the archive that match the filter, by default all of them. What is still in the queue goes only
     * when `ids` or `status` name it; what is being redriven stays.
     */
    readonly purgeDLQ: (filter?: DeadLetterQueue.Filter) => Effect.Effect<number, InputInvalid>
    /** What a redrive does with dead letters of this kind. */
    readonly registerDLQProcessor: (kind: string, handler: DeadLetterQueue.Processor) => Effect.Effect<void>
    readonly runHealthChecks: Effect.Effect<Health.HealthReport>
    /** Until the scope closes. */
    readonly registerHealthCheck: (check: Health.Check) => Effect.Effect<void, never, Scope.Scope>
    /** `option`: the id of one of the request's options; undefined rejects. First answer wins. */
    readonly answerPermission: (requestId: string, option: string | undefined, by?: string) => Effect.Effect<void, PermissionGone>
    /** Somebody who can answer permission requests is there, until the scope closes. Without anybody a program rejects them at once. */
    readonly attend: Effect.Effect<void, never, Scope.Scope>
  }
>()("nofx/AgentRuntime") {}

/** The runtime over patterns, store and drivers that are provided. */
export const make = Wiring.make

/** What several machines may share: counted in this process, or in the configured Redis, whose client is loaded only then. */
const shareable = (config: RuntimeConfig) => {
  const { cooldown, redis, retry } = config
  if (redis === undefined) return Layer.mergeAll(CooldownGate.layer(cooldown), RateLimiter.layer, Retry.layer(retry))
  return Layer.unwrap(
    Effect.map(
      Effect.promise(() => import("./reliability/RedisPatterns.ts")),
      (patterns) => patterns.layer({ cooldown, redis, retry })
    )
  )
}

/** The runtime with its patterns as configured; store, drivers, reaper and task check are the caller's. */
export const layer = (config: RuntimeConfig) =>
  Layer.effect(AgentRuntime, make(config)).pipe(
    Layer.provide([
      CircuitBreaker.layer(config.circuitBreaker),
      Bulkhead.layer(config.bulkhead),
      Shutdown.layer(config.shutdown),
      TimeLimit.layer,
      TimerWheel.layer
    ]),
    Layer.provide(shareable(config)),
    Layer.provide(Health.layer(config.health))
  )
