/** What a user configures of one agent: who it is, how to talk to it, whose quota it spends. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Redaction from "../reliability/Redaction.ts"

/** Ids are used in file names, environment variables and tables. */
export const Id = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/, {
    expected: "1 to 128 letters, digits, '.', '_' or '-', starting with a letter or digit"
  })
)

/** How the agent's permission requests are answered. */
export const PermissionMode = Schema.Literals(["ask", "edits", "all", "reject"])
export type PermissionMode = typeof PermissionMode.Type

export const AgentSpec = Schema.Struct({
  /** Unique among the runtime's agents. */
  id: Id,
  /** How to talk to it: `acp`, `command`, or a driver that the program registered. */
  driver: Schema.NonEmptyString,
  /** The program and its arguments; never a shell string. May hold `{{task.…}}` templates for `command` agents. */
  command: Schema.Array(Schema.String).pipe(Schema.withDecodingDefault(Effect.succeed([]))),
  /** A named preset (`claude`, `codex` …) that fills in what is not given here. */
  preset: Schema.optionalKey(Schema.NonEmptyString),
  /** Whose quota a call spends. Default: the command's name. */
  account: Schema.optionalKey(Schema.NonEmptyString),
  /** What tasks may ask for. */
  capabilities: Schema.Array(Schema.NonEmptyString).pipe(Schema.withDecodingDefault(Effect.succeed([]))),
  /** Where it works: its own git worktree, or the directory as it is. Default: a worktree for ACP agents that share a repository, else `shared`. */
  isolation: Schema.optionalKey(Schema.Literals(["worktree", "shared"])),
  /** Default `ask`. */
  permissions: PermissionMode.pipe(Schema.withDecodingDefault(Effect.succeed("ask" as const))),
  /** Working directory. Relative paths are resolved against the task file. Default: the task file's directory. */
  cwd: Schema.optionalKey(Schema.NonEmptyString),
  /** Added to the environment of its processes. */
  env: Schema.Record(Schema.String, Schema.String).pipe(Schema.withDecodingDefault(Effect.succeed({}))),
  /** What a `command` agent reads on standard input: the task as JSON, or nothing. */
  stdin: Schema.Literals(["task", "none"]).pipe(Schema.withDecodingDefault(Effect.succeed("task" as const)))
})
export type AgentSpec = typeof AgentSpec.Type

/** Launchers that only start another program: the account is the package's name, not theirs. */
const launchers = new Set(["npx", "npm", "node", "pnpm", "yarn", "bunx", "bun", "env", "uvx"])

const programName = (argument: string): string => {
  const base = argument.split(/[/\\]/).at(-1) ?? argument
  return base.replace(/\.(exe|cmd|bat|ps1|[cm]?[jt]s)$/i, "")
}

/** The account of an agent: as configured, else its command's name (behind a launcher: the package's or script's). */
export const accountOf = (spec: AgentSpec): string => {
  if (spec.account !== undefined) return spec.account
  const program = spec.command[0]
  if (program === undefined) return spec.id
  const name = programName(program)
  if (!launchers.has(name)) return name
  const behind = spec.command
    .slice(1)
    .find((argument) => !argument.startsWith("-") && argument !== "exec" && argument !== "run" && !/^\w+=/.test(argument))
  return behind === undefined ? name : programName(behind.replace(/(?<=.)@[^/]*$/, ""))
}

/** What is secret of an agent: values of its environment and arguments that are named like secrets. */
export const secretsOf = ({ command, env }: AgentSpec): ReadonlyArray<string> => [
  ...Redaction.secretsOf(env),
  ...Redaction.secretsOfArguments(command)
]
