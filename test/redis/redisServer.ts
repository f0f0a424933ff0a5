/** A real Redis on a free port, for tests: started, killed and started again as they like. Nothing of it is left behind. */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { createServer, type AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"

export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer().once("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })

export interface RedisServer {
  readonly port: number
  readonly url: string
  /** Starts it and waits until it takes connections. */
  readonly start: () => Promise<void>
  /** Kills it, as a crash would. */
  readonly kill: () => Promise<void>
  /** Lets it hang, and go on. */
  readonly signal: (signal: "SIGSTOP" | "SIGCONT") => void
}

/** A server that is running; it ends with the scope. */
export const make = (args: ReadonlyArray<string> = []) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const directory = await mkdtemp(join(tmpdir(), "nofx-redis-"))
      const port = await freePort()
      let child: ChildProcess | undefined
      const kill = async () => {
        const running = child
        child = undefined
        if (running === undefined) return
        const ended = new Promise((resolve) => running.once("exit", resolve))
        running.kill("SIGKILL")
        await ended
      }
      const start = () =>
        new Promise<void>((resolve, reject) => {
          let output = ""
          child = spawn("redis-server", ["--port", `${port}`, "--bind", "127.0.0.1", "--dir", directory, "--save", "", ...args])
          child.stdout?.on("data", (chunk) => {
            output += chunk
            if (output.includes("Ready to accept connections")) resolve()
          })
          child.once("exit", () => reject(new Error(`redis-server ended: ${output}`)))
        })
      await start()
      const server: RedisServer = { port, url: `redis://127.0.0.1:${port}`, start, kill, signal: (signal) => void child?.kill(signal) }
      return { server, directory }
    }),
    ({ directory, server }) =>
      Effect.promise(async () => {
        await server.kill()
        await rm(directory, { recursive: true, force: true })
      })
  ).pipe(Effect.map(({ server }) => server))
