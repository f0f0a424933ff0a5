/**
 * A process that owns a state directory: `ownerProcess.ts DIRECTORY own|commit`.
 *
 * Prints one JSON line for each thing that happened: `owned` with its epoch, `refused` with the message, `fenced`. With `commit` it writes tasks
 * one after the other and prints each one's number once it was acknowledged.
 */
import * as fs from "node:fs"
import * as Effect from "effect/Effect"
import * as ProcessSystem from "../../src/agent/ProcessSystem.ts"
import * as Ownership from "../../src/store/Ownership.ts"
import * as SqliteStore from "../../src/store/SqliteStore.ts"
import { task } from "./storeTasks.ts"

const [directory = "", mode = "own"] = process.argv.slice(2)

// Written at once: an acknowledgement in a buffer would die with the process.
const say = (line: unknown) => Effect.sync(() => fs.writeSync(1, `${JSON.stringify(line)}\n`))

/** Waits for ever, as a fiber that nothing refers to, and has the garbage collected: what it owns must stay. */
const idle = Effect.callback<void>(() => {
  process.stdin.resume()
  setImmediate(() => globalThis.gc?.())
})

const program = Effect.gen(function* () {
  const owner = yield* Ownership.acquire({ directory, kind: "run", version: "1", processes: ProcessSystem.make() })
  yield* say({ owned: owner.epoch, pid: process.pid })
  const store = yield* SqliteStore.make(owner.database.connection, owner.epoch)
  if (mode === "own") return yield* idle
  const { order } = yield* store.load
  for (let n = order + 1; ; n++) {
    const one = task(`t${n}`, n)
    yield* store.commit(
      [
        { _tag: "PutTask", task: one },
        { _tag: "AppendEvent", event: { _tag: "TaskAccepted", at: n, taskId: one.key, batch: "" } }
      ],
      store.epoch
    )
    yield* say({ acknowledged: n })
  }
}).pipe(
  Effect.catchTag("Fenced", () => say({ fenced: true })),
  Effect.catchTag("OwnedByAnother", (error) => say({ refused: error.message, alive: error.alive, pid: error.owner?.pid })),
  Effect.scoped
)

await Effect.runPromise(program)
