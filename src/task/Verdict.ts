/**
 * What becomes of a task whose attempt failed: one pure decision over the persisted record.
 *
 * Order of the questions: may the work be repeated at all (effect class and what was observed), does the class of fault allow another
 * attempt, is the task poison, is there an attempt and a budget left, and when. A restart changes no answer: everything asked is in
 * the record.
 */
import * as Duration from "effect/Duration"
import { consequences, type Fault, hintMillis } from "../agent/Fault.ts"
import { outcomeUnknown } from "../reliability/DeadLetter.ts"
import * as Retry from "../reliability/Retry.ts"
import type { Task } from "./Task.ts"
import * as TaskLife from "./TaskLife.ts"

export type Verdict =
  /**
   * Another attempt, not before this time (Unix milliseconds). `gate`: the account's gate decides when; without it the attempt costs a token of
   * the account's retry budget, be it now or later.
   */
  | {
      readonly _tag: "Retry"
      readonly notBefore: number
      readonly delayMillis: number
      readonly gate: boolean
      readonly detail: string
    }
  /** The end of this run. */
  | { readonly _tag: "DeadLetter"; readonly reason: string; readonly cause: string; readonly automatic: boolean }

const deadLetter = (reason: string, cause: string, automatic = false): Verdict => ({ _tag: "DeadLetter", reason, cause, automatic })

/** May the work be done again, as far as its effect class and what was observed allow? */
export const mayRepeat = (task: Task, failure: TaskLife.Failure): boolean => {
  // Without its session, the agent would do what earlier attempts may have done.
  if (failure.sessionLost === true) {
    return task.spec.effect === "idempotent" || task.attempts.every((each) => each.startedAt === undefined || each.sideEffects === "none")
  }
  if (!failure.started || failure.sideEffects === "none") return true
  switch (task.spec.effect) {
    case "idempotent":
      return true
    case "resumable":
      return (failure.sessionId ?? task.session?.id) !== undefined
    case "unsafe":
      return false
  }
}

/** Attempts of the current run that count against its maximum. */
export const countedAttempts = (task: Task): number =>
  task.attempts.filter(
    (attempt) => attempt.run === task.run && attempt.fault !== undefined && consequences[attempt.fault._tag].spendsAttempt
  ).length

/** Agents that crashed under this task. */
const crashedAgents = (task: Task): number =>
  new Set(task.attempts.filter((attempt) => attempt.fault?._tag === "Crashed").map((attempt) => attempt.agentId)).size

/**
 * The delay that the next one goes on from: the last one of this run. Where the agent has tried again by itself, its provider has been
 * asked with growing distances all the time: ours go on from there, lest tries multiply.
 */
const delayBefore = (task: Task, insideMillis: number): number | undefined => {
  const previous = task.attempts[task.attempts.length - 2]
  const own = previous?.run === task.run ? previous.delayMillis : undefined
  const last = TaskLife.lastAttempt(task)
  const lasted = last?.startedAt === undefined || last.endedAt === undefined ? 0 : last.endedAt - last.startedAt
  const providers = last?.fault !== undefined && consequences[last.fault._tag].scope === "account"
  const inside = providers ? Math.min(insideMillis, lasted) : 0
  return inside > 0 ? Math.max(own ?? 0, inside) : own
}

const describe = (fault: Fault): string => `${fault._tag}: ${fault.detail}`

/**
 * Decides about a task whose last attempt has just been recorded as failed.
 *
 * `random` in [0, 1) makes the jitter; `budgetWaitMillis` is how long until the account's retry budget has a token, null when nobody knows;
 * `insideMillis` is how long at most the agent tries again by itself before it tells of its provider's fault, 0 when it does not.
 */
export const decide = (
  task: Task,
  failure: TaskLife.Failure,
  options: {
    readonly retry: Retry.Options
    readonly now: number
    readonly random: number
    readonly budgetWaitMillis: number | null
    readonly insideMillis?: number
  }
): Verdict => {
  const { fault } = failure
  const consequence = consequences[fault._tag]
  if (!mayRepeat(task, failure)) {
    const how = failure.sessionLost === true ? "cannot be gone on with" : "ended with"
    return deadLetter(`outcome unknown: it had started, is ${task.spec.effect}, and ${how} ${describe(fault)}`, outcomeUnknown)
  }
  // A session that is gone says nothing about the task: it begins anew.
  if (!consequence.retry && failure.sessionLost !== true) return deadLetter(describe(fault), fault._tag, consequence.redrive)
  if (crashedAgents(task) >= 2) return deadLetter(`poison: it crashed two different agents; last ${describe(fault)}`, "Poison")
  const budget = task.spec.budget
  const spent = TaskLife.spent(task)
  if (budget?.attempts !== undefined && spent.attempts >= budget.attempts) {
    return deadLetter(`its budget of ${budget.attempts} attempts is spent; last ${describe(fault)}`, "BudgetSpent")
  }
  if (budget?.tokens !== undefined && spent.tokens >= budget.tokens) {
    return deadLetter(`its budget of ${budget.tokens} tokens is spent; last ${describe(fault)}`, "BudgetSpent")
  }
  if (budget?.time !== undefined && spent.timeMillis >= Duration.toMillis(budget.time)) {
    return deadLetter(`its budget of ${Duration.format(budget.time)} is spent; last ${describe(fault)}`, "BudgetSpent")
  }
  const counted = countedAttempts(task)
  const decision = Retry.decide(options.retry, {
    attempts: counted,
    previousDelayMillis: delayBefore(task, options.insideMillis ?? 0),
    retryable: true,
    hintMillis: hintMillis(fault, options.now),
    now: options.now,
    deadlineAt: task.deadlineAt,
    random: options.random,
    budgetWaitMillis: options.budgetWaitMillis
  })
  if (decision._tag === "GiveUp") return deadLetter(`${decision.reason}; last ${describe(fault)}`, fault._tag, consequence.redrive)
  if (consequence.closesGate) {
    return { _tag: "Retry", notBefore: options.now, delayMillis: 0, gate: true, detail: describe(fault) }
  }
  const { delayMillis, notBefore } = decision
  return { _tag: "Retry", notBefore, delayMillis, gate: false, detail: describe(fault) }
}
