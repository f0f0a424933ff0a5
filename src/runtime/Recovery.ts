/**
 * What happens to the work of an earlier incarnation: reap what it left running, then settle every task that it was running.
 *
 * A task that had not started goes back to the queue. One whose outcome was claimed, or that brings its own check, is verified before
 * anything runs again. What is left is decided by effect class, like any failed attempt. The order is fixed: nothing is settled before
 * every process of the earlier incarnation is dead.
 */
import * as Effect from "effect/Effect"
import type { Checked, ProcessIdentity, Reaper } from "../agent/AgentDriver.ts"
import type { AgentSpec } from "../agent/AgentSpec.ts"
import { accountOf } from "../agent/AgentSpec.ts"
import type { Fault } from "../agent/Fault.ts"
import type { BatchRecord, Change, Loaded, ProcessRecord, Store } from "../store/Store.ts"
import { type Claim, isEnd, type Task } from "../task/Task.ts"
import * as TaskLife from "../task/TaskLife.ts"
import type { Attempts } from "./Attempts.ts"
import * as Awake from "./Awake.ts"
import type { Batches } from "./Batches.ts"
import { append, type Core } from "./Core.ts"
import type { Settlement } from "./Settlement.ts"

/** A process that was written down, as the reaper is asked to end it. */
export const toReap = ({
  bootId,
  marker,
  pid,
  startTime
}: ProcessRecord): { readonly marker: string; readonly identity?: ProcessIdentity } =>
  pid === undefined || startTime === undefined || bootId === undefined ? { marker } : { marker, identity: { pid, startTime, bootId } }

/** Ends every process that the store still knows. Answers how many were ended. */
export const reap = (core: Core, loaded: Loaded, reaper: Reaper["Service"]): Effect.Effect<number> =>
  Effect.gen(function* () {
    if (loaded.processes.length === 0) return 0
    const ended = yield* reaper.reap(loaded.processes.map(toReap))
    yield* core.journal.commit(loaded.processes.map((record): Change => ({ _tag: "DeleteProcess", marker: record.marker })))
    return ended
  })

/** How many tasks are read at a time. */
const page = 1_000

/** Takes up a batch with all its tasks; those that have ended too, for the counts and for what depends on them. */
export const adoptBatch = Effect.fnUntraced(function* (core: Core, store: Store["Service"], batches: Batches, record: BatchRecord) {
  const tasks: Array<Task> = []
  for (let after: string | undefined; ; after = String(tasks.at(-1)!.order)) {
    const more = yield* store.tasks({ batch: record.id, limit: page, ...(after === undefined ? {} : { after }) })
    tasks.push(...more)
    if (more.length < page) break
  }
  batches.track(record, tasks)
  for (const task of tasks) if (isEnd(task.state)) core.table.put(task)
})

/** The batch with this id, as the store has it. */
export const findBatch = Effect.fnUntraced(function* (store: Store["Service"], id: string) {
  for (let after: string | undefined; ; ) {
    const some = yield* store.batches({ limit: page, ...(after === undefined ? {} : { after }) })
    const found = some.find((batch) => batch.id === id)
    if (found !== undefined || some.length < page) return found
    after = some.at(-1)!.id
  }
})

/**
 * Puts back what has not ended, with what it depends on: every task of an unfinished batch, and ended tasks that others wait for.
 *
 * `away`: by how much the wall clock went on while nobody was awake. Deadlines move by it, once, however often the start is interrupted.
 */
export const adopt = Effect.fnUntraced(function* (core: Core, store: Store["Service"], batches: Batches, loaded: Loaded, away: number) {
  const moved: Array<Change> = []
  // What has not ended comes first: the table keeps the ends that it waits for.
  for (const task of loaded.tasks) {
    const next = TaskLife.shifted(task, away)
    core.table.put(next)
    if (next !== task) moved.push({ _tag: "PutTask", task: next })
  }
  if (moved.length > 0) {
    yield* core.journal.commit([...moved, Awake.note(core)])
  }
  for (const record of loaded.batches) yield* adoptBatch(core, store, batches, record)
  for (const task of loaded.tasks) {
    for (const id of task.spec.dependsOn) {
      const key = TaskLife.keyOf(task.batch, id)
      if (core.table.get(key) !== undefined) continue
      const dependency = yield* store.task(key)
      if (dependency !== undefined && isEnd(dependency.state)) core.table.put(dependency)
    }
  }
})

/** Of the tasks that were accepted last, so many are looked at for ends that are shown again. */
const shownAgain = 500

/** What ended before this start, among the last tasks: it is shown to whoever looks now, and is no part of the work. */
export const earlierEnds = (core: Core, store: Store["Service"], loaded: Loaded) =>
  Effect.map(
    store.tasks({
      states: ["succeeded", "dead-lettered", "cancelled"],
      after: String(loaded.order - shownAgain),
      limit: shownAgain
    }),
    (tasks) => tasks.filter(({ key }) => core.table.get(key) === undefined)
  )

/** The runtime's own end, as the fault of the attempts that it interrupted. Nobody is to blame. */
const hostEnded: Fault = { _tag: "LocalStall", detail: "the host ended while the attempt was running", lagMillis: 0 }

/** Settles one task that was running when the host ended. */
const settle = Effect.fnUntraced(function* (
  core: Core,
  settlement: Settlement,
  attempts: Attempts,
  task: Task,
  spec: AgentSpec | undefined
) {
  const last = TaskLife.lastAttempt(task)!
  const account = spec === undefined ? "" : accountOf(spec)
  const end = (changes: ReadonlyArray<Change>): Effect.Effect<void> => core.journal.commit(changes)

  const begun = last.startedAt !== undefined
  const asks = task.spec.verify !== undefined || task.spec.changes !== undefined
  if (begun && (asks ? spec !== undefined && (last.claim !== undefined || task.spec.verify !== undefined) : last.claim !== undefined)) {
    const checked = asks ? yield* check(attempts, task, spec!) : { _tag: "Passed" as const, verified: false }
    if (checked._tag === "Passed" && (last.claim !== undefined || checked.verified)) {
      const claim: Claim = last.claim ?? { stop: "recovered", output: "", sideEffects: "unknown" }
      return yield* end(settlement.successChanges(TaskLife.claimed(task, claim), checked.verified))
    }
    if (checked._tag === "Failed" && last.claim !== undefined) {
      const failure: TaskLife.Failure = {
        fault: { _tag: "CheckFailed", detail: checked.detail },
        started: true,
        sideEffects: last.claim.sideEffects,
        sessionId: last.claim.sessionId
      }
      return yield* end(failed(core, settlement, task, failure, account))
    }
  }
  yield* end(
    failed(
      core,
      settlement,
      task,
      { fault: hostEnded, started: begun, sideEffects: begun ? "unknown" : "none", sessionId: last.sessionId },
      account
    )
  )
})

/** A check that cannot be made confirms nothing, and must not keep the runtime from starting. */
const check = (attempts: Attempts, task: Task, spec: AgentSpec): Effect.Effect<Checked> =>
  Effect.catchDefect(attempts.check(task, spec), (defect) =>
    Effect.succeed<Checked>({ _tag: "Failed", detail: `the check could not be made: ${String(defect)}` })
  )

const failed = (core: Core, settlement: Settlement, task: Task, failure: TaskLife.Failure, account: string): ReadonlyArray<Change> => {
  const recorded = TaskLife.failed(task, failure, core.wallNow())
  const last = TaskLife.lastAttempt(recorded)!
  const after = settlement.failureChanges(recorded, failure, account)
  return [
    append(core, {
      _tag: "AttemptEnded",
      taskId: task.spec.id,
      batch: task.batch,
      agentId: last.agentId,
      run: last.run,
      attempt: last.attempt,
      attemptId: last.id,
      outcome: "failed",
      fault: failure.fault,
      next: after.next,
      durationMillis: 0
    }),
    ...after.changes
  ]
}

/** Settles every task that was running. Answers how many there were. */
export const reconcile = Effect.fnUntraced(function* (core: Core, settlement: Settlement, attempts: Attempts, loaded: Loaded) {
  const specs = new Map(loaded.agents.map((agent) => [agent.spec.id, agent.spec]))
  const interrupted = [...core.table.running()]
  // Beside each other: no more of them than there were agents, each with a check of its own that may take minutes.
  yield* Effect.forEach(interrupted, (task) => settle(core, settlement, attempts, task, specs.get(TaskLife.lastAttempt(task)!.agentId)), {
    concurrency: "unbounded",
    discard: true
  })
  return interrupted.length
})
