/** Runs a task file on the folder's runtime: its agents, and its tasks as one batch, which an unfinished one of the same file is gone on with. */
import * as path from "node:path"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as vscode from "vscode"
import type { TaskInput } from "../../../src/AgentRuntime.ts"
import { ask, Editor, Log } from "../Editor.ts"
import * as Later from "../Later.ts"
import { Link } from "../Link.ts"
import { Programs } from "../Programs.ts"
import { confirm, type Handler, said } from "./Handler.ts"
import { Refused } from "./Refused.ts"

/** With what it needs loaded now: activation does not wait for it. */
const decodeTasks = (tasks: ReadonlyArray<TaskInput>) =>
  Effect.map(
    Effect.promise(() => import("../../../src/task/Task.ts")),
    ({ TaskSpec }) => Schema.decodeSync(Schema.Array(TaskSpec))(tasks)
  )

/** The file that is meant: of the argument, else the one in the active editor, else one that the user picks. */
const chooseFile = Effect.fnUntraced(function* (argument: unknown) {
  const editor = yield* Editor
  const { t } = editor.l10n
  const isFile = (value: unknown): value is vscode.Uri =>
    typeof value === "object" && value !== null && "fsPath" in value && "scheme" in value && value.scheme === "file"
  if (isFile(argument)) return argument.fsPath
  const active = editor.window.activeTextEditor?.document
  if (active?.uri.scheme === "file" && /nofx.*\.(ya?ml|json)$/i.test(active.fileName)) {
    if (active.isDirty) yield* ask(() => active.save())
    return active.fileName
  }
  const found = yield* ask(() => editor.workspace.findFiles("**/*nofx*.{yaml,yml,json}", "**/node_modules/**", 50))
  const other = t("Another file…")
  const items = [...found.map((uri) => ({ label: editor.workspace.asRelativePath(uri), file: uri.fsPath })), { label: other, file: "" }]
  const picked = yield* ask(() => editor.window.showQuickPick(items, { title: t("Run a task file") }))
  if (picked === undefined || picked.label !== other) return picked?.file
  const chosen = yield* ask(() =>
    editor.window.showOpenDialog({ canSelectMany: false, filters: { [t("Task files")]: ["yaml", "yml", "json"] } })
  )
  return chosen?.[0]?.fsPath
})

const runTaskFile: Handler = (argument) =>
  Effect.gen(function* () {
    const editor = yield* Editor
    const { t } = editor.l10n
    const link = yield* Link
    const log = yield* Log
    const runtime = yield* link.runtime
    const chosen = yield* chooseFile(argument)
    if (chosen === undefined) return
    const { search } = yield* Programs
    const { agents, configured, digest, file, tasks } = yield* Later.use(({ readTaskFile }) => readTaskFile(chosen, search))
    const name = path.basename(file)
    let continued = false
    for (const batch of yield* runtime.unfinishedBatches(file)) {
      if (batch.digest === digest) {
        continued = true
        break
      }
      const detail = t("{0} of its tasks have not ended. They are cancelled, and the file is run as it is now.", batch.left)
      if (!(yield* confirm(t("{0} was changed while it runs.", name), detail, t("Cancel Them and Run")))) return
      yield* runtime.cancelBatch(batch.id, "the file was changed and run anew")
    }
    if (configured) {
      log.warn(`${file}: its config counts for the nofx command; in the editor the settings do`)
      yield* said(t("the limits in this file's config are the command line's; here the settings count"))
    }
    yield* ask(() => editor.commands.executeCommand("nofx.tasks.focus"))
    const there = new Set((yield* runtime.agents).map(({ id }) => id))
    if (!continued) {
      const now = yield* Clock.currentTimeMillis
      const stem = name
        .replace(/\.[^.]*$/, "")
        .replaceAll(/[^A-Za-z0-9_-]+/g, "-")
        .slice(0, 40)
      yield* runtime.submitBatch({ id: `${stem}-${now.toString(36)}`, file, digest, tasks: yield* decodeTasks(tasks) })
    }
    link.refresh()
    const spawned = yield* Effect.forEach(
      agents.filter(({ id }) => !there.has(id)),
      (agent) => Effect.match(runtime.spawn(agent), { onFailure: ({ message }) => message, onSuccess: () => undefined }),
      { concurrency: "unbounded" }
    )
    link.refresh()
    const problems = spawned.filter((problem) => problem !== undefined)
    if (problems.length > 0) return yield* new Refused({ detail: problems.slice(0, 3).join("; ") })
    yield* said(continued ? t("{0} goes on", name) : t("{0} runs: {1} tasks", name, tasks.length))
  })

export const handlers = { runTaskFile }
