/** The command line beside a host that runs: a real process; so are the commands that stay, or that signals are sent to. */
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as HostFile from "../../src/host/HostFile.ts"
import * as Launcher from "../../src/host/Launcher.ts"
import * as LocalHost from "../../src/host/LocalHost.ts"
import { nofx } from "../cli/commandLine.ts"
import { execute, kill, temporary, until } from "./served.ts"

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))

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
  yield* Effect.addFinalizer(() => Effect.flatMap(HostFile.read(directory), (info) => kill(info?.pid)))
  const args = (words: ReadonlyArray<string>) => ["--disable-warning=ExperimentalWarning", main, ...words, "--state-dir", directory]
  return {
    root,
    directory,
    options,
    nofx: (...words: ReadonlyArray<string>) => nofx([...words, "--state-dir", directory], { env }),
    json: (...words: ReadonlyArray<string>) =>
      Effect.map(nofx([...words, "--state-dir", directory, "--json"], { env }), ({ err, out }) => {
        assert.strictEqual(err, "")
        return JSON.parse(out)
      }),
    /** As a program of its own, to its end. */
    program: (...words: ReadonlyArray<string>) => execute(process.execPath, args(words), env),
    /** A program that stays. */
    start: (...words: ReadonlyArray<string>) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          const child = childProcess.spawn(process.execPath, args(words), { env, stdio: ["ignore", "pipe", "pipe"] })
          let printed = ""
          let code: number | null | undefined
          child.stdout.on("data", (chunk) => (printed += chunk))
          child.stderr.on("data", (chunk) => (printed += chunk))
          child.on("close", (ended) => {
            code = ended
          })
          return { child, printed: () => printed, code: () => code }
        }),
        ({ child }) => Effect.sync(() => void child.kill("SIGKILL"))
      )
  }
})

describe("commands beside a host", () => {
  it.live("C54 they ask the host instead of refusing, and show this instant", () =>
    Effect.gen(function* () {
      const { json, nofx, options } = yield* somewhere
      const info = yield* Launcher.launch(options)
      const { runtime } = yield* LocalHost.connect({ ...options, start: false })
      yield* runtime.spawn({ id: "sh", driver: "command", command: ["sh", "-c", "echo done"] })

      assert.deepInclude(yield* json("add", "do it", "--id", "t", "--effect", "idempotent"), { _tag: "TaskAdded", taskId: "t" })
      assert.strictEqual((yield* runtime.await("t")).state, "succeeded")
      const status = yield* json("status")
      assert.deepInclude(status.owner, { pid: info.pid, kind: "host", alive: true })
      assert.deepEqual(
        status.agents.map(({ id, state }: { id: string; state: string }) => [id, state]),
        [["sh", "idle"]]
      )

      assert.deepEqual(yield* json("breaker", "isolate", "sh", "--reason", "too loud"), {
        _tag: "BreakerIsolated",
        agentId: "sh",
        isolated: ["agent:sh"]
      })
      assert.strictEqual((yield* runtime.getAgentCircuitBreakerStatus("sh")).state, "isolated")
      assert.deepInclude(yield* json("breaker", "reset", "agent:sh"), { result: "Reset", reset: ["agent:sh"] })
      assert.strictEqual((yield* runtime.getAgentCircuitBreakerStatus("sh")).state, "closed")

      yield* json("pause")
      assert.strictEqual((yield* runtime.getReliabilityStatus).phase, "paused")
      yield* json("add", "later", "--id", "u")
      assert.deepInclude(yield* json("cancel", "u"), { _tag: "TaskCancelled", taskId: "u" })
      assert.strictEqual((yield* runtime.await("u")).state, "cancelled")
      assert.match((yield* nofx("resume")).out, /Resumed: queued tasks start again/)
      const health = yield* nofx("health")
      assert.match(health.out, /^status +healthy$/m)
      assert.match(health.out, /event loop +healthy/)
    })
  )

  it.live("C69 nofx run is the host's client: Ctrl-C leaves the work there, and the same command comes back to it", () =>
    Effect.gen(function* () {
      const { options, root, start } = yield* somewhere
      const gate = path.join(root, "gate")
      const file = path.join(root, "nofx.yaml")
      fs.writeFileSync(
        file,
        `agents:\n  - {id: sh, driver: command, command: [sh, -c, "pwd > seen; while [ ! -f ${gate} ]; do sleep 0.05; done"]}\n` +
          "tasks:\n  - {id: one, effect: idempotent}\n  - {id: two, effect: idempotent, dependsOn: [one]}\n"
      )
      const info = yield* Launcher.launch({ ...options, settings: { cwd: "/", config: {} } })
      const run = yield* start("run", file)
      const { runtime } = yield* LocalHost.connect({ ...options, start: false })
      yield* until(runtime.tasks, (tasks) => tasks.some(({ state }) => state === "running"))
      run.child.kill("SIGINT")
      yield* until(Effect.sync(run.code), (code) => code !== undefined)
      assert.strictEqual(run.code(), 130)
      assert.include(run.printed(), `the host (pid ${info.pid}) goes on`)
      assert.isTrue((yield* runtime.tasks).some(({ state }) => state === "running"))
      const batch = /the batch there is (\S+)/.exec(run.printed())?.[1]
      const again = yield* start("run", file)
      yield* until(Effect.sync(again.printed), (text) => text.includes(`the batch there is ${batch}`))
      fs.writeFileSync(gate, "")
      yield* until(Effect.sync(again.code), (code) => code !== undefined)
      assert.strictEqual(again.code(), 0, again.printed())
      assert.match(again.printed(), /Finished after .*: 2 succeeded, 0 dead-lettered, 0 cancelled/)
      assert.deepEqual(
        (yield* runtime.tasks).map(({ attempts, id, state }) => [id, state, attempts]),
        [
          ["one", "succeeded", 1],
          ["two", "succeeded", 1]
        ]
      )
      assert.strictEqual(fs.readFileSync(path.join(root, "seen"), "utf8"), `${root}\n`)
    })
  )

  it.live("C69 a run on a host takes its own agents away when it is finished, and prints what a run of its own would", () =>
    Effect.gen(function* () {
      const { options, program, root } = yield* somewhere
      const file = path.join(root, "nofx.yaml")
      fs.writeFileSync(
        file,
        'agents:\n  - {id: sh, driver: command, command: [sh, -c, "exit 0"]}\ntasks:\n  - {id: one, effect: idempotent}\n'
      )
      const tags = (text: string) => {
        const all = text.trim().split("\n")
        return all.map((line) => JSON.parse(line)._tag).filter((tag) => /^(Task|Attempt|Run[A-Z]\w*Finished|RunFinished)/.test(tag))
      }
      const own = yield* program("run", file, "--json")
      yield* Launcher.launch(options)
      const hosted = yield* program("run", file, "--json")
      assert.deepEqual([own.code, hosted.code, hosted.err], [0, 0, ""])
      assert.deepEqual(tags(hosted.out), tags(own.out))
      const { runtime } = yield* LocalHost.connect({ ...options, start: false })
      assert.deepEqual(yield* runtime.agents, [])
    })
  )

  it.live("C42 nofx host says when it is ready, ends by SIGTERM with 0, and a second one is refused", () =>
    Effect.gen(function* () {
      const { directory, program, start } = yield* somewhere
      const host = yield* start("host", "--json")
      yield* until(Effect.sync(host.printed), (text) => text.includes("HostReady"))
      const info = yield* HostFile.read(directory)
      assert.strictEqual(info?.pid, host.child.pid)
      const second = yield* program("host")
      assert.strictEqual(second.code, 3)
      assert.match(second.err, /is owned by a NofX host/)
      // It still answers: its socket was not touched.
      assert.isTrue(yield* HostFile.answers(info!.socket))
      host.child.kill("SIGTERM")
      yield* until(Effect.sync(host.code), (code) => code !== undefined)
      assert.strictEqual(host.code(), 0)
      assert.deepInclude(JSON.parse(host.printed().trim().split("\n").at(-1)!), { _tag: "HostEnded", reason: "signal", abandoned: [] })
    })
  )
})
