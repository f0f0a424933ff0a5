/** Hosts that run by themselves: real processes, started on demand, killed, signalled, left alone. */
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber } from "effect"
import * as HostFile from "../../src/host/HostFile.ts"
import * as Launcher from "../../src/host/Launcher.ts"
import * as LocalHost from "../../src/host/LocalHost.ts"
import { budget } from "../../src/host/Launches.ts"
import * as NodeSearch from "../../src/host/NodeSearch.ts"
import { kill, temporary, until } from "./served.ts"

const agent = (id: string, script: string, more: Record<string, unknown> = {}) => ({
  id,
  driver: "command",
  command: ["sh", "-c", script],
  ...more
})

/** A place for one host, which is ended with the scope, whoever started it. */
const somewhere = Effect.gen(function* () {
  const root = yield* temporary
  const directory = path.join(root, "state")
  const env = { PATH: process.env["PATH"] ?? "", HOME: root, XDG_STATE_HOME: path.join(root, "home") }
  const options: Launcher.Options = {
    directory,
    place: { platform: process.platform, env, home: root },
    self: { path: process.execPath, electron: false },
    settings: { cwd: root, config: {} }
  }
  const pid = Effect.map(HostFile.read(directory), (info) => info?.pid)
  yield* Effect.addFinalizer(() => Effect.flatMap(pid, kill))
  return { root, directory, env, options, pid }
})

const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return !fs.readFileSync(`/proc/${pid}/stat`, "latin1").includes(") Z ")
  } catch {
    return false
  }
}

const mode = (file: string): string => (fs.statSync(file).mode & 0o777).toString(8)

describe("hosts on demand", () => {
  it.live("C71 two that start a host at the same time get one; it is private, listens on no network, and outlives them", () =>
    Effect.gen(function* () {
      const { directory, options, pid } = yield* somewhere
      const both = yield* Effect.scoped(
        Effect.gen(function* () {
          const [one, other] = yield* Effect.all([LocalHost.connect(options), LocalHost.connect(options)], { concurrency: 2 })
          assert.strictEqual(one.client.welcome.pid, other.client.welcome.pid)
          assert.notStrictEqual(one.client.welcome.pid, process.pid)
          yield* one.runtime.spawn(agent("sh", "echo done"))
          const end = yield* other.runtime.execute("sh", { id: "t", effect: "idempotent" })
          assert.deepInclude(end, { state: "succeeded", output: "done\n" })
          return one.client.welcome
        })
      )
      const info = yield* HostFile.read(directory)
      assert.isDefined(info)
      assert.strictEqual(mode(directory), "700")
      for (const file of ["host.json", "host-settings.json", "host.log", path.basename(info.socket)]) {
        assert.strictEqual(mode(path.join(directory, file)), "600", file)
      }
      // Its sockets are all of the local kind.
      const inodes = fs.readdirSync(`/proc/${both.pid}/fd`).flatMap((fd) => {
        try {
          return [/^socket:\[(\d+)\]$/.exec(fs.readlinkSync(`/proc/${both.pid}/fd/${fd}`))?.[1]].filter((one) => one !== undefined)
        } catch {
          return []
        }
      })
      const network = ["tcp", "tcp6", "udp", "udp6"].flatMap((kind) =>
        fs
          .readFileSync(`/proc/${both.pid}/net/${kind}`, "utf8")
          .split("\n")
          .map((line) => line.trim().split(/\s+/)[9])
      )
      assert.isAbove(inodes.length, 0)
      assert.deepEqual(
        inodes.filter((inode) => network.includes(inode)),
        []
      )
      assert.isTrue(alive(both.pid))
      assert.strictEqual(yield* pid, both.pid)
    })
  )

  it.live("C71 a host that is killed is started again by its client, and its work goes on", () =>
    Effect.gen(function* () {
      const { options, root } = yield* somewhere
      const gate = path.join(root, "gate")
      const { client, runtime } = yield* LocalHost.connect(options)
      yield* runtime.spawn(agent("sh", `while [ ! -f ${gate} ]; do sleep 0.05; done; echo through`))
      yield* runtime.submit({ id: "t", agent: "sh", effect: "idempotent" })
      const first = client.welcome
      yield* until(runtime.tasks, (tasks) => tasks[0]?.state === "running")
      const waiting = yield* Effect.forkChild(runtime.await("t"))
      yield* kill(first.pid)
      yield* until(Effect.sync(client.state), (state) => state._tag === "Connected" && state.welcome.pid !== first.pid)
      fs.writeFileSync(gate, "")
      const end = yield* Fiber.join(waiting)
      assert.deepInclude(end, { taskId: "t", state: "succeeded", output: "through\n" })
      const state = client.state()
      assert.isAbove(state._tag === "Connected" ? state.welcome.epoch : 0, first.epoch)
    })
  )

  it.live("C71 a host without clients and work ends: first its socket, last its lock", () =>
    Effect.gen(function* () {
      const { directory, options } = yield* somewhere
      fs.mkdirSync(directory, { mode: 0o700 })
      fs.writeFileSync(path.join(directory, "host-settings.json"), JSON.stringify({ cwd: directory, config: {}, idle: "500 millis" }))
      const { settings: _, ...kept } = options
      const info = yield* Launcher.launch(kept)
      yield* until(
        Effect.sync(() => alive(info.pid)),
        (there) => !there
      )
      assert.isUndefined(yield* HostFile.read(directory))
      assert.isFalse(fs.existsSync(info.socket))
      assert.isFalse(fs.existsSync(path.join(directory, "owner.json")))
      assert.isFalse(fs.existsSync(path.join(directory, "host-launches.json")))
    })
  )

  it.live("C42 SIGTERM drains: what runs is finished, and the host is gone with everything of it", () =>
    Effect.gen(function* () {
      const { directory, options, root } = yield* somewhere
      const info = yield* Launcher.launch(options)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { runtime } = yield* LocalHost.connect({ ...options, reconnect: "0 millis", start: false })
          yield* runtime.spawn(agent("sh", `touch ${root}/began; sleep 0.3; touch ${root}/finished`))
          yield* runtime.submit({ id: "t", agent: "sh", effect: "unsafe" })
          yield* until(
            Effect.sync(() => fs.existsSync(path.join(root, "began"))),
            (there) => there
          )
          process.kill(info.pid, "SIGTERM")
          yield* until(
            Effect.sync(() => alive(info.pid)),
            (there) => !there
          )
        })
      )
      assert.isTrue(fs.existsSync(path.join(root, "finished")))
      assert.isFalse(fs.existsSync(info.socket))
      assert.isUndefined(yield* HostFile.read(directory))
    })
  )

  it.live("C71 a host that dies at every start is not started for ever, and its words are told", () =>
    Effect.gen(function* () {
      const { options, root } = yield* somewhere
      const program = path.join(root, "dies.mjs")
      fs.writeFileSync(program, 'console.error("no luck"); process.exit(9)')
      for (let n = 0; n < budget; n++) {
        const error = yield* Effect.flip(Launcher.launch({ ...options, program }))
        assert.deepInclude(error, { _tag: "HostNotStarted", reason: "died" })
        assert.match(error.message, /ended with 9.*no luck/s)
      }
      const refused = yield* Effect.flip(Launcher.launch({ ...options, program }))
      assert.deepInclude(refused, { _tag: "HostNotStarted", reason: "budget" })
      assert.match(refused.message, /died 5 times within ten minutes; the next try is at /)
    })
  )

  it.live("C71 without a Node that can run it the message says what was seen and what to install", () =>
    Effect.gen(function* () {
      const { options, root } = yield* somewhere
      const old = path.join(root, "node")
      fs.writeFileSync(old, `#!/bin/sh\necho '{"version":"20.1.0","fits":false}'\n`, { mode: 0o755 })
      const error = yield* Effect.flip(Launcher.launch({ ...options, nodePath: old }))
      assert.strictEqual(error._tag, "NodeMissing")
      assert.include(error.message, `${old} (20.1.0)`)
      assert.include(error.message, "needs Node.js 22.19 or newer")
    })
  )

  it.live("C71 an editor's Node is the last choice, since an update may replace it; without an editor one's own is the first", () =>
    Effect.gen(function* () {
      const { env, options, root } = yield* somewhere
      fs.writeFileSync(path.join(root, "node"), "", { mode: 0o755 })
      const place = { ...options.place, env: { ...env, PATH: root } }
      const paths = (electron: boolean) =>
        NodeSearch.candidates({ place, self: { path: "/opt/code/code", electron } }).map((node) => [node.path, node.electron])
      const system = [path.join(root, "node"), false]
      const editor = paths(true)
      assert.deepEqual(editor[0], system)
      assert.deepEqual(editor.at(-1), ["/opt/code/code", true])
      assert.deepEqual(paths(false).slice(0, 2), [["/opt/code/code", false], system])
      // One that is asked to act as Node, and does.
      const found = yield* NodeSearch.find({ place: { ...place, env: {} }, self: { path: process.execPath, electron: true } })
      assert.isString(found.path)
    })
  )

  it.live("C71 a socket that a dead host left is no obstacle, one of a live host is left alone", () =>
    Effect.gen(function* () {
      const { directory, options } = yield* somewhere
      const first = yield* Launcher.launch(options)
      yield* kill(first.pid)
      yield* until(
        Effect.sync(() => alive(first.pid)),
        (there) => !there
      )
      assert.isTrue(fs.existsSync(first.socket))
      // Somebody still answers there, whoever it is.
      const other = path.join(directory, "host-777.sock")
      yield* Effect.acquireRelease(
        Effect.callback<net.Server>((resume) => {
          const server = net.createServer().listen(other, () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => server.close())
      )
      const second = yield* Launcher.launch(options)
      assert.isAbove(second.epoch, first.epoch)
      assert.isFalse(fs.existsSync(first.socket))
      assert.isTrue(fs.existsSync(other))
    })
  )

  it.live("C71 the program that is run is a copy, which an update of the editor's extension does not replace", () =>
    Effect.gen(function* () {
      const { options, root } = yield* somewhere
      const program = path.join(root, "host.mjs")
      fs.writeFileSync(program, "export {}\n")
      const copy = yield* Launcher.install(program, options.place)
      assert.strictEqual(yield* Launcher.install(program, options.place), copy)
      fs.writeFileSync(program, "export { }\n")
      assert.notStrictEqual(yield* Launcher.install(program, options.place), copy)
      assert.strictEqual(fs.readFileSync(copy, "utf8"), "export {}\n")
      assert.strictEqual(mode(copy), "600")
    })
  )

  it.live("C71 copies that nobody has made for a month are taken away with the next one, the others stay", () =>
    Effect.gen(function* () {
      const { options, root } = yield* somewhere
      const program = path.join(root, "host.mjs")
      const install = (text: string) =>
        Effect.suspend(() => {
          fs.writeFileSync(program, text)
          return Launcher.install(program, options.place)
        })
      const [first, second] = [yield* install("export const a = 1\n"), yield* install("export const b = 2\n")]
      const old = (yield* Clock.currentTimeMillis) / 1000 - 40 * 86_400
      fs.utimesSync(first, old, old)
      const third = yield* install("export const c = 3\n")
      assert.deepStrictEqual(fs.readdirSync(path.dirname(third)).sort(), [second, third].map((file) => path.basename(file)).sort())
    })
  )
})
