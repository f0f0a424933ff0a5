/** Hosts and clients over real sockets, within one process, or each in its own. */
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { Effect, Layer } from "effect"
import * as ProcessSystem from "../../src/agent/ProcessSystem.ts"
import { AgentRuntime } from "../../src/AgentRuntime.ts"
import * as HostClient from "../../src/host/HostClient.ts"
import * as HostFile from "../../src/host/HostFile.ts"
import * as HostServer from "../../src/host/HostServer.ts"
import type { LeaveMode } from "../../src/host/Protocol.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { Store } from "../../src/store/Store.ts"
import { layer as runtimeLayer, type Options as RuntimeOptions } from "../support/runtime.ts"

/** A private directory that is gone after the test. */
export const temporary = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "nofx-h-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
)

export const place = { platform: process.platform, env: process.env, home: os.homedir() }

/** A host in this process, over the memory store and drivers that the test scripts. Closed with the scope. */
export const serve = (
  directory: string,
  options: RuntimeOptions & Partial<HostServer.Options> & { readonly disk?: Pick<MemoryStore.Disk, "open"> }
) =>
  Effect.gen(function* () {
    const store = (options.disk ?? MemoryStore.makeDisk()).open()
    const parts = yield* Layer.build(
      Layer.provideMerge(
        HostServer.layer({ directory, cwd: directory, place, processes: ProcessSystem.make(), ...options }),
        Layer.mergeAll(
          runtimeLayer({ ...options, disk: { open: () => store }, environment: { waitsForClients: true, ...options.environment } }),
          Layer.succeed(Store, store)
        )
      )
    )
    return {
      runtime: yield* Effect.provide(AgentRuntime, parts),
      host: yield* Effect.provide(HostServer.Host, parts)
    }
  })

/** A client of whatever host `host.json` names. */
export const connect = (
  directory: string,
  options: { readonly onLeave?: LeaveMode; readonly name?: string; readonly patience?: string } = {}
) =>
  HostClient.make({
    directory,
    host: Effect.flatMap(HostFile.read(directory), (info) =>
      info === undefined ? Effect.die(new Error("there is no host.json")) : Effect.succeed(info)
    ),
    ...options
  } as HostClient.Options)

/** Waits until it is so; polls, with a bound that only a broken program reaches. */
export const until = <A>(look: Effect.Effect<A>, so: (value: A) => boolean): Effect.Effect<A> =>
  Effect.gen(function* () {
    for (;;) {
      const value = yield* look
      if (so(value)) return value
      yield* Effect.sleep("10 millis")
    }
  }).pipe(Effect.timeoutOrElse({ duration: "20 seconds", orElse: () => Effect.die(new Error("it did not come so")) }))

export const mainFile = fileURLToPath(new URL("../../src/host/main.ts", import.meta.url))

/** Ends a process of ours for good, if it is there. */
export const kill = (pid: number | undefined): Effect.Effect<void> =>
  Effect.sync(() => {
    if (pid === undefined) return
    try {
      process.kill(pid, "SIGKILL")
    } catch {
      // It is gone.
    }
  })

/** What a program printed, and how it ended. */
export const execute = (program: string, args: ReadonlyArray<string>, env: Readonly<Record<string, string>>) =>
  Effect.callback<{ readonly code: number; readonly out: string; readonly err: string }>((resume) => {
    const child = childProcess.execFile(program, [...args], { env }, (error, out, err) =>
      resume(Effect.succeed({ code: typeof error?.code === "number" ? error.code : error === null ? 0 : -1, out, err }))
    )
    return Effect.sync(() => void child.kill("SIGKILL"))
  })
