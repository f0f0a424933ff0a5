/** Writes an answer into a file of the user's instead of on the terminal. */
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { Machine } from "./machine.ts"
import { OperationRefused } from "./OperationRefused.ts"

/** Writes it, readable by the user alone, and answers the absolute path. Fails with `OperationRefused` when that is not possible. */
export const exportFile = Effect.fnUntraced(function* (name: string, text: string) {
  const fs = yield* FileSystem.FileSystem
  const { cwd } = yield* Machine
  const file = path.resolve(cwd, name)
  yield* Effect.mapError(
    fs.writeFileString(file, text, { mode: 0o600 }),
    ({ reason }) =>
      new OperationRefused({
        reason: `${file} cannot be written: ${reason._tag === "NotFound" ? "there is no such directory" : reason._tag}`
      })
  )
  return file
})
