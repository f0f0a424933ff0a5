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
  it.live("C28 of many dead letters that are retried one goes first, and the rest only when it has succeeded", () =>
    Effect.gen(function* () {
      const { json, nofx, options, root } = yield* somewhere
      yield* Launcher.launch(options)
      const { runtime } = yield* LocalHost.connect({ ...options, start: false })
      yield* runtime.spawn({ id: "sh", driver: "command", command: ["sh", "-c", `test -f ${root}/mended`] })
      const ids = ["a", "b", "c"]
      for (const id of ids) {
        yield* runtime.submit({ id, effect: "idempotent" })
        assert.strictEqual((yield* runtime.await(id)).state, "dead-lettered")
      }
      const runs = Effect.map(runtime.tasks, (tasks) => tasks.map((task) => task.run))

      const failed = yield* json("dlq", "retry", "--all")
      assert.deepInclude(failed, { skipped: 2, stopped: "the first one failed again", refused: [] })
      assert.deepEqual(
        failed.redriven.map(({ end, subject }: { end: string; subject: string }) => [subject, end]),
        [["a", "failed"]]
      )
      assert.deepEqual(yield* runs, [2, 1, 1])

      fs.writeFileSync(path.join(root, "mended"), "")
      const { out } = yield* nofx("dlq", "retry", "--all")
      assert.lengthOf(out.match(/has succeeded/g) ?? [], 3, out)
      assert.deepEqual(yield* runs, [3, 2, 2])
      assert.deepEqual(yield* runtime.getDLQMessages, [])
    })
  )

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

  it.live("C71 nofx run is the host's client: Ctrl-C leaves the work there, and the same command comes back to it", () =>
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

  it.live("C71 a run on a host takes its own agents away when it is finished, and prints what a run of its own would", () =>
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

  it.live("C32 nofx host --http answers probes and metrics: the numbers of nofx status, and alive but not ready while it drains", () =>
    Effect.gen(function* () {
      const { json, program, root, start } = yield* somewhere
      const file = path.join(root, "nofx.json")
      const shell = (text: string) => ({ driver: "command", command: ["sh", "-c", text] })
      const agents = [
        { id: "good", ...shell("exit 0") },
        { id: "bad", ...shell("exit 1") }
      ]
      fs.writeFileSync(
        file,
        JSON.stringify({ agents, tasks: ["one", "two", "three"].map((id) => ({ id, agent: id === "two" ? "bad" : "good" })) })
      )
      const host = yield* start("host", "--json", "--http", "0")
      yield* until(Effect.sync(host.printed), (text) => text.includes("HostReady"))
      const url: string = JSON.parse(host.printed()).http
      assert.match(url, /^http:\/\/127\.0\.0\.1:/)
      const get = (page: string) =>
        Effect.promise(async () => {
          const response = await fetch(url + page)
          return { status: response.status, type: response.headers.get("content-type"), text: await response.text() }
        })
      for (const page of ["/livez", "/readyz", "/startupz"])
        assert.deepInclude(yield* get(page), { status: 200, type: "application/health+json" })
      assert.strictEqual((yield* program("run", file)).code, 1)
      const status = yield* json("status")
      const { text, type } = yield* get("/metrics")
      assert.strictEqual(type, "text/plain; version=0.0.4; charset=utf-8")
      const number = (series: string) => Number(new RegExp(`^${series} (.*)$`, "m").exec(text)?.[1])
      assert.deepStrictEqual(
        [
          number('nofx_task_ended_total\\{nofx_task_outcome="succeeded"\\}'),
          number("nofx_dead_letters"),
          number("nofx_attempt_started_total")
        ],
        [status.tasks.succeeded, status.deadLetters.size, 3]
      )
      fs.writeFileSync(file, JSON.stringify({ agents: [{ id: "slow", ...shell("exec sleep 600") }], tasks: [{ id: "long" }] }))
      yield* start("run", file)
      yield* until(get("/metrics"), (page) => page.text.includes('nofx_tasks{nofx_task_state="running"} 1\n'))
      host.child.kill("SIGTERM")
      const ready = yield* until(get("/readyz"), (page) => page.status === 503)
      assert.deepInclude(JSON.parse(ready.text), { status: "fail", draining: true })
      for (const page of ["/livez", "/startupz"]) assert.strictEqual((yield* get(page)).status, 200)
      yield* Effect.sleep("150 millis")
      host.child.kill("SIGTERM")
      yield* until(Effect.sync(host.code), (code) => code !== undefined)
      assert.strictEqual(host.code(), 130)
    })
  )

  it.live("C60 nofx host refuses other machines without a token, and a port that it cannot have, before it touches anything", () =>
    Effect.gen(function* () {
      const { directory, program, start } = yield* somewhere
      const open = yield* program("host", "--http", "0", "--http-host", "0.0.0.0")
      assert.strictEqual(open.code, 2)
      assert.match(open.err, /0\.0\.0\.0 needs a token of at least 16 characters in NOFX_HTTP_TOKEN/)
      assert.strictEqual((yield* program("host", "--http", "65536")).code, 2)
      const host = yield* start("host", "--json", "--http", "0")
      yield* until(Effect.sync(host.printed), (text) => text.includes("HostReady"))
      const taken = yield* program("host", "--http", new URL(JSON.parse(host.printed()).http).port)
      assert.strictEqual(taken.code, 2)
      assert.match(taken.err, /Cannot listen for HTTP/)
      assert.isTrue(yield* HostFile.answers((yield* HostFile.read(directory))!.socket))
    })
  )
})
