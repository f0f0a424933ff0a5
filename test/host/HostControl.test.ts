/** When a host ends, what it holds, and what comes back with the next one. */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import * as Connection from "../../src/host/Connection.ts"
import { hasWork } from "../../src/host/HostControl.ts"
import * as HostFile from "../../src/host/HostFile.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { claim, driver, succeedAfter } from "../support/runtime.ts"
import { connect, place, serve, temporary, until } from "./served.ts"

/** Attempts that end when the test says so. */
const gated = () => {
  let open = false
  const look = Effect.suspend(() =>
    until(
      Effect.sync(() => open),
      (so) => so
    )
  )
  return {
    open: () => void (open = true),
    driver: driver((attempt) => Effect.andThen(attempt.started(), Effect.as(look, claim())))
  }
}

/** A client that leaves with the scope. */
const visit = <A, E, R>(
  directory: string,
  options: Parameters<typeof connect>[1],
  use: (reached: Effect.Success<ReturnType<typeof connect>>) => Effect.Effect<A, E, R>
) => Effect.scoped(Effect.flatMap(connect(directory, options), use))

describe("hosts between their clients", () => {
  it("C71 work is what goes on by itself: running, or due with somebody there to do it, and not paused", () => {
    const none = { queued: 0, blocked: 0, running: 0, parked: 0, succeeded: 5, "dead-lettered": 5, cancelled: 5 }
    const at = (tasks: Partial<typeof none>, phase: "running" | "paused" = "running", agents: Record<string, number> = { idle: 1 }) =>
      hasWork({ phase, agents, tasks: { ...none, ...tasks } })
    assert.deepEqual(
      [at({}), at({ running: 1 }), at({ queued: 1 }), at({ parked: 1 }), at({ blocked: 3 })],
      [false, true, true, true, false]
    )
    assert.deepEqual([at({ running: 1 }, "paused"), at({ queued: 1 }, "paused"), at({ queued: 1 }, "running", {})], [true, false, false])
  })

  it.live("C71 the last window's going pauses the queue when its user wants that, and its coming back ends the pause", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const { runtime } = yield* serve(directory, { drivers: {}, grace: "50 millis" })
      const phase = Effect.map(runtime.getReliabilityStatus, (status) => status.phase)
      yield* visit(directory, { onLeave: "pause" }, () => visit(directory, { onLeave: "finish" }, () => Effect.void))
      yield* until(phase, (now) => now === "paused")
      yield* visit(directory, {}, ({ runtime: viewer }) => viewer.agents)
      assert.strictEqual(yield* phase, "paused")
      yield* visit(directory, { onLeave: "finish" }, () => until(phase, (now) => now === "running"))
      // What the user paused stays so.
      yield* visit(directory, { onLeave: "pause" }, ({ runtime: editor }) => editor.pause)
      yield* visit(directory, { onLeave: "finish" }, ({ runtime: editor }) => editor.agents)
      assert.strictEqual(yield* phase, "paused")
    })
  )

  it.live("C71 the last window's going ends the host when its user wants that", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const { host } = yield* serve(directory, { drivers: {}, grace: "20 millis" })
      yield* visit(directory, { onLeave: "finish" }, ({ client }) => client.leaving("stop"))
      assert.strictEqual(yield* host.ended, "editor-closed")
    })
  )

  it.live("C71 a host that is to be replaced starts nothing more, ends when no attempt runs, and the next one goes on", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const disk = MemoryStore.makeDisk()
      const gate = gated()
      const drivers = { gated: gate.driver }
      const scope = yield* Scope.make()
      const old = yield* Scope.provide(serve(directory, { drivers, disk }), scope)
      yield* visit(directory, {}, ({ runtime }) =>
        Effect.gen(function* () {
          yield* runtime.spawn({ id: "a", driver: "gated" })
          yield* runtime.submit({ id: "t1" })
          yield* runtime.submit({ id: "t2" })
          yield* until(runtime.tasks, (tasks) => tasks.some(({ state }) => state === "running"))
        })
      )
      // Even a client that does not know this version may ask for it.
      assert.strictEqual(yield* Connection.retire((yield* HostFile.read(directory))!), 1)
      gate.open()
      assert.strictEqual(yield* old.host.ended, "retired")
      assert.deepEqual(
        (yield* old.runtime.tasks).map(({ id, state }) => [id, state]),
        [
          ["t1", "succeeded"],
          ["t2", "queued"]
        ]
      )
      yield* Scope.close(scope, Exit.void)
      const next = yield* serve(directory, { drivers, disk })
      assert.strictEqual((yield* next.runtime.await("t2")).state, "succeeded")
      assert.strictEqual((yield* next.runtime.getReliabilityStatus).phase, "running")
    })
  )

  it.live("C54 agents come back with the next host, those that were removed do not", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const disk = MemoryStore.makeDisk()
      const drivers = { fake: driver(succeedAfter("5 millis")) }
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* serve(directory, { drivers, disk })
          yield* visit(directory, {}, ({ runtime }) =>
            Effect.gen(function* () {
              yield* runtime.spawn({ id: "stays", driver: "fake", capabilities: ["x"] })
              yield* runtime.spawn({ id: "goes", driver: "fake" })
              yield* runtime.remove("goes")
            })
          )
        })
      )
      const { runtime } = yield* serve(directory, { drivers, disk })
      const agents = yield* until(runtime.agents, (all) => all.some(({ state }) => state === "idle"))
      assert.deepEqual(
        agents.map(({ capabilities, id }) => [id, ...capabilities]),
        [["stays", "x"]]
      )
    })
  )
})

describe("where a host is found", () => {
  it.live("C71 a state directory whose path is too long for a socket has it in a private directory elsewhere", () =>
    Effect.gen(function* () {
      const root = yield* temporary
      const directory = path.join(root, "x".repeat(120))
      fs.mkdirSync(directory, { mode: 0o700 })
      const runtimeDirectory = path.join(root, "run")
      fs.mkdirSync(runtimeDirectory, { mode: 0o700 })
      const at = { platform: place.platform, env: { XDG_RUNTIME_DIR: runtimeDirectory } }
      yield* serve(directory, { drivers: {}, place: at })
      const info = (yield* HostFile.read(directory))!
      assert.isAtMost(Buffer.byteLength(info.socket), HostFile.maxSocketPath)
      assert.strictEqual(path.dirname(info.socket), path.join(runtimeDirectory, "nofx"))
      assert.strictEqual(fs.statSync(path.dirname(info.socket)).mode & 0o777, 0o700)
      assert.strictEqual(fs.statSync(info.socket).mode & 0o777, 0o600)
      assert.strictEqual((yield* connect(directory)).client.welcome.directory, directory)
    })
  )

  it.live("C71 a directory for the socket that is a link somewhere else is refused", () =>
    Effect.gen(function* () {
      const root = yield* temporary
      const run = path.join(root, "run")
      fs.mkdirSync(run)
      fs.symlinkSync(root, path.join(run, "nofx"))
      const error = yield* Effect.flip(HostFile.socketPath(`/${"x".repeat(120)}`, 1, { platform: "linux", env: { XDG_RUNTIME_DIR: run } }))
      assert.match(error.message, /no place for the host's socket/)
    })
  )

  it.live("C71 what names a process that is not the host any more names no host", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const processes = {
        bootId: "boot",
        find: (pid: number) => Effect.succeed(pid === 7 ? ({ pid, startTime: "100", dead: false } as never) : undefined)
      }
      const info = { protocol: 1, version: "1", epoch: 1, socket: "/s", token: "t", startedAt: 1 }
      const live = (pid: number, startTime: string, bootId: string) =>
        Effect.andThen(HostFile.write(directory, { ...info, pid, startTime, bootId }), HostFile.readLive(directory, processes))
      assert.strictEqual((yield* live(7, "100", "boot"))?.pid, 7)
      assert.isUndefined(yield* live(8, "100", "boot"))
      assert.isUndefined(yield* live(7, "99", "boot"))
      assert.isUndefined(yield* live(7, "100", "before"))
      fs.writeFileSync(path.join(directory, "host.json"), "{")
      assert.isUndefined(yield* HostFile.read(directory))
    })
  )
})
