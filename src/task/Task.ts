/**
 * A task and its life: what a user asks for, what is kept of it, and every transition it may take.
 *
 * All transitions are pure: `(record, …, now) => record`. A task's life is a row of numbered runs; each run ends in exactly one of
 * succeeded, dead-lettered, cancelled. Nothing here waits, talks or writes.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Id } from "../agent/AgentSpec.ts"
import { Fault } from "../agent/Fault.ts"

/** May it run again? See DESIGN: effect classes. */
export const EffectClass = Schema.Literals(["idempotent", "resumable", "unsafe"])
export type EffectClass = typeof EffectClass.Type

export const Priority = Schema.Literals(["high", "medium", "low"])
export type Priority = typeof Priority.Type

const PositiveInt = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))

/** What a task may use. Each is a hard stop, checked before the next attempt and while one runs. */
export const Budget = Schema.Struct({
  /** Attempts over the task's whole life, all runs together. Count, at least 1. */
  attempts: Schema.optionalKey(PositiveInt),
  /** Model tokens, as far as the agent reports them. Count, at least 1. */
  tokens: Schema.optionalKey(PositiveInt),
  /** Time spent in attempts. */
  time: Schema.optionalKey(Schema.DurationFromString)
})

export const TaskSpec = Schema.Struct({
  /** Unique in its batch. */
  id: Id,
  /** What kind of work; dead letters keep it, and a processor may be registered for it. */
  kind: Schema.NonEmptyString.pipe(Schema.withDecodingDefault(Effect.succeed("task"))),
  /** What the agent is asked. */
  prompt: Schema.String.pipe(Schema.withDecodingDefault(Effect.succeed(""))),
  /** Values for templates and for the program that does the task. */
  input: Schema.Record(Schema.String, Schema.Unknown).pipe(Schema.withDecodingDefault(Effect.succeed({}))),
  /** The one agent that is to do it. Without it any agent with the capabilities may. */
  agent: Schema.optionalKey(Id),
  /** What the agent must be able to do. */
  capabilities: Schema.Array(Schema.NonEmptyString).pipe(Schema.withDecodingDefault(Effect.succeed([]))),
  /** Default medium. */
  priority: Priority.pipe(Schema.withDecodingDefault(Effect.succeed("medium" as const))),
  /** Default unsafe. */
  effect: EffectClass.pipe(Schema.withDecodingDefault(Effect.succeed("unsafe" as const))),
  /** The task's own check: program and arguments; exit code 0 means that it is really done. */
  verify: Schema.optionalKey(Schema.Array(Schema.String).check(Schema.isMinLength(1))),
  /** `required`: the working tree must differ from what it was before. Where another agent worked in it meanwhile, the result is not verified. */
  changes: Schema.optionalKey(Schema.Literal("required")),
  /** Tasks that must have succeeded before. */
  dependsOn: Schema.Array(Id).pipe(Schema.withDecodingDefault(Effect.succeed([]))),
  /** What happens when one of them fails. Default hold. */
  onDependencyFailed: Schema.Literals(["hold", "cancel"]).pipe(Schema.withDecodingDefault(Effect.succeed("hold" as const))),
  /** From acceptance to end, all waiting included, counted while the host is awake. Default: none. */
  deadline: Schema.optionalKey(Schema.DurationFromString),
  /** Longest time of one attempt. Default: the runtime's. */
  timeLimit: Schema.optionalKey(Schema.DurationFromString),
  budget: Schema.optionalKey(Budget)
})
export type TaskSpec = typeof TaskSpec.Type

/** What was seen of side effects in an attempt. `none` is an observation, not an assumption. */
export const SideEffects = Schema.Literals(["none", "seen", "unknown"])
export type SideEffects = typeof SideEffects.Type

/** Model tokens and the like, as far as the agent reported them. */
export const Usage = Schema.Struct({ tokens: Schema.optionalKey(Schema.Finite), toolCalls: Schema.optionalKey(Schema.Finite) })
export type Usage = typeof Usage.Type

/** What an agent claimed at the end of an attempt. */
export const Claim = Schema.Struct({
  /** `end_turn`, `exit` … in the driver's words. */
  stop: Schema.String,
  /** The end of what it answered, bounded. */
  output: Schema.String,
  /** Where the whole output lies. */
  outputFile: Schema.optionalKey(Schema.String),
  sessionId: Schema.optionalKey(Schema.String),
  usage: Schema.optionalKey(Usage),
  sideEffects: SideEffects
})
export type Claim = typeof Claim.Type

/** One driver call for a task. It exists from the moment it was admitted; `startedAt` tells when the prompt may have been delivered. */
export const Attempt = Schema.Struct({
  id: Schema.String,
  run: Schema.Int,
  /** 1 for a run's first. */
  attempt: Schema.Int,
  agentId: Schema.String,
  admittedAt: Schema.Finite,
  startedAt: Schema.optionalKey(Schema.Finite),
  /** The state of the working tree before it, for `changes: required`. */
  baseline: Schema.optionalKey(Schema.String),
  claim: Schema.optionalKey(Claim),
  endedAt: Schema.optionalKey(Schema.Finite),
  fault: Schema.optionalKey(Fault),
  /** The driver's or the host's original error, as text. */
  cause: Schema.optionalKey(Schema.String),
  sideEffects: Schema.optionalKey(SideEffects),
  sessionId: Schema.optionalKey(Schema.String),
  outputFile: Schema.optionalKey(Schema.String),
  usage: Schema.optionalKey(Usage),
  /** The delay that was chosen before the next attempt, in milliseconds: decorrelated jitter needs the previous one. */
  delayMillis: Schema.optionalKey(Schema.Finite)
})
export type Attempt = typeof Attempt.Type

/** Why a task waits. */
export const Waiting = Schema.Struct({
  /** The stage of the pipe, or what else it waits for. */
  for: Schema.Literals([
    "retry",
    "cooldown",
    "rateLimit",
    "bulkhead",
    "circuitBreaker",
    "agent",
    "dependency",
    "budget",
    "permission",
    "paused",
    "health"
  ]),
  detail: Schema.String,
  /** Unix time in milliseconds; absent when it waits for a change, not for a time. */
  notBefore: Schema.optionalKey(Schema.Finite)
})
export type Waiting = typeof Waiting.Type

export const State = Schema.Literals(["queued", "blocked", "running", "parked", "succeeded", "dead-lettered", "cancelled"])
export type State = typeof State.Type

export const Task = Schema.Struct({
  /** Batch and id: unique in the store. */
  key: Schema.String,
  batch: Schema.String,
  spec: TaskSpec,
  state: State,
  /** Order of acceptance. */
  order: Schema.Int,
  acceptedAt: Schema.Finite,
  /** When the current run began. */
  runStartedAt: Schema.Finite,
  /** 1, then one more for each redrive. */
  run: Schema.Int,
  /** Absolute, Unix time in milliseconds; moved when the host slept. */
  deadlineAt: Schema.optionalKey(Schema.Finite),
  waiting: Schema.optionalKey(Waiting),
  /** Attempts of all runs, oldest first. */
  attempts: Schema.Array(Attempt),
  /** The session to go on with, and the agent it lives on. */
  session: Schema.optionalKey(Schema.Struct({ id: Schema.String, agentId: Schema.String })),
  endedAt: Schema.optionalKey(Schema.Finite),
  /** Of a success: what was claimed, and whether a check confirmed it. */
  result: Schema.optionalKey(Schema.Struct({ claim: Claim, verified: Schema.Boolean, agentId: Schema.String })),
  /** Of another end: why. */
  reason: Schema.optionalKey(Schema.String),
  deadLetterId: Schema.optionalKey(Schema.String)
})
export type Task = typeof Task.Type

export const isEnd = (state: State): boolean => state === "succeeded" || state === "dead-lettered" || state === "cancelled"
