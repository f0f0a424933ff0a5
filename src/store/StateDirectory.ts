/**
 * Where everything durable lies: by the platform's convention, one directory for each repository of the user, and never in the way of the
 * user's files.
 *
 * A repository is known by the real path of its git directory, which all its worktrees share; without git by the directory itself. An explicit
 * directory wins; where that lies within a git work tree it gets a `.gitignore` of its own, so that git does not see it.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as StatePath from "./StatePath.ts"

export { type Place, repositoryDirectory, userDirectory } from "./StatePath.ts"

/** The file by which a directory is known as one that holds state, and is owned. */
export const ownerFile = "owner.db"

/** The directory cannot hold the state. Nothing was written into it. */
export class StateDirectoryRefused extends Schema.TaggedError<StateDirectoryRefused>()("StateDirectoryRefused", {
  directory: Schema.String,
  reason: Schema.Literals(["network-file-system", "not-ours", "writable-by-others", "not-a-directory", "unusable"]),
  detail: Schema.String
}) {
  override get message(): string {
    return `The state directory ${this.directory} cannot be used: ${this.detail}`
  }
}

/** What identifies the repository of a directory: the real path of its common git directory, else of the directory itself. */
export const repositoryOf = (directory: string): Effect.Effect<string, StateDirectoryRefused> =>
  attempt(directory, () => StatePath.repositoryOf(directory))

/** The state directory for work in `directory`: the explicit one, or that of its repository. */
export const locate = (place: StatePath.Place, directory: string, explicit?: string): Effect.Effect<string, StateDirectoryRefused> =>
  attempt(directory, () => StatePath.locate(place, directory, explicit))

/** What `ensure` asks the operating system. */
export interface System {
  /** The user's id; undefined where there are none. */
  readonly user: number | undefined
  /** The file system's type number, as `statfs` gives it. */
  readonly fileSystemType: (directory: string) => number
}

const system: System = { user: process.getuid?.(), fileSystemType: (directory) => fs.statfsSync(directory).type }

/**
 * Makes the directory with mode 0700, or narrows the mode of one that is there.
 *
 * Fails with `StateDirectoryRefused`, naming the path: it lies on a network file system (locks and write-ahead logs do not hold there), it
 * belongs to somebody else, others may write into it, or it cannot be made.
 */
export const ensure = (directory: string, on: System = system): Effect.Effect<string, StateDirectoryRefused> =>
  Effect.gen(function* () {
    yield* attempt(directory, () => fs.mkdirSync(directory, { recursive: true, mode: 0o700 }))
    const stat = yield* attempt(directory, () => fs.statSync(directory))
    const refuse = (reason: StateDirectoryRefused["reason"], detail: string) => new StateDirectoryRefused({ directory, reason, detail })
    if (!stat.isDirectory()) return yield* refuse("not-a-directory", "it is not a directory")
    if (on.user !== undefined) {
      if (stat.uid !== on.user) return yield* refuse("not-ours", `it belongs to user ${stat.uid}, not to ${on.user}`)
      if ((stat.mode & 0o022) !== 0) {
        return yield* refuse(
          "writable-by-others",
          `others may write into it (mode ${(stat.mode & 0o777).toString(8)}); take that right away, or choose another`
        )
      }
      if ((stat.mode & 0o077) !== 0) yield* attempt(directory, () => fs.chmodSync(directory, 0o700))
    }
    const type = yield* attempt(directory, () => on.fileSystemType(directory))
    const network = directory.startsWith("\\\\") ? "a network share" : networkFileSystems.get(type >>> 0)
    if (network !== undefined) return yield* refuse("network-file-system", `it lies on ${network}, where locks cannot be relied on`)
    yield* attempt(directory, () => {
      const real = fs.realpathSync(directory)
      const ignore = path.join(real, ".gitignore")
      if (StatePath.findUp(path.dirname(real)) !== undefined && !fs.existsSync(ignore)) fs.writeFileSync(ignore, "*\n", { mode: 0o600 })
    })
    return directory
  })

const attempt = <A>(directory: string, work: () => A): Effect.Effect<A, StateDirectoryRefused> =>
  Effect.try({
    try: work,
    catch: (cause) => {
      const notADirectory = (cause as NodeJS.ErrnoException).code === "ENOTDIR" || (cause as NodeJS.ErrnoException).code === "EEXIST"
      return new StateDirectoryRefused({
        directory,
        reason: notADirectory ? "not-a-directory" : "unusable",
        detail: (cause as Error).message
      })
    }
  })

/** Type numbers of Linux, see statfs(2). On other systems numbers are small and match none of these. */
const networkFileSystems = new Map<number, string>([
  [0x6969, "NFS"],
  [0x517b, "SMB"],
  [0xff534d42, "CIFS"],
  [0xfe534d42, "SMB"],
  [0x5346414f, "AFS"],
  [0x73757245, "Coda"],
  [0x564c, "NCP"],
  [0x00c36400, "Ceph"],
  [0x0bd00bd0, "Lustre"],
  [0x01161970, "GFS2"],
  [0x7461636f, "OCFS2"],
  [0x01021997, "9P"],
  [0x786f4256, "a shared folder of a virtual machine"],
  [0xbacbacbc, "a shared folder of a virtual machine"]
])
