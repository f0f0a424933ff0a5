/**
 * Asks the user what agents ask for, with the command or the change shown. First answer wins, wherever it is given; a closed question is no
 * answer, and stands in the Agents view until somebody gives one.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import type { PermissionView } from "../../src/RuntimeStatus.ts"
import { Documents } from "./Documents.ts"
import { ask, Editor, Log } from "./Editor.ts"
import { Link } from "./Link.ts"
import { brief } from "./View.ts"

/** Longer details are shown in a document, not in the question. Characters. */
const shortDetail = 300
/** Options that a notification has room for. */
const buttons = 3

export class PermissionPrompts extends Context.Service<
  PermissionPrompts,
  {
    /** Asks about this request, or about the oldest one. */
    readonly ask: (requestId: string | undefined) => Effect.Effect<void, unknown>
  }
>()("nofx/extension/PermissionPrompts") {}

/** What there is to see of it, as a file with the ending that colours it. */
export const detailDocument = (
  request: Pick<PermissionView, "agentId" | "requestId" | "detail">
): readonly [name: string, text: string] => {
  const looksLikeDiff = /^(?:---|\+\+\+|@@|[-+] )/m.test(request.detail)
  return [`permissions/${request.agentId}-${request.requestId.slice(0, 8)}.${looksLikeDiff ? "diff" : "txt"}`, request.detail]
}

export const layer = Layer.effect(
  PermissionPrompts,
  Effect.gen(function* () {
    const editor = yield* Editor
    const link = yield* Link
    const documents = yield* Documents
    const log = yield* Log
    const context = yield* Effect.context<never>()
    const { t } = editor.l10n
    const seen = new Set<string>()

    const answer = (request: PermissionView, option: string) =>
      Effect.gen(function* () {
        const runtime = yield* link.runtime
        yield* Effect.catchTag(runtime.answerPermission(request.requestId, option, "editor"), "PermissionGone", () =>
          Effect.sync(() => void editor.window.setStatusBarMessage(t("The question was answered elsewhere, or its time is over."), 5_000))
        )
        link.refresh()
      })

    /** The whole question: what would be done in a document, the options in a list. */
    const review = (request: PermissionView) =>
      Effect.gen(function* () {
        if (request.detail.trim() !== "") yield* documents.show(...detailDocument(request), { preserveFocus: true })
        const items = request.options.map((option) => ({
          label: option.name,
          description: option.kind.replaceAll("_", " "),
          id: option.id
        }))
        const chosen = yield* ask(() =>
          editor.window.showQuickPick(items, {
            title: t("{0} asks: {1}", request.agentId, brief(request.title)),
            placeHolder: t("Closing this is no answer: the agent waits."),
            ignoreFocusOut: true
          })
        )
        if (chosen !== undefined) yield* answer(request, chosen.id)
      })

    const notify = (request: PermissionView) =>
      Effect.gen(function* () {
        const detail = request.detail.trim()
        const short = detail.length <= shortDetail && !detail.includes("\n")
        const look = t("Review…")
        const text = t("{0} asks: {1}", request.agentId, brief(request.title, 200))
        const message = short && detail !== "" && detail !== request.title ? `${text}: “${detail}”` : text
        const labels = short ? request.options.slice(0, buttons).map(({ name }) => name) : []
        const chosen = yield* ask(() => editor.window.showWarningMessage(message, ...labels, look))
        if (chosen === look) return yield* review(request)
        const option = request.options.find(({ name }) => name === chosen)
        if (option !== undefined) yield* answer(request, option.id)
      })

    const spawn = (effect: Effect.Effect<void, unknown>): void => {
      Effect.runForkWith(context)(Effect.catchCause(effect, (cause) => Effect.sync(() => log.error(Cause.pretty(cause)))))
    }
    yield* Effect.forkScoped(
      Stream.runForEach(link.changes, ({ snapshot }) =>
        Effect.sync(() => {
          for (const request of snapshot?.permissions ?? []) {
            if (seen.has(request.requestId)) continue
            seen.add(request.requestId)
            spawn(notify(request))
          }
        })
      )
    )
    return {
      ask: (requestId) =>
        Effect.suspend(() => {
          const asked = link.view().snapshot?.permissions ?? []
          const request = asked.find((each) => each.requestId === requestId) ?? asked[0]
          if (request === undefined)
            return Effect.sync(() => void editor.window.setStatusBarMessage(t("No agent asks for anything."), 5_000))
          return review(request)
        })
    }
  })
)
