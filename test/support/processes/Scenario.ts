/** What tests with real processes share: a directory, a context that records, and waits for conditions. */
import { Effect, Schema } from "effect"
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { AttemptContext, OpenContext, Progress } from "../../../src/agent/AgentDriver.ts"
import { AgentSpec } from "../../../src/agent/AgentSpec.ts"
import { TaskSpec } from "../../../src/task/Task.ts"

/** The program for fixtures, whatever Node runs the tests. */
export const node = process.execPath
export const fixture = (name: string): string => join(import.meta.dirname, name)
export const inheritEnv: Record<string, string> = { PATH: process.env.PATH ?? "", HOME: process.env.HOME ?? "" }

/** A directory that is gone when the scope closes. */
export const directory = Effect.acquireRelease(
  Effect.sync(() => realpathSync(mkdtempSync(join(tmpdir(), "nofx-test-")))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

let contexts = 0

/** An `OpenContext` that writes down what is asked of it. */
export const openContext = (path: string): OpenContext & { readonly log: Array<string> } => {
  const log: Array<string> = []
  contexts += 1
  return {
    log,
    marker: `test-${process.pid}-${contexts}`,
    intend: Effect.sync(() => void log.push("intend")),
    register: (identity) => Effect.sync(() => void log.push(`register ${identity.pid}`)),
    gone: Effect.sync(() => void log.push("gone")),
    directory: path
  }
}

export const attemptContext = (
  task: typeof TaskSpec.Encoded,
  open: OpenContext & { readonly log: Array<string> },
  over: Partial<AttemptContext> = {}
): AttemptContext & { readonly progressed: Array<Progress> } => {
  const progressed: Array<Progress> = []
  return {
    attemptId: "batch/task/1/1",
    task: taskSpec(task),
    run: 1,
    attempt: 1,
    open,
    started: () => Effect.sync(() => void open.log.push("started")),
    progress: (progress) => void progressed.push(progress),
    permission: () => Effect.undefined,
    progressed,
    ...over
  }
}

export const taskSpec = Schema.decodeUnknownSync(TaskSpec) as (task: typeof TaskSpec.Encoded) => TaskSpec
export const agentSpec = (spec: Partial<typeof AgentSpec.Encoded>): AgentSpec =>
  Schema.decodeUnknownSync(AgentSpec)({ id: "agent", driver: "command", ...spec })

/** Is there a process that can still act? */
export const alive = (pid: number): boolean => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1")
    return !/^[ZXx]/.test(stat.slice(stat.lastIndexOf(")") + 2))
  } catch {
    return false
  }
}

/** Waits until a condition holds; a defect after half a minute. */
export const eventually = (what: string, condition: () => boolean): Effect.Effect<void> =>
  Effect.gen(function* () {
    while (!condition()) yield* Effect.sleep(10)
  }).pipe(Effect.timeoutOrElse({ duration: "30 seconds", orElse: () => Effect.die(new Error(`never: ${what}`)) }))

/** The pids that fixtures wrote, one a line, as soon as there are that many. */
export const pidsIn = (file: string, count: number): Effect.Effect<ReadonlyArray<number>> => {
  const read = () =>
    existsSync(file)
      ? readFileSync(file, "utf8")
          .split("\n")
          .filter((line) => line !== "")
          .map(Number)
      : []
  return Effect.map(
    eventually(`${count} pids in ${file}`, () => read().length >= count),
    read
  )
}
