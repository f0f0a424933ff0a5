// A runtime that spawns a gated process, writes down its pid, and never says go. Usage: owner.ts FILE PROGRAM ARGUMENTS...
import { Effect } from "effect"
import { appendFileSync } from "node:fs"
import * as GatedProcess from "../../../src/agent/GatedProcess.ts"
import * as ProcessTree from "../../../src/agent/ProcessTree.ts"

const [file = "", ...argv] = process.argv.slice(2)
const context = { marker: `owner-${process.pid}`, intend: Effect.void, register: () => Effect.void, gone: Effect.void, directory: "/" }

GatedProcess.spawn({ argv, cwd: "/", env: { PATH: process.env.PATH ?? "" }, stdin: "none", context }).pipe(
  Effect.tap(({ identity }) => Effect.sync(() => appendFileSync(file, `${identity.pid}\n`))),
  Effect.andThen(Effect.never),
  Effect.scoped,
  Effect.provide(ProcessTree.layer),
  Effect.runFork
)
