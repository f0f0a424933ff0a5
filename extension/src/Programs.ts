/** The agents that could be started on this machine: well-known ones whose programs are found, and the user's own. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import { presets } from "../../src/agent/AgentPresets.ts"
import type { AgentInput } from "../../src/AgentRuntime.ts"
import { findProgram, type ProgramSearch } from "../../src/task/TaskFilePrograms.ts"
import { Settings } from "./Settings.ts"

/** An agent that could be started. */
export interface Startable {
  readonly title: string
  /** How it is started, for people. */
  readonly how: string
  readonly agent: AgentInput
  readonly own: boolean
}

export class Programs extends Context.Service<
  Programs,
  {
    /** Looks along the PATH anew each time. */
    readonly found: Effect.Effect<ReadonlyArray<Startable>>
    /** The program's file; undefined: it is not on the PATH. */
    readonly find: (program: string) => Effect.Effect<string | undefined>
    /** How programs are found here. */
    readonly search: ProgramSearch
  }
>()("nofx/extension/Programs") {}

const searchOf = (env: NodeJS.ProcessEnv): ProgramSearch => ({
  path: env["PATH"] ?? env["Path"] ?? "",
  extensions: (env["PATHEXT"] ?? "").split(";").filter((ending) => ending !== "")
})

export const layer = Layer.effect(
  Programs,
  Effect.gen(function* () {
    const settings = yield* Settings
    const fileSystem = yield* FileSystem.FileSystem
    const search = searchOf(process.env)
    const find = (program: string) => Effect.provideService(findProgram(program, "/", search), FileSystem.FileSystem, fileSystem)
    const there = (program: string) => Effect.map(find(program), (file) => file !== undefined)
    const known = Effect.forEach(Object.entries(presets), ([name, preset]) =>
      Effect.gen(function* () {
        const ways: Array<Startable> = []
        if (preset.acp !== undefined && (yield* there(preset.acp.command[0]!))) {
          const agent: AgentInput = { id: name, driver: "acp", preset: name, capabilities: ["code"] }
          ways.push({ title: preset.title, how: preset.acp.command.join(" "), agent, own: false })
        }
        if (preset.oneShot !== undefined && (yield* there(preset.oneShot.command[0]!))) {
          const agent: AgentInput = { id: name, driver: "command", preset: name, capabilities: ["code"] }
          ways.push({ title: preset.title, how: `${preset.oneShot.command[0]} …`, agent, own: false })
        }
        return ways
      })
    )
    return {
      find,
      search,
      found: Effect.gen(function* () {
        const own = (yield* settings.read).agents.map(
          (agent): Startable => ({ title: agent.id, how: (agent.command ?? []).join(" ") || agent.driver, agent, own: true })
        )
        return [...own, ...(yield* known).flat()]
      })
    }
  })
).pipe(Layer.provide(NodeFileSystem.layer))
