/**
 * What a person does with the worktrees of agents: look at them, merge what they hold, remove them.
 *
 * Everything is read from git and from the records beside the worktrees, so it works without a runtime, and for every state directory.
 * Nothing that is in no commit is ever deleted, and nothing is merged that was not looked at first.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import * as path from "node:path"
import { ProcessTrees } from "./ProcessTree.ts"
import * as WorktreeGit from "./WorktreeGit.ts"
import * as WorktreeRecord from "./WorktreeRecord.ts"

/** It was not done, and nothing was changed. */
export class WorktreeRefused extends Schema.TaggedError<WorktreeRefused>()("WorktreeRefused", {
  agent: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/** The worktree of one agent, as it stands. */
export interface Standing {
  readonly agent: string
  readonly branch: string
  readonly path: string
  /** `working`: locked by a living runtime. `missing`: its files are gone, its branch is not. */
  readonly state: "working" | "idle" | "missing"
  /** Commits of its branch that the current one does not have. Count. */
  readonly ahead: number
  /** Paths that are in no commit, as git names them. */
  readonly uncommitted: ReadonlyArray<string>
  /** The task whose work lies there, or lay there last. */
  readonly task: string | undefined
  /** The subject of its last commit. */
  readonly subject: string
}

export interface Review {
  readonly list: Effect.Effect<ReadonlyArray<Standing>, Failure>
  /** What the agent changed since it left the current branch, without a commit too; `untracked` names new files that the text does not show. */
  readonly diff: (
    agent: string,
    stat: boolean
  ) => Effect.Effect<{ readonly text: string; readonly untracked: ReadonlyArray<string> }, Failure>
  /** Merges its branch into the current one, with a commit of its own. Refused unless both are clean and no conflict is seen beforehand. */
  readonly merge: (agent: string) => Effect.Effect<{ readonly commits: number; readonly head: string }, Failure>
  /**
   * Removes its files. Its branch stays unless everything on it is in the current one. Refused while it works and while anything is in no
   * commit; files that git ignores only with `ignored`.
   */
  readonly remove: (agent: string, ignored: boolean) => Effect.Effect<{ readonly branch: "kept" | "deleted" }, Failure>
}

type Failure = WorktreeGit.GitFailed | WorktreeRefused

/** How many names a refusal lists. */
const named = 5

/** The worktrees of the repository that a directory lies in. Fails with `WorktreeRefused` where there is none. */
export const make = Effect.fnUntraced(function* (
  inheritEnv: Readonly<Record<string, string>>,
  directory: string
): Effect.fn.Return<Review, Failure, ProcessTrees> {
  const trees = yield* ProcessTrees
  const git = WorktreeGit.make(inheritEnv, trees)
  const repository = yield* WorktreeGit.repositoryOf(git, directory)
  if (repository === undefined) return yield* new WorktreeRefused({ agent: "", detail: `${directory} lies in no git repository` })
  const { common, top } = repository

  const changesIn = (worktree: string, ...more: ReadonlyArray<string>) =>
    Effect.map(git.ask(worktree, "status", "--porcelain", "--untracked-files=all", "-z", ...more), (text) => namesOf(text))

  const working = Effect.fnUntraced(function* (folder: string) {
    const reason = readLock(folder)
    const owner = reason === undefined ? undefined : WorktreeRecord.lockOwner(reason)
    if (owner === undefined) return false
    const found = yield* trees.identify(owner.pid)
    return found?.startTime === owner.startTime && found.bootId === owner.bootId
  })

  const standing = Effect.fnUntraced(function* ({ folder, path: at, record }: ReturnType<typeof WorktreeRecord.all>[number]) {
    const there = fs.existsSync(at)
    const counted = yield* git.run(top, "rev-list", "--count", `HEAD..${record.branch}`, "--")
    const last = yield* git.run(top, "log", "-1", "--format=%s", record.branch, "--")
    const changed = there ? yield* changesIn(at) : []
    return {
      agent: record.agent,
      branch: record.branch,
      path: at,
      state: !there ? "missing" : (yield* working(folder)) ? "working" : "idle",
      ahead: counted.code === 0 ? Number(counted.stdout.trim()) : 0,
      uncommitted: changed.map((each) => each.name),
      task: record.task,
      subject: last.stdout.trim()
    } satisfies Standing
  })

  const find = (agent: string) =>
    Effect.suspend(() => {
      const all = WorktreeRecord.all(common)
      const found = all.find((each) => each.record.agent === agent)
      if (found !== undefined) return Effect.succeed(found)
      const known = all.length === 0 ? "there is none" : `there are: ${all.map((each) => each.record.agent).join(", ")}`
      return Effect.fail(new WorktreeRefused({ agent, detail: `There is no worktree of agent "${agent}" in ${top}; ${known}` }))
    })

  const list: Review["list"] = Effect.suspend(() => Effect.forEach(WorktreeRecord.all(common), standing))

  const diff: Review["diff"] = Effect.fnUntraced(function* (agent, stat) {
    const { path: at, record } = yield* find(agent)
    const base = yield* git.ask(top, "merge-base", "HEAD", record.branch)
    const there = fs.existsSync(at)
    const text = yield* git.ask(there ? at : top, "diff", ...(stat ? ["--stat"] : []), base, ...(there ? [] : [record.branch]), "--")
    const untracked = there ? (yield* changesIn(at)).filter((each) => each.status === "??").map((each) => each.name) : []
    return { text, untracked }
  })

  const merge: Review["merge"] = Effect.fnUntraced(function* (agent) {
    const refuse = (detail: string) => Effect.fail(new WorktreeRefused({ agent, detail }))
    const { path: at, record } = yield* find(agent)
    const current = (yield* git.run(top, "symbolic-ref", "--short", "HEAD")).stdout.trim()
    if (current === "") return yield* refuse(`${top} is on no branch: check one out first`)
    const own = yield* changesIn(top, "--untracked-files=no")
    if (own.length > 0) return yield* refuse(`${top} has changes that are in no commit (${names(own)}): commit or stash them first`)
    const theirs = fs.existsSync(at) ? yield* changesIn(at) : []
    if (theirs.length > 0) {
      return yield* refuse(`Agent ${agent} has work that is in no commit (${names(theirs)}): commit it in ${at}, or let its task end`)
    }
    const commits = Number(yield* git.ask(top, "rev-list", "--count", `HEAD..${record.branch}`, "--"))
    if (commits > 0) {
      // Seen before anything is touched. Older versions of git cannot: there the merge itself is taken back.
      const tried = yield* git.run(top, "merge-tree", "--write-tree", "--name-only", "--no-messages", "HEAD", record.branch)
      if (tried.code === 1) {
        const files = tried.stdout
          .split("\n")
          .slice(1)
          .filter((line) => line !== "")
        return yield* refuse(
          `Merging ${record.branch} into ${current} would conflict in ${files.slice(0, named).join(", ")}; nothing was changed`
        )
      }
      const subject = `Merge the work of agent ${agent} (${commits} ${commits === 1 ? "commit" : "commits"})`
      const merged = yield* git.run(top, "merge", "--no-ff", "--no-edit", "-m", subject, record.branch)
      if (merged.code !== 0) {
        yield* git.run(top, "merge", "--abort")
        return yield* refuse(
          `Merging ${record.branch} into ${current} failed, and was taken back: ${(merged.stderr.trim() || merged.stdout.trim()).slice(-500)}`
        )
      }
    }
    return { commits, head: yield* git.ask(top, "rev-parse", "HEAD") }
  })

  const remove: Review["remove"] = Effect.fnUntraced(function* (agent, withIgnored) {
    const refuse = (detail: string) => Effect.fail(new WorktreeRefused({ agent, detail }))
    const { folder, path: at, record } = yield* find(agent)
    if (yield* working(folder)) return yield* refuse(`Agent ${agent} is working in ${at}`)
    const there = fs.existsSync(at)
    if (there) {
      const begun = ["MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply"].find((name) =>
        fs.existsSync(path.join(folder, name))
      )
      if (begun !== undefined) return yield* refuse(`${at} is in the middle of something (${begun}): finish it there first`)
      const changed = yield* changesIn(at, "--ignored", "--ignore-submodules=none")
      const lost = changed.filter((each) => each.status !== "!!")
      if (lost.length > 0)
        return yield* refuse(`${at} holds work that is in no commit (${names(lost)}): commit it there, or delete it yourself`)
      const hidden = changed.filter((each) => each.status === "!!")
      if (hidden.length > 0 && !withIgnored) {
        return yield* refuse(`${at} holds files that git ignores (${names(hidden)}), which are in no commit: --ignored deletes them too`)
      }
      // A repository inside of it has commits of its own, which go with its files.
      const links = (yield* git.ask(at, "ls-files", "--stage")).split("\n").filter((line) => line.startsWith("160000"))
      if (links.length > 0)
        return yield* refuse(`${at} holds repositories inside of it (${links[0]!.split("\t")[1]}): move them away first`)
      const head = yield* git.ask(at, "rev-parse", "HEAD")
      if ((yield* git.ask(at, "for-each-ref", "--contains", head, "--count=1", "refs/heads", "refs/tags")) === "") {
        return yield* refuse(`${at} holds commits that are on no branch: make one there first`)
      }
    }
    // A lock of a runtime that is dead.
    if (readLock(folder) !== undefined) yield* git.ask(top, "worktree", "unlock", at)
    if (there) yield* git.ask(top, "worktree", "remove", at)
    else yield* git.ask(top, "worktree", "prune", "--expire=now")
    if (!(yield* git.holds(top, "merge-base", "--is-ancestor", record.branch, "HEAD"))) return { branch: "kept" }
    return { branch: (yield* git.holds(top, "branch", "--quiet", "-D", record.branch)) ? "deleted" : "kept" }
  })

  return { list, diff, merge, remove }
})

interface Changed {
  readonly status: string
  readonly name: string
}

/** Reads `git status --porcelain -z`; a renamed file is followed by its old name. */
const namesOf = (text: string): ReadonlyArray<Changed> => {
  const changed: Array<Changed> = []
  const fields = text.split("\0")
  for (let n = 0; n < fields.length; n++) {
    const field = fields[n]!
    if (field.length < 4) continue
    const status = field.slice(0, 2)
    changed.push({ status, name: field.slice(3) })
    if (/[RC]/.test(status)) n++
  }
  return changed
}

const names = (changed: ReadonlyArray<Changed>): string => {
  const more = changed.length > named ? `, and ${changed.length - named} more` : ""
  return `${changed
    .slice(0, named)
    .map((each) => each.name)
    .join(", ")}${more}`
}

/** Why git keeps a worktree; undefined: it is not locked. */
const readLock = (folder: string): string | undefined => {
  try {
    return fs.readFileSync(path.join(folder, "locked"), "utf8").trim()
  } catch {
    return undefined
  }
}
