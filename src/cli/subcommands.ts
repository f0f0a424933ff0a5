/** The subcommands, one row and one file each. A subcommand's file is loaded only when it is called. */
import type * as Command from "effect/cli/Command"

export interface Subcommand {
  readonly name: string
  /** One line for the list of commands. */
  readonly description: string
  readonly load: () => Promise<Command.Command.Any>
}

export const subcommands: ReadonlyArray<Subcommand> = [
  {
    name: "demo",
    description: "See it work: offline agents that really fail, and a report of what was done about it",
    load: () => import("./demoCommand.ts").then((module) => module.demoCommand)
  },
  {
    name: "run",
    description: "Run a task file to the end, or go on with it",
    load: () => import("./runCommand.ts").then((module) => module.runCommand)
  },
  {
    name: "init",
    description: "Write a task file for the agents found on this machine",
    load: () => import("./initCommand.ts").then((module) => module.initCommand)
  },
  {
    name: "validate",
    description: "Check a task file without starting anything",
    load: () => import("./validateCommand.ts").then((module) => module.validateCommand)
  }
]
