/** Where the runtime runs: what it is told once by whoever starts it. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Redaction from "../reliability/Redaction.ts"

export interface Environment {
  /** Directory below which agents' transcripts and outputs lie. */
  readonly directory: string
  /** Makes a directory below it. Default: nothing, for drivers that write no files. */
  readonly makeDirectory: (directory: string) => Effect.Effect<void>
  /** Do permission requests wait for a client although none is connected? A host does, a program without a terminal does not. */
  readonly waitsForClients: boolean
  /** Does it bring back the agents of its predecessor? A host does; a run brings its own, which may bear the same names. Default: as `waitsForClients`. */
  readonly restoresAgents?: boolean
  /** Does every stage's decision appear in the events? For tests and for looking closely; default false. */
  readonly tracesStages: boolean
  /** Takes secrets out of whatever is kept or told; learns those of agents as they come. Default: one that knows only what secrets look like. */
  readonly redactor?: Redaction.Redactor
  /** Versions that dead letters keep. */
  readonly versions: Readonly<Record<string, string>>
}

export const Environment = Context.Reference<Environment>("nofx/runtime/Environment", {
  defaultValue: () => ({
    directory: ".nofx",
    makeDirectory: () => Effect.void,
    waitsForClients: false,
    tracesStages: false,
    versions: {}
  })
})
