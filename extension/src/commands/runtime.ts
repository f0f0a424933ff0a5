/** Commands about the runtime as a whole, and about the window. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { redact } from "../../../src/reliability/Redaction.ts"
import { Dashboard } from "../Dashboard.ts"
import { doctorReport } from "../Doctor.ts"
import { Documents } from "../Documents.ts"
import { ask, Editor, Extension, Log } from "../Editor.ts"
import { Link } from "../Link.ts"
import { PermissionPrompts } from "../PermissionPrompts.ts"
import { Settings } from "../Settings.ts"
import { Trees } from "../trees/Trees.ts"
import { confirm, fresh, type Handler, said, subjectOf } from "./Handler.ts"

const connect: Handler = () => Effect.asVoid(Effect.flatMap(Link, ({ runtime }) => runtime))

const answerPermission: Handler = (argument) =>
  Effect.gen(function* () {
    const subject = subjectOf(argument)
    const prompts = yield* PermissionPrompts
    yield* prompts.ask(subject?._tag === "agent" ? subject.requestId : undefined)
  })

const runHealthCheck: Handler = () =>
  Effect.gen(function* () {
    const { t } = (yield* Editor).l10n
    const { link, runtime } = yield* fresh
    const report = yield* runtime.runHealthChecks
    link.refresh()
    yield* said([t("health: {0}", report.status), ...report.reasons].join(", "))
  })

const doctor: Handler = () =>
  Effect.gen(function* () {
    yield* (yield* Documents).show("doctor.md", yield* doctorReport)
  })

/** Everything that helps to understand a problem, without secrets. */
const diagnostics = Effect.gen(function* () {
  const editor = yield* Editor
  const { version } = yield* Extension
  const settings = yield* Settings
  const { about, link, place, problem, snapshot } = (yield* Link).view()
  return redact(
    {
      nofx: version,
      editor: `${editor.env.appName} ${editor.version}`,
      remote: editor.env.remoteName ?? null,
      node: process.versions.node,
      platform: `${process.platform} ${process.arch}`,
      place,
      link,
      problem: problem ?? null,
      host: Object.fromEntries(about),
      settings: yield* settings.read,
      snapshot: snapshot ?? null
    },
    []
  )
})

const copyDiagnostics: Handler = () =>
  Effect.gen(function* () {
    const editor = yield* Editor
    const text = JSON.stringify(yield* diagnostics, null, 2)
    yield* ask(() => editor.env.clipboard.writeText(text))
    yield* said(editor.l10n.t("diagnostics are on the clipboard, without secrets"))
  })

const exportHealth: Handler = () =>
  Effect.gen(function* () {
    const editor = yield* Editor
    const { runtime } = yield* fresh
    const report = yield* runtime.getOverallHealthStatus
    const target = yield* ask(() => editor.window.showSaveDialog({ filters: { JSON: ["json"] }, saveLabel: editor.l10n.t("Export") }))
    if (target === undefined) return
    yield* ask(() => editor.workspace.fs.writeFile(target, new TextEncoder().encode(`${JSON.stringify(report, null, 2)}\n`)))
  })

const selectFolder: Handler = () =>
  Effect.gen(function* () {
    const editor = yield* Editor
    const folder = yield* ask(() =>
      editor.window.showWorkspaceFolderPick({ placeHolder: editor.l10n.t("The folder whose agents this window shows") })
    )
    if (folder !== undefined) yield* (yield* Settings).choose(folder.uri.fsPath)
  })

/** The phases as they come, with how much is left to do in each; a second call would hurry it. */
const shutdown: Handler = () =>
  Effect.gen(function* () {
    const editor = yield* Editor
    const { t } = editor.l10n
    const { link, runtime, snapshot } = yield* fresh
    const running = snapshot.tasks.filter(({ state }) => state === "running").map(({ id }) => id)
    const detail =
      running.length === 0
        ? t("No task runs.")
        : t("These are given time to end; what does not is gone on with at the next start:\n{0}", running.join("\n"))
    if (!(yield* confirm(t("Shut NofX down in this folder?"), detail, t("Shut Down")))) return
    const context = yield* Effect.context<never>()
    const report = yield* ask(() =>
      editor.window.withProgress(
        { location: editor.ProgressLocation.Notification, title: t("NofX shuts down"), cancellable: true },
        (progress, token) => {
          const stop = link.onEvent((event) => {
            if (event._tag === "ShutdownPhaseStarted" || event._tag === "ShutdownProgress")
              progress.report({ message: t("{0} ({1} left)", event.phase, event.remaining) })
          })
          token.onCancellationRequested(() => void Effect.runPromiseExitWith(context)(runtime.shutdown))
          return Effect.runPromiseExitWith(context)(runtime.shutdown).finally(stop)
        }
      )
    )
    yield* link.stop
    if (Exit.isFailure(report)) return yield* report
    yield* said(t("shut down"))
  })

/** Nothing is lost: what runs is ended first, and the next host goes on with the rest. */
const restartHost: Handler = () =>
  Effect.gen(function* () {
    const { t } = (yield* Editor).l10n
    const running = yield* (yield* Link).restartHost
    yield* said(running === 0 ? t("the host starts anew") : t("the host starts anew when {0} running tasks have ended", running))
  })

export const handlers = {
  connect,
  restartHost,
  answerPermission,
  runHealthCheck,
  doctor,
  copyDiagnostics,
  exportHealth,
  selectFolder,
  shutdown,
  openDashboard: () => Effect.flatMap(Dashboard, ({ open }) => open),
  showLog: () => Effect.map(Log, (log) => log.show()),
  showMore: () => Effect.map(Trees, ({ showMore }) => showMore()),
  openSettings: () =>
    Effect.flatMap(Editor, (editor) => ask(() => editor.commands.executeCommand("workbench.action.openSettings", "@ext:nofx.nofx-vscode"))),
  openWalkthrough: () =>
    Effect.flatMap(Editor, (editor) =>
      ask(() => editor.commands.executeCommand("workbench.action.openWalkthrough", "nofx.nofx-vscode#start", false))
    )
} satisfies Record<string, (...given: Parameters<Handler>) => Effect.Effect<unknown, unknown, unknown>>
