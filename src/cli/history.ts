/** A task with its whole history, as text. */
import * as Duration from "effect/Duration"
import type { Task } from "../task/Task.ts"
import { dateTime, span } from "./eventText.ts"
import { brief, printable } from "./printable.ts"

/** The last lines of an answer that are shown. */
const outputLines = 10

const labelled = (label: string, text: string | undefined): ReadonlyArray<string> =>
  text === undefined || text === "" ? [] : [`${label.padEnd(10)}${text}`]

/** Text of several lines, below a label. */
const block = (label: string, text: string, most = Number.POSITIVE_INFINITY): ReadonlyArray<string> => {
  const all = printable(text).replace(/\n+$/, "").split("\n")
  const shown = all.slice(-most)
  const first = shown.length < all.length ? [`  … ${all.length - shown.length} lines before`] : []
  return [label, ...first, ...shown.map((line) => `  ${line}`)]
}

/** What an attempt came to. */
const attemptLines = (attempt: Task["attempts"][number]): ReadonlyArray<string> => {
  const { admittedAt, agentId, cause, claim, endedAt, fault, startedAt } = attempt
  const took = endedAt === undefined ? "has not ended" : `after ${span(endedAt - (startedAt ?? admittedAt))}`
  const outcome = fault === undefined ? (claim === undefined ? "running" : `claimed success (${claim.stop})`) : `${fault._tag}`
  const file = attempt.outputFile ?? claim?.outputFile
  const usage = attempt.usage ?? claim?.usage
  const details = [
    fault === undefined || fault.detail === "" ? [] : block("detail", fault.detail, outputLines),
    cause === undefined ? [] : [`cause     ${brief(cause)}`],
    startedAt === undefined ? ["it was never begun"] : [],
    usage?.tokens === undefined ? [] : [`tokens    ${usage.tokens}`],
    file === undefined ? [] : [`output    ${printable(file)}`],
    attempt.delayMillis === undefined ? [] : [`then waited ${span(attempt.delayMillis)}`]
  ].flat()
  return [
    `run ${attempt.run}, attempt ${attempt.attempt} on ${agentId}, ${dateTime(admittedAt)}: ${outcome} ${took}`,
    ...details.map((line) => `  ${line}`)
  ]
}

/** The task, then its attempts, oldest first. */
export const lines = (task: Task): ReadonlyArray<string> => {
  const { result, spec, waiting } = task
  const verdict = result === undefined ? "" : result.verified ? ", verified by its check" : ", not checked"
  return [
    ...labelled("task", spec.id),
    ...labelled("batch", task.batch),
    ...labelled("state", `${task.state}${verdict}`),
    ...labelled("reason", task.reason === undefined ? undefined : brief(task.reason)),
    ...labelled(
      "waits for",
      waiting === undefined || task.endedAt !== undefined
        ? undefined
        : `${waiting.for}${waiting.notBefore === undefined ? "" : ` until ${dateTime(waiting.notBefore)}`}: ${brief(waiting.detail)}`
    ),
    ...labelled("letter", task.deadLetterId),
    ...labelled("accepted", dateTime(task.acceptedAt)),
    ...labelled("ended", task.endedAt === undefined ? undefined : dateTime(task.endedAt)),
    ...labelled("deadline", task.deadlineAt === undefined ? undefined : dateTime(task.deadlineAt)),
    ...labelled("effect", `${spec.effect}, priority ${spec.priority}, run ${task.run}`),
    ...labelled("agent", spec.agent ?? (spec.capabilities.length === 0 ? "any" : `any that can ${spec.capabilities.join(", ")}`)),
    ...labelled("after", spec.dependsOn.join(", ")),
    ...labelled("check", spec.verify?.join(" ")),
    ...labelled("limit", spec.timeLimit === undefined ? undefined : Duration.format(spec.timeLimit)),
    ...(spec.prompt === "" ? [] : block("prompt", spec.prompt)),
    ...(task.attempts.length === 0 ? ["", "no attempt yet"] : []),
    ...task.attempts.flatMap((attempt) => ["", ...attemptLines(attempt)]),
    ...(result === undefined || result.claim.output === "" ? [] : ["", ...block("answer", result.claim.output, outputLines)])
  ]
}
