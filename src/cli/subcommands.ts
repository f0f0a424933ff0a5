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
  },
  {
    name: "status",
    description: "Everything at a glance: tasks, agents, circuits, limits, dead letters",
    load: () => import("./statusCommand.ts").then((module) => module.statusCommand)
  },
  {
    name: "agents",
    description: "List the agents of the run that is going on, or of an interrupted one",
    load: () => import("./agentsCommand.ts").then((module) => module.agentsCommand)
  },
  {
    name: "tasks",
    description: "List tasks, a page at a time, or show one with its whole history",
    load: () => import("./tasksCommand.ts").then((module) => module.tasksCommand)
  },
  {
    name: "add",
    description: "Queue a task for the next run",
    load: () => import("./addCommand.ts").then((module) => module.addCommand)
  },
  {
    name: "cancel",
    description: "End a task that has not ended",
    load: () => import("./cancelCommand.ts").then((module) => module.cancelCommand)
  },
  {
    name: "pause",
    description: "Let no queued task start until resume",
    load: () => import("./pauseCommand.ts").then((module) => module.pauseCommand)
  },
  {
    name: "resume",
    description: "Let queued tasks start again",
    load: () => import("./pauseCommand.ts").then((module) => module.resumeCommand)
  },
  {
    name: "breaker",
    description: "Close an agent's circuit breaker by hand, or hold it open",
    load: () => import("./breakerCommand.ts").then((module) => module.breakerCommand)
  },
  {
    name: "dlq",
    description: "Look at dead letters, and decide about them",
    load: () => import("./dlqCommand.ts").then((module) => module.dlqCommand)
  },
  {
    name: "logs",
    description: "Read what was said and done for a task, or follow it live",
    load: () => import("./logsCommand.ts").then((module) => module.logsCommand)
  },
  {
    name: "worktrees",
    description: "Look at, merge and remove the worktrees of agents",
    load: () => import("./worktreesCommand.ts").then((module) => module.worktreesCommand)
  },
  {
    name: "doctor",
    description: "Look at what NofX needs on this machine, and say what is to be done",
    load: () => import("./doctorCommand.ts").then((module) => module.doctorCommand)
  },
  {
    name: "health",
    description: "Show health, as far as it is written down",
    load: () => import("./healthCommand.ts").then((module) => module.healthCommand)
  },
  {
    name: "simulate",
    description: "Run months of operation in a simulated world, and measure them",
    load: () => import("./simulateCommand.ts").then((module) => module.simulateCommand)
  },
  {
    name: "host",
    description: "Keep a host in the foreground: work goes on when editors and commands have gone",
    load: () => import("./hostCommand.ts").then((module) => module.hostCommand)
  }
]
