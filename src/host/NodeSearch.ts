/**
 * Finds a Node that can run a host: 22.19 or newer, with SQLite.
 *
 * A Node of the system is preferred to that of an editor, whose update may replace the program under a host that runs.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Place } from "../store/StateDirectory.ts"
import * as HostProcess from "./HostProcess.ts"

/** No Node on this machine can run a host. */
export class NodeMissing extends Schema.TaggedError<NodeMissing>()("NodeMissing", {
  /** What was looked at, with the version as far as it said one. */
  seen: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const found = this.seen.length === 0 ? "none was found" : `found were ${this.seen.join(", ")}`
    return `NofX needs Node.js 22.19 or newer (${found}). Install it from https://nodejs.org, or name one in the settings`
  }
}

export interface Options {
  readonly place: Place
  /** The program that runs this process. */
  readonly self: HostProcess.Node
  /** A Node of the user's choice: no other is tried then. */
  readonly explicit?: string
}

/** Where Nodes are looked for, best first. */
export const candidates = ({ explicit, place, self }: Options): ReadonlyArray<HostProcess.Node> => {
  if (explicit !== undefined) return [{ path: explicit, electron: false }]
  const { env, home, platform } = place
  const windows = platform === "win32"
  const name = windows ? "node.exe" : "node"
  const inPath = (env["PATH"] ?? env["Path"] ?? "").split(windows ? ";" : ":").filter((folder) => path.isAbsolute(folder))
  const versioned = [
    path.join(env["NVM_DIR"] ?? path.join(home, ".nvm"), "versions", "node"),
    path.join(home, ".local", "share", "fnm", "node-versions"),
    path.join(home, ".local", "share", "mise", "installs", "node")
  ].flatMap((folder) => newestFirst(folder).flatMap((version) => [path.join(version, "bin"), path.join(version, "installation", "bin")]))
  const usual = windows
    ? [path.join(env["ProgramFiles"] ?? "C:\\Program Files", "nodejs"), path.join(env["LOCALAPPDATA"] ?? home, "Volta", "bin")]
    : ["/usr/local/bin", "/usr/bin", "/opt/homebrew/bin", path.join(home, ".volta", "bin")]
  const files = [...inPath, ...versioned, ...usual].map((folder) => path.join(folder, name)).filter((file) => fs.existsSync(file))
  const found = [...new Set(files)].map((file): HostProcess.Node => ({ path: file, electron: false }))
  return self.electron ? [...found, self] : [self, ...found.filter((node) => node.path !== self.path)]
}

const newestFirst = (folder: string): ReadonlyArray<string> => {
  try {
    const names = fs.readdirSync(folder).sort((left, right) => right.localeCompare(left, undefined, { numeric: true }))
    return names.map((name) => path.join(folder, name))
  } catch {
    return []
  }
}

/** The first that can. Fails with `NodeMissing`, naming what was looked at. */
export const find = (options: Options): Effect.Effect<HostProcess.Node, NodeMissing> =>
  Effect.gen(function* () {
    const env = Object.fromEntries(Object.entries(options.place.env).filter((entry): entry is [string, string] => entry[1] !== undefined))
    const seen: Array<string> = []
    for (const node of candidates(options)) {
      const examined = yield* HostProcess.examine(node, env)
      if (examined?.fits === true) return node
      seen.push(`${node.path}${examined === undefined ? "" : ` (${examined.version})`}`)
    }
    return yield* new NodeMissing({ seen })
  })
