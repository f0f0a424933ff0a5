/** What an agent did on a task, as text: entries of its transcript come in, bounded text comes out. Pure. */
import type { Entry } from "../../src/agent/Transcript.ts"
import type { TaskView } from "../../src/RuntimeStatus.ts"
import { brief, type Translate } from "./View.ts"

/** Characters that are shown of one task; the oldest go first. */
export const shownCharacters = 512 * 1024

/** The text with what is added, cut at its beginning to what is shown. */
export const append = (text: string, added: string): string => {
  const glue = text !== "" && !text.endsWith("\n") && /^[─▸…?!~·]/u.test(added) ? "\n" : ""
  const whole = text + glue + added
  return whole.length <= shownCharacters ? whole : whole.slice(whole.indexOf("\n", whole.length - shownCharacters * 0.75) + 1)
}

const time = (at: number): string => new Date(at).toTimeString().slice(0, 8)
const marked = (mark: string, text: string): string =>
  text
    .replace(/\n+$/, "")
    .split("\n")
    .map((line) => `${mark} ${line}\n`)
    .join("")

/** One entry for people: running text as it is, everything else in lines of its own. */
export const entryText = (entry: Entry): string => {
  switch (entry._tag) {
    case "Began":
      return `── ${time(entry.at)} run ${entry.run}, attempt ${entry.attempt} on ${entry.agentId}\n${entry.prompt === "" ? "" : marked(">", entry.prompt)}`
    case "Text":
    case "Stdout":
      return entry.text
    case "Thought":
      return marked("~", entry.text)
    case "Stderr":
      return marked("!", entry.text)
    case "Tool":
      return `▸ ${brief(entry.title, 200)} (${entry.status})\n`
    case "Usage":
      return ""
    case "Waiting":
      return `… ${brief(entry.detail, 200)}\n`
    case "Permission":
      return `? ${brief(entry.title, 200)}: ${entry.answer}\n`
    case "Ended":
      return `── ${time(entry.at)} ${entry.outcome}${entry.detail === "" ? "" : `: ${brief(entry.detail, 200)}`}\n`
    case "Gap":
      return "── … what was too much was not kept …\n"
  }
}

/** The document: what the task is, then what was done. */
export const document = (task: TaskView, transcript: string, answer: string, t: Translate): string => {
  const head = [
    `${task.id}   ${task.state}${task.agentId === undefined ? "" : `   ${task.agentId}`}   ${t("attempts: {0}", task.attempts)}`,
    ...(task.reason === undefined ? [] : [task.reason]),
    ...(task.waiting === undefined ? [] : [t("waits: {0}", task.waiting.detail)])
  ].join("\n")
  const rest = answer === "" || transcript.includes(answer.trim()) ? "" : `── ${t("answer")}\n${answer}`
  const body = transcript === "" && rest === "" ? t("Nothing was done yet.") : append(transcript, rest)
  return `${head}\n\n${body.trimEnd()}\n`
}
