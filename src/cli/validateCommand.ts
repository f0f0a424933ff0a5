/** `nofx validate FILE`: says whether a task file could be run here, and if not, everything that is wrong with it. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { accountOf } from "../agent/AgentSpec.ts"
import * as TaskFile from "../task/TaskFile.ts"
import { ExitWith, exitCodes } from "./exitCodes.ts"
import { json } from "./flags.ts"
import { loadTaskFile, options, resolved } from "./loadTaskFile.ts"

export const validateCommand = Command.make(
  "validate",
  { file: Argument.String("FILE").pipe(Argument.withDescription("A task file, in YAML or JSON")), json },
  Effect.fnUntraced(function* (input) {
    const load = loadTaskFile(input.file)
    const taskFile = yield* input.json ? Effect.catchTag(load, "TaskFileInvalid", refuse) : load
    const accounts = new Set(taskFile.agents.map((agent) => accountOf(resolved(agent)))).size
    const agents = taskFile.agents.length
    const tasks = taskFile.tasks.length
    if (input.json) {
      const digest = TaskFile.digest(taskFile, options)
      return yield* Console.log(JSON.stringify({ _tag: "TaskFileValid", file: input.file, agents, accounts, tasks, digest }))
    }
    yield* Console.log(`${input.file} is valid: ${count(agents, "agent")} on ${count(accounts, "account")}, ${count(tasks, "task")}`)
  })
).pipe(
  Command.withDescription(
    "Check a task file without starting anything: its fields, what refers to what, and whether the programs and directories it names are on this machine."
  )
)

const refuse = (error: { readonly file: string; readonly problems: ReadonlyArray<unknown>; readonly more: number }) =>
  Effect.andThen(
    Console.log(JSON.stringify({ _tag: "TaskFileInvalid", file: error.file, problems: error.problems, more: error.more })),
    new ExitWith({ code: exitCodes.usage })
  )

const count = (number: number, noun: string): string => `${number} ${noun}${number === 1 ? "" : "s"}`
