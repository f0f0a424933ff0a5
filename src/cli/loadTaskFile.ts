/** How every subcommand reads a task file: the one place that says what its `config` is. */
import * as Effect from "effect/Effect"
import { PresetUnknown, presets, resolvePreset } from "../agent/AgentPresets.ts"
import type { AgentSpec } from "../agent/AgentSpec.ts"
import { RuntimeConfig } from "../RuntimeConfig.ts"
import * as TaskFile from "../task/TaskFile.ts"
import { programsExist } from "../task/TaskFilePrograms.ts"
import { programSearch } from "./machine.ts"

/** The agent with what its preset stands for; one whose preset is unknown as it is. */
export const resolved = (spec: AgentSpec): AgentSpec => {
  const agent = resolvePreset(spec)
  return agent instanceof PresetUnknown ? spec : agent
}

export const options = {
  configSchema: RuntimeConfig,
  presets: (driver: string) =>
    Object.entries(presets).flatMap(([name, preset]) => ((driver === "acp" ? preset.acp : preset.oneShot) === undefined ? [] : [name])),
  resolve: resolved
} satisfies TaskFile.Options<RuntimeConfig>

/** Reads the file and looks whether what it names is on this machine. Fails with `TaskFileInvalid`, before anything is started. */
export const loadTaskFile = Effect.fnUntraced(function* (file: string) {
  const taskFile = yield* TaskFile.load<RuntimeConfig>(file, options)
  yield* programsExist(taskFile, yield* programSearch)
  return taskFile
})
