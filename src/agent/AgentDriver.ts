/**
 * The port to agents: how the runtime talks to one kind of them, and what it may know.
 *
 * A driver observes and reports; it never retries, never waits for a limit, never decides. Below this line everything can be
 * replaced by a simulation.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Claim, SideEffects, TaskSpec, Usage } from "../task/Task.ts"
import type { AgentSpec } from "./AgentSpec.ts"
import type { Fault } from "./Fault.ts"

/** A process, so that it can be told apart from a later one with the same pid. */
export interface ProcessIdentity {
  readonly pid: number
  /** The kernel's start time. */
  readonly startTime: string
  readonly bootId: string
}

/** A permission that an agent asks for. */
export interface PermissionRequest {
  readonly title: string
  /** `read`, `edit`, `delete`, `move`, `execute`, `fetch`, `other`. */
  readonly kind: string
  /** The command line or the diff, bounded. */
  readonly detail: string
  readonly options: ReadonlyArray<{ readonly id: string; readonly name: string; readonly kind: string }>
}

/** Something the agent did, as the protocol or its output shows it. Handed over synchronously, in order. */
export type Progress =
  | { readonly _tag: "Text"; readonly text: string }
  | { readonly _tag: "Thought"; readonly text: string }
  | { readonly _tag: "Tool"; readonly id: string; readonly title: string; readonly kind: string; readonly status: string }
  | { readonly _tag: "Usage"; readonly usage: Usage }
  | { readonly _tag: "Waiting"; readonly detail: string; readonly untilMillis?: number }
  | { readonly _tag: "Output"; readonly bytes: number }

/** What can be measured of a working agent, whatever it says. */
export interface Activity {
  /** CPU time of its process tree so far, in milliseconds. */
  readonly cpuMillis: number
  /** Bytes read and written by its process tree so far. */
  readonly ioBytes: number
  /** Processes in its tree. */
  readonly processes: number
  /** Changes whenever a file below its working directory does. */
  readonly files: string
}

/** What the runtime offers to an agent while it lives. */
export interface OpenContext {
  /** Value of `NOFX_RUN` for every process of this agent. */
  readonly marker: string
  /** Writes down that a process is about to be spawned. Must be awaited before the spawn. */
  readonly intend: Effect.Effect<void>
  /** Writes down which process it became. Must be awaited before the program starts. */
  readonly register: (process: ProcessIdentity) => Effect.Effect<void>
  /** The process tree is gone. */
  readonly gone: Effect.Effect<void>
  /** Directory for this agent's transcripts and outputs; exists. */
  readonly directory: string
}

export interface AttemptContext {
  readonly attemptId: string
  readonly task: TaskSpec
  readonly run: number
  readonly attempt: number
  /** The session to go on with; the driver said `resumable`. */
  readonly resume?: string
  /** For agents whose attempt is a process of its own: as in `OpenContext`. */
  readonly open: OpenContext
  /**
   * Commits that the attempt starts. Must be awaited before anything is delivered to the agent; when it fails or is interrupted,
   * nothing may be delivered.
   */
  readonly started: (session?: string) => Effect.Effect<void>
  /** Reports what the agent does; synchronous and cheap. */
  readonly progress: (progress: Progress) => void
  /** What the program prints, where it is not read as the agent's words; synchronous. For whoever writes it down. */
  readonly printed?: (stream: "stdout" | "stderr", chunk: Uint8Array) => void
  /** Asks for a permission; answers an option's id, or undefined for a rejection. */
  readonly permission: (request: PermissionRequest) => Effect.Effect<string | undefined>
}

/** An attempt that did not succeed, as observed. */
export interface AttemptFailure {
  readonly fault: Fault
  /** False only when it is proven that nothing was delivered. */
  readonly started: boolean
  readonly sideEffects: SideEffects
  readonly sessionId?: string
  /** The agent does not have the session any more that it was to go on with. */
  readonly sessionLost?: boolean
  readonly outputFile?: string
  readonly usage?: Usage
  /** The original error. */
  readonly cause?: unknown
}

/** A started agent. Closing its scope stops its whole process tree. */
export interface AgentSession {
  readonly process?: ProcessIdentity
  /** Can it load a session and go on with it? */
  readonly resumable: boolean
  /** Completes when the agent died by itself; never for agents without a process of their own. */
  readonly exited: Effect.Effect<Fault>
  /**
   * One attempt. Interrupting it stops the attempt with everything it started, and ends only when that is dead.
   */
  readonly run: (attempt: AttemptContext) => Effect.Effect<Claim, AttemptFailure>
  /** Measures the attempt that runs now. Fails where there is nothing to measure: that is no sign of a stall. */
  readonly activity: Effect.Effect<Activity, unknown>
}

export interface AgentDriver {
  /** Could the agent be started? Spends no tokens and keeps no process. */
  readonly probe: (spec: AgentSpec) => Effect.Effect<void, Fault>
  /** Starts the agent: its process and its handshake, as far as it has them. */
  readonly open: (spec: AgentSpec, context: OpenContext) => Effect.Effect<AgentSession, Fault, Scope.Scope>
  /** How long after an interruption the agent's tree may still live, at most. In milliseconds. */
  readonly stopMillis: number
}

/** The drivers there are, by the name that `AgentSpec.driver` gives. */
export class AgentDrivers extends Context.Service<
  AgentDrivers,
  {
    readonly get: (name: string) => AgentDriver | undefined
    readonly names: ReadonlyArray<string>
    /** Decides what the agent's configuration left open and depends on which agents there are. Default: nothing. */
    readonly settle?: (spec: AgentSpec, others: ReadonlyArray<AgentSpec>) => Effect.Effect<AgentSpec>
  }
>()("nofx/AgentDrivers") {}

/** Recovery's half of the process port: ends what an earlier owner left. */
export class Reaper extends Context.Service<
  Reaper,
  {
    /** Ends the processes with these identities, as far as their start times still match, and every process that carries one of the markers. Answers how many it ended. */
    readonly reap: (left: ReadonlyArray<{ readonly marker: string; readonly identity?: ProcessIdentity }>) => Effect.Effect<number>
  }
>()("nofx/Reaper") {}

/** The answer of a task's own check. */
export type Checked = { readonly _tag: "Passed"; readonly verified: boolean } | { readonly _tag: "Failed"; readonly detail: string }

/** The task's own check: `verify` and `changes`. */
export class TaskCheck extends Context.Service<
  TaskCheck,
  {
    /** Fingerprint of the working tree before an attempt; undefined when the task does not ask for changes. */
    readonly baseline: (task: TaskSpec, agent: AgentSpec) => Effect.Effect<string | undefined>
    /** Runs the check. Without one it passes with `verified: false`. Interruptible; bounded by the caller. */
    readonly check: (task: TaskSpec, agent: AgentSpec, baseline: string | undefined, marker: string) => Effect.Effect<Checked>
    /** How long after an interruption a check's processes may still live, at most. In milliseconds, default 0. */
    readonly stopMillis?: number
  }
>()("nofx/TaskCheck") {}
