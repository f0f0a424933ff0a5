/**
 * What must be durable, and nothing else.
 *
 * All transitions are pure functions elsewhere; a commit only writes their results. A batch of changes is written whole or not at all, under
 * the epoch of the owner that computed it: an older epoch is refused, so a fenced owner cannot write. Events get their `seq` in the same
 * transaction and are published by the caller after it.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { AgentSpec } from "../agent/AgentSpec.ts"
import type { DeadLetter } from "../reliability/DeadLetterQueue.ts"
import type { RuntimeEvent } from "../RuntimeEvent.ts"
import { State, type Task } from "../task/Task.ts"

/** A process of ours, from before its spawn until it is known to be gone. */
export const ProcessRecord = Schema.Struct({
  /** Made before the spawn; the process carries it in `NOFX_RUN`. */
  marker: Schema.String,
  agentId: Schema.String,
  attemptId: Schema.optionalKey(Schema.String),
  /** Absent while it is only an intent. */
  pid: Schema.optionalKey(Schema.Int),
  /** The kernel's start time of the pid: tells a reused pid apart. */
  startTime: Schema.optionalKey(Schema.String),
  bootId: Schema.optionalKey(Schema.String),
  at: Schema.Finite
})
export type ProcessRecord = typeof ProcessRecord.Type

/** State of a pattern that outlives a restart: breakers, gates, budgets. Times in it are Unix milliseconds. */
export const PatternRecord = Schema.Struct({
  kind: Schema.Literals(["breaker", "gate", "retryBudget", "budget", "control"]),
  key: Schema.String,
  state: Schema.Unknown
})
export type PatternRecord = typeof PatternRecord.Type

/** One `nofx run FILE`. */
export const BatchRecord = Schema.Struct({
  id: Schema.String,
  /** Real path of the task file; empty for tasks that were added one by one. */
  file: Schema.String,
  /** SHA-256 of what was decoded from it. */
  digest: Schema.String,
  createdAt: Schema.Finite,
  finishedAt: Schema.optionalKey(Schema.Finite)
})
export type BatchRecord = typeof BatchRecord.Type

export const AgentRecord = Schema.Struct({ spec: AgentSpec, restarts: Schema.Int, at: Schema.Finite })
export type AgentRecord = typeof AgentRecord.Type

export type Change =
  | { readonly _tag: "PutTask"; readonly task: Task }
  | { readonly _tag: "PutDeadLetter"; readonly letter: DeadLetter }
  /** Takes a dead letter out of the queue; the archive keeps it. */
  | { readonly _tag: "ArchiveDeadLetter"; readonly letter: DeadLetter }
  /** Deletes a dead letter from queue and archive. */
  | { readonly _tag: "PurgeDeadLetter"; readonly id: string }
  | { readonly _tag: "PutAgent"; readonly agent: AgentRecord }
  | { readonly _tag: "DeleteAgent"; readonly agentId: string }
  | { readonly _tag: "PutProcess"; readonly process: ProcessRecord }
  | { readonly _tag: "DeleteProcess"; readonly marker: string }
  | { readonly _tag: "PutPattern"; readonly pattern: PatternRecord }
  | { readonly _tag: "DeletePattern"; readonly kind: PatternRecord["kind"]; readonly key: string }
  | { readonly _tag: "PutBatch"; readonly batch: BatchRecord }
  | { readonly _tag: "AppendEvent"; readonly event: RuntimeEvent }
  /**
   * Retention: drops what ended before this Unix time in milliseconds: events, tasks, finished batches without tasks, damage reports. An
   * unfinished batch keeps its tasks.
   */
  | { readonly _tag: "Prune"; readonly before: number }

/** A row that could not be decoded: kept apart, never dropped in silence. */
export const Quarantined = Schema.Struct({ table: Schema.String, key: Schema.String, reason: Schema.String, body: Schema.String })
export type Quarantined = typeof Quarantined.Type

/** What was found when a damaged database was opened. A store that was recovered is never reported as clean. */
export const DamageReport = Schema.Struct({
  /** Unix time in milliseconds. */
  at: Schema.Finite,
  /** What was wrong, one sentence each. */
  found: Schema.Array(Schema.String),
  /** The damaged files as they were, kept beside the database. */
  kept: Schema.Array(Schema.String),
  tables: Schema.Array(
    Schema.Struct({
      table: Schema.String,
      recovered: Schema.Int,
      /** Rows that were known to be there and could not be read; absent where they could not be counted. */
      lost: Schema.optionalKey(Schema.Int)
    })
  )
})
export type DamageReport = typeof DamageReport.Type

/** What the runtime needs to go on: everything that has not ended. */
export interface Loaded {
  readonly tasks: ReadonlyArray<Task>
  readonly agents: ReadonlyArray<AgentRecord>
  readonly processes: ReadonlyArray<ProcessRecord>
  readonly patterns: ReadonlyArray<PatternRecord>
  /** Those that are not finished. */
  readonly batches: ReadonlyArray<BatchRecord>
  /** Those that are not in the archive. */
  readonly deadLetters: ReadonlyArray<DeadLetter>
  readonly quarantined: ReadonlyArray<Quarantined>
  /** What earlier starts found damaged, oldest first; kept until retention drops it. */
  readonly damage: ReadonlyArray<DamageReport>
  /** The seq of the last event. */
  readonly seq: number
  /** The highest `order` of any task. */
  readonly order: number
}

/** Nothing of the batch was written. */
export class StoreUnavailable extends Schema.TaggedError<StoreUnavailable>()("StoreUnavailable", {
  operation: Schema.String,
  /** `full`, `read-only`, `corrupt`, `io`. */
  reason: Schema.Literals(["full", "read-only", "corrupt", "io"]),
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `The store could not ${this.operation} (${this.reason}): ${String(this.cause)}`
  }
}

/** Another owner has taken over: this one may not write any more. */
export class Fenced extends Schema.TaggedError<Fenced>()("Fenced", { epoch: Schema.Int, current: Schema.Int }) {
  override get message(): string {
    return `Another process owns this state directory now (epoch ${this.current}, ours was ${this.epoch})`
  }
}

/** Tasks by state, with a zero for each state that has none. */
export const countsOf = (counted: Iterable<readonly [state: State, count: number]>): Readonly<Record<State, number>> => {
  const counts = Object.fromEntries(State.literals.map((state) => [state, 0])) as Record<State, number>
  for (const [state, count] of counted) counts[state] += count
  return counts
}

/** Entries of a page when nothing else is said. */
export const defaultLimit = 100

/** A page of a listing. */
export interface Page {
  /** Default 100. */
  readonly limit?: number
  /** Only entries after this cursor: the `order` (tasks) or `id` (dead letters, batches) of the last one seen. */
  readonly after?: string
}

export class Store extends Context.Service<
  Store,
  {
    /** The epoch under which this process owns the state. */
    readonly epoch: number
    /**
     * Writes a batch whole or not at all; returns the events of the batch with their `seq`.
     *
     * Fails with `Fenced` when `epoch` is older than the owner's, with `StoreUnavailable` when it cannot write. Once asked for it is not
     * interruptible: whoever asked always learns whether it was written.
     */
    readonly commit: (
      changes: ReadonlyArray<Change>,
      epoch: number
    ) => Effect.Effect<ReadonlyArray<RuntimeEvent>, StoreUnavailable | Fenced>
    readonly load: Effect.Effect<Loaded, StoreUnavailable>
    /** One task with its whole history, ended ones too. */
    readonly task: (key: string) => Effect.Effect<Task | undefined, StoreUnavailable>
    /** By `order`. */
    readonly tasks: (
      query: Page & { readonly states?: ReadonlyArray<State>; readonly batch?: string; readonly id?: string }
    ) => Effect.Effect<ReadonlyArray<Task>, StoreUnavailable>
    /** How many tasks there are in each state. */
    readonly counts: Effect.Effect<Readonly<Record<State, number>>, StoreUnavailable>
    /** One dead letter, archived or not. */
    readonly deadLetter: (id: string) => Effect.Effect<DeadLetter | undefined, StoreUnavailable>
    /** By `id`. */
    readonly deadLetters: (query: Page & { readonly archived?: boolean }) => Effect.Effect<ReadonlyArray<DeadLetter>, StoreUnavailable>
    /** Events after `seq`, oldest first. */
    readonly events: (after: number, limit: number) => Effect.Effect<ReadonlyArray<RuntimeEvent>, StoreUnavailable>
    /** Oldest first, finished ones too. */
    readonly batches: (query: Page) => Effect.Effect<ReadonlyArray<BatchRecord>, StoreUnavailable>
  }
>()("nofx/Store") {}
