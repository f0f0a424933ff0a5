/** A runtime of this process' own: state directory, ownership, SQLite store, real processes. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Drivers from "../agent/Drivers.ts"
import * as ProcessSystem from "../agent/ProcessSystem.ts"
import * as AgentRuntime from "../AgentRuntime.ts"
import { secretsOf } from "../reliability/Redaction.ts"
import type { RuntimeConfig } from "../RuntimeConfig.ts"
import { Environment } from "../runtime/Environment.ts"
import * as Ownership from "../store/Ownership.ts"
import * as SqliteStore from "../store/SqliteStore.ts"
import * as StateDirectory from "../store/StateDirectory.ts"
import { Machine, place } from "./machine.ts"
import { version } from "./version.ts"

/** The state directory for work in `directory`, made if need be. */
export const stateDirectory = Effect.fnUntraced(function* (directory: string, explicit: string | undefined) {
  return yield* StateDirectory.ensure(yield* StateDirectory.locate(yield* place, directory, explicit))
})

export interface Options {
  readonly config: RuntimeConfig
  /** Where agents work that name no directory. Absolute. */
  readonly cwd: string
  readonly stateDirectory: string
  readonly kind: "run" | "host"
}

/** Builds with `OwnedByAnother` as its failure when another process owns the state directory. */
export const layer = (options: Options) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const machine = yield* Machine
      const fs = yield* FileSystem.FileSystem
      const processes = ProcessSystem.make(machine.platform)
      return AgentRuntime.layer(options.config).pipe(
        Layer.provide(
          Layer.succeed(Environment, {
            directory: `${options.stateDirectory}/agents`,
            makeDirectory: (directory) => Effect.orDie(fs.makeDirectory(directory, { recursive: true })),
            waitsForClients: options.kind === "host",
            tracesStages: false,
            secrets: secretsOf(machine.env),
            versions: { nofx: version }
          })
        ),
        Layer.provide(Drivers.layer({ inheritEnv: machine.env, cwd: options.cwd })),
        Layer.provideMerge(SqliteStore.layer),
        Layer.provideMerge(Ownership.layer({ directory: options.stateDirectory, kind: options.kind, version, processes }))
      )
    })
  )
