/**
 * The `nofx` command: its subcommands, its help, and how wrong usage is told.
 *
 * Only the subcommand that is called is loaded; the others are known by name and description, so that help comes at once.
 */
import * as CliConfig from "effect/cli/CliConfig"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { type Subcommand, subcommands } from "./subcommands.ts"
import { version } from "../version.ts"

/**
 * Runs the command line. Wrong usage is told on standard error and fails; what a subcommand fails with comes out as it is. See
 * `exitCodes` for what becomes of either.
 */
export const run = (
  args: ReadonlyArray<string>,
  known: ReadonlyArray<Subcommand> = subcommands
): Effect.Effect<void, unknown, Command.Environment> =>
  Effect.gen(function* () {
    const asked = args[0] === "help" ? [...args.slice(1), "--help"] : args
    // A script of completions describes every flag of every command.
    const all = asked.some((arg) => arg.startsWith("--completions"))
    const commands = yield* Effect.forEach(known, (entry) =>
      all || asked.includes(entry.name) ? load(entry) : Effect.succeed(stub(entry))
    )
    const root = Command.make("nofx").pipe(
      Command.withDescription("Runs several AI coding agents side by side and does not lose their work."),
      Command.withSubcommands(commands as [Command.Command.Any, ...Array<Command.Command.Any>])
    )
    yield* Command.runWith(root, { version })(asked)
  }).pipe(Effect.provide([CliOutput.layerPresenter(presenter), CliConfig.layer({ builtIns })])) as Effect.Effect<
    void,
    unknown,
    Command.Environment
  >

/** The wizard asks for one flag after the other; a task file is where one writes things down here. */
const builtIns = [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions, GlobalFlag.LogLevel]

const load = (entry: Subcommand) => Effect.promise(entry.load)

const stub = (entry: Subcommand): Command.Command.Any => Command.make(entry.name).pipe(Command.withDescription(entry.description))

/** Help that was asked for is the answer; help that was not would hide what is wrong. */
const presenter: CliOutput.Presenter = {
  present: (event) => {
    if (event._tag === "Version") return Console.log(event.version)
    if (event._tag !== "InvalidInvocation") return CliOutput.defaultPresenter.present(event)
    return Effect.gen(function* () {
      const formatter = yield* CliOutput.Formatter
      for (const error of event.errors) {
        // The words of a schema come with where they are from.
        const text = formatter.formatCliError(error).replace("Expected: Schema validation failed: Expected", "Expected")
        yield* Console.error(`nofx: ${text}`)
      }
      yield* Console.error(`Run "${event.commandPath.join(" ")} --help" for usage.`)
    })
  }
}
