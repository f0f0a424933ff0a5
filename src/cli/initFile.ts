/** The task file that `nofx init` writes: commented, valid as it stands, for the agents that were found. */
import { stringify } from "yaml"
import type { Preset } from "../agent/AgentPresets.ts"

/** A well-known agent, with those of its ways to start whose programs are on this machine. */
export interface FoundAgent {
  /** The preset's name. */
  readonly name: string
  readonly preset: Preset
  readonly acp: boolean
  readonly oneShot: boolean
}

/** `schema` is where the JSON Schema lies; `demo` the command of the demo's agent, for machines without any other. */
export const initFile = (found: ReadonlyArray<FoundAgent>, schema: string, demo: ReadonlyArray<string>): string =>
  [
    `# yaml-language-server: $schema=${schema}`,
    "# A task file for nofx.   Check it: nofx validate FILE   Run it: nofx run FILE",
    "",
    "agents:",
    ...(found.length === 0 ? demoEntry(demo) : found.flatMap(agentEntry)),
    "",
    ...(found.length === 0 ? demoTask : firstTask),
    ...moreTasks,
    ...config,
    ""
  ].join("\n")

const flow = (command: ReadonlyArray<string>): string =>
  stringify(command, { collectionStyle: "flow", lineWidth: 0, flowCollectionPadding: false }).trim()

/** A line with its comment in the column of comments. */
const note = (line: string, comment: string): string => `${line.padEnd(35)} # ${comment}`

const agentEntry = ({ acp, name, oneShot, preset }: FoundAgent): ReadonlyArray<string> => {
  const asAcp = acp ? preset.acp : undefined
  const asCommand = oneShot ? preset.oneShot : undefined
  const other = asAcp === undefined ? preset.acp : asCommand
  return [
    `  # ${preset.title}`,
    `  - id: ${name}`,
    note(`    preset: ${name}`, `starts ${flow((asAcp ?? asCommand)?.command ?? [])}`),
    asAcp === undefined
      ? note("    driver: command", "started for each task")
      : note("    driver: acp", "spoken to over the Agent Client Protocol"),
    note(`    account: ${preset.account}`, "whose quota it spends; agents of one account wait together"),
    note("    capabilities: [code]", "what tasks may ask for"),
    note(
      "    permissions: ask",
      `ask | edits | all | reject${asAcp === undefined ? "; a one-shot agent cannot ask: edits lets it change files" : ""}`
    ),
    ...(other === undefined ? [] : [otherWay(asAcp === undefined ? "acp" : "command", other.command)])
  ]
}

const otherWay = (driver: "acp" | "command", command: ReadonlyArray<string>): string =>
  driver === "acp"
    ? `    # With ${command[0]} installed, driver: acp can do more.`
    : `    # Or driver: command, one process for each task: ${flow(command)}`

const demoEntry = (command: ReadonlyArray<string>): ReadonlyArray<string> => [
  "  # None of the agents that nofx knows was found on the PATH. This is the bundled offline one: it follows lines such as",
  '  # "write PATH: TEXT" in its prompt. Replace it by a real one, for example:',
  "  # - id: writer",
  "  #   driver: acp",
  "  #   command: [opencode, acp]",
  "  #   account: anthropic",
  "  #   capabilities: [code]",
  "  - id: demo",
  note("    driver: command", "started for each task, which it reads as JSON on standard input"),
  `    command: ${flow(command)}`,
  note("    account: demo", "whose quota it spends; agents of one account wait together"),
  "    capabilities: [code]"
]

const demoTask: ReadonlyArray<string> = [
  "tasks:",
  "  - id: first-task",
  "    prompt: |",
  "      Say hello.",
  "      write hello-from-nofx.txt: hello",
  note("    capabilities: [code]", "any agent that has them; or agent: ID"),
  note("    effect: idempotent", "idempotent: may run again | resumable | unsafe: must not run twice (default)")
]

const firstTask: ReadonlyArray<string> = [
  "tasks:",
  "  - id: first-task",
  "    prompt: Describe in NOTES.md what this repository does, in ten lines at most.",
  note("    capabilities: [code]", "any agent that has them; or agent: ID"),
  note("    effect: idempotent", "idempotent: may run again | resumable | unsafe: must not run twice (default)")
]

const moreTasks: ReadonlyArray<string> = [
  note("    # verify: [npm, test]", "the task's own check: exit code 0 means that it is really done"),
  note("    # priority: high", "high | medium | low"),
  note("    # deadline: 30 minutes", "from acceptance to end, all waiting included"),
  "  # - id: second-task",
  "  #   prompt: And then this.",
  "  #   capabilities: [code]",
  "  #   dependsOn: [first-task]",
  ""
]

const config: ReadonlyArray<string> = [
  "# Limits and policies; everything has a default.",
  "# config:",
  "#   timeLimit: { attempt: 2 hours, stall: 7 minutes }"
]
