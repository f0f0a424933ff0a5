/** What failed for good, kept until somebody decides. */
import * as Schema from "effect/Schema"

export const DeadLetter = Schema.Struct({
  id: Schema.String,
  /** What failed: `task`, `spawn`, `restart`, `remove`, or a kind that the program registered. */
  kind: Schema.String,
  /** Of what: the task's key or the agent's id. */
  subject: Schema.String,
  /**
   * `pending` waits for a decision or its due time; `redriving` is being tried again; `resolved` succeeded; `discarded` by a person, with undo;
   * `expired` by age or attempts.
   */
  status: Schema.Literals(["pending", "redriving", "resolved", "discarded", "expired"]),
  /** Why it failed last, one sentence, redacted. */
  reason: Schema.String,
  /** Class of the last failure, e.g. `Outage`. */
  cause: Schema.String,
  createdAt: Schema.Finite,
  failedAt: Schema.Finite,
  /** Failures of the same subject on this record. Count, at least 1. */
  failures: Schema.Int,
  /** Redrives so far. */
  redrives: Schema.Int,
  /** May the schedule redrive it, or only a person? */
  automatic: Schema.Boolean,
  /** When the schedule redrives it next, Unix time in milliseconds. */
  redriveAt: Schema.optionalKey(Schema.Finite),
  /** When it ended (resolved, discarded, expired). */
  endedAt: Schema.optionalKey(Schema.Finite),
  /** What the processor of its kind needs: the task with every attempt, or the agent; redacted, JSON. */
  payload: Schema.Unknown,
  /** Versions of what was involved. */
  versions: Schema.Record(Schema.String, Schema.String)
})
export type DeadLetter = typeof DeadLetter.Type
