/**
 * Which directory holds the state of a repository, as a path alone. Plain functions without Effect: who only asks whether there is something
 * (the entry of the editor's extension) loads nothing else. Everybody else uses `StateDirectory`, whose failures are typed.
 */
import * as crypto from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"

/** What the paths depend on. */
export interface Place {
  readonly platform: NodeJS.Platform
  readonly env: Readonly<Record<string, string | undefined>>
  /** The user's home directory. */
  readonly home: string
}

/** The user's own state directory, for what repositories share (accounts). */
export const userDirectory = ({ env, home, platform }: Place): string => {
  const { join } = platform === "win32" ? path.win32 : path.posix
  if (platform === "win32") return join(env["LOCALAPPDATA"] || join(home, "AppData", "Local"), "nofx")
  if (platform === "darwin") return join(home, "Library", "Application Support", "nofx")
  const state = env["XDG_STATE_HOME"]
  // The convention: a relative path is invalid and is ignored.
  return join(state !== undefined && path.posix.isAbsolute(state) ? state : join(home, ".local", "state"), "nofx")
}

/** The state directory of a repository, known by its real path: a name to read, and a hash to tell apart. */
export const repositoryDirectory = (place: Place, repository: string): string => {
  const windows = place.platform === "win32"
  const { basename, dirname, join } = windows ? path.win32 : path.posix
  const last = basename(repository)
  const name = (last === ".git" ? basename(dirname(repository)) : last).replaceAll(/[^A-Za-z0-9._-]+/g, "-").slice(0, 40) || "root"
  const identity = windows ? repository.toLowerCase() : repository
  return join(userDirectory(place), "repositories", `${name}-${crypto.createHash("sha256").update(identity).digest("hex").slice(0, 12)}`)
}

/** What identifies the repository of a directory. Throws where the directory cannot be read. */
export const repositoryOf = (directory: string): string => {
  const start = fs.realpathSync(directory)
  const dotGit = findUp(start)
  return dotGit === undefined ? start : commonDirectory(dotGit)
}

/** The state directory for work in `directory`: the explicit one, or that of its repository. Throws where the directory cannot be read. */
export const locate = (place: Place, directory: string, explicit?: string): string =>
  explicit === undefined ? repositoryDirectory(place, repositoryOf(directory)) : path.resolve(directory, explicit)

/** The `.git` of the work tree that a directory lies in. */
export const findUp = (directory: string): string | undefined => {
  for (let at = directory; ; at = path.dirname(at)) {
    const dotGit = path.join(at, ".git")
    if (fs.existsSync(dotGit)) return dotGit
    if (path.dirname(at) === at) return undefined
  }
}

/** Of a linked worktree `.git` is a file that names its own directory, which names the common one. */
const commonDirectory = (dotGit: string): string => {
  if (fs.statSync(dotGit).isDirectory()) return fs.realpathSync(dotGit)
  const named = /^gitdir: (.+)$/m.exec(fs.readFileSync(dotGit, "utf8"))?.[1]
  if (named === undefined) return fs.realpathSync(path.dirname(dotGit))
  const own = path.resolve(path.dirname(dotGit), named.trim())
  const common = path.join(own, "commondir")
  return fs.realpathSync(fs.existsSync(common) ? path.resolve(own, fs.readFileSync(common, "utf8").trim()) : own)
}
