/** The drivers that NofX brings along, over real processes. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as AcpDriver from "./AcpDriver.ts"
import { type AgentDriver, AgentDrivers, type Reaper, type TaskCheck } from "./AgentDriver.ts"
import { classify } from "./Classification.ts"
import * as CommandDriver from "./CommandDriver.ts"
import * as ProcessTaskCheck from "./ProcessTaskCheck.ts"
import * as ProcessTree from "./ProcessTree.ts"

export interface Options {
  /** The environment that agents and checks inherit. */
  readonly inheritEnv: Readonly<Record<string, string>>
  /** Where agents work that name no directory. Absolute. */
  readonly cwd: string
  /** Drivers of the program's own, by name; they win over ours. */
  readonly drivers?: Readonly<Record<string, AgentDriver>>
}

/** Everything that has to do with processes: the drivers, the tasks' own checks, and the reaper. */
export const layer = (options: Options): Layer.Layer<AgentDrivers | TaskCheck | Reaper> =>
  Layer.mergeAll(
    Layer.effect(
      AgentDrivers,
      Effect.gen(function* () {
        const drivers: Record<string, AgentDriver> = {
          acp: yield* AcpDriver.make(options),
          command: yield* CommandDriver.make({ classify, ...options }),
          ...options.drivers
        }
        return { get: (name: string) => drivers[name], names: Object.keys(drivers) }
      })
    ),
    ProcessTaskCheck.layer(options),
    ProcessTree.layerReaper
  ).pipe(Layer.provide(ProcessTree.layer))
