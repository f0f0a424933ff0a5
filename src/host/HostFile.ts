/**
 * How a host is found: `host.json` in its state directory names its socket and the token that opens it.
 *
 * Both are private: the file has mode 0600 in a directory of mode 0700. A socket's path may have about a hundred bytes only, so where the
 * state directory's own is too long the socket lies in the user's runtime directory, or in one of the user's own below the one for temporary
 * files. Each epoch has a socket of its own: a new host never touches that of another.
 */
import * as crypto from "node:crypto"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { ProcessSystem } from "../agent/ProcessSystem.ts"
import { type Place, StateDirectoryRefused } from "../store/StateDirectory.ts"

/** What `host.json` says. Fields may be added, never changed: any version must be able to find any other. */
export const HostInfo = Schema.Struct({
  protocol: Schema.Int,
  /** Version of NofX. */
  version: Schema.String,
  pid: Schema.Int,
  /** The kernel's start time of the pid, and the boot it means: tell a reused pid apart. */
  startTime: Schema.String,
  bootId: Schema.String,
  epoch: Schema.Int,
  /** Path of the socket, or name of the pipe on Windows. */
  socket: Schema.String,
  /** Has to be said first on every connection. */
  token: Schema.String,
  /** Unix time in milliseconds. */
  startedAt: Schema.Finite
})
export type HostInfo = typeof HostInfo.Type

/** The longest path that a socket may have everywhere: macOS takes 103 bytes, Linux 107. */
export const maxSocketPath = 103

/** A new secret. */
export const makeToken = (): string => crypto.randomBytes(24).toString("base64url")

/** Where the socket of a host goes. Makes the directory if it is not the state directory, and fails when that is not the user's alone. */
export const socketPath = (
  directory: string,
  epoch: number,
  place: Pick<Place, "platform" | "env">
): Effect.Effect<string, StateDirectoryRefused> =>
  Effect.suspend(() => {
    const hash = crypto.createHash("sha256").update(directory).digest("hex").slice(0, 12)
    if (place.platform === "win32") {
      // Whoever knows the name could be there first: nobody can guess it.
      return Effect.succeed(`\\\\.\\pipe\\nofx-${hash}-${epoch}-${crypto.randomBytes(8).toString("hex")}`)
    }
    const own = path.join(directory, `host-${epoch}.sock`)
    if (Buffer.byteLength(own) <= maxSocketPath) return Effect.succeed(own)
    const runtime = place.env["XDG_RUNTIME_DIR"]
    const below =
      runtime !== undefined && path.isAbsolute(runtime) && fs.existsSync(runtime)
        ? path.join(runtime, "nofx")
        : path.join("/tmp", `nofx-${process.getuid?.() ?? os.userInfo().username}`)
    return Effect.as(ensurePrivate(below), path.join(below, `${hash}-${epoch}.sock`))
  })

/** A directory of the user alone: the one for temporary files is everybody's, so somebody else may have made it. */
const ensurePrivate = (directory: string): Effect.Effect<void, StateDirectoryRefused> =>
  Effect.try({
    try: () => {
      fs.mkdirSync(directory, { recursive: true, mode: 0o700 })
      const stat = fs.lstatSync(directory)
      if (!stat.isDirectory()) throw new Error("it is not a directory")
      if (process.getuid !== undefined && stat.uid !== process.getuid()) throw new Error(`it belongs to user ${stat.uid}`)
      if ((stat.mode & 0o077) !== 0) fs.chmodSync(directory, 0o700)
    },
    catch: (cause) =>
      new StateDirectoryRefused({ directory, reason: "unusable", detail: `no place for the host's socket: ${(cause as Error).message}` })
  })

const fileOf = (directory: string): string => path.join(directory, "host.json")

/** Writes `host.json`, whole, for the user's eyes only. */
export const write = (directory: string, info: HostInfo): Effect.Effect<void, StateDirectoryRefused> =>
  Effect.try({
    try: () => {
      const file = fileOf(directory)
      fs.writeFileSync(`${file}.new`, `${JSON.stringify(info)}\n`, { mode: 0o600 })
      fs.renameSync(`${file}.new`, file)
    },
    catch: (cause) => new StateDirectoryRefused({ directory, reason: "unusable", detail: (cause as Error).message })
  })

/** Takes `host.json` away, if it still is that of this epoch. */
export const remove = (directory: string, epoch: number): Effect.Effect<void> =>
  Effect.sync(() => {
    if (readNow(directory)?.epoch === epoch) fs.rmSync(fileOf(directory), { force: true })
  })

const decode = Schema.decodeUnknownOption(Schema.fromJsonString(HostInfo))

const readNow = (directory: string): HostInfo | undefined => {
  try {
    return Option.getOrUndefined(decode(fs.readFileSync(fileOf(directory), "utf8")))
  } catch {
    return undefined
  }
}

/** What `host.json` says; undefined when there is none, or none that can be read. The host may be gone. */
export const read = (directory: string): Effect.Effect<HostInfo | undefined> => Effect.sync(() => readNow(directory))

/** The host that `host.json` names, if that process is still there. */
export const readLive = (directory: string, processes: Pick<ProcessSystem, "find" | "bootId">): Effect.Effect<HostInfo | undefined> =>
  Effect.gen(function* () {
    const info = readNow(directory)
    if (info === undefined || info.bootId !== processes.bootId) return undefined
    const row = yield* processes.find(info.pid)
    return row !== undefined && !row.dead && row.startTime === info.startTime ? info : undefined
  })

/**
 * Removes the sockets that hosts of earlier epochs left behind. Only for the owner of the state directory; one that still answers stays all the same.
 */
export const sweep = (socket: string): Effect.Effect<void> =>
  Effect.gen(function* () {
    if (socket.startsWith("\\\\")) return
    const directory = path.dirname(socket)
    const mine = path.basename(socket)
    const prefix = mine.slice(0, mine.lastIndexOf("-") + 1)
    for (const name of fs.readdirSync(directory)) {
      if (name === mine || !name.startsWith(prefix) || !name.endsWith(".sock")) continue
      if (yield* answers(path.join(directory, name))) continue
      yield* Effect.sync(() => fs.rmSync(path.join(directory, name), { force: true }))
    }
  })

/** Does somebody listen there? */
export const answers = (socket: string): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const connection = net.createConnection(socket)
    const end = (answer: boolean) => () => {
      connection.destroy()
      resume(Effect.succeed(answer))
    }
    connection.once("connect", end(true))
    connection.once("error", end(false))
    return Effect.sync(() => void connection.destroy())
  })
