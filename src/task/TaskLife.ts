/**
 * Every transition a task may take, as pure functions of the record and the time.
 *
 * The last attempt is the only one that can be open; whoever settles it names it, and a loser finds that it is no longer the open one
 * (`isOpen`): that is the compare-and-set on (task, run, attempt).
 */
import * as Duration from "effect/Duration"
import type { Fault } from "../agent/Fault.ts"
import type { Attempt, Claim, SideEffects, Task, TaskSpec, Usage, Waiting } from "./Task.ts"

/** A task's key: its id alone outside batches, so that programs may use plain ids. */
export const keyOf = (batch: string, id: string): string => (batch === "" ? id : `${batch}/${id}`)

export const accept = (spec: TaskSpec, options: { readonly batch: string; readonly order: number; readonly now: number }): Task => ({
  key: keyOf(options.batch, spec.id),
  batch: options.batch,
  spec,
  state: "queued",
  order: options.order,
  acceptedAt: options.now,
  runStartedAt: options.now,
  run: 1,
  attempts: [],
  ...(spec.deadline === undefined ? {} : { deadlineAt: options.now + Duration.toMillis(spec.deadline) })
})

/** A copy with these fields. Not spread: records have many shapes, and a spread of those is copied field by field. */
const changed = <Record extends object>(record: Record, fields: Partial<Record>): Record => Object.assign({}, record, fields)

const without = <Key extends keyof Task>(task: Task, ...keys: ReadonlyArray<Key>): Omit<Task, Key> => {
  // Deleting makes an object slow for good, and most tasks have none of them.
  if (!keys.some((key) => Object.hasOwn(task, key))) return task
  const copy: Partial<Task> = { ...task }
  for (const key of keys) delete copy[key]
  return copy as Omit<Task, Key>
}

/** It waits for its turn, and for nothing else. */
export const queued = (task: Task): Task => changed<Task>(without(task, "waiting"), { state: "queued" })

/** It waits for a time or a change that has nothing to do with other tasks. */
export const parked = (task: Task, waiting: Waiting): Task => ({ ...task, state: "parked", waiting })

/** It waits for other tasks. */
export const blocked = (task: Task, waiting: Waiting): Task => ({ ...task, state: "blocked", waiting })

export const lastAttempt = (task: Task): Attempt | undefined => task.attempts[task.attempts.length - 1]

/** An attempt as events name it. */
export const attemptIds = <Tag extends string>(_tag: Tag, task: Task, attempt: Attempt) => ({
  _tag,
  taskId: task.spec.id,
  batch: task.batch,
  agentId: attempt.agentId,
  run: attempt.run,
  attempt: attempt.attempt,
  attemptId: attempt.id
})

/** Is this attempt the one whose outcome still counts? */
export const isOpen = (task: Task, attemptId: string): boolean => {
  const last = lastAttempt(task)
  return task.state === "running" && last !== undefined && last.id === attemptId && last.endedAt === undefined
}

/** Admitted by every stage: the attempt exists, nothing was delivered. */
export const admitted = (task: Task, attempt: { readonly id: string; readonly agentId: string; readonly now: number }): Task =>
  changed<Task>(without(task, "waiting"), {
    state: "running",
    attempts: [
      ...task.attempts,
      { id: attempt.id, run: task.run, attempt: attemptsOfRun(task) + 1, agentId: attempt.agentId, admittedAt: attempt.now }
    ]
  })

/** How many attempts its current run has had. */
export const attemptsOfRun = (task: Task): number => {
  let count = 0
  for (const attempt of task.attempts) if (attempt.run === task.run) count++
  return count
}

const patchedLast = (task: Task, patch: Partial<Attempt>): ReadonlyArray<Attempt> => {
  const attempts = task.attempts.slice()
  attempts[attempts.length - 1] = changed(attempts[attempts.length - 1]!, patch)
  return attempts
}

const patchLast = (task: Task, patch: Partial<Attempt>): Task => changed(task, { attempts: patchedLast(task, patch) })

export const baselined = (task: Task, baseline: string): Task => patchLast(task, { baseline })

/** From here on the prompt may have been delivered. */
export const started = (task: Task, now: number, sessionId: string | undefined): Task => {
  const next = patchLast(task, { startedAt: now, ...(sessionId === undefined ? {} : { sessionId }) })
  return sessionId === undefined ? next : { ...next, session: { id: sessionId, agentId: lastAttempt(task)!.agentId } }
}

/** The agent says that it is done; the check comes next. */
export const claimed = (task: Task, claim: Claim): Task =>
  patchLast(task, {
    claim,
    sideEffects: claim.sideEffects,
    ...(claim.usage === undefined ? {} : { usage: claim.usage }),
    ...(claim.outputFile === undefined ? {} : { outputFile: claim.outputFile })
  })

/** What is known of a failed attempt. */
export interface Failure {
  readonly fault: Fault
  readonly started: boolean
  readonly sideEffects: SideEffects
  readonly sessionId?: string | undefined
  /** The agent does not have the session any more that it was to go on with. */
  readonly sessionLost?: boolean | undefined
  readonly outputFile?: string | undefined
  readonly usage?: Usage | undefined
  readonly cause?: string | undefined
}

/** The open attempt failed; what becomes of the task is decided next. */
export const failed = (task: Task, failure: Failure, now: number): Task => {
  const next = patchLast(task, {
    endedAt: now,
    fault: failure.fault,
    sideEffects: failure.sideEffects,
    ...(failure.cause === undefined ? {} : { cause: failure.cause }),
    ...(failure.sessionId === undefined ? {} : { sessionId: failure.sessionId }),
    ...(failure.outputFile === undefined ? {} : { outputFile: failure.outputFile }),
    ...(failure.usage === undefined ? {} : { usage: failure.usage })
  })
  // Asked for again, it would be refused again.
  if (failure.sessionLost === true) return without(next, "session")
  return failure.sessionId === undefined ? next : { ...next, session: { id: failure.sessionId, agentId: lastAttempt(task)!.agentId } }
}

/** The delay that was chosen after the last attempt. */
export const delayed = (task: Task, delayMillis: number): Task => patchLast(task, { delayMillis })

export const succeeded = (task: Task, verified: boolean, now: number): Task => {
  const last = lastAttempt(task)!
  return changed<Task>(without(task, "waiting", "reason"), {
    attempts: patchedLast(task, { endedAt: now }),
    state: "succeeded",
    endedAt: now,
    result: { claim: last.claim!, verified, agentId: last.agentId }
  })
}

export const deadLettered = (task: Task, reason: string, deadLetterId: string, now: number): Task => ({
  ...without(task, "waiting"),
  state: "dead-lettered",
  endedAt: now,
  reason,
  deadLetterId
})

export const cancelled = (task: Task, reason: string, now: number): Task => ({
  ...without(task, "waiting"),
  state: "cancelled",
  endedAt: now,
  reason
})

/** Opens the next run. Its deadline, if it has one, begins anew; its session is kept. */
export const redriven = (task: Task, now: number): Task => ({
  ...without(task, "waiting", "endedAt", "reason", "deadlineAt"),
  state: "queued",
  run: task.run + 1,
  runStartedAt: now,
  ...(task.spec.deadline === undefined ? {} : { deadlineAt: now + Duration.toMillis(task.spec.deadline) })
})

/**
 * The wall clock went ahead of the time that the host was awake, or behind it (negative): deadlines, and an open attempt's age, count only time
 * awake; a wait that was written down as a time must not grow when the clock is set back.
 */
export const shifted = (task: Task, millis: number): Task => {
  let next = task
  if (next.deadlineAt !== undefined) next = { ...next, deadlineAt: next.deadlineAt + millis }
  if (millis < 0 && next.waiting?.notBefore !== undefined) {
    next = { ...next, waiting: { ...next.waiting, notBefore: next.waiting.notBefore + millis } }
  }
  const open = lastAttempt(next)
  if (next.state !== "running" || open === undefined) return next
  return patchLast(next, {
    admittedAt: open.admittedAt + millis,
    ...(open.startedAt === undefined ? {} : { startedAt: open.startedAt + millis })
  })
}

/** Tokens and time that all its attempts have used. */
export const spent = (task: Task): { readonly attempts: number; readonly tokens: number; readonly timeMillis: number } => {
  let tokens = 0
  let timeMillis = 0
  for (const attempt of task.attempts) {
    tokens += attempt.usage?.tokens ?? 0
    if (attempt.startedAt !== undefined && attempt.endedAt !== undefined) timeMillis += attempt.endedAt - attempt.startedAt
  }
  return { attempts: task.attempts.length, tokens, timeMillis }
}
