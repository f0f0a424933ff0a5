/** Runs the command line inside of the test, with its own environment, and gathers what it prints. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Layer } from "effect"
import { TestConsole } from "effect/testing"
import { run } from "../../src/cli/Cli.ts"
import { exitCodeOf, lastWords } from "../../src/cli/exitCodes.ts"
import { Machine } from "../../src/cli/machine.ts"
import type { Subcommand } from "../../src/cli/subcommands.ts"

export interface Printed {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** `env` is all there is of the environment; `machine` is what else is known of where it runs. What it writes piece by piece counts as printed. */
export const nofx = (
  args: ReadonlyArray<string>,
  options: {
    readonly env?: Record<string, string>
    readonly machine?: Partial<Machine>
    readonly subcommands?: ReadonlyArray<Subcommand>
  } = {}
) => {
  const written: Array<string> = []
  const machine = {
    ...Machine.defaultValue(),
    write: (text: string) => void written.push(text),
    ...options.machine,
    env: options.env ?? {}
  }
  return Effect.gen(function* () {
    const exit = yield* Effect.exit(run(args, options.subcommands))
    const out = yield* TestConsole.logLines
    const err = yield* TestConsole.errorLines
    const words = lastWords(exit, false)
    return {
      code: exitCodeOf(exit),
      out: [...(written.length === 0 ? [] : [written.join("")]), ...out].join("\n"),
      err: [...err, ...(words === undefined ? [] : [words])].join("\n")
    } satisfies Printed
  }).pipe(Effect.provide([NodeServices.layer, Layer.succeed(Machine)(machine), TestConsole.layer], { local: true }))
}
