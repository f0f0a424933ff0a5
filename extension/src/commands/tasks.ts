/** Commands about tasks and their queue. */
import * as Effect from "effect/Effect"
import { ask, Editor } from "../Editor.ts"
import { Link } from "../Link.ts"
import { newTask } from "../NewTask.ts"
import { Settings } from "../Settings.ts"
import { Transcripts } from "../Transcripts.ts"
import { confirm, fresh, type Handler, pickAgent, pickTask, said } from "./Handler.ts"

const submit = Effect.fnUntraced(function* (prompt: string, agentId: string | undefined) {
  const { t } = (yield* Editor).l10n
  const link = yield* Link
  const runtime = yield* link.runtime
  const task = yield* newTask(prompt, (yield* (yield* Settings).read).taskEffect)
  const accepted = yield* runtime.submit(agentId === undefined ? task : { ...task, agent: agentId })
  link.refresh()
  yield* said(t("{0} is accepted", accepted.id))
})

const askForPrompt = Effect.fnUntraced(function* (title: string) {
  const editor = yield* Editor
  const typed = yield* ask(() =>
    editor.window.showInputBox({ title, prompt: editor.l10n.t("What is the agent asked to do?"), ignoreFocusOut: true })
  )
  return typed === undefined || typed.trim() === "" ? undefined : typed.trim()
})

/** For whichever agent can do it. */
const addTask: Handler = () =>
  Effect.gen(function* () {
    const { t } = (yield* Editor).l10n
    const prompt = yield* askForPrompt(t("Add a task"))
    if (prompt !== undefined) yield* submit(prompt, undefined)
  })

/** For the agent of a row. The editor hands over no row where the view was drawn anew while its menu was open: then the user says which. */
const addTaskForAgent: Handler = (argument) =>
  Effect.gen(function* () {
    const { t } = (yield* Editor).l10n
    const agent = yield* pickAgent(argument, t("Add a task"))
    if (agent === undefined) return
    const prompt = yield* askForPrompt(t("Add a task for {0}", agent.id))
    if (prompt !== undefined) yield* submit(prompt, agent.id)
  })

const addTaskFromSelection: Handler = () =>
  Effect.gen(function* () {
    const editor = yield* Editor
    const active = editor.window.activeTextEditor
    if (active === undefined || active.selection.isEmpty) return
    const { document, selection } = active
    const prompt = yield* askForPrompt(editor.l10n.t("Add a task about the selection"))
    if (prompt === undefined) return
    const place = `${editor.workspace.asRelativePath(document.uri)}:${selection.start.line + 1}-${selection.end.line + 1}`
    yield* submit(`${prompt}\n\n${place}\n\`\`\`${document.languageId}\n${document.getText(selection)}\n\`\`\``, undefined)
  })

const cancelTask: Handler = (argument) =>
  Effect.gen(function* () {
    const { t } = (yield* Editor).l10n
    const task = yield* pickTask(argument, t("Cancel a task"), ({ endedAt }) => endedAt === undefined)
    if (task === undefined) return
    const sure =
      task.state !== "running" ||
      (yield* confirm(
        t("Cancel {0}?", task.id),
        t("It runs on {0}, which is stopped. What it has changed so far stays.", task.agentId ?? ""),
        t("Cancel Task")
      ))
    if (!sure) return
    const { link, runtime } = yield* fresh
    yield* runtime.cancel(task.key, "cancelled in the editor")
    link.refresh()
  })

const openTranscript: Handler = (argument) =>
  Effect.gen(function* () {
    const { t } = (yield* Editor).l10n
    const task = yield* pickTask(argument, t("Open a transcript"))
    if (task !== undefined) yield* (yield* Transcripts).open(task.key)
  })

const setPaused =
  (paused: boolean): Handler =>
  () =>
    Effect.gen(function* () {
      const { link, runtime } = yield* fresh
      yield* paused ? runtime.pause : runtime.resume
      link.refresh()
    })

export const handlers = {
  addTask,
  addTaskForAgent,
  addTaskFromSelection,
  cancelTask,
  openTranscript,
  pauseQueue: setPaused(true),
  resumeQueue: setPaused(false)
}
