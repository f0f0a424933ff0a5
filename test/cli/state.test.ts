/** The commands about a state directory, on what real runs of real processes left there. */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { DeadLetter } from "../../src/reliability/DeadLetterQueue.ts"
import { HealthReport } from "../../src/reliability/Health.ts"
import { AgentView, TaskView } from "../../src/RuntimeStatus.ts"
import { nofx } from "./commandLine.ts"

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))

/** `good` succeeds; `bad` fails for good, as long as there is no file `mended`; `next` is held by it, `also` cancelled. */
const file = `agents:
  - {id: sh, driver: command, command: [sh, -c, "test {{task.input.needs}} = - || test -f {{task.input.needs}} || { echo strange >&2; exit 1; }"], account: acme, count: 2}
tasks:
  - {id: good, input: {needs: "-"}, effect: idempotent}
  - {id: bad, input: {needs: mended}, effect: idempotent}
  - {id: next, input: {needs: "-"}, effect: idempotent, dependsOn: [bad]}
  - {id: also, input: {needs: "-"}, effect: idempotent, dependsOn: [bad], onDependencyFailed: cancel}
`

/** A directory with a task file, and the command line on its state. */
const place = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "nofx-state-"))),
    (root) => Effect.sync(() => rmSync(root, { recursive: true, force: true }))
  ),
  (root) => {
    const env = { PATH: process.env["PATH"] ?? "", HOME: root, XDG_STATE_HOME: join(root, "home") }
    mkdirSync(env.XDG_STATE_HOME)
    const state = join(root, "state")
    const call = (...args: ReadonlyArray<string>) => nofx([...args, "--state-dir", state], { env })
    const json = (...args: ReadonlyArray<string>) => Effect.map(call(...args, "--json"), ({ out }) => JSON.parse(out))
    const write = (name: string, text: string): string => {
      writeFileSync(join(root, name), text)
      return join(root, name)
    }
    return { root, env, state, call, json, write, run: () => call("run", write("nofx.yaml", file)) }
  }
)

const decodesAll = <S extends Schema.Top & { readonly DecodingServices: never }>(schema: S, values: unknown) =>
  Schema.decodeUnknownSync(Schema.Array(schema) as never)(values)

const counts = ({ tasks }: { readonly tasks: Record<string, number> }) =>
  Object.fromEntries(Object.entries(tasks).filter(([, count]) => count > 0))

describe("commands about a state directory", () => {
  it.live("C54 what a run left is there to look at: status, agents, tasks by page, one task's history, health", () =>
    Effect.gen(function* () {
      const { call, json, root, run, state } = yield* place
      assert.strictEqual((yield* run()).code, 1)

      const status = yield* json("status")
      assert.deepEqual(counts(status), { succeeded: 1, blocked: 1, "dead-lettered": 1, cancelled: 1 })
      assert.deepInclude(status, { directory: state, paused: false, batches: [], damage: [], quarantined: [] })
      assert.isUndefined(status.owner)
      assert.deepEqual(status.deadLetters, { size: 1, redriving: 0, byCause: { Unknown: 1 } })
      const text = yield* call("status")
      assert.strictEqual(text.code, 0)
      assert.match(text.out, /owner +nobody: nothing is running\ntasks +1 blocked, 1 succeeded, 1 dead-lettered, 1 cancelled\n/)

      // A run that has finished takes its agents with it.
      assert.deepEqual((yield* json("agents")).agents, [])

      const paged: Array<string> = []
      for (let after: string | undefined = "0", pages = 0; after !== undefined; pages++) {
        const page: { tasks: ReadonlyArray<TaskView>; next?: string } = yield* json("tasks", "--limit", "3", "--after", after)
        decodesAll(TaskView, page.tasks)
        paged.push(...page.tasks.map(({ id }) => id))
        assert.isBelow(pages, 2)
        after = page.next
      }
      assert.deepEqual(paged, ["good", "bad", "next", "also"])
      assert.include((yield* call("tasks", "--limit", "1")).out, "… more: nofx tasks --limit 1 --after ")
      assert.match(
        (yield* call("tasks", "--state", "blocked")).out,
        /^TASK.*\nnext +blocked .* dependency: held: dependency bad was dead-lettered$/
      )

      const history = (yield* call("tasks", "show", "bad")).out
      assert.match(history, /^task +bad\n/)
      assert.match(history, /\nrun 1, attempt 1 on sh-\d, .*: Unknown after .*\n {2}detail\n {4}The program ended with exit code 1/)
      const output = /\n {2}output +(.*)/.exec(history)?.[1] ?? ""
      assert.isTrue(statSync(output).isFile())
      assert.strictEqual((yield* json("tasks", "show", "bad")).attempts[0].fault._tag, "Unknown")

      const report = join(root, "health.json")
      const health = yield* json("health", "--export", report)
      assert.deepEqual(Schema.decodeUnknownSync(HealthReport)(health), JSON.parse(readFileSync(report, "utf8")))
      assert.deepInclude(health, { live: false, ready: false, reasons: ["no runtime is running here"], checks: [] })
    })
  )

  it.live("C30 C70 a dead letter is looked at, retried by hand, and goes on with its batch on the same record", () =>
    Effect.gen(function* () {
      const { call, json, run, write } = yield* place
      yield* run()
      const { deadLetters } = yield* json("dlq", "list")
      decodesAll(DeadLetter, deadLetters)
      const id: string = deadLetters[0].id
      assert.deepEqual([(yield* json("dlq", "list", "--cause", "Outage")).deadLetters, (yield* json("dlq", "show", id)).id], [[], id])
      assert.match(
        (yield* call("dlq", "show", id)).out,
        /^letter +dl-.*\nstatus +pending\nabout +task .*\/bad\ncause +Unknown\n[\s\S]*\nrun 1, attempt 1 on /
      )

      write("mended", "")
      const retried = yield* call("dlq", "retry", id)
      assert.match(retried.out, /bad is queued again\nThe next nofx run of the task file starts it\.$/)
      assert.deepEqual(counts(yield* json("status")), { succeeded: 1, queued: 1, blocked: 1, cancelled: 1 })
      assert.include((yield* call("dlq", "retry", id)).err, "is being redriven already")
      // The same file goes on with the batch that the retry has opened again: nothing that had succeeded runs anew.
      yield* run()
      const status = yield* json("status")
      assert.deepEqual(counts(status), { succeeded: 3, cancelled: 1 })
      assert.strictEqual((yield* json("tasks", "show", "good")).attempts.length, 1)
      assert.deepEqual((yield* json("dlq", "list")).deadLetters, [])
      const [resolved] = (yield* json("dlq", "list", "--archived")).deadLetters
      assert.deepEqual([resolved.id, resolved.status, resolved.redrives], [id, "resolved", 1])
      assert.strictEqual((yield* call("dlq", "restore", id)).err, `Dead letter ${id} cannot be restored: it is resolved`)
    })
  )

  it.live("C30 a dead letter is discarded, restored, exported and purged, and nothing is purged without --yes", () =>
    Effect.gen(function* () {
      const { call, json, root, run } = yield* place
      yield* run()
      const id: string = (yield* json("dlq", "list")).deadLetters[0].id
      const listed = Effect.map(Effect.all([json("dlq", "list"), json("dlq", "list", "--archived")]), (both) =>
        both.map(({ deadLetters }) => deadLetters.length)
      )
      assert.strictEqual((yield* call("dlq", "discard", id)).out, `Dead letter ${id} is discarded`)
      assert.deepEqual(yield* listed, [0, 1])
      assert.strictEqual((yield* call("dlq", "discard", id)).err, `Dead letter ${id} cannot be discarded: it is discarded`)
      assert.strictEqual((yield* call("dlq", "restore", id)).out, `Dead letter ${id} is restored`)
      assert.deepEqual(yield* listed, [1, 0])
      yield* call("dlq", "discard", id)

      const out = join(root, "letters.jsonl")
      assert.deepInclude(yield* json("dlq", "export", "--out", out), { count: 1, file: out })
      assert.strictEqual(statSync(out).mode & 0o077, 0)
      decodesAll(
        DeadLetter,
        readFileSync(out, "utf8")
          .trimEnd()
          .split("\n")
          .map((line) => JSON.parse(line))
      )

      const asked = yield* call("dlq", "purge", "--archived")
      assert.deepEqual([asked.code, asked.err], [2, "This would delete 1 dead letters for ever, with their history. Say --yes to do it"])
      assert.include((yield* call("dlq", "purge", "--before", "1d")).err, "would delete 0 dead letters")
      assert.deepEqual(yield* listed, [0, 1])
      assert.strictEqual((yield* json("dlq", "purge", "--ids", id, "--yes")).count, 1)
      assert.deepEqual(yield* listed, [0, 0])
    })
  )

  it.live("C30 dead letters are listed page by page, by their cause too", () =>
    Effect.gen(function* () {
      const { call, json, write } = yield* place
      const tasks = ["a", "b", "c"].map((id) => ({ id, effect: "idempotent" }))
      const agents = [{ id: "sh", driver: "command", command: ["sh", "-c", "exit 1"], count: 3 }]
      yield* call("run", write("bad.json", JSON.stringify({ agents, tasks })))
      const all = yield* json("dlq", "list")
      assert.lengthOf(all.deadLetters, 3)
      assert.notProperty(all, "next")
      const first = yield* json("dlq", "list", "--limit", "2")
      assert.deepEqual(first.deadLetters, all.deadLetters.slice(0, 2))
      const rest = yield* json("dlq", "list", "--limit", "2", "--after", first.next)
      assert.deepEqual(rest, { _tag: "DeadLetters", deadLetters: all.deadLetters.slice(2) })
      assert.match(
        (yield* call("dlq", "list", "--limit", "1")).out,
        new RegExp(`more: .*dlq list .*--limit 1 --after ${all.deadLetters[0].id}`)
      )
      assert.deepEqual((yield* json("dlq", "list", "--cause", "Unknown", "--limit", "1")).next, all.deadLetters[0].id)
      assert.deepEqual((yield* json("dlq", "list", "--cause", "Outage")).deadLetters, [])
    })
  )

  it.live("C54 an added task, a pause and an isolated circuit outlive the command, and the next run obeys them", () =>
    Effect.gen(function* () {
      const { call, json, run, write } = yield* place
      assert.match(
        (yield* call("add", "by hand", "--id", "later", "--agent", "sh-2", "--effect", "idempotent")).out,
        /^Task later is queued/
      )
      assert.strictEqual((yield* call("add", "too much", "--id", "never")).code, 0)
      assert.strictEqual((yield* call("cancel", "never")).out, "Task never is cancelled")
      assert.strictEqual((yield* call("pause")).code, 0)
      assert.isTrue((yield* json("status")).paused)
      assert.strictEqual((yield* call("resume")).code, 0)
      assert.deepEqual(counts(yield* json("status")), { queued: 1, cancelled: 1 })
      yield* run()
      assert.deepEqual(
        (yield* json("tasks", "show", "later")).attempts.map(({ agentId }: { agentId: string }) => agentId),
        ["sh-2"]
      )

      assert.strictEqual((yield* call("breaker", "isolate", "sh-1", "--reason", "by hand")).code, 0)
      assert.deepInclude((yield* json("status")).breakers[0], { key: "agent:sh-1", state: "isolated", cause: "by hand" })
      assert.include((yield* call("health")).out, "isolated: by hand")
      yield* call("run", write("nofx.yaml", file.replace("id: good", "id: other")))
      assert.deepEqual(
        (yield* json("tasks", "show", "other")).attempts.map(({ agentId }: { agentId: string }) => agentId),
        ["sh-2"]
      )
      assert.deepEqual((yield* json("breaker", "reset", "sh-1")).reset, ["agent:sh-1"])
      assert.strictEqual((yield* json("breaker", "reset", "sh-1")).result, "AlreadyClosed")
      assert.deepEqual((yield* json("status")).breakers, [])
    })
  )

  it.live("C60 what cannot be done is refused in one line, with exit code 2", () =>
    Effect.gen(function* () {
      const { call, run, state } = yield* place
      const nothing = yield* call("status")
      assert.deepEqual(nothing, { code: 2, out: "", err: `There is no state in ${state}: nothing has been run there yet` })
      yield* run()
      for (const [args, message] of [
        [["tasks", "show", "nosuch"], 'There is no task "nosuch"'],
        [["cancel", "nosuch"], 'There is no task "nosuch"'],
        [["cancel", "good"], "Task good has ended already: it is succeeded"],
        [["dlq", "show", "nosuch"], 'There is no dead letter "nosuch"'],
        [["dlq", "retry", "nosuch"], 'There is no dead letter "nosuch"'],
        [["dlq", "retry"], "Say one ID, or --all"],
        [["dlq", "discard", "nosuch"], 'There is no dead letter "nosuch"'],
        [["dlq", "restore", "nosuch"], 'There is no dead letter "nosuch"'],
        [["dlq", "purge"], "Say which: --archived, --before TIME, or --ids ID,ID"],
        [["dlq", "purge", "--before", "soon"], '--before: expected a date, or a span such as 12h or 30d; found "soon"'],
        [["breaker", "reset", "nobody"], 'There is no agent "nobody"; there are: sh-1, sh-2'],
        [["health", "--export", "/nonexistent/file"], "/nonexistent/file cannot be written: there is no such directory"]
      ] as const) {
        assert.deepEqual(yield* call(...args), { code: 2, out: "", err: message }, args.join(" "))
      }
    })
  )

  it.live("C40 C42 beside a run that is going on looking works and changing is refused; interrupted, its work is kept", () =>
    Effect.gen(function* () {
      const { call, env, json, state, write } = yield* place
      const slow = write(
        "slow.yaml",
        "agents: [{id: sh, driver: command, command: [sleep, '600']}]\ntasks: [{id: long, effect: idempotent}, {id: after, dependsOn: [long]}]\n"
      )
      const child = yield* started([main, "run", slow, "--state-dir", state], env)
      const running = Effect.map(call("tasks", "--state", "running"), ({ out }) => out.includes("long"))
      while (!(yield* running)) yield* Effect.sleep("50 millis")

      const status = yield* json("status")
      assert.deepInclude(status.owner, { pid: child.pid, kind: "run", alive: true })
      assert.deepEqual(counts(status), { running: 1, blocked: 1 })
      assert.deepInclude((yield* json("agents")).agents[0], { id: "sh", state: "working", task: "long" })
      for (const args of [["pause"], ["cancel", "long"], ["add", "x"], ["breaker", "reset", "sh"], ["dlq", "retry", "--all"]]) {
        const { code, err, out } = yield* call(...args)
        assert.deepEqual([code, out], [3, ""], args.join(" "))
        assert.match(err, new RegExp(`^The state directory ${state} is owned by another nofx run \\(pid ${child.pid} `))
      }

      let said = ""
      child.stdout?.on("data", (chunk: Buffer) => {
        said += chunk.toString()
      })
      const ended = new Promise<number | null>((resolve) => child.on("close", resolve))
      // The first asks for a drain, the second for an end.
      child.kill("SIGINT")
      while (!said.includes("interrupted: running tasks are drained")) yield* Effect.sleep("20 millis")
      yield* Effect.sleep("150 millis")
      child.kill("SIGINT")
      assert.strictEqual(yield* Effect.promise(() => ended), 130)
      assert.include(said, `2 left\nThe same command goes on with what is left: node ${main} run ${slow} --state-dir ${state}\n`)
      const after = yield* json("status")
      assert.isUndefined(after.owner)
      assert.deepEqual(counts(after), { queued: 1, blocked: 1 })
      assert.strictEqual(after.batches[0].left, 2)
      decodesAll(AgentView, after.agents)
      assert.deepInclude(after.agents[0], { id: "sh", state: "stopped", account: "sleep" })
    })
  )

  it.live("C42 C51 a run whose reader has gone drains, leaves no process, and says by its exit code that it is not finished", () =>
    Effect.gen(function* () {
      const { env, json, root, state, write } = yield* place
      const pid = join(root, "pid")
      const program = `echo $$ > ${pid}; sleep 0.2`
      const tasks = [1, 2, 3, 4, 5].map((n) => `{id: t${n}}`).join(", ")
      const file = write(
        "unread.yaml",
        `agents: [{id: sh, driver: command, command: [sh, -c, ${JSON.stringify(program)}]}]\ntasks: [${tasks}]\n`
      )
      const child = yield* started([main, "run", file, "--state-dir", state], env)
      const ended = new Promise<number | null>((resolve) => child.on("exit", resolve))
      child.stdout?.once("data", () => child.stdout?.destroy())
      assert.strictEqual(yield* Effect.promise(() => ended), 130)
      assert.throws(() => process.kill(Number(readFileSync(pid, "utf8")), 0), /ESRCH/)
      const { queued, succeeded, ...others } = counts(yield* json("status"))
      assert.deepEqual(others, {})
      assert.strictEqual(queued! + succeeded!, 5)
    })
  )
})

/** The command as a process; killed with the scope. */
const started = (args: ReadonlyArray<string>, env: Record<string, string>) =>
  Effect.acquireRelease(
    Effect.sync(
      (): ChildProcess =>
        spawn(process.execPath, ["--disable-warning=ExperimentalWarning", ...args], { env, stdio: ["ignore", "pipe", "ignore"] })
    ),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
