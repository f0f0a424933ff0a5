/** The dashboard: a panel that draws what the trees say, live, themed by the editor, restored after a reload. It holds no state of its own. */
import * as crypto from "node:crypto"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import type * as vscode from "vscode"
import * as Model from "./DashboardModel.ts"
import { Editor, Extension, hold } from "./Editor.ts"
import { Link } from "./Link.ts"
import { dashboardType as viewType } from "./Names.ts"

/** Commands that a click in the panel may run, with the agent that it is about. */
const allowed = new Set([
  "nofx.resetBreaker",
  "nofx.deadLetters.focus",
  "nofx.agents.focus",
  "nofx.tasks.focus",
  "nofx.health.focus",
  "nofx.connect"
])

export class Dashboard extends Context.Service<Dashboard, { readonly open: Effect.Effect<void> }>()("nofx/extension/Dashboard") {}

/** The page: nothing inline but what carries the nonce, nothing from anywhere else. */
export const page = (
  webview: Pick<vscode.Webview, "cspSource" | "asWebviewUri">,
  file: (name: string) => vscode.Uri,
  nonce: string,
  language: string,
  texts: Record<string, string>
): string => `<!DOCTYPE html>
<html lang="${language}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src ${webview.cspSource}; script-src 'nonce-${nonce}'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="${webview.asWebviewUri(file("dashboard.css"))}">
<title>NofX</title>
</head>
<body>
<main id="main" tabindex="-1" data-texts="${JSON.stringify(texts).replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;")}"></main>
<script nonce="${nonce}" src="${webview.asWebviewUri(file("dashboard.js"))}"></script>
</body>
</html>`

/** What the page says. Short: the page is a picture, the trees have the words. */
const textsOf = ({ t }: typeof vscode.l10n): Record<string, string> => ({
  agents: t("Agents"),
  fleet: t("Fleet"),
  more: t("{0} more agents", "{0}"),
  circuits: t("Circuits"),
  noCircuits: t("No circuit has been used yet."),
  allClosed: t("{0} closed", "{0}"),
  gates: t("Limits"),
  permits: t("Permits"),
  letters: t("Dead letters"),
  limited: t("Rate limiter: {0} admitted, {1} refused", "{0}", "{1}"),
  throughput: t("Tasks that ended, last hour"),
  faults: t("Failures by class"),
  noFaults: t("No attempt has failed."),
  availability: t("Tasks that ended well, by hour"),
  noEnds: t("No task has ended in this time."),
  runs: t("Running"),
  waits: t("Waiting"),
  done: t("Done"),
  retries: t("Retries"),
  asked: t("Questions"),
  until: t("until {0}", "{0}"),
  open: t("open"),
  closed: t("closed"),
  "half-open": t("half-open"),
  isolated: t("isolated"),
  reset: t("Reset the circuit of {0}", "{0}"),
  nothing: t("NofX does not run in this folder yet."),
  shutDown: t("NofX is shut down in this folder."),
  start: t("Start Again"),
  reconnecting: t("Reconnecting…"),
  noAgents: t("No agents."),
  health: t("Health"),
  working: t("working"),
  waiting: t("waiting"),
  stalled: t("stalled"),
  failed: t("failed"),
  idle: t("idle"),
  starting: t("starting"),
  paused: t("paused"),
  draining: t("draining"),
  stopped: t("stopped"),
  bar: t("{0} done, {1} failed", "{0}", "{1}"),
  share: t("{0} % ({1} of {2})", "{0}", "{1}", "{2}")
})

export const layer = Layer.effect(
  Dashboard,
  Effect.gen(function* () {
    const editor = yield* Editor
    const { extensionUri } = yield* Extension
    const link = yield* Link
    const clock = yield* Clock.Clock
    const context = yield* Effect.context<never>()
    const within =
      (folder: string) =>
      (name: string): vscode.Uri =>
        editor.Uri.joinPath(extensionUri, folder, name)
    const media = within("media")
    let panel: vscode.WebviewPanel | undefined
    let timeline: Model.Timeline = new Map()

    const send = (): void => {
      if (panel?.visible === true) void panel.webview.postMessage(Model.message(link.view(), timeline, clock.currentTimeMillisUnsafe()))
    }

    const attach = (made: vscode.WebviewPanel): void => {
      panel = made
      made.webview.options = { enableScripts: true, localResourceRoots: [editor.Uri.joinPath(extensionUri, "dist")] }
      made.iconPath = { light: media("dashboard-light.svg"), dark: media("dashboard-dark.svg") }
      let watched = false
      const watch = (on: boolean): void => {
        if (on !== watched) link.watch(on ? 1 : -1)
        watched = on
      }
      made.onDidDispose(() => {
        watch(false)
        if (panel === made) panel = undefined
      })
      made.onDidChangeViewState(() => {
        watch(made.visible)
        send()
      })
      made.webview.onDidReceiveMessage((asked: { readonly command?: unknown; readonly agentId?: unknown }) => {
        if (asked.command === "ready") return send()
        if (typeof asked.command !== "string" || !allowed.has(asked.command)) return
        const subject = typeof asked.agentId === "string" ? { subject: { _tag: "agent", agentId: asked.agentId } } : undefined
        void editor.commands.executeCommand(asked.command, ...(subject === undefined ? [] : [subject]))
      })
      const nonce = crypto.randomBytes(16).toString("base64url")
      made.webview.html = page(made.webview, within("dist"), nonce, editor.env.language, textsOf(editor.l10n))
      watch(made.visible)
      Effect.runForkWith(context)(link.resume)
    }

    yield* Effect.acquireRelease(
      Effect.sync(() => link.onEvent((event) => void (timeline = Model.remember(timeline, event)))),
      (stop) => Effect.sync(stop)
    )
    yield* Effect.forkScoped(Stream.runForEach(link.changes, () => Effect.sync(send)))
    yield* hold(() =>
      editor.window.registerWebviewPanelSerializer(viewType, { deserializeWebviewPanel: async (restored) => attach(restored) })
    )
    yield* Effect.addFinalizer(() => Effect.sync(() => panel?.dispose()))

    return Dashboard.of({
      open: Effect.sync(() => {
        if (panel !== undefined) return panel.reveal()
        attach(
          editor.window.createWebviewPanel(viewType, editor.l10n.t("NofX Dashboard"), editor.ViewColumn.Active, { enableScripts: true })
        )
      })
    })
  })
)
