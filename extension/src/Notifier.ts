/** Shows notices as notifications, with "Don't Show Again" for each kind. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { ask, Editor, Extension, Log } from "./Editor.ts"
import { Link } from "./Link.ts"
import * as Notices from "./Notices.ts"
import { Settings } from "./Settings.ts"

const silenced = "silencedNotices"

export const layer = Layer.effectDiscard(
  Effect.gen(function* () {
    const editor = yield* Editor
    const { globalState } = yield* Extension
    const link = yield* Link
    const settings = yield* Settings
    const log = yield* Log
    const context = yield* Effect.context<never>()
    let state = Notices.initial

    const show = (notice: Notices.Notice) =>
      Effect.gen(function* () {
        log.info(notice.text)
        const { notifications: level } = yield* settings.read
        if (level === "none" || (notice.good && level !== "all")) return
        const silent = globalState.get<ReadonlyArray<string>>(silenced) ?? []
        if (silent.includes(notice.kind)) return
        const never = editor.l10n.t("Don't Show Again")
        const labels = [...notice.actions.map(([label]) => label), never]
        const chosen = yield* ask(() =>
          notice.good
            ? editor.window.showInformationMessage(notice.text, ...labels)
            : editor.window.showWarningMessage(notice.text, ...labels)
        )
        if (chosen === never) yield* ask(() => globalState.update(silenced, [...silent, notice.kind]))
        const action = notice.actions.find(([label]) => label === chosen)
        if (action !== undefined) yield* ask(() => editor.commands.executeCommand(action[1], ...action.slice(2)))
      })

    const take = ([next, notices]: ReturnType<typeof Notices.onTime>): void => {
      state = next
      // A notification waits for the user: nothing here waits for it.
      for (const notice of notices) Effect.runForkWith(context)(show(notice))
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => link.onEvent((event) => take(Notices.onEvent(state, event, editor.l10n.t)))),
      (stop) => Effect.sync(stop)
    )
    let before = link.view()
    yield* Effect.forkScoped(
      Stream.runForEach(link.changes, (view) =>
        Effect.sync(() => {
          take([state, Notices.onView(before, view, editor.l10n.t)])
          before = view
        })
      )
    )
    yield* Effect.forkScoped(
      Effect.forever(
        Effect.gen(function* () {
          yield* Effect.sleep(Notices.letterMillis)
          take(Notices.onTime(state, yield* Clock.currentTimeMillis, editor.l10n.t))
        })
      )
    )
  })
)
