/**
 * A git worktree and a branch for each agent, so that agents that share a repository cannot overwrite each other.
 *
 * The files lie in the state directory, the branch is `nofx/<agent>`. An agent finds its worktree as it left it, brought up to date when
 * everything on its branch has been merged. What a task leaves is committed; nothing here deletes a file that is in no commit.
 */
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs"
import * as path from "node:path"
import type { Claim, TaskSpec } from "../task/Task.ts"
import type { ProcessIdentity } from "./AgentDriver.ts"
import type { AgentSpec } from "./AgentSpec.ts"
import { ProcessTrees } from "./ProcessTree.ts"
import { type SpawnFailed, spawnFailed } from "./Program.ts"
import * as WorktreeGit from "./WorktreeGit.ts"
import * as WorktreeRecord from "./WorktreeRecord.ts"

export interface Options {
  /** The environment that git inherits. */
  readonly inheritEnv: Readonly<Record<string, string>>
  /** What relative working directories are resolved against. Absolute. */
  readonly cwd: string
  /** Where the worktrees of a repository lie, by its git directory and working tree. Outside of the working tree. */
  readonly directory: (common: string, top: string) => string
  /** Worktrees of one repository at most. Count. */
  readonly max: number
  /** Free space that a new one must leave on its disk. Bytes. */
  readonly minFreeBytes: number
}

/** The worktree that an agent works in. */
export interface Place {
  /** The top of the worktree. */
  readonly top: string
  /** Where the agent works: the same directory as the agent's own within its repository. */
  readonly cwd: string
  readonly branch: string
  /** Git's own folder for it. */
  readonly folder: string
  readonly agentId: string
}

export interface Worktrees {
  /**
   * The agent's worktree, made if need be, and locked until the scope closes.
   *
   * Fails with `SpawnFailed`, reason `worktree`: there is no repository or no commit, too many worktrees or too little space, or another
   * process uses it. The detail says what to do.
   */
  readonly acquire: (spec: AgentSpec) => Effect.Effect<Place, SpawnFailed, Scope.Scope>
  /** Where the agent works, whether it is acquired or not; undefined when there is no worktree of it. */
  readonly find: (spec: AgentSpec) => Effect.Effect<Place | undefined>
  /** Before a task: what another task left without a commit is committed by its own name. */
  readonly begin: (place: Place, task: TaskSpec) => Effect.Effect<void, WorktreeGit.GitFailed>
  /** After a task: commits what it left. Answers false when there was nothing. */
  readonly commit: (place: Place, task: TaskSpec, claim: Claim | undefined) => Effect.Effect<boolean, WorktreeGit.GitFailed>
}

/** The end of an agent's answer in the message of a commit, in characters. */
const quoted = 2_000

/** `redact` takes secrets out of what agents and tasks say before it becomes the message of a commit. */
export const make = Effect.fnUntraced(function* (options: Options, redact: (text: string) => string) {
  const trees = yield* ProcessTrees
  const git = WorktreeGit.make(options.inheritEnv, trees)
  // Git itself only holds off some of what two additions may do to each other, and the cap has to count.
  const one = yield* Semaphore.make(1)
  const self = yield* trees.identify(process.pid)

  const working = (spec: AgentSpec): string => path.resolve(options.cwd, spec.cwd ?? ".")
  const refuse = (detail: string) => Effect.fail(spawnFailed("worktree", detail))
  const tell = <A, R>(
    spec: AgentSpec,
    effect: Effect.Effect<A, WorktreeGit.GitFailed | SpawnFailed, R>
  ): Effect.Effect<A, SpawnFailed, R> =>
    Effect.mapError(effect, (error) =>
      error._tag === "SpawnFailed" ? error : spawnFailed("worktree", `The worktree of agent ${spec.id} cannot be used: ${error.message}`)
    )

  /** The place of an agent, whether it is there or not. */
  const placeOf = (spec: AgentSpec, repository: WorktreeGit.Repository, cwd: string) => {
    const top = path.join(realpath(options.directory(repository.common, repository.top)), spec.id)
    return { top, cwd: path.join(top, path.relative(repository.top, cwd)), branch: WorktreeRecord.branchOf(spec.id), agentId: spec.id }
  }

  const alive = (owner: ProcessIdentity): Effect.Effect<boolean> =>
    Effect.map(trees.identify(owner.pid), (found) => found?.startTime === owner.startTime && found.bootId === owner.bootId)

  /** A worktree that somebody else works in is not ours to use; a lock of the dead is taken away. */
  const unlocked = Effect.fnUntraced(function* (repository: WorktreeGit.Repository, listed: WorktreeGit.Listed) {
    if (listed.locked === undefined) return
    const owner = WorktreeRecord.lockOwner(listed.locked)
    if (owner === undefined) {
      // Git's own lock of an addition that never ended; nobody has ever worked there.
      if (listed.locked !== "initializing") return yield* refuse(`The worktree ${listed.path} is locked: ${listed.locked}`)
    } else if (yield* alive(owner)) {
      return yield* refuse(`The worktree ${listed.path} is in use by another runtime (pid ${owner.pid})`)
    }
    yield* git.run(repository.top, "worktree", "unlock", listed.path)
  })

  const room = Effect.fnUntraced(function* (repository: WorktreeGit.Repository) {
    const ours = WorktreeRecord.all(repository.common).filter((each) => fs.existsSync(each.path)).length
    if (ours >= options.max) {
      return yield* refuse(
        `The repository ${repository.top} has ${ours} worktrees of agents, and ${options.max} is the most (worktrees.max); ` +
          "see nofx worktrees list, and remove those that are merged"
      )
    }
    const free = yield* Effect.sync(() => freeBytes(options.directory(repository.common, repository.top)))
    if (free < options.minFreeBytes) {
      return yield* refuse(
        `A new worktree would leave too little space: ${megabytes(free)} MB are free, ${megabytes(options.minFreeBytes)} MB have to stay (worktrees.minFreeMegabytes)`
      )
    }
  })

  /** Makes the worktree of an agent that has none. */
  const add = Effect.fnUntraced(function* (repository: WorktreeGit.Repository, place: Omit<Place, "folder">, head: string) {
    yield* room(repository)
    yield* git.run(repository.top, "worktree", "prune")
    const exists = yield* git.holds(repository.top, "show-ref", "--verify", "--quiet", `refs/heads/${place.branch}`)
    const what = exists ? [place.top, place.branch] : ["--no-track", "-b", place.branch, place.top, head]
    yield* git.ask(repository.top, ...WorktreeGit.unattended, "worktree", "add", "--quiet", ...what)
  })

  /** Everything on its branch is in the user's: it goes on from there. */
  const advance = Effect.fnUntraced(function* (place: Place, head: string) {
    if ((yield* git.ask(place.top, "status", "--porcelain")) !== "") return
    if (!(yield* git.holds(place.top, "merge-base", "--is-ancestor", "HEAD", head))) return
    yield* git.ask(place.top, ...WorktreeGit.unattended, "merge", "--quiet", "--ff-only", head)
  })

  /** Back on its own branch, which an agent may have left. */
  const onBranch = Effect.fnUntraced(function* (place: Place) {
    if ((yield* git.run(place.top, "symbolic-ref", "--short", "HEAD")).stdout.trim() === place.branch) return
    const held = (yield* git.ask(place.top, "for-each-ref", "--contains", "HEAD", "--count=1", "refs/heads")) !== ""
    if (!held || (yield* git.ask(place.top, "status", "--porcelain")) !== "") {
      return yield* refuse(
        `The worktree ${place.top} is not on its branch ${place.branch}, and holds work that is in no branch: commit it there on a branch, or remove it`
      )
    }
    yield* git.ask(place.top, ...WorktreeGit.unattended, "checkout", "--quiet", place.branch)
  })

  const prepare = Effect.fnUntraced(function* (spec: AgentSpec) {
    const cwd = yield* Effect.sync(() => realpath(working(spec)))
    const repository = yield* WorktreeGit.repositoryOf(git, cwd)
    if (repository === undefined) return yield* refuse(`${cwd} lies in no git repository: use isolation: shared for agent ${spec.id}`)
    const head = yield* git.run(repository.top, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if (head.code !== 0) {
      return yield* refuse(`The repository ${repository.top} has no commit yet: make one, or use isolation: shared for agent ${spec.id}`)
    }
    yield* Effect.sync(() => fs.mkdirSync(options.directory(repository.common, repository.top), { recursive: true, mode: 0o700 }))
    const place = placeOf(spec, repository, cwd)
    const listed = repository.worktrees.find((each) => each.path === place.top)
    if (listed !== undefined) yield* unlocked(repository, listed)
    const known = WorktreeRecord.folderOf(place.top)
    if (known !== undefined && WorktreeRecord.read(known) === undefined && listed !== undefined) {
      // Its addition never ended, so no agent has seen it.
      yield* git.ask(repository.top, "worktree", "remove", "--force", place.top)
      yield* add(repository, place, head.stdout.trim())
    } else if (known === undefined) yield* add(repository, place, head.stdout.trim())
    const folder = WorktreeRecord.folderOf(place.top)
    if (folder === undefined || path.dirname(path.dirname(folder)) !== repository.common) {
      return yield* refuse(`${place.top} is no worktree of ${repository.top}: move it away`)
    }
    if (WorktreeRecord.read(folder) === undefined) WorktreeRecord.write(folder, { agent: spec.id, branch: place.branch })
    // Nobody is at work here: a lock of the index is one of the dead.
    fs.rmSync(path.join(folder, "index.lock"), { force: true })
    const whole: Place = { ...place, folder }
    yield* onBranch(whole)
    yield* advance(whole, head.stdout.trim())
    yield* Effect.sync(() => fs.mkdirSync(whole.cwd, { recursive: true }))
    return { place: whole, repository }
  })

  /** The agent wrote it; it commits by itself where the user has not said who they are. */
  const identity = (agentId: string) => {
    const name = `NofX agent ${agentId}`
    const email = `${agentId}@agents.nofx.invalid`
    return { settings: ["-c", `user.name=${name}`, "-c", `user.email=${email}`], author: `--author=${name} <${email}>` }
  }

  /** Commits everything that differs, new files too. */
  const save = Effect.fnUntraced(function* (place: Place, subject: string, body: string) {
    yield* git.ask(place.top, ...WorktreeGit.unattended, "add", "--all")
    if (yield* git.holds(place.top, "diff", "--cached", "--quiet")) return false
    const message = ["-m", redact(subject), "-m", redact(body)]
    const { author, settings } = identity(place.agentId)
    const how = ["--quiet", "--no-verify", "--cleanup=verbatim", author]
    yield* git.ask(place.top, ...WorktreeGit.unattended, ...settings, "commit", ...how, ...message)
    return true
  })

  const worktrees: Worktrees = {
    acquire: (spec) =>
      tell(
        spec,
        Effect.gen(function* () {
          const { place, repository } = yield* one.withPermit(prepare(spec))
          if (self !== undefined) {
            yield* Effect.acquireRelease(
              git.ask(repository.top, "worktree", "lock", "--reason", WorktreeRecord.lockReason(self), place.top),
              () => Effect.ignore(git.ask(repository.top, "worktree", "unlock", place.top))
            )
          }
          return place
        })
      ),
    find: (spec) =>
      Effect.gen(function* () {
        const cwd = realpath(working(spec))
        const repository = yield* WorktreeGit.repositoryOf(git, cwd)
        if (repository === undefined) return undefined
        const place = placeOf(spec, repository, cwd)
        const folder = WorktreeRecord.folderOf(place.top)
        return folder === undefined ? undefined : { ...place, folder }
      }).pipe(Effect.orElseSucceed(() => undefined)),
    begin: Effect.fnUntraced(function* (place, task) {
      const record = WorktreeRecord.read(place.folder) ?? { agent: place.agentId, branch: place.branch }
      if (record.task === task.id) return
      if (record.task !== undefined) {
        yield* save(
          place,
          `nofx: unfinished work of ${record.task}`,
          `Left without a commit when ${task.id} began.\n\nTask: ${record.task}\nAgent: ${place.agentId}`
        )
      }
      WorktreeRecord.write(place.folder, { ...record, task: task.id })
    }),
    commit: (place, task, claim) => {
      const words = claim?.output.trim().slice(-quoted)
      const said = words === undefined || words === "" ? "" : `${words}\n\n`
      return save(place, `nofx: ${subjectOf(task)}`, `${said}Task: ${task.id}\nAgent: ${place.agentId}`)
    }
  }
  return worktrees
})

/** The task in one line, as the subject of a commit. */
const subjectOf = (task: TaskSpec): string => {
  const line = task.prompt.trim().split("\n", 1)[0] ?? ""
  const points = [...(line === "" ? task.id : `${task.id}: ${line}`)]
  return points.length > 72 ? `${points.slice(0, 71).join("")}…` : points.join("")
}

const realpath = (directory: string): string => {
  try {
    return fs.realpathSync(directory)
  } catch {
    return directory
  }
}

/** Free space for this user on the disk of a directory that may not be there yet. */
const freeBytes = (directory: string): number => {
  for (let at = directory; ; at = path.dirname(at)) {
    try {
      const { bavail, bsize } = fs.statfsSync(at)
      return bavail * bsize
    } catch {
      if (path.dirname(at) === at) return Number.POSITIVE_INFINITY
    }
  }
}

const megabytes = (bytes: number): number => Math.floor(bytes / 1_048_576)
