/** Commands about what agents changed: look at it, merge the worktree of one. */
import * as Effect from "effect/Effect"
import { Documents } from "../Documents.ts"
import { ask, Editor, Log } from "../Editor.ts"
import * as Later from "../Later.ts"
import { confirm, folder, type Handler, said, subjectOf } from "./Handler.ts"
import { Refused } from "./Refused.ts"

/** The worktree that is meant: of the argument's agent, else one that the user picks; `none`: there is none; undefined: none was picked. */
const pickWorktree = Effect.fnUntraced(function* (directory: string, argument: unknown, title: string) {
  const editor = yield* Editor
  // Without git, or without a worktree, agents work on the folder itself.
  const all = yield* Effect.catchTag(
    Later.use(({ worktrees }) => worktrees(directory)),
    "Refused",
    ({ detail }) =>
      Effect.as(
        Effect.map(Log, (log) => log.debug(detail)),
        []
      )
  )
  const subject = subjectOf(argument)
  if (subject?._tag === "agent") return all.find(({ agent }) => agent === subject.agentId) ?? "none"
  if (all.length === 0) return "none"
  const items = all.map((each) => ({
    label: each.agent,
    description: editor.l10n.t("{0} commits, {1} uncommitted files", each.ahead, each.uncommitted.length),
    detail: each.subject,
    each
  }))
  return (yield* ask(() => editor.window.showQuickPick(items, { title })))?.each
})

const compareChanges: Handler = (argument) =>
  Effect.gen(function* () {
    const editor = yield* Editor
    const { t } = editor.l10n
    const directory = yield* folder
    const worktree = yield* pickWorktree(directory, argument, t("Compare the changes of an agent"))
    if (worktree === undefined) return
    if (worktree === "none") return yield* ask(() => editor.commands.executeCommand<void>("workbench.view.scm"))
    const { text, untracked } = yield* Later.use(({ worktreeChanges }) => worktreeChanges(directory, worktree.agent))
    const changes = [text, ...untracked.map((name) => t("new file, in no commit: {0}", name))].join("\n")
    yield* (yield* Documents).show(`changes/${worktree.agent}.diff`, changes.trim() === "" ? t("No changes.") : changes)
  })

const mergeWorktree: Handler = (argument) =>
  Effect.gen(function* () {
    const { t } = (yield* Editor).l10n
    const directory = yield* folder
    const worktree = yield* pickWorktree(directory, argument, t("Merge the worktree of an agent"))
    if (worktree === undefined) return
    if (worktree === "none") return yield* new Refused({ detail: t("There is no worktree to merge: agents work on the folder itself.") })
    const { agent, ahead, branch } = worktree
    const detail = t(
      "{0} commits of {1} come into the current branch. It is refused if anything is not committed, or would conflict.",
      ahead,
      branch
    )
    if (!(yield* confirm(t("Merge what {0} did?", agent), detail, t("Merge")))) return
    const { commits } = yield* Later.use((later) => later.mergeWorktree(directory, agent))
    yield* said(t("{0} commits are merged", commits))
  })

export const handlers = { compareChanges, mergeWorktree }
