#!/usr/bin/env node
/** The entry of the `nofx` command: the only file of the command line that touches the process. */
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(`nofx needs Node 22.19 or newer; this is Node ${process.versions.node}\n`)
  process.exit(70)
}

// A reader that has seen enough (`nofx ... | head`) is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 70))

const [{ run }, { exitCodeOf, lastWords }, Effect, Layer, Logger, References, NodeRuntime, NodeServices] = await Promise.all([
  import("./Cli.ts"),
  import("./exitCodes.ts"),
  import("effect/Effect"),
  import("effect/Layer"),
  import("effect/Logger"),
  import("effect/References"),
  import("@effect/platform-node/NodeRuntime"),
  import("@effect/platform-node/NodeServices")
])

/** Standard output belongs to the answer. */
const logging = Layer.mergeAll(
  Logger.layer([Logger.withConsoleError(Logger.formatLogFmt)]),
  Layer.succeed(References.MinimumLogLevel)("Warn")
)

run(process.argv.slice(2)).pipe(
  Effect.provide([NodeServices.layer, logging]),
  NodeRuntime.runMain({
    disableErrorReporting: true,
    teardown: (exit, onExit) => {
      const words = lastWords(exit, process.env["NOFX_DEBUG"] === "1")
      if (words !== undefined) process.stderr.write(`${words}\n`)
      onExit(exitCodeOf(exit))
    }
  })
)
