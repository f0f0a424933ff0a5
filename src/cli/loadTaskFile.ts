/** How every subcommand reads a task file: the one place that says what its `config` is. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as TaskFile from "../task/TaskFile.ts"
import { programsExist } from "../task/TaskFilePrograms.ts"
import { programSearch } from "./machine.ts"

export const options = { configSchema: Schema.Record(Schema.String, Schema.Unknown) } satisfies TaskFile.Options<unknown>

/** Reads the file and looks whether what it names is on this machine. Fails with `TaskFileInvalid`, before anything is started. */
export const loadTaskFile = Effect.fnUntraced(function* (file: string) {
  const taskFile = yield* TaskFile.load(file, options)
  yield* programsExist(taskFile, yield* programSearch)
  return taskFile
})
