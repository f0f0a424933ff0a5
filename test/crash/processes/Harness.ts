/**
 * The real program on real processes, killed at random moments and started again until its work is done; then everything that is left of it is
 * looked at: the store, what the agents wrote down themselves, and the machine's processes.
 */
import { strict as assert } from "node:assert"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { Effect } from "effect"
import type { RuntimeEvent } from "../../../src/RuntimeEvent.ts"
import * as SqliteStore from "../../../src/store/SqliteStore.ts"
import { type BatchRecord, Store } from "../../../src/store/Store.ts"
import { isEnd, type Task } from "../../../src/task/Task.ts"

const at = (name: string): string => fileURLToPath(new URL(name, import.meta.url))
export const program = at("../../../src/cli/main.ts")

/** Every process of a harness inherits this variable; those of agents have `NOFX_RUN` besides. */
const variable = "NOFX_CRASH_TEST"

export interface Place {
  readonly directory: string
  readonly file: string
  readonly stateDirectory: string
  /** What agents write down. */
  readonly log: string
  readonly tag: string
}

const tasks = [
  ...[1, 2, 3].map((n) => ({ id: `slow-${n}`, effect: "idempotent" })),
  ...[1, 2].map((n) => ({ id: `flaky-${n}`, effect: "idempotent" })),
  ...[1, 2].map((n) => ({ id: `litter-${n}`, effect: "idempotent" })),
  ...[1, 2, 3].map((n) => ({ id: `unsafe-${n}`, effect: "unsafe" })),
  { id: "broken-1", effect: "unsafe" },
  { id: "checked-1", effect: "unsafe", verify: ["sh", "-c", "sleep 0.2"] },
  { id: "after-1", effect: "idempotent", dependsOn: ["slow-1", "flaky-1"] },
  { id: "held-1", effect: "idempotent", dependsOn: ["broken-1"] },
  { id: "dropped-1", effect: "idempotent", dependsOn: ["broken-1"], onDependencyFailed: "cancel" }
]

/** Lays out a task file for three agents, in this directory. */
export const layOut = (
  directory: string,
  more: { readonly tasks?: ReadonlyArray<unknown>; readonly command?: ReadonlyArray<string> } = {}
): Place => {
  const place: Place = {
    directory,
    file: path.join(directory, "tasks.json"),
    stateDirectory: path.join(directory, "state"),
    log: path.join(directory, "agents.log"),
    tag: path.basename(directory)
  }
  fs.writeFileSync(place.log, "")
  const document = {
    agents: [{ id: "worker", driver: "command", command: more.command ?? ["sh", at("agent.sh"), place.log], count: 3 }],
    tasks: more.tasks ?? tasks,
    config: {
      retry: { baseDelay: "50 millis", maxAttempts: 1_000, budget: { minimum: 1_000, cap: 10_000 } },
      circuitBreaker: { consecutiveFailures: 1_000 }
    }
  }
  fs.writeFileSync(place.file, JSON.stringify(document))
  return place
}

export interface Run {
  readonly child: childProcess.ChildProcess
  readonly lines: ReadonlyArray<string>
  readonly stderr: () => string
  /** Completes with the exit code, or the signal, that it ended with. */
  readonly ended: Promise<number | string>
  /** Completes when it has said a line that holds this text, or has ended. */
  readonly said: (text: string) => Promise<void>
}

/** Starts `nofx run`. `dieAt`: it kills itself at its n-th commit to the store, before it or right after it. */
export const start = (
  place: Place,
  args: ReadonlyArray<string> = [],
  dieAt?: { readonly commit: number; readonly before: boolean }
): Run => {
  const run = [program, "run", place.file, "--state-dir", place.stateDirectory, "--json", ...args]
  const env: Record<string, string> = { PATH: process.env["PATH"] ?? "", HOME: place.directory, [variable]: place.tag }
  if (dieAt !== undefined) {
    run.unshift("--import", at("dieAtCommit.mjs"))
    env["NOFX_TEST_DIE_AT"] = `${dieAt.commit} ${dieAt.before ? "before" : "after"}`
  }
  const child = childProcess.spawn(process.execPath, run, { env, cwd: place.directory })
  const lines: Array<string> = []
  let rest = ""
  let errors = ""
  let over = false
  const waiting = new Set<() => void>()
  const look = (): void => {
    for (const check of waiting) check()
  }
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    const parts = (rest + text).split("\n")
    rest = parts.pop() ?? ""
    lines.push(...parts)
    look()
  })
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text))
  const ended = new Promise<number | string>((resolve) => {
    child.on("close", (code, signal) => {
      over = true
      look()
      resolve(code ?? signal ?? "")
    })
  })
  return {
    child,
    lines,
    stderr: () => errors,
    ended,
    said: (text) =>
      new Promise((resolve) => {
        const check = (): void => {
          if (!over && !lines.some((line) => line.includes(text))) return
          waiting.delete(check)
          resolve()
        }
        waiting.add(check)
        check()
      })
  }
}

export interface Stored {
  readonly batches: ReadonlyArray<BatchRecord>
  readonly tasks: ReadonlyArray<Task>
  readonly events: ReadonlyArray<RuntimeEvent>
  readonly letters: ReadonlyArray<{ readonly id: string; readonly subject: string; readonly status: string; readonly payload: unknown }>
}

/** What the store holds, as anybody may look at it; undefined while there is none. */
export const read = (place: Place): Promise<Stored | undefined> =>
  Effect.runPromise(
    Effect.gen(function* () {
      const store = yield* Store
      return {
        batches: yield* store.batches({ limit: 10_000 }),
        tasks: yield* store.tasks({ limit: 100_000 }),
        events: yield* store.events(0, 1_000_000),
        letters: yield* store.deadLetters({ limit: 10_000 })
      } satisfies Stored as Stored
    }).pipe(
      Effect.provide(SqliteStore.layerViewer(place.stateDirectory)),
      Effect.catch(() => Effect.undefined)
    )
  )

/** Living processes of this harness' agents: their pids. */
export const agents = (place: Place): ReadonlyArray<number> =>
  fs.readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return []
    try {
      const env = fs.readFileSync(`/proc/${name}/environ`, "latin1").split("\0")
      const state = fs.readFileSync(`/proc/${name}/stat`, "latin1").split(") ")[1]?.[0]
      return state !== "Z" && env.includes(`${variable}=${place.tag}`) && env.some((entry) => entry.startsWith("NOFX_RUN="))
        ? [Number(name)]
        : []
    } catch {
      return []
    }
  })

const endOf = (event: RuntimeEvent): { readonly batch: string; readonly taskId: string; readonly run: number } | undefined =>
  event._tag === "TaskSucceeded" || event._tag === "TaskDeadLettered" || event._tag === "TaskCancelled" ? event : undefined

/** Is there a batch that a run would go on with? */
export const unfinished = (stored: Stored | undefined): boolean => stored?.batches.some((batch) => batch.finishedAt === undefined) === true

/** Checks the newest batch, which is finished, against what the agents wrote down since the log was emptied. */
export const check = (place: Place, stored: Stored, expected: number): { readonly succeeded: number; readonly deadLettered: number } => {
  const batch = stored.batches.at(-1)!
  const own = stored.tasks.filter((task) => task.batch === batch.id)
  assert.equal(own.length, expected, "C56 every accepted task is there")
  const log = fs.readFileSync(place.log, "utf8").split("\n")
  assert.deepEqual(
    log.filter((line) => line.startsWith("overlap")),
    [],
    "C51 no attempt begins while an earlier one of its task still works"
  )
  for (const task of own) {
    const runs = stored.events.flatMap((event) => {
      const end = endOf(event)
      return end !== undefined && end.batch === batch.id && end.taskId === task.spec.id ? [end.run] : []
    })
    const held = task.state === "blocked" && task.waiting?.detail.startsWith("held:") === true
    assert.ok(isEnd(task.state) || held, `C56 ${task.key} is ${task.state} in a finished batch`)
    assert.deepEqual(runs, held ? [] : [1], `C56 the run of ${task.key} ends once`)
    const starts = log.filter((line) => line.startsWith(`start ${task.spec.id} `))
    const ends = log.filter((line) => line.startsWith(`end ${task.spec.id} `))
    if (task.spec.effect === "unsafe") assert.ok(starts.length <= 1, `C65 ${task.key} is unsafe and was started ${starts.length} times`)
    assert.equal(new Set(starts.map((line) => line.split(" ")[2])).size, starts.length, `${task.key}: no attempt begins twice`)
    if (task.state === "succeeded") assert.ok(ends.length >= 1, `C64 ${task.key} was done`)
    if (task.state !== "dead-lettered") continue
    const letter = stored.letters.find((each) => each.id === task.deadLetterId)
    assert.equal(letter?.subject, task.key, `C27 the dead letter of ${task.key}`)
    assert.equal((letter!.payload as Task).attempts.length, task.attempts.length, "C25 its history")
  }
  const count = (state: Task["state"]): number => own.filter((task) => task.state === state).length
  return { succeeded: count("succeeded"), deadLettered: count("dead-lettered") }
}

/** Numbers in [0, 1), the same for the same seed (mulberry32). */
export const random = (seed: number): (() => number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

export interface Soaked {
  readonly kills: number
  readonly batches: number
  readonly succeeded: number
  readonly deadLettered: number
}

/** Kills `kills` times, at random moments, batch after batch; checks each batch at its end. */
export const soak = async (
  place: Place,
  options: { readonly kills: number; readonly seed: number; readonly say?: (text: string) => void }
): Promise<Soaked> => {
  const next = random(options.seed)
  const sum = { kills: 0, batches: 0, succeeded: 0, deadLettered: 0 }
  for (;;) {
    const run = start(place)
    let killed = false
    if (sum.kills < options.kills) {
      // Half of the kills fall into the start and the recovery, half into the work.
      if (next() < 0.5) await run.said('"AgentSpawned"')
      const timer = setTimeout(() => (killed = run.child.kill("SIGKILL")), 20 + next() ** 2 * 2_000)
      await run.ended
      clearTimeout(timer)
      if (killed) sum.kills++
    }
    const code = await run.ended
    if (!killed) assert.ok(code === 0 || code === 1, `it ended with ${code}: ${run.stderr()}`)
    const stored = await read(place)
    if (stored === undefined || stored.batches.length === 0 || unfinished(stored)) {
      assert.ok(killed, "an unfinished batch after a run that ended by itself")
      continue
    }
    if (stored.batches.length > sum.batches) {
      assert.equal(stored.batches.length, sum.batches + 1, "C70 one batch at a time")
      const { deadLettered, succeeded } = check(place, stored, tasks.length)
      sum.batches++
      sum.succeeded += succeeded
      sum.deadLettered += deadLettered
      fs.writeFileSync(place.log, "")
      options.say?.(`batch ${sum.batches}: ${succeeded} succeeded, ${deadLettered} dead-lettered, after ${sum.kills} kills`)
    }
    if (!killed) {
      assert.deepEqual(agents(place), [], "C51 no process of an agent is left")
      if (sum.kills >= options.kills) return sum
    }
  }
}

/** Dies at its n-th commit, goes on, and is checked. Answers whether it did die: false when it makes fewer commits than that. */
export const diesAt = async (place: Place, commit: number, before: boolean): Promise<boolean> => {
  const dead = await start(place, [], { commit, before }).ended
  if (dead === "SIGKILL") {
    const stored = await read(place)
    // What was finished is not done again.
    if (stored?.batches.at(-1)?.finishedAt === undefined) {
      const run = start(place)
      const code = await run.ended
      assert.ok(code === 0 || code === 1, `after its death at commit ${commit} it ended with ${code}: ${run.stderr()}`)
    }
  }
  const stored = await read(place)
  assert.ok(stored !== undefined)
  assert.equal(stored.batches.length, 1, "C70 the same batch")
  check(place, stored, tasks.length)
  assert.deepEqual(agents(place), [], "C51 no process of an agent is left")
  return dead === "SIGKILL"
}
