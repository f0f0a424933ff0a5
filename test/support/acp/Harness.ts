/** Opens the scripted agent with the driver, and runs attempts on it. */
import { readFileSync } from "node:fs"
import * as fs from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { Effect, Schema } from "effect"
import type { Scope } from "effect"
import * as AcpDriver from "../../../src/agent/AcpDriver.ts"
import type {
  AgentSession,
  AttemptContext,
  OpenContext,
  PermissionRequest,
  ProcessIdentity,
  Progress
} from "../../../src/agent/AgentDriver.ts"
import { AgentSpec } from "../../../src/agent/AgentSpec.ts"
import type { Fault } from "../../../src/agent/Fault.ts"
import type { ProcessTrees } from "../../../src/agent/ProcessTree.ts"
import { TaskSpec } from "../../../src/task/Task.ts"

const agentFile = fileURLToPath(new URL("./scriptedAgent.ts", import.meta.url))

export interface Harness {
  /** The agent's working directory, a real path. */
  readonly cwd: string
  readonly log: () => ReadonlyArray<string>
  readonly context: OpenContext & { readonly events: Array<string>; readonly registered: Array<ProcessIdentity> }
  readonly open: (
    setup?: object,
    spec?: object,
    options?: Partial<AcpDriver.Options>
  ) => Effect.Effect<AgentSession, Fault, Scope.Scope | ProcessTrees>
}

/** A fresh directory with everything an agent needs; removed with the scope. */
export const make: Effect.Effect<Harness, never, Scope.Scope> = Effect.gen(function* () {
  const base = yield* Effect.acquireRelease(
    Effect.promise(() => fs.mkdtemp(path.join(os.tmpdir(), "nofx-acp-")).then((folder) => fs.realpath(folder))),
    (folder) => Effect.promise(() => fs.rm(folder, { recursive: true, force: true }))
  )
  const cwd = path.join(base, "work")
  const directory = path.join(base, "agent")
  const file = path.join(base, "log")
  yield* Effect.promise(() => Promise.all([fs.mkdir(cwd), fs.mkdir(directory), fs.writeFile(file, "")]))
  const events: Array<string> = []
  const registered: Array<ProcessIdentity> = []
  const event = (name: string) => Effect.sync(() => void events.push(name))
  const context = {
    marker: `test-${path.basename(base)}`,
    directory,
    events,
    registered,
    intend: event("intend"),
    register: (identity: ProcessIdentity) =>
      Effect.andThen(
        event("register"),
        Effect.sync(() => void registered.push(identity))
      ),
    gone: event("gone")
  }
  return {
    cwd,
    log: () => readFileSync(file, "utf8").trim().split("\n"),
    context,
    open: (setup = {}, spec = {}, options = {}) =>
      Effect.gen(function* () {
        const driver = yield* AcpDriver.make({
          inheritEnv: { PATH: process.env.PATH ?? "", HOME: base },
          cwd,
          graceMillis: 1_000,
          ...options
        })
        const script = JSON.stringify({ log: file, ...setup })
        const given: unknown = {
          id: "a",
          driver: "acp",
          command: [process.execPath, agentFile],
          env: { SCRIPT: script },
          permissions: "all",
          ...spec
        }
        const decoded = yield* Effect.orDie(Schema.decodeUnknownEffect(AgentSpec)(given))
        return yield* driver.open(decoded, context)
      })
  }
})

export interface Attempt extends AttemptContext {
  readonly seen: Array<Progress>
  readonly asked: Array<PermissionRequest>
  readonly startedWith: Array<string | undefined>
}

/** An attempt whose prompt is a script for the agent. */
export const attempt = (harness: Harness, steps: ReadonlyArray<ReadonlyArray<unknown>>, changes: Partial<AttemptContext> = {}): Attempt => {
  const seen: Array<Progress> = []
  const asked: Array<PermissionRequest> = []
  const startedWith: Array<string | undefined> = []
  return {
    attemptId: "t.1.1",
    task: Schema.decodeSync(TaskSpec)({ id: "t", prompt: JSON.stringify(steps) }),
    run: 1,
    attempt: 1,
    open: harness.context,
    started: (session) => Effect.sync(() => void startedWith.push(session)),
    progress: (progress) => void seen.push(progress),
    permission: (request) => Effect.sync(() => void asked.push(request)).pipe(Effect.as("yes")),
    seen,
    asked,
    startedWith,
    ...changes
  }
}

/** Waits until the agent has written a line that begins so; bounded by the test's own time. */
export const noted = (harness: Harness, prefix: string): Effect.Effect<string> =>
  Effect.suspend(() => {
    const line = harness.log().find((each) => each.startsWith(prefix))
    return line === undefined ? Effect.andThen(Effect.sleep(10), noted(harness, prefix)) : Effect.succeed(line)
  })

/** Is there a process with this pid? A zombie is none. */
export const alive = (pid: number): boolean => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return false
  }
}
