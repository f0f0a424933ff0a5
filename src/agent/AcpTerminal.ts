/**
 * Terminals that an agent asks its client for: commands in its working directory, their output bounded, gone with its session.
 *
 * Each is a process of its own with a tree of its own; releasing it, or closing the scope, ends whatever it started.
 */
import { RequestError } from "@agentclientprotocol/sdk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { OpenContext } from "./AgentDriver.ts"
import * as AcpFileSystem from "./AcpFileSystem.ts"
import * as BoundedOutput from "./BoundedOutput.ts"
import * as GatedProcess from "./GatedProcess.ts"
import { ProcessTrees } from "./ProcessTree.ts"

export interface Options {
  /** The agent's working directory, a real path. */
  readonly root: string
  readonly env: Readonly<Record<string, string>>
  readonly context: OpenContext
}

export interface Create {
  readonly command: string
  readonly args?: ReadonlyArray<string> | undefined
  readonly env?: ReadonlyArray<{ readonly name: string; readonly value: string }> | undefined
  readonly cwd?: string | null | undefined
  readonly outputByteLimit?: number | null | undefined
}

/** How a command ended, in the protocol's words. */
export interface ExitStatus {
  readonly exitCode: number | null
  readonly signal: string | null
}

/** All of them fail with a protocol error, which is the agent's answer. */
export interface AcpTerminals {
  readonly create: (request: Create) => Effect.Effect<string, RequestError>
  readonly output: (
    id: string
  ) => Effect.Effect<{ readonly output: string; readonly truncated: boolean; readonly exitStatus?: ExitStatus }, RequestError>
  readonly waitForExit: (id: string) => Effect.Effect<ExitStatus, RequestError>
  readonly kill: (id: string) => Effect.Effect<void, RequestError>
  readonly release: (id: string) => Effect.Effect<void, RequestError>
  /** Ends all of them. */
  readonly releaseAll: Effect.Effect<void>
}

/** Terminals at once. Count. */
const maxTerminals = 64
/** Most output that is kept of one, in bytes, whatever the agent asks for. */
const maxOutputBytes = 1024 * 1024

interface Terminal {
  readonly process: GatedProcess.GatedProcess
  readonly output: BoundedOutput.BoundedOutput
  readonly limit: number
  readonly scope: Scope.Closeable
  exit: ExitStatus | undefined
}

/** Terminals that live at most as long as the scope. */
export const make = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<AcpTerminals, never, ProcessTrees | Scope.Scope> {
  const trees = yield* ProcessTrees
  const parent = yield* Effect.scope
  const terminals = new Map<string, Terminal>()
  let count = 0

  const get = (id: string): Effect.Effect<Terminal, RequestError> =>
    Effect.suspend(() => {
      const terminal = terminals.get(id)
      return terminal === undefined ? Effect.fail(RequestError.resourceNotFound(id)) : Effect.succeed(terminal)
    })

  const open = Effect.fnUntraced(function* (request: Create, id: string, scope: Scope.Closeable) {
    const cwd = yield* Effect.tryPromise({
      try: () => AcpFileSystem.confineExisting(options.root, request.cwd ?? options.root),
      catch: (error) => (error instanceof RequestError ? error : RequestError.internalError())
    })
    const limit = Math.min(Math.max(0, request.outputByteLimit ?? maxOutputBytes), maxOutputBytes)
    const output = BoundedOutput.make({ maxBytes: 0, tailBytes: limit })
    const process = yield* GatedProcess.spawn({
      argv: argvOf(request, trees.platform),
      cwd,
      env: { ...options.env, ...Object.fromEntries((request.env ?? []).map(({ name, value }) => [name, value])) },
      stdin: "none",
      // The agent's own rows speak for its terminals: they carry its marker.
      context: { ...options.context, intend: Effect.void, register: () => Effect.void, gone: Effect.void },
      tailBytes: 1,
      onStdout: output.write,
      onStderr: output.write,
      stop: { graceMillis: 1_000 },
      entry: { name: "NOFX_TERMINAL", value: `${options.context.marker}.${id}` }
    }).pipe(
      Effect.provideService(ProcessTrees, trees),
      Effect.provideService(Scope.Scope, scope),
      Effect.mapError((fault) => RequestError.internalError({ details: fault.detail }))
    )
    yield* process.go
    return { process, output, limit, scope, exit: undefined } satisfies Terminal
  })

  const close = (id: string, terminal: Terminal): Effect.Effect<void> => {
    terminals.delete(id)
    return Scope.close(terminal.scope, Exit.void)
  }

  return {
    create: (request) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          if (terminals.size >= maxTerminals)
            return yield* Effect.fail(RequestError.internalError({ details: `there are ${maxTerminals} terminals already` }))
          count += 1
          const id = `terminal-${count}`
          const scope = yield* Scope.fork(parent)
          const terminal = yield* restore(open(request, id, scope)).pipe(Effect.onError(() => Scope.close(scope, Exit.void)))
          terminals.set(id, terminal)
          yield* Effect.forkIn(watch(terminal), scope)
          return id
        })
      ),
    output: (id) =>
      Effect.map(get(id), ({ exit, limit, output }) => ({
        output: output.tail(),
        truncated: output.bytes() > limit,
        ...(exit === undefined ? {} : { exitStatus: exit })
      })),
    waitForExit: (id) => Effect.flatMap(get(id), watch),
    kill: (id) => Effect.flatMap(get(id), ({ process }) => Effect.asVoid(process.stop)),
    release: (id) => Effect.flatMap(get(id), (terminal) => close(id, terminal)),
    releaseAll: Effect.suspend(() =>
      Effect.forEach([...terminals], ([id, terminal]) => close(id, terminal), { concurrency: "unbounded", discard: true })
    )
  }
})

const watch = (terminal: Terminal): Effect.Effect<ExitStatus> =>
  Effect.gen(function* () {
    const { code, signal } = yield* terminal.process.exit
    yield* terminal.process.drained
    terminal.exit = { exitCode: code, signal }
    return terminal.exit
  })

/** Some agents send a whole command line as the command: it was made for a shell. */
const argvOf = (request: Create, platform: NodeJS.Platform): ReadonlyArray<string> => {
  const args = request.args ?? []
  const line = args.length === 0 && platform !== "win32" && /[\s|&;<>$`"']/.test(request.command)
  return line ? ["/bin/sh", "-c", request.command] : [request.command, ...args]
}
