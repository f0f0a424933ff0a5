/** What command handlers share: what they are, and how they find out what they are meant for. */
import * as Effect from "effect/Effect"
import type { AgentView, Snapshot, TaskView } from "../../../src/RuntimeStatus.ts"
import type { Dashboard } from "../Dashboard.ts"
import type { Documents } from "../Documents.ts"
import { ask, Editor, type Extension, type Log } from "../Editor.ts"
import type { Hosts } from "../Hosts.ts"
import type { Later } from "../Later.ts"
import { Link, NotHere } from "../Link.ts"
import type { PermissionPrompts } from "../PermissionPrompts.ts"
import type { Programs } from "../Programs.ts"
import { Settings } from "../Settings.ts"
import type { Transcripts } from "../Transcripts.ts"
import type { Node, Subject } from "../trees/Node.ts"
import { Trees } from "../trees/Trees.ts"
import { Refused } from "./Refused.ts"

export type Services =
  | Dashboard
  | Documents
  | Editor
  | Extension
  | Hosts
  | Later
  | Link
  | Log
  | PermissionPrompts
  | Programs
  | Settings
  | Transcripts
  | Trees

/** `argument`: the row that it was called on, or what a link or another extension gave; `selected`: all selected rows, where there are several. */
export type Handler = (argument: unknown, selected: unknown) => Effect.Effect<void, unknown, Services>

/** What an argument stands for. */
export const subjectOf = (argument: unknown): Subject | undefined =>
  typeof argument === "object" && argument !== null && "subject" in argument ? (argument as Node).subject : undefined

/** What it was called on: the rows that are selected, else the row; keyboard shortcuts give neither, so the view's own selection comes last. */
export const subjectsOf = (argument: unknown, selected: unknown, view: Parameters<Trees["Service"]["selection"]>[0]) =>
  Effect.map(Trees, (trees): ReadonlyArray<Subject> => {
    const rows: ReadonlyArray<unknown> = Array.isArray(selected) && selected.length > 0 ? selected : [argument]
    const given = rows.map(subjectOf).filter((subject) => subject !== undefined)
    if (given.length > 0 || argument !== undefined) return given
    return trees
      .selection(view)
      .map(subjectOf)
      .filter((subject) => subject !== undefined)
  })

/** The directory of the window's folder; refused where agents cannot work. */
export const folder = Effect.gen(function* () {
  const place = (yield* Settings).place()
  return place._tag === "ready" ? place.directory : yield* new NotHere({ place: place._tag })
})

/** A fresh snapshot of the runtime, which is reached if need be. */
export const fresh = Effect.gen(function* () {
  const link = yield* Link
  const runtime = yield* link.runtime
  const snapshot: Snapshot = yield* runtime.snapshot
  return { runtime, snapshot, link }
})

/** Asks before something that cannot be taken back; false: it was not wanted. */
export const confirm = Effect.fnUntraced(function* (question: string, detail: string, action: string) {
  const editor = yield* Editor
  return (yield* ask(() => editor.window.showWarningMessage(question, { modal: true, detail }, action))) === action
})

/** Says that it was done, where nothing else shows it. */
export const said = (text: string) => Effect.map(Editor, (editor) => void editor.window.setStatusBarMessage(`NofX: ${text}`, 5_000))

/** The agent that a command is meant for: of the argument, else one that the user picks. Undefined: none was picked. */
export const pickAgent = Effect.fnUntraced(function* (argument: unknown, title: string, fits: (agent: AgentView) => boolean = () => true) {
  const editor = yield* Editor
  const { snapshot } = yield* fresh
  const subject = subjectOf(argument)
  if (subject?._tag === "agent" || subject?._tag === "breaker") {
    const found = snapshot.agents.find(({ id }) => id === subject.agentId)
    if (found === undefined) return yield* new Refused({ detail: editor.l10n.t("The agent {0} is not there any more.", subject.agentId) })
    return found
  }
  const agents = snapshot.agents.filter(fits)
  if (agents.length === 0) return yield* new Refused({ detail: editor.l10n.t("There is no agent that this could be done with.") })
  const items = agents.map((agent) => ({ label: agent.id, description: `${agent.state} ${agent.task ?? ""}`, agent }))
  return (yield* ask(() => editor.window.showQuickPick(items, { title, placeHolder: editor.l10n.t("Choose an agent") })))?.agent
})

/** The task that a command is meant for; undefined: none was picked. */
export const pickTask = Effect.fnUntraced(function* (argument: unknown, title: string, fits: (task: TaskView) => boolean = () => true) {
  const editor = yield* Editor
  const { snapshot } = yield* fresh
  const subject = subjectOf(argument)
  if (subject?._tag === "task") {
    const found = snapshot.tasks.find(({ key }) => key === subject.key)
    if (found === undefined) return yield* new Refused({ detail: editor.l10n.t("The task {0} is not there any more.", subject.taskId) })
    return found
  }
  if (subject?._tag === "agent" && subject.task !== undefined) {
    const own = snapshot.tasks.find(({ agentId, id, state }) => id === subject.task && agentId === subject.agentId && state === "running")
    if (own !== undefined) return own
  }
  const tasks = snapshot.tasks.filter(fits)
  if (tasks.length === 0) return yield* new Refused({ detail: editor.l10n.t("There is no task that this could be done with.") })
  const items = tasks.slice(0, 1_000).map((task) => ({ label: task.id, description: `${task.state} ${task.agentId ?? ""}`, task }))
  return (yield* ask(() => editor.window.showQuickPick(items, { title, placeHolder: editor.l10n.t("Choose a task") })))?.task
})
