/** What the parts of the runtime share: its tables, its clock, its one way to the store. Made once, in `AgentRuntime.ts`. */
import type * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type * as Semaphore from "effect/Semaphore"
import type { AgentDriver, AgentSession, PermissionRequest, TaskCheck } from "../agent/AgentDriver.ts"
import type { AgentSpec } from "../agent/AgentSpec.ts"
import type { Fault } from "../agent/Fault.ts"
import type * as DeadLetterQueue from "../reliability/DeadLetterQueue.ts"
import type * as Health from "../reliability/Health.ts"
import type { RetryBudget } from "../reliability/Retry.ts"
import type * as TimeLimit from "../reliability/TimeLimit.ts"
import type { RuntimeConfig } from "../RuntimeConfig.ts"
import type { Operation, RuntimeEvent, StageName } from "../RuntimeEvent.ts"
import type { DayBudget } from "./DayBudget.ts"
import type { Journal } from "./Journal.ts"
import type { Admission, Patterns, Refusal, Request } from "./Pipe.ts"
import type { TaskTable, Timer } from "./TaskTable.ts"

export type AgentState = "starting" | "idle" | "working" | "waiting" | "stalled" | "failed" | "stopped"

/** Why a running attempt is stopped by us. */
export type Stop =
  /** The task ends cancelled. */
  | { readonly _tag: "Cancel"; readonly reason: string }
  /** The attempt ends with this fault. */
  | { readonly _tag: "Fault"; readonly fault: Fault }
  /** The agent, or the runtime (`final`), goes away; the task does not. */
  | { readonly _tag: "Release"; readonly reason: string; readonly final: boolean }

/** An attempt under way. */
export interface Running {
  readonly taskKey: string
  readonly attemptId: string
  readonly admission: Admission
  /** Monotonic milliseconds. */
  readonly since: number
  /** Stops it; the first reason counts. */
  readonly stop: (reason: Stop) => void
  /** Completes when it is settled and its agent free. */
  readonly settled: Effect.Effect<void>
  /** A permission it waits for. */
  permission: string | undefined
}

/** An agent, as its supervisor keeps it. */
export interface Agent {
  readonly spec: AgentSpec
  readonly account: string
  readonly driver: AgentDriver
  /** Value of `NOFX_RUN` for its processes. */
  readonly marker: string
  state: AgentState
  detail: string
  /** Unix milliseconds. */
  stateSince: number
  session: AgentSession | undefined
  scope: Scope.Closeable | undefined
  /** Held by the one who starts it. */
  readonly starting: Semaphore.Semaphore
  running: Running | undefined
  /** Monotonic milliseconds; the idle agent that rested longest goes first. */
  lastUsed: number
  /** When it was restarted, monotonic milliseconds, within the restart budget's window. */
  restarts: Array<number>
  restartCount: number
  /** It is being removed, restarted or shut down: its end is wanted. */
  leaving: boolean
}

export interface Core {
  readonly config: RuntimeConfig
  readonly patterns: Patterns
  readonly retryBudget: RetryBudget
  readonly dayBudget: DayBudget
  readonly deadLetters: DeadLetterQueue.DeadLetterQueue["Service"]
  /** What a dead letter's new state, as staged, means as an event. To be asked before it is accepted. */
  readonly letterEvent: (letter: DeadLetterQueue.DeadLetter) => RuntimeEvent
  readonly health: Health.Health["Service"]
  readonly journal: Journal
  readonly table: TaskTable
  readonly agents: Map<string, Agent>
  readonly taskCheck: TaskCheck["Service"]
  readonly timeLimits: TimeLimit.TimeLimit["Service"]
  readonly admit: (request: Request) => Admission | Refusal
  /** An agent is gone: the pipe remembers nothing of it. */
  readonly forget: (agentId: string) => void
  /** Lets waiting work through, as far as it can go. Synchronous; may be called from anywhere. */
  readonly pump: () => void
  /** Runs an effect in the runtime's scope. */
  readonly fork: <A, E>(effect: Effect.Effect<A, E>) => void
  /** The same, for those who may want to end it. */
  readonly forkFiber: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>
  /** Unix milliseconds. */
  readonly wallNow: () => number
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** In [0, 1). */
  readonly random: () => number
  /** A new unique id. */
  readonly uniqueId: () => string
  readonly arm: (delayMillis: number, fire: () => void) => Timer
  /** Directory of an agent's transcripts and outputs. */
  readonly directory: (agentId: string) => string
  readonly makeDirectory: (directory: string) => Effect.Effect<void>
  /** Asks whoever may answer; undefined is a rejection. */
  readonly askPermission: (agent: Agent, running: Running, request: PermissionRequest) => Effect.Effect<string | undefined>
  /** Told of every stage's decision, while somebody wants to know. */
  readonly trace:
    | ((operation: Operation, stage: StageName, decision: "passed" | "refused" | "bypassed", subject: string, detail?: string) => void)
    | undefined
  readonly versions: Readonly<Record<string, string>>
  /** A copy of plain JSON in which no secret is left that is known or looks like one. */
  readonly redact: <A>(value: A) => A
  /** The secrets of this agent are kept out of everything from now on. */
  readonly learn: (spec: AgentSpec) => void
}

/** A change that appends an event, which is the caller's no more: it gets its time in place, since every step of every task makes one. */
export const append = (
  core: Core,
  event: RuntimeEvent extends infer E ? (E extends RuntimeEvent ? Omit<E, "at" | "seq"> : never) : never
) => ({
  _tag: "AppendEvent" as const,
  event: Object.assign(event, { at: core.wallNow() }) as RuntimeEvent
})

/** Moves an agent to a state, and says so. */
export const setAgentState = (core: Core, agent: Agent, state: AgentState, detail: string): void => {
  if (agent.state === state && agent.detail === detail) return
  const quiet = agent.state === state
  agent.state = state
  agent.detail = detail
  if (quiet) return
  agent.stateSince = core.wallNow()
  core.journal.live({ _tag: "AgentStateChanged", at: core.wallNow(), agentId: agent.spec.id, state, detail })
}
