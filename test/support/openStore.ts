/** Opens the store in a file and commits once, as a process of its own: prints the tag and reason of what refused it, or `ok`. */
import * as Effect from "effect/Effect"
import * as SqliteStore from "../../src/store/SqliteStore.ts"
import { Store } from "../../src/store/Store.ts"
import { task } from "./storeTasks.ts"

const [file = ""] = process.argv.slice(2)

const program = Store.use((store) => store.commit([{ _tag: "PutTask", task: task("t", 1) }], store.epoch)).pipe(
  Effect.provide(SqliteStore.layerFile(file)),
  Effect.match({
    onFailure: (error) => `${error._tag} ${"reason" in error ? error.reason : ""}`,
    onSuccess: () => "ok"
  })
)

console.log(await Effect.runPromise(program))
