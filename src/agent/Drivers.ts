/** The drivers that NofX brings along, over real processes. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as AcpDriver from "./AcpDriver.ts"
import type * as Redaction from "../reliability/Redaction.ts"
import { type AgentDriver, AgentDrivers, type Reaper, TaskCheck } from "./AgentDriver.ts"
import { classify } from "./Classification.ts"
import * as CommandDriver from "./CommandDriver.ts"
import * as ProcessTaskCheck from "./ProcessTaskCheck.ts"
import * as ProcessTree from "./ProcessTree.ts"
import type * as Transcript from "./Transcript.ts"
import * as TranscriptDriver from "./TranscriptDriver.ts"
import * as Worktree from "./Worktree.ts"
import * as WorktreeDriver from "./WorktreeDriver.ts"
import * as WorktreeIsolation from "./WorktreeIsolation.ts"

export interface Options {
  /** The environment that agents and checks inherit. */
  readonly inheritEnv: Readonly<Record<string, string>>
  /** Where agents work that name no directory. Absolute. */
  readonly cwd: string
  /** Drivers of the program's own, by name; they win over ours. */
  readonly drivers?: Readonly<Record<string, AgentDriver>>
  /** Takes secrets out of transcripts, output files and messages of commits. */
  readonly redactor: Redaction.Redactor
  /** Where worktrees of agents lie, and how many there may be. */
  readonly transcripts: Transcript.Limits
  readonly worktrees: Pick<Worktree.Options, "directory" | "max" | "minFreeBytes">
}

/** Everything that has to do with processes: the drivers, the tasks' own checks, and the reaper. */
export const layer = (options: Options): Layer.Layer<AgentDrivers | TaskCheck | Reaper> =>
  Layer.mergeAll(
    Layer.effectContext(
      Effect.gen(function* () {
        const { redactor } = options
        const redact = <A>(value: A): A => redactor.value(value) as A
        const worktrees = yield* Worktree.make({ ...options, ...options.worktrees }, redactor.text)
        const given: Record<string, AgentDriver> = {
          acp: yield* AcpDriver.make({ ...options, redact: redactor.text }),
          command: yield* CommandDriver.make({ classify, ...options, redact: redactor.text }),
          ...options.drivers
        }
        const drivers = new Map(
          Object.entries(given).map(([name, driver]) => [
            name,
            WorktreeDriver.isolated(TranscriptDriver.recorded(driver, { limits: options.transcripts, redact }), worktrees)
          ])
        )
        const check = yield* ProcessTaskCheck.make(options)
        return Context.make(AgentDrivers, {
          get: (name) => drivers.get(name),
          names: [...drivers.keys()],
          settle: (spec, others) => Effect.map(WorktreeIsolation.decide([spec], options.cwd, others), ([settled]) => settled ?? spec)
        }).pipe(Context.add(TaskCheck, WorktreeDriver.checkedThere(check, worktrees)))
      })
    ),
    ProcessTree.layerReaper
  ).pipe(Layer.provide(ProcessTree.layer))
