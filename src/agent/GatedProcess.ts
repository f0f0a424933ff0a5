/**
 * One process of an agent: written down before its program starts, bounded in what it may fill, gone when its scope closes.
 *
 * A small shell waits at a gate (file descriptor 3) and then becomes the program: same pid, same start time. So the process can be
 * registered, and the attempt committed, before anything happens; when the runtime dies in between, the descriptor ends and the shell
 * leaves with code 125. The arguments travel as the shell's own arguments: no command line is ever built from them.
 *
 * Windows has no such shell: there the program starts at the spawn, and `gated` is false.
 *
 * `effect/process` is not used here, though it can pass descriptors: its handle hides the signal a process ended by, its release signals a
 * group whose number may have been reused and waits for pipes' ends, and its streams must be drained or the child blocks.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as childProcess from "node:child_process"
import type { Readable, Writable } from "node:stream"
import type { OpenContext, ProcessIdentity } from "./AgentDriver.ts"
import * as BoundedOutput from "./BoundedOutput.ts"
import { markerVariable, ProcessTrees } from "./ProcessTree.ts"
import type { ProcessTree, Stopped, StopOptions } from "./ProcessTree.ts"
import * as Program from "./Program.ts"
import type { SpawnFailed } from "./Program.ts"

export interface Options {
  /** The program and its arguments. The program is looked up in the `PATH` of `env`, or from `cwd` when its name holds a slash. */
  readonly argv: ReadonlyArray<string>
  readonly cwd: string
  /** The whole environment; the marker and `PWD` are added. */
  readonly env: Readonly<Record<string, string>>
  /** What it reads: this text and then the end, whatever `write` sends, or nothing at all. */
  readonly stdin: { readonly text: string } | "open" | "none"
  readonly context: OpenContext
  readonly stdoutFile?: string
  readonly stderrFile?: string
  /** Size of each of these files. In bytes, default 10 MB: half for the beginning, half for the end. */
  readonly maxBytes?: number
  /** Takes secrets out of the text of these files. Default: they stay in. */
  readonly redact?: ((text: string) => string) | undefined
  /** How much of the end of each output is kept in memory. In bytes, default 64 kB. */
  readonly tailBytes?: number
  /** Sees each chunk as it comes; synchronous and cheap. */
  readonly onStdout?: (chunk: Uint8Array) => void
  readonly onStderr?: (chunk: Uint8Array) => void
  readonly stop?: StopOptions
  /** Another `NAME=VALUE` by which the process tree is found, unique to it. Default: the marker's. */
  readonly entry?: { readonly name: string; readonly value: string }
}

/** How a process ended. */
export interface Exit {
  readonly code: number | null
  readonly signal: string | null
  /** It was being stopped by us when it ended. */
  readonly ours: boolean
}

export interface GatedProcess {
  readonly identity: ProcessIdentity
  /** Does the program wait for `go`? */
  readonly gated: boolean
  /** Lets the program start, and hands over `stdin.text`. Later calls do nothing. */
  readonly go: Effect.Effect<void>
  /** The end of the process itself; pipes may still be held open by what it left behind. Noticed at once, asked as often as you like. */
  readonly exit: Effect.Effect<Exit>
  /** Everything printed has been read, or half a second has passed. */
  readonly drained: Effect.Effect<void>
  readonly stdout: BoundedOutput.BoundedOutput
  readonly stderr: BoundedOutput.BoundedOutput
  /** Sends to standard input; false when the process does not read any more. Waits while its buffer is full. */
  readonly write: (data: string | Uint8Array) => Effect.Effect<boolean>
  /** Ends standard input. */
  readonly endInput: Effect.Effect<void>
  /** The pipes themselves, for protocol libraries; `stdin` is null unless it is `open`. Nothing flows before `go`. */
  readonly pipes: { readonly stdin: Writable | null; readonly stdout: Readable }
  readonly tree: ProcessTree
  /** Ends the whole tree now; closing the scope does the same. */
  readonly stop: Effect.Effect<Stopped>
}

export const defaultMaxBytes = 10 * 1024 * 1024
export const defaultTailBytes = 64 * 1024

/** How long after a process' end its pipes are read on, in milliseconds: what it left behind may hold them for ever. */
const drainMillis = 500

const shell = "/bin/sh"
/** Its name shows in the shell's own messages, so that a failed `exec` is told apart from a failing program. */
const gateName = "nofx-gate"
const gate = 'IFS= read -r _ <&3 || exit 125; exec 3<&-; exec "$@"'

/**
 * Spawns a process that waits at the gate, registered. Closing the scope stops its whole tree and says so to the context.
 *
 * Fails with `SpawnFailed`, before the program could start, when the program or the directory is missing or the system refuses.
 */
export const spawn = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<GatedProcess, SpawnFailed, ProcessTrees | Scope.Scope> {
  const trees = yield* ProcessTrees
  const gated = trees.platform !== "win32"
  const entry = options.entry ?? { name: markerVariable, value: options.context.marker }
  const env = { ...options.env, PWD: options.cwd, [markerVariable]: options.context.marker, [entry.name]: entry.value }
  const program = yield* Program.resolve(options.argv[0] ?? "", options.cwd, env, trees.platform)
  const argv = [program, ...options.argv.slice(1)]

  // Added before the intent is written, so that it is taken back whatever happens next.
  let gone = true
  yield* Effect.addFinalizer(() => Effect.suspend(() => (gone ? options.context.gone : Effect.void)))
  yield* options.context.intend

  const child = yield* Effect.acquireRelease(start(gated ? gateArguments(argv, env) : argv, gated, options, env), (started) =>
    Effect.sync(() => release(started))
  )
  const identity = yield* trees.identify(child.pid)
  if (identity === undefined) return yield* Effect.fail(Program.spawnFailed("spawn", `${program} ended before it could be registered`))
  const tree = yield* trees.watch(identity, `${entry.name}=${entry.value}`)
  const stop = Effect.suspend(() => {
    child.stopping = true
    return Effect.tap(tree.stop(options.stop), ({ survivors }) =>
      Effect.sync(() => {
        gone = survivors.length === 0
      })
    )
  })
  yield* Effect.addFinalizer(() => stop)
  yield* options.context.register(identity)

  const { process: handle } = child
  return {
    identity,
    gated,
    go: Effect.sync(() => {
      if (child.released) return
      child.released = true
      if (gated) (handle.stdio[3] as Writable).end("go\n")
      if (typeof options.stdin === "object") handle.stdin?.end(options.stdin.text)
    }),
    exit: Deferred.await(child.exit),
    drained: Effect.asVoid(Effect.timeoutOption(Deferred.await(child.ended), drainMillis)),
    stdout: child.stdout,
    stderr: child.stderr,
    write: (data) =>
      Effect.callback((resume) => {
        if (handle.stdin === null || handle.stdin.destroyed) return resume(Effect.succeed(false))
        handle.stdin.write(data, (error) => resume(Effect.succeed(error === null || error === undefined)))
      }),
    endInput: Effect.sync(() => {
      handle.stdin?.end()
    }),
    pipes: { stdin: options.stdin === "open" ? handle.stdin : null, stdout: handle.stdout as Readable },
    tree,
    stop
  }
})

/**
 * Could the gate not become the program? Then nothing of it has run: answers the shell's own message.
 *
 * For a program that passed `Program.resolve` this happens when its interpreter is missing or its format is wrong.
 */
export const execFailure = (exit: Exit, process: Pick<GatedProcess, "stderr" | "stdout">): string | undefined => {
  if ((exit.code !== 126 && exit.code !== 127) || process.stdout.bytes() > 0) return undefined
  const message = process.stderr.tail()
  return message.startsWith(`${gateName}: `) && message.trimEnd().split("\n").length === 1
    ? message.trimEnd().slice(gateName.length + 2)
    : undefined
}

interface Child {
  readonly process: childProcess.ChildProcess
  readonly pid: number
  readonly exit: Deferred.Deferred<Exit>
  /** Both outputs have ended. */
  readonly ended: Deferred.Deferred<void>
  readonly stdout: BoundedOutput.BoundedOutput
  readonly stderr: BoundedOutput.BoundedOutput
  stopping: boolean
  released: boolean
}

const start = (
  argv: ReadonlyArray<string>,
  gated: boolean,
  options: Options,
  env: Record<string, string>
): Effect.Effect<Child, SpawnFailed> =>
  Effect.callback<Child, SpawnFailed>((resume) => {
    const { redact } = options
    const bounds = { maxBytes: options.maxBytes ?? defaultMaxBytes, tailBytes: options.tailBytes ?? defaultTailBytes, redact }
    const outputs: Array<BoundedOutput.BoundedOutput> = []
    const refuse = (error: unknown): void => {
      for (const output of outputs) output.close()
      const code = (error as NodeJS.ErrnoException).code
      const reason = code === "E2BIG" ? "too-big" : "spawn"
      const detail = code === "E2BIG" ? "its arguments and environment are larger than the system takes" : (code ?? "the system refused it")
      resume(Effect.fail(Program.spawnFailed(reason, `${options.argv[0]} could not be started: ${detail}`)))
    }
    const open = (file: string | undefined): BoundedOutput.BoundedOutput => {
      const output = BoundedOutput.make(file === undefined ? bounds : { ...bounds, file })
      outputs.push(output)
      return output
    }
    let process: childProcess.ChildProcess
    let stdout: BoundedOutput.BoundedOutput
    let stderr: BoundedOutput.BoundedOutput
    try {
      stdout = open(options.stdoutFile)
      stderr = open(options.stderrFile)
      process = childProcess.spawn(argv[0] ?? "", argv.slice(1), {
        cwd: options.cwd,
        env,
        // A session of its own: its whole group can be signalled, and a terminal's Ctrl-C reaches only us.
        detached: gated,
        stdio: [options.stdin === "none" ? "ignore" : "pipe", "pipe", "pipe", ...(gated ? (["pipe"] as const) : [])],
        windowsHide: true
      })
    } catch (error) {
      return refuse(error)
    }
    if (process.pid === undefined) {
      process.once("error", refuse)
      return
    }
    // Without a listener a late error of the handle would end the runtime.
    process.on("error", () => {})
    const child: Child = {
      process,
      pid: process.pid,
      exit: Deferred.makeUnsafe(),
      ended: Deferred.makeUnsafe(),
      stdout,
      stderr,
      stopping: false,
      released: false
    }
    process.once("exit", (code, signal) => {
      Deferred.doneUnsafe(child.exit, Effect.succeed({ code, signal, ours: child.stopping }))
    })
    let reading = 2
    const read = (
      stream: Readable | null,
      output: BoundedOutput.BoundedOutput,
      listener: ((chunk: Uint8Array) => void) | undefined
    ): void => {
      stream?.on("data", (chunk: Uint8Array) => {
        output.write(chunk)
        listener?.(chunk)
      })
      stream?.on("error", () => {})
      stream?.once("close", () => {
        reading -= 1
        if (reading === 0) Deferred.doneUnsafe(child.ended, Effect.void)
      })
    }
    read(process.stdout, stdout, options.onStdout)
    read(process.stderr, stderr, options.onStderr)
    // A process that left, or never reads, breaks its input: that is its end's business, not an error of ours.
    process.stdin?.on("error", () => {})
    process.stdio[3]?.on("error", () => {})
    resume(Effect.succeed(child))
  })

/** After the tree's end: nothing of the process may keep a handle. */
const release = (child: Child): void => {
  // Only when it was interrupted before its tree was watched; the handle knows whether the pid is still its own.
  if (child.process.exitCode === null && child.process.signalCode === null) child.process.kill("SIGKILL")
  for (const stream of child.process.stdio) stream?.destroy()
  child.process.unref()
  child.stdout.close()
  child.stderr.close()
}

/**
 * The shell's arguments. A shell passes on only variables whose names it could itself assign; the others are handed over by `env`.
 */
const gateArguments = (argv: ReadonlyArray<string>, env: Readonly<Record<string, string>>): ReadonlyArray<string> => {
  const odd = Object.keys(env).filter((name) => !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && name !== "" && !/[=-]/.test(name.charAt(0)))
  const carried =
    odd.length === 0 || argv[0]?.includes("=") ? argv : ["/usr/bin/env", ...odd.map((name) => `${name}=${env[name]}`), ...argv]
  return [shell, "-c", gate, gateName, ...carried]
}
