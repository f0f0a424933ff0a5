/** A runtime over the memory store and drivers that a test scripts. */
import { Context, type Duration, Effect, Layer } from "effect"
import {
  type Activity,
  type AgentDriver,
  AgentDrivers,
  type AttemptContext,
  type AttemptFailure,
  type Checked,
  Reaper,
  TaskCheck
} from "../../src/agent/AgentDriver.ts"
import type { Fault } from "../../src/agent/Fault.ts"
import * as AgentRuntime from "../../src/AgentRuntime.ts"
import * as RuntimeConfig from "../../src/RuntimeConfig.ts"
import { Environment } from "../../src/runtime/Environment.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { Store, StoreUnavailable } from "../../src/store/Store.ts"
import type { Claim } from "../../src/task/Task.ts"

/** What an attempt does; `started` must be awaited before anything else. */
export type Script = (attempt: AttemptContext, agentId: string) => Effect.Effect<Claim, AttemptFailure>

export const claim = (output = "done"): Claim => ({ stop: "end_turn", output, sideEffects: "unknown" })

export const failure = (fault: Fault, more: Partial<AttemptFailure> = {}): AttemptFailure => ({
  fault,
  started: true,
  sideEffects: "unknown",
  ...more
})

/** Starts, takes a while, and does what it is told. */
export const afterStart =
  (effect: Effect.Effect<Claim, AttemptFailure>): Script =>
  (attempt) =>
    Effect.andThen(attempt.started(), effect)

export const succeedAfter = (duration: Duration.Input): Script => afterStart(Effect.as(Effect.sleep(duration), claim()))

/** What is measured of a process that does nothing. */
export const idle: Activity = { cpuMillis: 0, ioBytes: 0, processes: 1, files: "" }

/** A driver without processes. */
export const driver = (
  script: Script,
  more: {
    readonly open?: Effect.Effect<void, Fault>
    readonly exited?: Effect.Effect<Fault>
    readonly resumable?: boolean
    readonly activity?: Effect.Effect<Activity>
  } = {}
): AgentDriver => ({
  stopMillis: 0,
  probe: () => Effect.void,
  open: (spec) =>
    Effect.as(more.open ?? Effect.void, {
      resumable: more.resumable ?? false,
      exited: more.exited ?? Effect.never,
      activity: more.activity ?? Effect.succeed(idle),
      run: (attempt) => script(attempt, spec.id)
    })
})

export interface Options {
  readonly config?: unknown
  readonly drivers: Readonly<Record<string, AgentDriver>>
  readonly check?: Effect.Effect<Checked>
  readonly checkStopMillis?: number
  readonly disk?: Pick<MemoryStore.Disk, "open">
  /** Ends what an earlier incarnation left. Default: there is nothing. */
  readonly reap?: Reaper["Service"]["reap"]
  readonly environment?: Partial<Environment>
}

/** Builds the layer; the config as a task file would give it. */
export const layer = (options: Options): Layer.Layer<AgentRuntime.AgentRuntime> =>
  Layer.unwrap(
    Effect.map(RuntimeConfig.decode(options.config ?? {}), (config) =>
      AgentRuntime.layer(config).pipe(
        Layer.provide([
          options.disk === undefined ? MemoryStore.layer() : Layer.sync(Store, options.disk.open),
          Layer.succeed(AgentDrivers, { get: (name) => options.drivers[name], names: Object.keys(options.drivers) }),
          Layer.succeed(TaskCheck, {
            stopMillis: options.checkStopMillis ?? 0,
            baseline: () => Effect.succeed(undefined),
            check: (task) => options.check ?? Effect.succeed({ _tag: "Passed", verified: task.verify !== undefined })
          }),
          Layer.succeed(Reaper, { reap: options.reap ?? (() => Effect.succeed(0)) }),
          Layer.succeed(Environment, { ...Context.get(Context.empty(), Environment), ...options.environment })
        ])
      )
    )
  ).pipe(Layer.orDie)

/** A disk that is full whenever it is asked to write while `broken`. */
export const flakyDisk = (broken: () => boolean): Pick<MemoryStore.Disk, "open"> => {
  const disk = MemoryStore.makeDisk()
  return {
    open: () => {
      const store = disk.open()
      return {
        ...store,
        commit: (changes, epoch) =>
          Effect.suspend(() =>
            broken()
              ? Effect.fail(new StoreUnavailable({ operation: "commit", reason: "full", cause: new Error("no space") }))
              : store.commit(changes, epoch)
          )
      }
    }
  }
}
