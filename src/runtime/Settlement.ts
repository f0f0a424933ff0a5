/**
 * How an attempt, and with it perhaps a task, ends: every change that belongs together goes into one commit.
 *
 * An outcome counts only while its attempt is the open one; a later one is recorded as `LateOutcome` and changes nothing.
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { triesInsideMillis } from "../agent/AgentPresets.ts"
import type { AgentSpec } from "../agent/AgentSpec.ts"
import { consequences, type Fault } from "../agent/Fault.ts"
import { outcomeUnknown } from "../reliability/DeadLetter.ts"
import type { RuntimeEvent } from "../RuntimeEvent.ts"
import type { Change } from "../store/Store.ts"
import { isEnd, Task, type Waiting } from "../task/Task.ts"
import * as TaskLife from "../task/TaskLife.ts"
import * as Verdict from "../task/Verdict.ts"
import { heldMark } from "./Batches.ts"
import { type Agent, append, type Core, type Running, type Stop } from "./Core.ts"

export interface Settlement {
  /** The claim stands; `verified` tells whether a check of the task's own confirmed it. */
  readonly succeeded: (key: string, running: Running, verified: boolean) => Effect.Effect<void>
  readonly failed: (key: string, running: Running, agent: Agent, failure: TaskLife.Failure, stop: Stop | undefined) => Effect.Effect<void>
  /** Changes that end a task which is not running, as cancelled, with what follows for its dependents. Puts the records. */
  readonly cancelChanges: (task: Task, reason: string) => ReadonlyArray<Change>
  /** The same as a dead letter. */
  readonly deadLetterChanges: (
    task: Task,
    why: { readonly reason: string; readonly cause: string; readonly automatic: boolean }
  ) => ReadonlyArray<Change>
  /** Changes of a success: the task's own, its dead letter's, its dependents'. Puts the records. */
  readonly successChanges: (task: Task, verified: boolean) => ReadonlyArray<Change>
  /** Opens the next run of a task that was dead-lettered; what it depends on must be in the table. Puts the record. */
  readonly redriveChanges: (task: Task) => ReadonlyArray<Change>
  /** A parked task whose time has come: it waits for its turn, or, without a token of its account's retry budget, for another time. */
  readonly due: (task: Task) => Task
  /** Changes after a recorded failure of an agent, where that is known: retry, release or end. Puts the records. */
  readonly failureChanges: (
    task: Task,
    failure: TaskLife.Failure,
    account: string,
    agent?: AgentSpec
  ) => { readonly changes: ReadonlyArray<Change>; readonly next: string }
}

const encodeTask = Schema.encodeSync(Task)

export const make = (core: Core): Settlement => {
  const { config, deadLetters, journal, table } = core

  const put = (task: Task): Change => {
    table.put(task)
    return { _tag: "PutTask", task }
  }

  const ids = (task: Task) => ({ taskId: task.spec.id, batch: task.batch })
  const attemptEnded = (task: Task) => TaskLife.attemptIds("AttemptEnded", task, TaskLife.lastAttempt(task)!)
  const usage = (task: Task) => {
    const tokens = TaskLife.lastAttempt(task)!.usage?.tokens
    return tokens === undefined ? {} : { tokens }
  }
  const duration = (task: Task): number => {
    const last = TaskLife.lastAttempt(task)!
    return Math.max(0, core.wallNow() - (last.startedAt ?? last.admittedAt))
  }

  const block = (task: Task, detail: string): ReadonlyArray<Change> => {
    if (task.waiting?.detail === detail) return []
    const waiting = { for: "dependency" as const, detail }
    return [put(TaskLife.blocked(task, waiting)), append(core, { _tag: "TaskBlocked", ...ids(task), waiting })]
  }

  /** What a task's end means for those that wait for it: they are released, cancelled, or held, and so are those that wait for them. */
  const dependentChanges = (task: Task): ReadonlyArray<Change> => {
    const changes: Array<Change> = []
    for (const dependent of table.dependents(task.key)) {
      if (dependent.state !== "blocked") continue
      const missing = table.missing(dependent)
      if (missing.length === 0) {
        changes.push(put(TaskLife.queued(dependent)), append(core, { _tag: "TaskQueued", ...ids(dependent) }), ...releaseChanges(dependent))
      } else if (task.state === "succeeded") {
      } else if (task.state !== "blocked" && dependent.spec.onDependencyFailed === "cancel") {
        changes.push(...cancelChanges(dependent, `dependency ${task.spec.id} was ${task.state}`))
      } else {
        const held = block(
          dependent,
          `${heldMark} dependency ${task.spec.id} ${task.state === "blocked" ? "is held" : `was ${task.state}`}`
        )
        if (held.length > 0) changes.push(...held, ...dependentChanges(table.get(dependent.key)!))
      }
    }
    return changes
  }

  /** A held task can go on: those that were held by it only wait for it again. */
  const releaseChanges = (task: Task): ReadonlyArray<Change> => {
    const changes: Array<Change> = []
    for (const dependent of table.dependents(task.key)) {
      if (dependent.state !== "blocked" || !dependent.waiting?.detail.startsWith(heldMark)) continue
      const stillHeld = table.missing(dependent).some((key) => {
        const state = table.get(key)?.state
        return state === "dead-lettered" || state === "cancelled"
      })
      if (stillHeld) continue
      changes.push(...block(dependent, `waits for ${task.spec.id}`), ...releaseChanges(dependent))
    }
    return changes
  }

  const cancelChanges = (task: Task, reason: string): ReadonlyArray<Change> => {
    const next = TaskLife.cancelled(task, reason, core.wallNow())
    const changes: Array<Change> = [put(next), append(core, { _tag: "TaskCancelled", ...ids(next), run: next.run, reason })]
    // Its dead letter was being redriven: it waits again, for a person. Neither the schedule nor an earlier wish may undo what somebody asked for.
    const released = next.deadLetterId === undefined ? undefined : deadLetters.stageReleased(next.deadLetterId)
    if (released !== undefined) {
      const { asked: _, redriveAt: __, ...rest } = released
      const letter = { ...rest, automatic: false }
      changes.push({ _tag: "PutDeadLetter", letter }, { _tag: "AppendEvent", event: core.letterEvent(letter) })
      deadLetters.accept(letter)
    }
    return [...changes, ...dependentChanges(next)]
  }

  const deadLetterChanges: Settlement["deadLetterChanges"] = (task, why) => {
    const letter = deadLetters.stage({
      kind: task.spec.kind,
      subject: task.key,
      reason: why.reason,
      cause: why.cause,
      automatic: why.automatic,
      payload: encodeTask(task),
      versions: core.versions
    })
    const event = core.letterEvent(letter)
    deadLetters.accept(letter)
    const next = TaskLife.deadLettered(task, letter.reason, letter.id, core.wallNow())
    return [
      put(next),
      { _tag: "PutDeadLetter", letter },
      { _tag: "AppendEvent", event },
      append(core, {
        _tag: "TaskDeadLettered",
        ...ids(next),
        run: next.run,
        attempts: TaskLife.attemptsOfRun(next),
        reason: letter.reason,
        deadLetterId: letter.id
      }),
      ...dependentChanges(next)
    ]
  }

  const successChanges: Settlement["successChanges"] = (task, verified) => {
    const next = TaskLife.succeeded(task, verified, core.wallNow())
    const last = TaskLife.lastAttempt(next)!
    const changes: Array<Change> = [
      put(next),
      append(core, { ...attemptEnded(next), outcome: "succeeded", durationMillis: duration(task), ...usage(next) }),
      append(core, {
        _tag: "TaskSucceeded",
        ...ids(next),
        agentId: last.agentId,
        run: next.run,
        attempts: TaskLife.attemptsOfRun(next),
        verified
      })
    ]
    const letter = next.deadLetterId === undefined ? undefined : deadLetters.stageResolved(next.deadLetterId)
    if (letter !== undefined) {
      const event = core.letterEvent(letter)
      deadLetters.accept(letter)
      changes.push({ _tag: "ArchiveDeadLetter", letter }, { _tag: "AppendEvent", event })
    }
    changes.push(...dependentChanges(next))
    return changes
  }

  const failureChanges: Settlement["failureChanges"] = (task, failure, account, agent) => {
    const now = core.wallNow()
    const verdict = Verdict.decide(task, failure, {
      retry: config.retry,
      now,
      random: core.random(),
      budgetWaitMillis: core.retryBudget.waitMillis(account) ?? null,
      insideMillis: agent === undefined ? 0 : triesInsideMillis(agent)
    })
    if (verdict._tag === "DeadLetter") return { changes: deadLetterChanges(task, verdict), next: `dead letter: ${verdict.reason}` }
    if (verdict.gate) return { changes: [put(TaskLife.queued(task))], next: "waits for the account" }
    const { notBefore } = verdict
    const waiting: Waiting = core.retryBudget.tryWithdraw(account)
      ? { for: "retry", detail: verdict.detail, notBefore }
      : { for: "budget", detail: `the retry budget of account ${account} is spent; last ${verdict.detail}`, notBefore }
    const next = TaskLife.parked(TaskLife.delayed(task, verdict.delayMillis), waiting)
    return {
      changes: [put(next), append(core, { _tag: "TaskParked", ...ids(next), waiting })],
      next: `again at ${DateTime.formatIso(DateTime.makeUnsafe(notBefore))}`
    }
  }

  const due: Settlement["due"] = (task) => {
    const { waiting } = task
    if (waiting?.for !== "budget") return TaskLife.queued(task)
    // An agent that is gone has no account to spend from.
    const account = core.agents.get(TaskLife.lastAttempt(task)!.agentId)?.account
    if (account === undefined) return TaskLife.queued(task)
    if (core.retryBudget.tryWithdraw(account)) return TaskLife.queued(task)
    const wait = core.retryBudget.waitMillis(account)
    return TaskLife.parked(task, {
      ...waiting,
      notBefore: core.wallNow() + Math.max(1, Math.ceil(wait ?? Duration.toMillis(config.retry.maxDelay)))
    })
  }

  /** Gives a task back that was stopped because its agent, or the runtime, goes away. */
  const giveBackChanges = (
    task: Task,
    failure: TaskLife.Failure,
    reason: string
  ): { readonly changes: ReadonlyArray<Change>; readonly next: string } => {
    if (Verdict.mayRepeat(task, failure)) {
      return { changes: [put(TaskLife.queued(task)), append(core, { _tag: "TaskQueued", ...ids(task) })], next: `queued again: ${reason}` }
    }
    const why = {
      reason: `outcome unknown: it had started, is ${task.spec.effect}, and was stopped (${reason})`,
      cause: outcomeUnknown,
      automatic: false
    }
    return { changes: deadLetterChanges(task, why), next: "dead letter: outcome unknown" }
  }

  const late = (task: Task, running: Running, outcome: string): Effect.Effect<void> =>
    Effect.suspend(() => {
      running.admission.settle({ _tag: "Neutral" })
      const attempt = task.attempts.find((each) => each.id === running.attemptId)
      return attempt === undefined
        ? Effect.void
        : journal.commit([append(core, { ...TaskLife.attemptIds("LateOutcome", task, attempt), outcome })])
    })

  const redriveChanges: Settlement["redriveChanges"] = (task) => {
    const next = TaskLife.redriven(task, core.wallNow())
    const begun = [put(next), append(core, { _tag: "TaskQueued", ...ids(next) })]
    // What it depends on and has not succeeded since: it waits for that as it did before.
    const [first, ...others] = table
      .missing(next)
      .map((key) => table.get(key))
      .filter((each) => each !== undefined)
    if (first === undefined) return [...begun, ...releaseChanges(next)]
    const ended = [first, ...others].find((each) => isEnd(each.state))
    if (ended === undefined) return [...begun, ...block(next, `waits for ${first.spec.id}`), ...releaseChanges(next)]
    return [
      ...begun,
      ...block(next, `${heldMark} dependency ${ended.spec.id} was ${ended.state}`),
      ...dependentChanges(table.get(next.key)!)
    ]
  }

  return {
    redriveChanges,
    cancelChanges,
    deadLetterChanges,
    successChanges,
    failureChanges,
    due,
    succeeded: (key, running, verified) =>
      Effect.suspend(() => {
        const task = table.get(key)
        if (task === undefined || !TaskLife.isOpen(task, running.attemptId))
          return task === undefined ? Effect.void : late(task, running, "succeeded")
        // Before anything is given back: whoever starts with it writes after this.
        journal.note(...successChanges(task, verified))
        running.admission.settle({ _tag: "Success" })
        return journal.flush
      }),
    failed: (key, running, agent, failure, stop) =>
      Effect.suspend(() => {
        const task = table.get(key)
        if (task === undefined || isEnd(task.state) || !TaskLife.isOpen(task, running.attemptId)) {
          return task === undefined ? Effect.void : late(task, running, failure.fault._tag)
        }
        const recorded = TaskLife.failed(task, failure, core.wallNow())
        const after =
          stop?._tag === "Cancel"
            ? { changes: cancelChanges(recorded, stop.reason), next: `cancelled: ${stop.reason}` }
            : stop?._tag === "Release"
              ? giveBackChanges(recorded, failure, stop.reason)
              : failureChanges(recorded, failure, agent.account, agent.spec)
        // Before anything is given back: whoever starts with it, this very task even, writes after this.
        journal.note(
          append(core, {
            ...attemptEnded(recorded),
            outcome: stop?._tag === "Cancel" || stop?._tag === "Release" ? "cancelled" : "failed",
            fault: failure.fault,
            next: after.next,
            durationMillis: duration(task),
            ...usage(recorded)
          }) as { readonly _tag: "AppendEvent"; readonly event: RuntimeEvent },
          ...after.changes
        )
        settleAdmission(running, failure, stop)
        return journal.flush
      })
  }
}

const settleAdmission = (running: Running, failure: { readonly fault: Fault; readonly started: boolean }, stop: Stop | undefined): void => {
  if (stop?._tag === "Cancel" || stop?._tag === "Release") {
    if (failure.started) running.admission.settle({ _tag: "Neutral" })
    else running.admission.withdraw()
    return
  }
  const consequence = consequences[failure.fault._tag]
  if (!failure.started && consequence.scope === "none" && !consequence.closesGate) running.admission.withdraw()
  else running.admission.settle({ _tag: "Failure", fault: failure.fault })
}
