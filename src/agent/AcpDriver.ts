/**
 * Agents that speak the Agent Client Protocol: one process that lives as long as it is open, one session an attempt.
 *
 * The driver observes: updates, requests, answers, exit, standard error. It never retries. Interrupting an attempt cancels it by the
 * protocol, and then ends the agent's whole tree whatever it answered: what an agent started may outlive its own promise to stop. The agent
 * is then gone (`exited` completes with `Cancelled`) and has to be opened anew.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as acp from "@agentclientprotocol/sdk"
import * as AcpAttempt from "./AcpAttempt.ts"
import * as AcpClient from "./AcpClient.ts"
import * as AcpTerminal from "./AcpTerminal.ts"
import type { Activity, AgentDriver, AgentSession, OpenContext } from "./AgentDriver.ts"
import { agentOf, PresetUnknown, resolvePreset, usesOwnFiles } from "./AgentPresets.ts"
import type { AgentSpec } from "./AgentSpec.ts"
import { classify } from "./Classification.ts"
import type { Fault } from "./Fault.ts"
import * as GatedProcess from "./GatedProcess.ts"
import { defaultGraceMillis, defaultKillMillis, ProcessTrees } from "./ProcessTree.ts"
import * as Program from "./Program.ts"
import * as WorkingFiles from "./WorkingFiles.ts"

export interface Options {
  /** The environment that every agent inherits. */
  readonly inheritEnv: Readonly<Record<string, string>>
  /** Where agents work that name no directory, and what relative ones are resolved against. Absolute. */
  readonly cwd: string
  /** Longest wait for the answer to `initialize`, and to each way to begin a session. In milliseconds, default 60,000: cold starts took up to 6 s. */
  readonly handshakeMillis?: number
  /** From `session/cancel` to the end of patience. In milliseconds, default 2,000: measured agents answer within 1.6 s. */
  readonly cancelMillis?: number
  /** From the end of standard input to SIGTERM. In milliseconds, default 2,000. */
  readonly farewellMillis?: number
  /** From SIGTERM to SIGKILL. In milliseconds, default 5,000. */
  readonly graceMillis?: number
  /** Size of an attempt's output file. In bytes, default 10 MB. */
  readonly maxOutputBytes?: number
  /** Takes secrets out of the text of such a file. Default: they stay in. */
  readonly redact?: (text: string) => string
}

/** Entries that one look at a working directory takes in; it is repeated while an agent works. */
const activityEntries = 5_000

/** The driver for `acp` agents. */
export const make = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<AgentDriver, never, ProcessTrees> {
  const trees = yield* ProcessTrees
  const cancelMillis = options.cancelMillis ?? 2_000
  const farewellMillis = options.farewellMillis ?? 2_000
  const graceMillis = options.graceMillis ?? defaultGraceMillis
  const handshakeMillis = options.handshakeMillis ?? 60_000

  const prepare = Effect.fnUntraced(function* (given: AgentSpec): Effect.fn.Return<AgentSpec, Fault> {
    const spec = resolvePreset(given)
    if (spec instanceof PresetUnknown) return yield* Effect.fail(Program.spawnFailed("preset", spec.message))
    if (spec.command[0] === undefined) return yield* Effect.fail(Program.spawnFailed("not-found", `The agent ${spec.id} names no command`))
    return spec
  })
  const directory = (spec: AgentSpec) => path.resolve(options.cwd, spec.cwd ?? ".")
  const environment = (spec: AgentSpec) => ({ ...options.inheritEnv, ...spec.env })

  const open = Effect.fnUntraced(function* (
    given: AgentSpec,
    context: OpenContext
  ): Effect.fn.Return<AgentSession, Fault, Scope.Scope | ProcessTrees> {
    const spec = yield* prepare(given)
    const cwd = directory(spec)
    // Agents see the real path: what they send back is judged by it.
    const root = yield* Effect.promise(() => fs.realpath(cwd).catch(() => cwd))
    let push: (chunk: Uint8Array) => void = () => {}
    let attempt: AcpAttempt.Running | undefined
    const process = yield* GatedProcess.spawn({
      argv: spec.command,
      cwd: root,
      env: environment(spec),
      stdin: "open",
      context,
      onStdout: (chunk) => push(chunk),
      onStderr: (chunk) => attempt?.context.printed?.("stderr", chunk),
      stop: { graceMillis }
    })
    const terminals = yield* AcpTerminal.make({ root, env: environment(spec), context })

    /** Set before we end the process, so that its end is not taken for a crash. */
    let stopping = false
    /** Why it is of no more use, where that is not told by its end. */
    let verdict: Fault | undefined
    const exited = yield* Deferred.make<Fault>()
    /** It closed its output or its input, or broke the protocol: no word of it will come any more. */
    const useless = yield* Deferred.make<void>()
    const giveUp = (): void => {
      Deferred.doneUnsafe(useless, Effect.void)
    }
    process.pipes.stdout.once("end", giveUp)
    const observed: AcpAttempt.Agent["observed"] = (now) => ({
      agent: agentOf(spec),
      mode: "acp",
      ours: stopping,
      stderrTail: process.stderr.tail(),
      stdoutTail: "",
      now
    })

    const client: AcpClient.AcpClient = yield* AcpClient.make({
      send: (line) =>
        new Promise<void>((resolve, reject) => {
          const { stdin } = process.pipes
          const refuse = (error: Error): void => {
            giveUp()
            reject(error)
          }
          if (stdin === null || stdin.destroyed) return refuse(new Error("the agent does not read any more"))
          stdin.write(line, (error) => (error === null || error === undefined ? resolve() : refuse(error)))
        }),
      violation: (detail) => {
        verdict ??= { _tag: "ProtocolViolation", rule: "acp/wire", detail: `The agent printed ${detail}` }
        giveUp()
      },
      handlers: AcpAttempt.handlers({ root, spec, terminals, running: () => attempt })
    })
    push = client.push

    /** The one place that tells how the agent ended. */
    const watch = Effect.gen(function* () {
      const patience = Effect.suspend(() => (verdict === undefined ? Effect.sleep(farewellMillis) : Effect.void))
      const exit = yield* Effect.raceFirst(process.exit, Deferred.await(useless).pipe(Effect.andThen(patience), Effect.as(undefined)))
      if (exit !== undefined) yield* process.drained
      const now = yield* Clock.currentTimeMillis
      const ended =
        exit === undefined ? mute : classify({ ...observed(now), ours: stopping || exit.ours, exitCode: exit.code, signal: exit.signal })
      const fault: Fault = verdict ??
        ended ?? { _tag: "Crashed", detail: "The agent's process ended", exitCode: exit?.code ?? null, signal: exit?.signal ?? null }
      yield* Deferred.succeed(exited, fault)
      client.close(new Error(fault.detail))
      if (exit === undefined) yield* process.stop
    })
    yield* Effect.forkScoped(watch)

    /** Ends the agent: asked first, then made to. */
    const end = Effect.fnUntraced(function* (reason?: Fault) {
      stopping = true
      verdict ??= reason
      yield* process.endInput
      yield* Effect.timeoutOption(process.exit, farewellMillis)
      yield* process.stop
      // Whoever still waits for an answer learns that none will come; what the kernel does not let die is not waited for.
      yield* Effect.timeoutOption(Deferred.await(exited), 1_000)
    })
    // Before the process' own finalizer, which kills: agents save their session at the end of their input.
    yield* Effect.addFinalizer(() => end())

    yield* process.go
    const hello = yield* client.request(acp.methods.agent.initialize, AcpClient.initializeRequest(!usesOwnFiles(agentOf(spec)))).pipe(
      Effect.catchTags({
        Refused: ({ error }) =>
          Effect.flatMap(Clock.currentTimeMillis, (now) => {
            const rpcError = { code: error.code, message: error.message, data: error.data }
            const fault = classify({ ...observed(now), exitCode: null, signal: null, rpcError })
            return Effect.fail(fault ?? Program.spawnFailed("initialize", "The agent refused the handshake"))
          }),
        Disconnected: () => Effect.flatMap(Deferred.await(exited), (fault) => Effect.fail(neverSpoke(fault)))
      }),
      Effect.timeoutOrElse({
        duration: handshakeMillis,
        orElse: () =>
          Effect.fail<Fault>(Program.spawnFailed("initialize", "The program did not answer as an agent of the protocol in time"))
      })
    )
    if (hello.protocolVersion !== acp.PROTOCOL_VERSION) {
      return yield* Effect.fail<Fault>({
        _tag: "ProtocolViolation",
        rule: "acp/version",
        detail: `The agent speaks version ${hello.protocolVersion} of the protocol; version ${acp.PROTOCOL_VERSION} is spoken here`
      })
    }

    const session = AcpAttempt.make({
      spec,
      root,
      client,
      capabilities: hello.agentCapabilities ?? {},
      terminals,
      directory: context.directory,
      exited: Deferred.await(exited),
      observed,
      end,
      handshakeMillis,
      cancelMillis,
      maxOutputBytes: options.maxOutputBytes ?? GatedProcess.defaultMaxBytes,
      redact: options.redact,
      set: (running) => {
        attempt = running
      }
    })
    const activity: Effect.Effect<Activity> = Effect.all({
      tree: process.tree.activity,
      files: WorkingFiles.walk(root, activityEntries)
    }).pipe(Effect.map(({ files, tree }) => ({ ...tree, files })))
    return { process: process.identity, resumable: session.resumable, exited: Deferred.await(exited), run: session.run, activity }
  })

  return {
    stopMillis: cancelMillis + 1_000 + farewellMillis + graceMillis + defaultKillMillis + 1_000,
    probe: (spec) =>
      Effect.flatMap(prepare(spec), (prepared) =>
        Effect.asVoid(Program.resolve(prepared.command[0] ?? "", directory(prepared), environment(prepared), trees.platform))
      ),
    open: (spec, context) => Effect.provideService(open(spec, context), ProcessTrees, trees)
  }
})

const mute: Fault = { _tag: "ProtocolViolation", rule: "acp/mute", detail: "The agent closed its output or its input, and lived on" }

/** An end before the first word is a failed start, unless the program said what it lacks. */
const neverSpoke = (fault: Fault): Fault =>
  fault._tag === "Crashed" || fault._tag === "Unknown"
    ? Program.spawnFailed("exit", `The program ended before it answered: ${fault.detail}`)
    : fault
