/** Runs a task file on the host that runs for its state directory: shows what happens, and leaves the work there when it is interrupted. */
import * as path from "node:path"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { AgentRuntime } from "../AgentRuntime.ts"
import type { HostInfo } from "../host/HostFile.ts"
import * as RuntimeConfig from "../RuntimeConfig.ts"
import type { RuntimeEvent } from "../RuntimeEvent.ts"
import type { TaskFile } from "../task/TaskFile.ts"
import * as LiveHost from "./liveHost.ts"
import { Machine } from "./machine.ts"
import { commandText } from "./printable.ts"
import { type Options, type Ran, runBatch, type Watched } from "./runFile.ts"
import * as RunOutput from "./runOutput.ts"
import * as TerminalPermissions from "./terminalPermissions.ts"

export interface Hosted extends Options {
  readonly watched: Watched
  readonly taskFile: TaskFile<RuntimeConfig.RuntimeConfig>
  readonly stateDirectory: string
  readonly host: HostInfo
}

/** Events may come a moment after the answer that they led to. */
const lastEvents = "5 seconds"

export const runHosted = Effect.fnUntraced(function* ({ host, stateDirectory, taskFile, watched, ...options }: Hosted) {
  const machine = yield* Machine
  const asks = !options.json && TerminalPermissions.possible(machine)
  let batch = ""
  const finished = Deferred.makeUnsafe<void>()
  /** Of the file, not of what else the host does. */
  const concerns = (event: RuntimeEvent): boolean => !("batch" in event) || event.batch === batch

  const program = Effect.gen(function* () {
    const runtime = yield* AgentRuntime
    const place = options.stateDir === undefined ? [] : ["--state-dir", options.stateDir]
    const output = yield* RunOutput.make({
      json: options.json,
      again: commandText(machine.invocation, ["run", options.file, ...place]),
      deadLetters: commandText(machine.invocation, ["dlq", "list", "--state-dir", stateDirectory]),
      hints: watched.hints ?? true
    })
    output.note(`the host that runs here (pid ${host.pid}) does the work; Ctrl-C leaves it there`)
    if (options.maxAgents !== undefined || JSON.stringify(taskFile.config) !== JSON.stringify(RuntimeConfig.defaults)) {
      output.note("it has a configuration of its own: config of the file and --max-agents do not apply")
    }
    for (const { cause, component } of (yield* runtime.getOverallHealthStatus).degraded) output.degraded(component, cause)
    if (asks) yield* TerminalPermissions.attend(output.question)
    if (watched.observe !== undefined) yield* runtime.subscribe(watched.observe)
    yield* runtime.subscribe((event) => {
      if (event._tag === "RunFinished") Deferred.doneUnsafe(finished, Exit.void)
    })
    if ((yield* runtime.getReliabilityStatus).phase === "paused")
      output.note(`the queue is paused: nothing starts until ${commandText(machine.invocation, ["resume", ...place])}`)

    // The host's working directory is not the file's; agents that it has already are its own, and stay.
    const directory = path.dirname(taskFile.file)
    const there = new Set((yield* runtime.agents).map(({ id }) => id))
    const agents = taskFile.agents
      .filter(({ id }) => !there.has(id))
      .map((spec) => ({ ...spec, cwd: path.resolve(directory, spec.cwd ?? ".") }))
    if (agents.length < taskFile.agents.length) {
      const own = taskFile.agents.filter(({ id }) => there.has(id)).map(({ id }) => id)
      output.note(`the host has these agents already, and uses them as they are: ${own.join(", ")}`)
    }
    const running = yield* Effect.forkChild(
      runBatch(
        taskFile,
        options,
        (id) => {
          batch = id
          output.note(`the batch there is ${id}`)
        },
        agents
      ),
      { startImmediately: true }
    )
    let detached = false
    const unsubscribe = machine.onSignal(() => {
      detached = true
      running.interruptUnsafe()
    })
    const exit = yield* Fiber.await(running)
    unsubscribe()
    if (Exit.isFailure(exit) && !detached) return yield* Effect.failCause(exit.cause)
    if (Exit.isSuccess(exit)) yield* Effect.timeoutOption(Deferred.await(finished), lastEvents)
    else output.note(`the host (pid ${host.pid}) goes on; ${commandText(machine.invocation, ["status", ...place])} shows how far it is`)
    const end = Exit.isSuccess(exit) ? exit.value : yield* runtime.standing(batch)
    yield* output.finish(end, detached)
    return { end, interrupted: detached, stateDirectory } satisfies Ran
  })

  return yield* Effect.scoped(
    LiveHost.stay(stateDirectory, { attends: asks }, ({ runtime }) =>
      Effect.provideService(program, AgentRuntime, {
        ...runtime,
        subscribe: (listener) =>
          runtime.subscribe((event) => {
            if (concerns(event)) listener(event)
          })
      })
    )
  )
})
