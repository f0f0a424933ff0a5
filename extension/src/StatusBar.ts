/** The one item in the status bar. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { Editor, hold } from "./Editor.ts"
import { Link } from "./Link.ts"
import { shown } from "./StatusBarText.ts"

const trusted = [
  "nofx.openDashboard",
  "nofx.addTask",
  "nofx.resumeQueue",
  "nofx.pauseQueue",
  "nofx.deadLetters.focus",
  "nofx.answerPermission",
  "nofx.showLog",
  "nofx.connect"
]

export const layer = Layer.effectDiscard(
  Effect.gen(function* () {
    const editor = yield* Editor
    const link = yield* Link
    const item = yield* hold(() => editor.window.createStatusBarItem("nofx", editor.StatusBarAlignment.Left, 10))
    item.name = "NofX"
    item.command = "nofx.agents.focus"
    yield* Effect.forkScoped(
      Stream.runForEach(link.changes, (view) =>
        Effect.sync(() => {
          const next = shown(view, editor.l10n.t)
          if (next === undefined) return item.hide()
          item.text = next.text
          const tooltip = new editor.MarkdownString(next.tooltip)
          tooltip.isTrusted = { enabledCommands: trusted }
          item.tooltip = tooltip
          item.accessibilityInformation = { label: next.spoken }
          item.backgroundColor = next.level === "normal" ? undefined : new editor.ThemeColor(`statusBarItem.${next.level}Background`)
          item.show()
        })
      )
    )
  })
)
