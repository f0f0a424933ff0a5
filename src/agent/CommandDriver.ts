/**
 * Agents that are one-shot commands: each attempt is a process of its own.
 *
 * The task travels in `{{task.…}}` of the arguments, in `NOFX_TASK_*` variables, and as JSON on standard input, which is then closed; what
 * the program prints is the result. What its end means is decided by the classification. Nothing is known of what a command did, so its side
 * effects are `unknown`, never a licence to run it again; unless it is a known agent in a JSON mode that tells each of its tools.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as path from "node:path"
import * as Monotonic from "../Monotonic.ts"
import type { Claim } from "../task/Task.ts"
import type { Activity, AgentDriver, AttemptContext, AttemptFailure } from "./AgentDriver.ts"
import { agentOf, outputFormatOf } from "./AgentPresets.ts"
import type { OutputFormat } from "./AgentPresets.ts"
import type { AgentSpec } from "./AgentSpec.ts"
import type { Observation } from "./Classification.ts"
import type { Fault } from "./Fault.ts"
import * as GatedProcess from "./GatedProcess.ts"
import * as OneShotOutput from "./OneShotOutput.ts"
import { defaultGraceMillis, defaultKillMillis, ProcessTrees } from "./ProcessTree.ts"
import * as Program from "./Program.ts"
import * as TaskTemplate from "./TaskTemplate.ts"
import * as WorkingFiles from "./WorkingFiles.ts"

export interface Options {
  /** What an observed end means; undefined: no sign of failure. */
  readonly classify: (observation: Observation) => Fault | undefined
  /** The environment that every agent inherits. */
  readonly inheritEnv: Readonly<Record<string, string>>
  /** Where agents work that name no directory, and what relative ones are resolved against. Absolute. */
  readonly cwd: string
  /** From SIGTERM to SIGKILL, in milliseconds. Default 5,000. */
  readonly graceMillis?: number
  /** Size of an attempt's output file, and of its error file. In bytes, default 10 MB. */
  readonly maxOutputBytes?: number
  /** Takes secrets out of the text of such a file. Default: they stay in. */
  readonly redact?: (text: string) => string
}

/** The end of the output that a claim carries, in characters. */
const claimLength = 16_384
/** Output is reported at most this often, in milliseconds: a flood must not become a flood of events. */
const reportMillis = 100

/** The driver for `command` agents. It starts nothing before `run`. */
export const make = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<AgentDriver, never, ProcessTrees> {
  const trees = yield* ProcessTrees
  const graceMillis = options.graceMillis ?? defaultGraceMillis
  const environment = (spec: AgentSpec) => ({ ...options.inheritEnv, ...spec.env })
  const directory = (spec: AgentSpec) => path.resolve(options.cwd, spec.cwd ?? ".")

  const probe = (spec: AgentSpec): Effect.Effect<void, Fault> => {
    const program = spec.command[0]
    if (program === undefined) return Effect.fail(Program.spawnFailed("not-found", `The agent ${spec.id} names no command`))
    if (program.includes("{{")) return Effect.void
    return Effect.asVoid(Program.resolve(program, directory(spec), environment(spec), trees.platform))
  }

  const run = Effect.fnUntraced(function* (
    spec: AgentSpec,
    attempt: AttemptContext,
    running: (current: Current) => void
  ): Effect.fn.Return<Claim, AttemptFailure, ProcessTrees | Scope.Scope> {
    const values: TaskTemplate.Values = { task: attempt.task, agentId: spec.id, run: attempt.run, attempt: attempt.attempt }
    const argv = TaskTemplate.expandAll(spec.command, values)
    if (Result.isFailure(argv))
      return yield* refused(`The command of agent ${spec.id} asks for {{${argv.failure}}}, which the task does not have`)
    const variables = TaskTemplate.variables(values)
    if ([...argv.success, ...Object.values(variables)].some((text) => text.includes("\0"))) {
      return yield* refused("The task holds a NUL character, which no argument or variable can carry")
    }
    const clock = yield* Clock.Clock
    const format = outputFormatOf({ ...spec, command: argv.success })
    const reader = format === "text" ? undefined : OneShotOutput.makeReader(format, attempt.progress)
    const meter = coalesced(clock, (bytes) => attempt.progress({ _tag: "Output", bytes }))
    const file = path.join(attempt.open.directory, attempt.attemptId.replace(/[^\w.-]+/g, "-"))
    // Where nothing waits at a gate, the program starts with the spawn.
    if (trees.platform === "win32") yield* attempt.started()
    const process = yield* GatedProcess.spawn({
      argv: argv.success,
      cwd: directory(spec),
      env: { ...environment(spec), ...variables },
      stdin: spec.stdin === "none" ? "none" : { text: TaskTemplate.json(values) },
      context: attempt.open,
      stdoutFile: `${file}.stdout.log`,
      stderrFile: `${file}.stderr.log`,
      ...(options.maxOutputBytes === undefined ? {} : { maxBytes: options.maxOutputBytes }),
      redact: options.redact,
      onStdout: (chunk) => {
        meter.add(chunk)
        if (reader === undefined) attempt.printed?.("stdout", chunk)
        reader?.push(chunk, clock.currentTimeMillisUnsafe())
      },
      onStderr: (chunk) => {
        meter.add(chunk)
        attempt.printed?.("stderr", chunk)
      },
      stop: { graceMillis }
    }).pipe(
      Effect.catch((fault) =>
        fault.reason === "too-big" ? refused(fault.detail) : Effect.fail<AttemptFailure>({ fault, started: false, sideEffects: "none" })
      )
    )
    const current = { process, ending: false }
    running(current)
    if (process.gated) yield* attempt.started()
    yield* process.go
    const exit = yield* process.exit
    yield* process.drained
    // What it left behind ends here: whatever is decided next, nothing of this attempt may act any more.
    current.ending = true
    yield* process.stop
    yield* process.drained
    meter.flush()
    const now = yield* Clock.currentTimeMillis
    const told = reader?.end(now)
    return yield* conclude(spec, exit, process, now, told === undefined ? undefined : { format, state: told })
  })

  const conclude = (
    spec: AgentSpec,
    exit: GatedProcess.Exit,
    process: GatedProcess.GatedProcess,
    now: number,
    told: Told | undefined
  ): Effect.Effect<Claim, AttemptFailure> => {
    const notRun = process.gated ? GatedProcess.execFailure(exit, process) : undefined
    if (notRun !== undefined) {
      const fault = Program.spawnFailed("exec", `${spec.command[0]} could not be started: ${notRun}`)
      return Effect.fail({ fault, started: false, sideEffects: "none" })
    }
    const seen = told === undefined ? { stdoutTail: process.stdout.tail(), tokens: null } : OneShotOutput.observe(told.format, told.state)
    const fault = options.classify({
      agent: agentOf(spec),
      mode: "command",
      exitCode: exit.code,
      signal: exit.signal,
      ours: exit.ours,
      stderrTail: process.stderr.tail(),
      now,
      ...seen
    })
    const usage = told === undefined ? undefined : OneShotOutput.usageOf(told.state)
    const observed = {
      sideEffects: told === undefined ? ("unknown" as const) : OneShotOutput.sideEffectsOf(told.format, told.state),
      ...(process.stdout.file === undefined ? {} : { outputFile: process.stdout.file }),
      ...(told?.state.sessionId === undefined ? {} : { sessionId: told.state.sessionId }),
      ...(usage === undefined ? {} : { usage })
    }
    if (fault !== undefined) return Effect.fail({ fault, started: true, ...observed })
    return Effect.succeed({ stop: "exit", output: seen.stdoutTail.slice(-claimLength), ...observed })
  }

  return {
    probe,
    stopMillis: graceMillis + defaultKillMillis + 500,
    open: (spec) =>
      Effect.gen(function* () {
        if (spec.command.length === 0) yield* probe(spec)
        let current: Current | undefined
        const activity: Effect.Effect<Activity, string> = Effect.suspend(() =>
          current?.ending === true
            ? Effect.fail("its program has ended, and what that left behind is being ended")
            : Effect.all({
                tree: current?.process.tree.activity ?? Effect.succeed({ cpuMillis: 0, ioBytes: 0, processes: 0 }),
                files: WorkingFiles.walk(directory(spec), activityEntries)
              })
        ).pipe(Effect.map(({ files, tree }) => ({ ...tree, files })))
        return {
          resumable: false,
          exited: Effect.never,
          run: (attempt: AttemptContext) =>
            Effect.scoped(run(spec, attempt, (started) => (current = started))).pipe(
              Effect.ensuring(Effect.sync(() => (current = undefined))),
              Effect.provideService(ProcessTrees, trees)
            ),
          activity
        }
      })
  }
})

/** The program of an attempt. `ending`: it has ended, and what it left behind is being ended. */
interface Current {
  readonly process: GatedProcess.GatedProcess
  ending: boolean
}

/** Entries that one look at a working directory takes in; it is repeated while an agent works. */
const activityEntries = 5_000

/** What a one-shot agent with a JSON mode told of its turn. */
interface Told {
  readonly format: OutputFormat
  readonly state: OneShotOutput.OneShotState
}

const refused = (detail: string): Effect.Effect<never, AttemptFailure> =>
  Effect.fail({ fault: { _tag: "InvalidRequest", detail }, started: false, sideEffects: "none" })

/** Adds up what chunks bring and reports the sum, at most once in `reportMillis`. */
const coalesced = (clock: Clock.Clock, report: (bytes: number) => void) => {
  let bytes = 0
  let reportedAt = Number.NEGATIVE_INFINITY
  const flush = (): void => {
    if (bytes === 0) return
    report(bytes)
    bytes = 0
  }
  return {
    flush,
    add: (chunk: Uint8Array): void => {
      bytes += chunk.length
      const now = Monotonic.read(clock)
      if (now - reportedAt < reportMillis) return
      reportedAt = now
      flush()
    }
  }
}
