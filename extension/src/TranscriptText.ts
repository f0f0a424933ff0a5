/** What an agent did on a task, as text. Pure: pieces come in, bounded text comes out. */
import type { EventOf, RuntimeEvent } from "../../src/RuntimeEvent.ts"
import type { TaskView } from "../../src/RuntimeStatus.ts"
import type { Translate } from "./View.ts"

/** Characters that are kept of one task; the oldest go first. */
export const keptCharacters = 256 * 1024
/** Tasks of which something is kept; the ones that were silent longest go first. */
export const keptTasks = 50

export interface Transcript {
  readonly text: string
  /** Something was dropped at its beginning. */
  readonly cut: boolean
  /** What was added last, so that pieces of one thing run on. */
  readonly last: string
}

export const empty: Transcript = { text: "", cut: false, last: "" }

const append = (transcript: Transcript, kind: string, text: string, runsOn: boolean): Transcript => {
  const glue = transcript.text === "" || (runsOn && transcript.last === kind) ? "" : transcript.text.endsWith("\n") ? "" : "\n"
  const whole = transcript.text + glue + text
  return whole.length <= keptCharacters
    ? { text: whole, cut: transcript.cut, last: kind }
    : { text: whole.slice(whole.indexOf("\n", whole.length - keptCharacters * 0.75) + 1), cut: true, last: kind }
}

const time = (at: number): string => new Date(at).toTimeString().slice(0, 8)

/** The transcript with what this event adds; the same one if it adds nothing. */
export const add = (transcript: Transcript, event: RuntimeEvent): Transcript => {
  switch (event._tag) {
    case "Progress":
      return progress(transcript, event)
    case "AttemptStarted":
      return append(transcript, event._tag, `── ${time(event.at)} attempt ${event.attempt} on ${event.agentId}\n`, false)
    case "AttemptEnded": {
      const fault = event.fault === undefined ? "" : `: ${event.fault._tag}`
      const next = event.next === undefined ? "" : ` (${event.next})`
      return append(transcript, event._tag, `── ${time(event.at)} attempt ${event.attempt} ${event.outcome}${fault}${next}\n`, false)
    }
    case "TaskParked":
    case "TaskBlocked":
      return append(transcript, event._tag, `── ${time(event.at)} waits: ${event.waiting.detail}\n`, false)
    case "TaskSucceeded":
      return append(transcript, event._tag, `── ${time(event.at)} done${event.verified ? ", verified" : ""}\n`, false)
    case "TaskDeadLettered":
    case "TaskCancelled":
      return append(
        transcript,
        event._tag,
        `── ${time(event.at)} ${event._tag === "TaskCancelled" ? "cancelled" : "dead-lettered"}: ${event.reason}\n`,
        false
      )
    default:
      return transcript
  }
}

const progress = (transcript: Transcript, event: EventOf<"Progress">): Transcript => {
  switch (event.kind) {
    case "Text":
      return append(transcript, event.kind, event.text, true)
    case "Thought":
      return append(transcript, event.kind, transcript.last === event.kind ? event.text : `(thinks) ${event.text}`, true)
    case "Tool":
      return append(transcript, event.kind, `▸ ${event.text}\n`, false)
    case "Waiting":
      return append(transcript, event.kind, `… ${event.text}\n`, false)
    default:
      return transcript
  }
}

/** The document: what the task is, then what was done. */
export const document = (task: TaskView, transcript: Transcript, output: string | undefined, t: Translate): string => {
  const head = [
    `${task.id}   ${task.state}${task.agentId === undefined ? "" : `   ${task.agentId}`}   ${t("attempts: {0}", task.attempts)}`,
    ...(task.reason === undefined ? [] : [task.reason]),
    ...(task.waiting === undefined ? [] : [t("waits: {0}", task.waiting.detail)])
  ]
  const body = transcript.text === "" ? "" : `${transcript.cut ? `${t("(the beginning was dropped)")}\n` : ""}${transcript.text}`
  const answer = output === undefined || output === "" || body.includes(output.trim()) ? "" : `── ${t("answer")}\n${output}\n`
  const nothing = body === "" && answer === "" ? t("Nothing was reported in this window yet.") : ""
  return `${[...head, "", body, answer, nothing].filter((part, index) => index <= head.length || part !== "").join("\n")}\n`
}
