/** Runs a task file: the batch it belongs to, its agents, its end, and what the user sees of it. */
import * as path from "node:path"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import { AgentSpec, type PermissionMode } from "../agent/AgentSpec.ts"
import * as WorktreeIsolation from "../agent/WorktreeIsolation.ts"
import { AgentRuntime } from "../AgentRuntime.ts"
import type { RuntimeConfig } from "../RuntimeConfig.ts"
import type { RuntimeEvent } from "../RuntimeEvent.ts"
import type { BatchEnd } from "../runtime/Batches.ts"
import * as TaskFile from "../task/TaskFile.ts"
import { ExitWith, exitCodes } from "./exitCodes.ts"
import * as LiveHost from "./liveHost.ts"
import { loadTaskFile, options as fileOptions } from "./loadTaskFile.ts"
import * as LocalRuntime from "./localRuntime.ts"
import { Machine } from "./machine.ts"
import { commandText } from "./printable.ts"
import { runHosted } from "./runHosted.ts"
import * as RunOutput from "./runOutput.ts"
import * as TerminalPermissions from "./terminalPermissions.ts"

export interface Options {
  readonly file: string
  readonly json: boolean
  readonly stateDir: string | undefined
  readonly maxAgents: number | undefined
  readonly fresh: boolean
  /** Take the state directory from a living owner? Default false. */
  readonly takeOver?: boolean
  readonly permissions: PermissionMode | undefined
}

/** For who does more with a run than to show it. */
export interface Watched {
  /** Sees every event, to the end of the shutdown. */
  readonly observe?: (event: RuntimeEvent) => void
  /** Say at the end what can be done next? Default true. */
  readonly hints?: boolean
}

/** How a run ended. */
export interface Ran {
  readonly end: BatchEnd
  /** A signal ended it, and it can be gone on with. */
  readonly interrupted: boolean
  readonly stateDirectory: string
}

/** The file was changed while its batch is unfinished. Nothing was done. */
export class FileChanged extends Schema.TaggedError<FileChanged>()("FileChanged", {
  file: Schema.String,
  batch: Schema.String,
  left: Schema.Int
}) {
  override get message(): string {
    return (
      `${this.file} was changed while ${this.left} of its tasks have not ended (batch ${this.batch}).\n` +
      "Undo the change to go on with them, or use --fresh to cancel them and begin anew with the file as it is now."
    )
  }
}

const encodeAgent = Schema.encodeSync(AgentSpec)

/** The batch to go on with, or a new one: its id, and whether its tasks are there already. */
const chooseBatch = Effect.fnUntraced(function* (file: string, digest: string, fresh: boolean) {
  const runtime = yield* AgentRuntime
  const unfinished = yield* runtime.unfinishedBatches(file)
  for (const batch of unfinished) {
    if (fresh) {
      yield* runtime.cancelBatch(batch.id, "given up on with --fresh")
      continue
    }
    if (batch.digest !== digest) return yield* new FileChanged({ file, batch: batch.id, left: batch.left })
    return { id: batch.id, continued: true }
  }
  const now = yield* Clock.currentTimeMillis
  return {
    id: `${path
      .basename(file)
      .replace(/\.[^.]*$/, "")
      .replaceAll(/[^A-Za-z0-9_-]+/g, "-")
      .slice(0, 40)}-${now.toString(36)}`,
    continued: false
  }
})

/** Runs the file on the runtime that is provided, and answers how its batch ended. `agents`: started for it, and taken away at its end. */
export const runBatch = Effect.fnUntraced(function* (
  taskFile: TaskFile.TaskFile<RuntimeConfig>,
  options: Options,
  onBatch: (id: string) => void,
  agents: ReadonlyArray<AgentSpec> = taskFile.agents
) {
  const runtime = yield* AgentRuntime
  const batch = yield* chooseBatch(taskFile.file, TaskFile.digest(taskFile, fileOptions), options.fresh)
  onBatch(batch.id)
  // An agent that cannot be started is a dead letter, and so are the tasks that nobody else can do: the run goes on without it.
  for (const spec of yield* WorktreeIsolation.decide(agents, path.dirname(taskFile.file))) {
    const input = encodeAgent(options.permissions === undefined ? spec : { ...spec, permissions: options.permissions })
    yield* Effect.forkChild(
      Effect.catchTag(runtime.spawn(input), "AgentSpawnFailed", () => Effect.void),
      { startImmediately: true }
    )
  }
  if (!batch.continued)
    yield* runtime.submitBatch({ id: batch.id, file: taskFile.file, digest: TaskFile.digest(taskFile, fileOptions), tasks: taskFile.tasks })
  const end = yield* runtime.awaitBatch(batch.id)
  // The next run brings its own; an interrupted one keeps them on record, for what it left behind.
  yield* Effect.forEach(agents, (spec) => Effect.ignore(runtime.remove(spec.id)), { concurrency: "unbounded", discard: true })
  return end
})

/** Runs the file on a runtime of this process' own to the end, or until a signal; shows what happens. */
export const run = Effect.fnUntraced(function* (options: Options, watched: Watched = {}) {
  const taskFile = yield* loadTaskFile(options.file)
  const machine = yield* Machine
  const cwd = path.dirname(taskFile.file)
  // What is typed is meant from where it is typed, not from where the file lies.
  const explicit = options.stateDir === undefined ? undefined : path.resolve(machine.cwd, options.stateDir)
  const stateDirectory = yield* LocalRuntime.stateDirectory(cwd, explicit)
  const config =
    options.maxAgents === undefined
      ? taskFile.config
      : {
          ...taskFile.config,
          bulkhead: { ...taskFile.config.bulkhead, global: { ...taskFile.config.bulkhead.global, permits: options.maxAgents } }
        }

  // A host that runs here has the state; it does the work, and goes on with it when this process has gone.
  const host = options.takeOver === true ? undefined : yield* LiveHost.find(stateDirectory)
  if (host !== undefined) return yield* runHosted({ ...options, watched, taskFile, stateDirectory, host })

  // Elsewhere a request is refused at once: nobody would see it.
  const asks = !options.json && TerminalPermissions.possible(machine)

  const program = Effect.gen(function* () {
    const runtime = yield* AgentRuntime
    const place = options.stateDir === undefined ? [] : ["--state-dir", options.stateDir]
    const output = yield* RunOutput.make({
      json: options.json,
      again: commandText(machine.invocation, ["run", options.file, ...place]),
      deadLetters: commandText(machine.invocation, ["dlq", "list", "--state-dir", stateDirectory]),
      hints: watched.hints ?? true
    })
    // What was found while nobody could listen yet: a store that was damaged, rows that could not be read.
    for (const { cause, component } of (yield* runtime.getOverallHealthStatus).degraded) output.degraded(component, cause)
    if (asks) yield* TerminalPermissions.attend(output.question)
    if (watched.observe !== undefined) yield* runtime.subscribe(watched.observe)
    if ((yield* runtime.getReliabilityStatus).phase === "paused")
      output.note(`the queue is paused: nothing starts. Interrupt this, then: ${commandText(machine.invocation, ["resume", ...place])}`)
    let interrupts = 0
    let batchId = ""
    const running = yield* Effect.forkChild(
      runBatch(taskFile, options, (id) => (batchId = id)),
      { startImmediately: true }
    )
    yield* Effect.forkChild(
      Effect.andThen(
        runtime.fenced,
        Effect.sync(() => running.interruptUnsafe())
      )
    )
    const context = yield* Effect.context<never>()
    const unsubscribe = machine.onSignal((count) => {
      interrupts = count
      output.note(count === 1 ? "interrupted: running tasks are drained; press Ctrl-C again to stop them now" : "stopping now")
      Effect.runForkWith(context)(
        Effect.andThen(
          runtime.shutdown,
          Effect.sync(() => running.interruptUnsafe())
        )
      )
    })
    const exit = yield* Fiber.await(running)
    unsubscribe()
    if (Exit.isFailure(exit) && interrupts === 0) {
      // Nothing is written any more, so whatever waited for it was interrupted.
      if (Cause.hasInterruptsOnly(exit.cause)) yield* Effect.timeoutOption(Effect.flatMap(runtime.fenced, Effect.fail), "1 second")
      return yield* Effect.failCause(exit.cause)
    }
    const end: BatchEnd = Exit.isSuccess(exit) ? exit.value : yield* runtime.standing(batchId)
    yield* runtime.shutdown
    yield* output.finish(end, Exit.isFailure(exit))
    return { end, interrupted: Exit.isFailure(exit), stateDirectory } satisfies Ran
  })

  return yield* program.pipe(
    Effect.scoped,
    Effect.provide(LocalRuntime.layer({ config, cwd, stateDirectory, kind: "run", takeOver: options.takeOver === true, attended: asks }))
  )
})

/** `nofx run FILE`: the run, and its exit code. */
export const runFile = Effect.fnUntraced(function* (options: Options) {
  const { end, interrupted } = yield* run(options)
  if (interrupted) return yield* new ExitWith({ code: exitCodes.interrupted })
  if (end.deadLettered + end.cancelled + end.left > 0) return yield* new ExitWith({ code: exitCodes.unfinished })
})
