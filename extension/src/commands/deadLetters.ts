/** Commands about dead letters: look, retry, discard and take that back, export. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { DeadLetter } from "../../../src/reliability/DeadLetterQueue.ts"
import { Documents } from "../Documents.ts"
import { ask, Editor } from "../Editor.ts"
import { subjectName, waiting, words } from "../trees/DeadLettersTree.ts"
import { brief, type Translate } from "../View.ts"
import { confirm, fresh, type Handler, said, subjectsOf } from "./Handler.ts"
import { Refused } from "./Refused.ts"

/** Rows of a list that is chosen from. */
const listed = 500

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
      yield* documents.show(`dead-letters/${subjectName(letter).replaceAll(/[^\w.-]/g, "-")}-${letter.id}.jsonc`, letterText(letter, t))
    }
  })

/** What people want to know first, and below it the whole record. */
const letterText = (letter: DeadLetter, t: Translate): string => {
  const at = (time: number | undefined): string => (time === undefined ? "" : new Date(time).toLocaleString())
  const attempts = (letter.payload as { readonly attempts?: unknown } | undefined)?.attempts
  const history = (Array.isArray(attempts) ? (attempts as ReadonlyArray<LetterAttempt>) : []).map(
    ({ agentId, attempt, endedAt, fault, startedAt }) =>
      `  ${attempt ?? ""}. ${at(startedAt ?? endedAt)}  ${agentId ?? ""}  ${fault === undefined ? "" : `${words(fault._tag)}: ${fault.detail ?? ""}`}`
  )
  const head = [
    t("Dead letter {0}", subjectName(letter)),
    t("Why: {0}", letter.reason),
    t("Cause: {0}", words(letter.cause)),
    t("Failed: {0}", at(letter.failedAt)),
    ...(letter.redriveAt === undefined ? [] : [t("Tried again: {0}", at(letter.redriveAt))]),
    ...(history.length === 0 ? [] : [t("Attempts:"), ...history])
  ]
  const comment = head.flatMap((line) => line.split("\n")).map((line) => `// ${line.trimEnd()}`)
  return [...comment, "", JSON.stringify(letter, null, 2), ""].join("\n")
}

interface LetterAttempt {
  readonly attempt?: number
  readonly agentId?: string
  readonly startedAt?: number
  readonly endedAt?: number
  readonly fault?: { readonly _tag: string; readonly detail?: string }
}

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

/** What was decided about, newest first: it is no part of a snapshot, since it may be much. */
const archived = Effect.gen(function* () {
  const { runtime } = yield* fresh
  const lines = yield* Stream.runCollect(runtime.exportDLQ)
  return lines
    .map((line): DeadLetter => JSON.parse(line))
    .filter(({ endedAt }) => endedAt !== undefined)
    .toSorted((a, b) => b.endedAt! - a.endedAt!)
})

const restoreDeadLetter: Handler = () =>
  Effect.gen(function* () {
    const editor = yield* Editor
    const { t } = editor.l10n
    const letters = (yield* archived).filter(({ status }) => status === "discarded" || status === "expired").slice(0, listed)
    if (letters.length === 0) return yield* new Refused({ detail: t("No dead letter was discarded or has expired.") })
    const items = letters.map((letter) => ({
      label: subjectName(letter),
      description: `${letter.status}, ${words(letter.cause)}`,
      detail: brief(letter.reason),
      letter
    }))
    const picked = yield* ask(() => editor.window.showQuickPick(items, { title: t("Restore a dead letter"), matchOnDetail: true }))
    if (picked === undefined) return
    const { link, runtime } = yield* fresh
    const refusal = outcomeText(yield* runtime.restoreDLQMessage(picked.letter.id))
    link.refresh()
    if (refusal !== undefined) return yield* new Refused({ detail: t("Not restored: {0}", refusal) })
  })

const purgeDeadLetters: Handler = () =>
  Effect.gen(function* () {
    const editor = yield* Editor
    const { t } = editor.l10n
    const now = yield* Clock.currentTimeMillis
    const letters = yield* archived
    const choice = (label: string, before: number | undefined) => {
      const count = before === undefined ? letters.length : letters.filter(({ endedAt }) => endedAt! < before).length
      return { label, description: t("{0} dead letters", count), before, count }
    }
    const items = [
      choice(t("Ended more than 30 days ago"), now - 30 * 86_400_000),
      choice(t("Ended more than a day ago"), now - 86_400_000),
      choice(t("The whole archive"), undefined)
    ].filter(({ count }) => count > 0)
    if (items.length === 0) return yield* new Refused({ detail: t("The archive is empty: no dead letter is decided about.") })
    const picked = yield* ask(() => editor.window.showQuickPick(items, { title: t("Delete archived dead letters for ever") }))
    if (picked === undefined) return
    const question = t("Delete {0} dead letters for ever?", picked.count)
    if (!(yield* confirm(question, t("They were discarded, resolved, or have expired. This cannot be taken back."), t("Delete")))) return
    const { link, runtime } = yield* fresh
    const count = yield* runtime.purgeDLQ(picked.before === undefined ? {} : { before: picked.before })
    link.refresh()
    yield* said(t("{0} dead letters are deleted", count))
  })

export const handlers = {
  openDeadLetter,
  retryDeadLetter,
  retryAllDeadLetters,
  discardDeadLetter,
  restoreDeadLetter,
  exportDeadLetters,
  purgeDeadLetters
}
