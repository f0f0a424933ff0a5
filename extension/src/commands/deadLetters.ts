/** Commands about dead letters: look, retry, discard and take that back, export. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { DeadLetter } from "../../../src/reliability/DeadLetterQueue.ts"
import { Documents } from "../Documents.ts"
import { ask, Editor } from "../Editor.ts"
import { subjectName, waiting, words } from "../trees/DeadLettersTree.ts"
import { brief } from "../View.ts"
import { confirm, fresh, type Handler, said, subjectsOf } from "./Handler.ts"
import { Refused } from "./Refused.ts"

/** The letters that are meant; asked for where nothing says it. */
const chosen = Effect.fnUntraced(function* (argument: unknown, selected: unknown, title: string) {
  const editor = yield* Editor
  const { t } = editor.l10n
  const { snapshot } = yield* fresh
  const letters = waiting(snapshot)
  const subjects = yield* subjectsOf(argument, selected, "nofx.deadLetters")
  const ids = subjects.flatMap((subject) => ("deadLetterId" in subject && subject.deadLetterId !== undefined ? [subject.deadLetterId] : []))
  if (ids.length > 0) {
    const found = letters.filter(({ id }) => ids.includes(id))
    if (found.length === 0) return yield* new Refused({ detail: t("It is decided about already: no such dead letter waits.") })
    return found
  }
  if (letters.length === 0) return yield* new Refused({ detail: t("There are no dead letters.") })
  const items = letters.map((letter) => ({
    label: subjectName(letter),
    description: words(letter.cause),
    detail: brief(letter.reason),
    letter
  }))
  const picked = yield* ask(() => editor.window.showQuickPick(items, { title, matchOnDescription: true, matchOnDetail: true }))
  return picked === undefined ? [] : [picked.letter]
})

const openDeadLetter: Handler = (argument, selected) =>
  Effect.gen(function* () {
    const { t } = (yield* Editor).l10n
    const documents = yield* Documents
    for (const letter of (yield* chosen(argument, selected, t("Open a dead letter"))).slice(0, 1)) {
      yield* documents.show(
        `dead-letters/${subjectName(letter).replaceAll(/[^\w.-]/g, "-")}-${letter.id}.json`,
        JSON.stringify(letter, null, 2)
      )
    }
  })

const outcomeText = (result: { readonly _tag: string; readonly reason?: string }): string | undefined =>
  result._tag === "Blocked" ? (result.reason ?? "") : result._tag === "Gone" ? "it is gone" : undefined

const retryDeadLetter: Handler = (argument, selected) =>
  Effect.gen(function* () {
    const { t } = (yield* Editor).l10n
    const letters = yield* chosen(argument, selected, t("Retry a dead letter"))
    const unknown = letters.filter(({ cause }) => cause === "OutcomeUnknown")
    if (unknown.length > 0) {
      const detail = t(
        "Nobody knows how far these tasks came. They run again from the beginning:\n{0}",
        unknown.map(subjectName).join("\n")
      )
      if (!(yield* confirm(t("Run again what may have been done?"), detail, t("Retry")))) return
    }
    const { link, runtime } = yield* fresh
    const refusals: Array<string> = []
    for (const letter of letters) {
      const refusal = outcomeText(yield* runtime.retryDLQMessage(letter.id))
      if (refusal !== undefined) refusals.push(`${subjectName(letter)}: ${refusal}`)
    }
    link.refresh()
    if (refusals.length > 0) return yield* new Refused({ detail: t("Not retried: {0}", refusals.join("; ")) })
  })

const retryAllDeadLetters: Handler = () =>
  Effect.gen(function* () {
    const editor = yield* Editor
    const { t } = editor.l10n
    const { link, runtime, snapshot } = yield* fresh
    const letters = waiting(snapshot).filter(({ cause, status }) => status === "pending" && cause !== "OutcomeUnknown")
    const left = waiting(snapshot).length - letters.length
    if (letters.length === 0)
      return yield* new Refused({ detail: t("There is no dead letter that could be retried without looking at it.") })
    const detail = left === 0 ? "" : t("{0} whose outcome is unknown are left for you to decide about.", left)
    if (!(yield* confirm(t("Retry {0} dead letters?", letters.length), detail, t("Retry All")))) return
    let done = 0
    yield* ask(() =>
      editor.window.withProgress(
        { location: editor.ProgressLocation.Notification, title: t("Retrying dead letters"), cancellable: true },
        async (progress, token) => {
          for (const letter of letters) {
            if (token.isCancellationRequested) return
            const result = await Effect.runPromise(Effect.exit(runtime.retryDLQMessage(letter.id)))
            if (result._tag === "Success" && result.value._tag === "Redriven") done++
            progress.report({ increment: 100 / letters.length, message: `${done}/${letters.length}` })
          }
        }
      )
    )
    link.refresh()
    yield* said(t("{0} of {1} dead letters are on their way again", done, letters.length))
  })

const discardDeadLetter: Handler = (argument, selected) =>
  Effect.gen(function* () {
    const editor = yield* Editor
    const { t } = editor.l10n
    const letters = yield* chosen(argument, selected, t("Discard a dead letter"))
    const { link, runtime } = yield* fresh
    const discarded: Array<DeadLetter> = []
    for (const letter of letters) if ((yield* runtime.discardDLQMessage(letter.id))._tag === "Done") discarded.push(letter)
    link.refresh()
    if (discarded.length === 0) return
    const undo = t("Undo")
    const text =
      discarded.length === 1 ? t("{0} is discarded.", subjectName(discarded[0]!)) : t("{0} dead letters are discarded.", discarded.length)
    if ((yield* ask(() => editor.window.showInformationMessage(text, undo))) !== undo) return
    for (const letter of discarded) yield* runtime.restoreDLQMessage(letter.id)
    link.refresh()
  })

const exportDeadLetters: Handler = () =>
  Effect.gen(function* () {
    const editor = yield* Editor
    const { runtime } = yield* fresh
    const target = yield* ask(() =>
      editor.window.showSaveDialog({ filters: { "JSON lines": ["jsonl"] }, saveLabel: editor.l10n.t("Export") })
    )
    if (target === undefined) return
    const lines = yield* Stream.runCollect(runtime.exportDLQ)
    yield* ask(() => editor.workspace.fs.writeFile(target, new TextEncoder().encode(lines.map((line) => `${line.trimEnd()}\n`).join(""))))
    yield* said(editor.l10n.t("{0} dead letters are in {1}", lines.length, target.fsPath))
  })

export const handlers = { openDeadLetter, retryDeadLetter, retryAllDeadLetters, discardDeadLetter, exportDeadLetters }
