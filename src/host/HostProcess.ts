/** The two programs that whoever needs a host runs: a Node, to see whether it can run one, and then the host, which outlives its parent. */
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Effect from "effect/Effect"

/** A Node, or an editor that can act as one. */
export interface Node {
  readonly path: string
  /** It is an editor's program, which acts as Node when it is told to. */
  readonly electron: boolean
}

/** What a Node says of itself. */
export interface Examined {
  readonly version: string
  /** It is new enough, and has SQLite. */
  readonly fits: boolean
}

const question =
  "const [a,b]=process.versions.node.split('.').map(Number);let s=true;try{require('node:sqlite')}catch{s=false}" +
  "process.stdout.write(JSON.stringify({version:process.versions.node,fits:s&&(a>22||(a===22&&b>=19))}))"

const asNode = ({ electron }: Node): Readonly<Record<string, string>> => (electron ? { ELECTRON_RUN_AS_NODE: "1" } : {})

/** Starting a Node takes tenths of a second; a program that only looks like one may do anything. */
const examineLimitMillis = 15_000

/** Asks a Node what it is; undefined when it is none, or does not answer. */
export const examine = (node: Node, env: Readonly<Record<string, string>>): Effect.Effect<Examined | undefined> =>
  Effect.callback((resume) => {
    const child = childProcess.execFile(
      node.path,
      ["--no-warnings", "-e", question],
      { env: { ...env, ...asNode(node) }, timeout: examineLimitMillis, windowsHide: true },
      (error, stdout) => {
        try {
          resume(Effect.succeed(error === null ? (JSON.parse(stdout) as Examined) : undefined))
        } catch {
          resume(Effect.succeed(undefined))
        }
      }
    )
    return Effect.sync(() => void child.kill())
  })

/** A host that was started; it may have ended. */
export interface Started {
  readonly pid: number | undefined
  /** The exit code, or why there is none; undefined while it runs. */
  readonly ended: () => string | number | undefined
}

/** Logs of this size are put aside when a host starts; one such is kept. Bytes. */
const maxLog = 1_000_000

export const logFile = (directory: string): string => path.join(directory, "host.log")

/** Starts a host that does not end with this process, nor with its terminal or window. What it says goes to `host.log`. */
export const start = (options: {
  readonly node: Node
  readonly program: string
  /** The state directory. */
  readonly directory: string
  readonly env: Readonly<Record<string, string>>
}): Effect.Effect<Started> =>
  Effect.sync(() => {
    const file = logFile(options.directory)
    if (fs.existsSync(file) && fs.statSync(file).size > maxLog) fs.renameSync(file, `${file}.1`)
    const log = fs.openSync(file, "a", 0o600)
    let ended: string | number | undefined
    const child = childProcess.spawn(options.node.path, ["--disable-warning=ExperimentalWarning", options.program, options.directory], {
      detached: true,
      windowsHide: true,
      // Not in the user's folder: that could not be removed on Windows as long as the host lives.
      cwd: options.directory,
      env: { ...options.env, ...asNode(options.node) },
      stdio: ["ignore", log, log]
    })
    child.on("error", (error) => {
      ended ??= error.message
    })
    child.on("exit", (code, signal) => {
      ended ??= code ?? signal ?? "unknown"
    })
    child.unref()
    fs.closeSync(log)
    return { pid: child.pid, ended: () => ended }
  })

/** The last lines of the log, for whoever wants to know why. */
export const lastWords = (directory: string): string => {
  try {
    return fs.readFileSync(logFile(directory), "utf8").trimEnd().split("\n").slice(-5).join("\n")
  } catch {
    return ""
  }
}
