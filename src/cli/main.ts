#!/usr/bin/env node
/** The entry of the `nofx` command: the only file of the command line that touches the process. */
import * as module from "node:module"

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(`nofx needs Node 22.19 or newer; this is Node ${process.versions.node}\n`)
  process.exit(70)
}

// Node 22 calls its SQLite experimental, at every start, to people who can do nothing about it.
const { emitWarning } = process
process.emitWarning = (...warning: ReadonlyArray<unknown>): void => {
  if (warning[1] !== "ExperimentalWarning") Reflect.apply(emitWarning, process, warning)
}

// Half of the time to the first line is compiling.
module.enableCompileCache()

const { availableParallelism } = await import("node:os")
const [{ run }, { exitCodeOf, lastWords }, { Machine }, Effect, Layer, Logger, References, NodeServices] = await Promise.all([
  import("./Cli.ts"),
  import("./exitCodes.ts"),
  import("./machine.ts"),
  import("effect/Effect"),
  import("effect/Layer"),
  import("effect/Logger"),
  import("effect/References"),
  import("@effect/platform-node/NodeServices")
])

/** Standard output belongs to the answer. */
const logging = Layer.mergeAll(
  Logger.layer([Logger.withConsoleError(Logger.formatLogFmt)]),
  Layer.succeed(References.MinimumLogLevel)("Warn")
)

/** By `npm run` in the repository, by `npx`, as a file, or by its name. */
const invocation = (script: string | undefined, program: string): string => {
  if (script !== undefined) return script === "npx" ? "npx nofx" : "npm run -s nofx --"
  return program.endsWith(".ts") ? `node ${program}` : "nofx"
}

const listeners = new Set<(count: number) => void>()
let signals = 0
/** Wrappers such as timeout(1) send a signal to the program and to its whole group: what comes this close is one. Milliseconds. */
const together = 100
let signalledAt = Number.NEGATIVE_INFINITY

/** The terminal hands over whole lines. */
function onLine(listener: (line: string) => void): () => void {
  const read = (text: string): void => {
    for (const line of text.replace(/\r?\n$/, "").split(/\r?\n/)) listener(line)
  }
  process.stdin.setEncoding("utf8").on("data", read).resume()
  return () => void process.stdin.off("data", read).pause()
}

const machine = Layer.succeed(Machine)({
  env: Object.fromEntries(Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined)),
  cwd: process.cwd(),
  platform: process.platform,
  node: process.execPath,
  invocation: invocation(process.env["npm_lifecycle_event"], process.argv[1] ?? ""),
  processors: availableParallelism(),
  terminal: process.stdout.isTTY
    ? {
        columns: () => process.stdout.columns,
        rows: () => process.stdout.rows,
        colours: process.env["NO_COLOR"] === undefined && process.env["TERM"] !== "dumb"
      }
    : undefined,
  write: (text) => void process.stdout.write(text),
  input: process.stdin.isTTY ? { onLine } : undefined,
  onSignal: (listener) => {
    listeners.add(listener)
    return () => void listeners.delete(listener)
  }
})

const fiber = Effect.runFork(Effect.provide(run(process.argv.slice(2)), [NodeServices.layer, logging, machine]))

// Whoever has work to bring to an end listens; everybody else is interrupted. A third signal ends the program as it stands: everything is written first.
const onSignal = (): void => {
  if (performance.now() - signalledAt < together) return
  signalledAt = performance.now()
  signals++
  if (signals > 2) process.exit(130)
  if (listeners.size === 0) return fiber.interruptUnsafe()
  for (const listener of [...listeners]) listener(signals)
}
let unread = false
let seenEnough = false
/** A reader that has seen enough (`nofx ... | head`) is no error; work that goes on is brought to an end, for nobody could see how it ends. */
const onUnread = (error: NodeJS.ErrnoException): void => {
  if (error.code !== "EPIPE") process.exit(70)
  if (unread) return
  unread = true
  seenEnough = listeners.size === 0
  onSignal()
}
process.stdout.on("error", onUnread)
process.on("SIGINT", onSignal)
process.on("SIGTERM", onSignal)

// Timers and handles of its own do not keep the process; the work does.
const alive = setInterval(() => {}, 2 ** 30)
fiber.addObserver((exit) => {
  clearInterval(alive)
  const words = lastWords(exit, process.env["NOFX_DEBUG"] === "1")
  if (words !== undefined && !seenEnough) process.stderr.write(`${words}\n`)
  // What is still in the pipes goes out first.
  process.stdout.write("", () => process.stderr.write("", () => process.exit(seenEnough ? 0 : exitCodeOf(exit))))
})
