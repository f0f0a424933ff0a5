/**
 * Runs git for worktrees, and reads what it says of them.
 *
 * Nothing of the caller's own repository leaks in, nothing asks a question, and hooks run only where a person acts: a hook may fail, hang or
 * change what an agent left.
 */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import * as path from "node:path"
import * as GatedProcess from "./GatedProcess.ts"
import { ProcessTrees } from "./ProcessTree.ts"

/** Git could not do it. What it did before it stopped is what git leaves: never a lost file. */
export class GitFailed extends Schema.TaggedError<GitFailed>()("GitFailed", {
  command: Schema.String,
  /** Null when it was ended by a signal or could not be started. */
  code: Schema.NullOr(Schema.Int),
  detail: Schema.String
}) {
  override get message(): string {
    return `git ${this.command} failed: ${this.detail}`
  }
}

export interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Git {
  /** Runs git in a directory and answers how it ended. Fails when it cannot be started. Interrupting ends it. */
  readonly run: (cwd: string, ...args: ReadonlyArray<string>) => Effect.Effect<Ran, GitFailed>
  /** What it printed, without the end of the last line. Fails unless it succeeded. */
  readonly ask: (cwd: string, ...args: ReadonlyArray<string>) => Effect.Effect<string, GitFailed>
  /** Did it succeed? */
  readonly holds: (cwd: string, ...args: ReadonlyArray<string>) => Effect.Effect<boolean, GitFailed>
}

/** Arguments that keep hooks, signatures and a pager out of what nobody watches. */
export const unattended: ReadonlyArray<string> = [
  "-c",
  "core.hooksPath=/dev/null",
  "-c",
  "commit.gpgSign=false",
  "-c",
  "core.fsmonitor=false",
  "-c",
  "gc.auto=0",
  "-c",
  "maintenance.auto=false"
]

/** The variable by which the processes of one call are found: they are no agent's. */
const callVariable = "NOFX_GIT"

export const make = (inheritEnv: Readonly<Record<string, string>>, trees: ProcessTrees["Service"]): Git => {
  // Inside a git hook these would lead to another repository.
  const own = Object.entries(inheritEnv).filter(
    ([name]) => !/^GIT_(?:DIR|WORK_TREE|INDEX_FILE|PREFIX|COMMON_DIR|OBJECT_DIRECTORY)$/.test(name)
  )
  const env = { ...Object.fromEntries(own), LC_ALL: "C", GIT_TERMINAL_PROMPT: "0", GIT_EDITOR: "true" }
  const run: Git["run"] = (cwd, ...args) =>
    Effect.scoped(
      Effect.gen(function* () {
        const chunks: Array<Uint8Array> = []
        const value = `${yield* Random.nextIntBetween(0, 2 ** 47)}-${yield* Random.nextIntBetween(0, 2 ** 47)}`
        const process = yield* GatedProcess.spawn({
          argv: ["git", ...args],
          cwd,
          env,
          stdin: "none",
          context: unregistered,
          entry: { name: callVariable, value },
          onStdout: (chunk) => void chunks.push(chunk)
        })
        yield* process.go
        const exit = yield* process.exit
        yield* process.drained
        return { code: exit.code, stdout: Buffer.concat(chunks).toString("utf8"), stderr: process.stderr.tail() }
      })
    ).pipe(
      Effect.provideService(ProcessTrees, trees),
      Effect.mapError((fault) => new GitFailed({ command: commandOf(args), code: null, detail: fault.detail }))
    )
  const ask: Git["ask"] = (cwd, ...args) =>
    Effect.flatMap(run(cwd, ...args), ({ code, stderr, stdout }) =>
      code === 0
        ? Effect.succeed(stdout.replace(/\r?\n$/, ""))
        : Effect.fail(new GitFailed({ command: commandOf(args), code, detail: (stderr.trim() || stdout.trim()).slice(-1_000) }))
    )
  return { run, ask, holds: (cwd, ...args) => Effect.map(run(cwd, ...args), ({ code }) => code === 0) }
}

/** A worktree, as git lists it. */
export interface Listed {
  readonly path: string
  readonly head: string
  /** Short name of the branch; undefined when the head is detached. */
  readonly branch: string | undefined
  /** Why it is locked; undefined: it is not. */
  readonly locked: string | undefined
}

/** Reads `git worktree list --porcelain`. The first is the main one. */
export const parseList = (text: string): ReadonlyArray<Listed> =>
  text
    .split(/\n\n+/)
    .map((block) => new Map(block.split("\n").map((line): [string, string] => [line.split(" ", 1)[0]!, line.replace(/^\S+ ?/, "")])))
    .flatMap((fields) => {
      const at = fields.get("worktree")
      if (at === undefined) return []
      return [
        {
          path: at,
          head: fields.get("HEAD") ?? "",
          branch: fields.get("branch")?.replace(/^refs\/heads\//, ""),
          locked: fields.get("locked")
        }
      ]
    })

/** The repository that a directory lies in. */
export interface Repository {
  /** Real path of what all its worktrees share. */
  readonly common: string
  /** Real path of the working tree. */
  readonly top: string
  readonly worktrees: ReadonlyArray<Listed>
}

/** The repository of a directory; undefined when there is none, or no working tree. */
export const repositoryOf = Effect.fnUntraced(function* (git: Git, directory: string): Effect.fn.Return<Repository | undefined, GitFailed> {
  const found = yield* git.run(directory, "rev-parse", "--show-toplevel", "--git-common-dir")
  const [top, common] = found.stdout.split("\n")
  if (found.code !== 0 || top === undefined || common === undefined || top === "") return undefined
  const worktrees = parseList(yield* git.ask(directory, "worktree", "list", "--porcelain"))
  return { top: fs.realpathSync(top), common: fs.realpathSync(path.resolve(directory, common)), worktrees }
})

const commandOf = (args: ReadonlyArray<string>): string => {
  const at = args.findIndex((arg, index) => !arg.startsWith("-") && args[index - 1] !== "-c")
  return args.slice(at, at + 2).join(" ")
}

/** A call is not written down: it ends by itself, and leaves nothing that has to be reaped. */
const unregistered = { marker: "git", intend: Effect.void, register: () => Effect.void, gone: Effect.void, directory: "" }
