/** Runs the demo's agent as a real process. */
import { execFileSync, spawn } from "node:child_process"
import { Effect, type Scope } from "effect"
import { fileURLToPath } from "node:url"

const program = fileURLToPath(new URL("../../src/demo/agent.ts", import.meta.url))

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: Buffer
  readonly stderr: string
}

export interface Running {
  readonly pid: number
  readonly ended: Promise<Ended>
}

/** Starts it with the text on standard input; killed at the end of the scope. */
export const start = (stdin: string, cwd: string, env: Record<string, string>): Effect.Effect<Running, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, ["--disable-warning=ExperimentalWarning", program], { cwd, env: { ...process.env, ...env } })
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    ),
    (child) => {
      const out: Array<Buffer> = []
      const err: Array<Buffer> = []
      child.stdout.on("data", (chunk: Buffer) => out.push(chunk))
      child.stderr.on("data", (chunk: Buffer) => err.push(chunk))
      // A program may end without reading what it is given.
      child.stdin.on("error", () => {})
      child.stdin.end(stdin)
      const ended = new Promise<Ended>((resolve) => {
        child.on("close", (code, signal) => resolve({ code, signal, stdout: Buffer.concat(out), stderr: Buffer.concat(err).toString() }))
      })
      return { pid: child.pid ?? 0, ended }
    }
  )

export const run = (stdin: string, cwd: string, env: Record<string, string>): Effect.Effect<Ended> =>
  Effect.scoped(Effect.flatMap(start(stdin, cwd, env), ({ ended }) => Effect.promise(() => ended)))

/** Does a process with this pid live? One that only waits to be collected by its parent is dead. */
export const lives = (pid: number): boolean => {
  try {
    return !execFileSync("ps", ["-o", "stat=", "-p", String(pid)])
      .toString()
      .startsWith("Z")
  } catch {
    return false
  }
}

/** Ends when the condition holds; a test's own time limit bounds it. */
export const until = (condition: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => (condition() ? Effect.void : Effect.andThen(Effect.sleep("20 millis"), until(condition))))
