/** Lays out the demo: a small repository, and a task file whose agents are the bundled offline one. */
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { stringify } from "yaml"
import { schemaFile } from "../task/TaskFileSchema.ts"
import { demoFiles } from "./files.ts"
import { demoAgents, type DemoScenario, demoScenarios } from "./scenarios.ts"

/** The directory has something in it: nothing was written. */
export class DemoDirectoryNotEmpty extends Schema.TaggedError<DemoDirectoryNotEmpty>()("DemoDirectoryNotEmpty", {
  directory: Schema.String
}) {
  override get message() {
    return `${this.directory} is not empty: the demo needs a new or an empty directory`
  }
}

export interface Layout {
  /** Absolute. */
  readonly directory: string
  /** The task file. */
  readonly taskFile: string
  /** The repository that the agents work in. */
  readonly repository: string
  /** Where the agent counts its calls; outside of the repository, whose changes are the agents'. */
  readonly agentState: string
}

export interface LayOutOptions {
  /** The node to run agents and tests with: this process's own. */
  readonly node: string
  /** Default: the program beside this module. */
  readonly agentProgram?: string
}

/** The demo's limits: shorter and touchier than the defaults, so that one sees them at work within a minute. */
const demoConfig = {
  retry: { baseDelay: "200 millis", maxDelay: "1 second" },
  circuitBreaker: { consecutiveFailures: 1, openTime: "1 second" },
  cooldown: { slack: "100 millis", rampStep: "500 millis" },
  timeLimit: { attempt: "20 seconds", verify: "20 seconds", stall: "3 seconds" }
}

/**
 * Writes the repository and `nofx.yaml` below the directory, which is made when it is not there. Fails with `DemoDirectoryNotEmpty`
 * before anything is written.
 */
export const layOut = Effect.fnUntraced(function* (directory: string, options: LayOutOptions) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const home = path.resolve(directory)
  yield* fs.makeDirectory(home, { recursive: true })
  if ((yield* fs.readDirectory(home)).length > 0) return yield* new DemoDirectoryNotEmpty({ directory: home })
  const layout: Layout = {
    directory: home,
    taskFile: path.join(home, "nofx.yaml"),
    repository: path.join(home, "library"),
    agentState: path.join(home, "agent-state")
  }
  yield* fs.makeDirectory(layout.agentState)
  for (const [name, content] of Object.entries(demoFiles)) {
    const file = path.join(layout.repository, name)
    yield* fs.makeDirectory(path.dirname(file), { recursive: true })
    yield* fs.writeFileString(file, content)
  }
  yield* fs.writeFileString(layout.taskFile, taskFileText(layout, options))
  return layout
})

const taskFileText = (layout: Layout, options: LayOutOptions): string => {
  const program = options.agentProgram ?? bundledAgent
  const content = {
    agents: demoAgents.map((agent) => ({
      ...agent,
      driver: "command",
      command: [options.node, ...quiet, program],
      cwd: "library",
      isolation: "shared",
      env: { NOFX_DEMO_STATE: layout.agentState }
    })),
    tasks: demoScenarios.map((scenario) => taskOf(scenario, options.node)),
    config: demoConfig
  }
  return [
    `# yaml-language-server: $schema=${schemaFile}`,
    "# The demo: four agents of the bundled offline kind on two accounts, and work that goes wrong in every way they know (input.fault).",
    stringify(content, { lineWidth: 0 })
  ].join("\n")
}

/** Older Nodes warn that they run TypeScript; the agent's standard error is evidence, and stays clean. */
const quiet = ["--disable-warning=ExperimentalWarning"]

const bundledAgent = fileURLToPath(new URL(import.meta.url.endsWith(".ts") ? "./agent.ts" : "./agent.js", import.meta.url))

const taskOf = (scenario: DemoScenario, node: string) => ({
  id: scenario.taskId,
  prompt: [scenario.asked, ...scenario.steps, ""].join("\n"),
  capabilities: [scenario.capability],
  ...(scenario.priority === undefined ? {} : { priority: scenario.priority }),
  effect: scenario.effect,
  verify: [node, ...scenario.verify],
  ...(scenario.dependsOn === undefined ? {} : { dependsOn: scenario.dependsOn }),
  ...(scenario.onDependencyFailed === undefined ? {} : { onDependencyFailed: scenario.onDependencyFailed }),
  ...(scenario.fault === undefined ? {} : { input: { fault: scenario.fault } })
})
