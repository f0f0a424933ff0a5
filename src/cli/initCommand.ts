/** `nofx init [FILE]`: writes a task file for the agents found on this machine. */
import { fileURLToPath } from "node:url"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { presets } from "../agent/AgentPresets.ts"
import { findProgram } from "../task/TaskFilePrograms.ts"
import { schemaFile } from "../task/TaskFileSchema.ts"
import { type FoundAgent, initFile } from "./initFile.ts"
import { programSearch } from "./machine.ts"

/** The file is there already: it was not touched. */
export class TaskFileExists extends Schema.TaggedError<TaskFileExists>()("TaskFileExists", { file: Schema.String }) {
  override get message() {
    return `${this.file} is there already; --force replaces it`
  }
}

/** The file cannot be written. */
export class TaskFileNotWritten extends Schema.TaggedError<TaskFileNotWritten>()("TaskFileNotWritten", {
  file: Schema.String,
  reason: Schema.String,
  cause: Schema.Defect()
}) {
  override get message() {
    return `${this.file} cannot be written: ${this.reason}`
  }
}

export const initCommand = Command.make(
  "init",
  {
    file: Argument.String("FILE").pipe(Argument.withDescription("The file to write"), Argument.withDefault("nofx.yaml")),
    force: Flag.Boolean("force").pipe(Flag.withDescription("Replace the file if it is there already"), Flag.withDefault(false))
  },
  Effect.fnUntraced(function* ({ file, force }) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const found = yield* findAgents
    const text = initFile(found, schemaFor(path, path.resolve(file)), [process.execPath, ...quiet, demoAgent])
    // The flag makes it one step: a file that comes into being meanwhile is not overwritten either.
    yield* Effect.mapError(fs.writeFileString(file, text, { flag: force ? "w" : "wx" }), (cause) =>
      cause.reason._tag === "AlreadyExists"
        ? new TaskFileExists({ file })
        : new TaskFileNotWritten({ file, reason: reasons[cause.reason._tag] ?? cause.reason._tag, cause })
    )
    const names = found.map(({ preset }) => preset.title).join(", ")
    yield* Console.log(
      found.length === 0 ? `Wrote ${file}. No agent was found on the PATH: it uses the offline demo agent.` : `Wrote ${file} for ${names}.`
    )
    yield* Console.log(`Next: nofx validate ${file}, then nofx run ${file}`)
  })
).pipe(
  Command.withDescription(
    "Write a commented task file for the agents found on this machine. An existing file is left alone without --force."
  )
)

const findAgents = Effect.gen(function* () {
  const search = yield* programSearch
  const there = (program: string | undefined) =>
    program === undefined ? Effect.succeed(false) : Effect.map(findProgram(program, ".", search), (file) => file !== undefined)
  const agents = yield* Effect.forEach(Object.entries(presets), ([name, preset]) =>
    Effect.gen(function* () {
      const acp = yield* there(preset.acp?.command[0])
      const oneShot = yield* there(preset.oneShot?.command[0])
      return { name, preset, acp, oneShot } satisfies FoundAgent
    })
  )
  return agents.filter(({ acp, oneShot }) => acp || oneShot)
})

/** The usual ones in words. */
const reasons: Readonly<Record<string, string>> = {
  NotFound: "there is no such directory",
  PermissionDenied: "permission denied",
  BadResource: "it is not a file"
}

/** Relative where the package belongs to the project, so that the file can be shared; else where it is installed. */
const schemaFor = (path: Path.Path, file: string): string => {
  const relative = path.relative(path.dirname(file), schemaFile)
  return relative.startsWith("..") || path.isAbsolute(relative) ? schemaFile : `./${relative.replaceAll("\\", "/")}`
}

const quiet = ["--disable-warning=ExperimentalWarning"]

const demoAgent = fileURLToPath(new URL(import.meta.url.endsWith(".ts") ? "../demo/agent.ts" : "../demo/agent.js", import.meta.url))
