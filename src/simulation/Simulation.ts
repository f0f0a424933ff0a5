/**
 * Simulates months of operation of the real runtime, reproducibly from one seed.
 *
 * Only the lowest layers are replaced: driver, processes, clock, scheduler, randomness, disk. A program can simulate its own configuration, or a
 * runtime that it composed itself, under a fault model of its own; what comes out are the two indicators, what it cost, and every promise that was
 * broken on the way.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Schema from "effect/Schema"
import * as AgentRuntime from "../AgentRuntime.ts"
import * as RuntimeConfig from "../RuntimeConfig.ts"
import { type Ablation, ablated } from "./Ablation.ts"
import { FaultModel } from "./FaultModel.ts"
import * as Profile from "./Profile.ts"
import type { Name } from "./profiles.ts"
import { type Result, resultOf } from "./Result.ts"
import * as SimulatedStore from "./SimulatedStore.ts"
import * as Timeline from "./Timeline.ts"
import { Workload } from "./Workload.ts"
import * as World from "./World.ts"

export interface Options {
  /** Where workload and faults come from that are not given. Default `typical`. */
  readonly profile?: Name | Profile.Profile
  /** What is asked for, as in a profile. */
  readonly workload?: typeof Workload.Encoded
  /** What goes wrong, as in a profile. */
  readonly faults?: typeof FaultModel.Encoded
  /** The runtime's configuration, as in a task file. Default: the profile's, which is the runtime's own. */
  readonly config?: RuntimeConfig.Input
  /** Calendar days. More than 0, default 7. */
  readonly days?: number
  /** Count, at least 1, default 8. */
  readonly agents?: number
  /** Default 1. */
  readonly seed?: number
  /** Patterns that are switched off. */
  readonly without?: ReadonlyArray<Ablation>
  /** Another runtime than ours, over the world's store, drivers, reaper and checks. */
  readonly runtime?: (config: RuntimeConfig.RuntimeConfig) => World.RuntimeLayer
  /** Another disk than the simulated one. */
  readonly disk?: () => SimulatedStore.SimulatedDisk
  /** Called with every event of the runtime, as a line of JSON: the event log. */
  readonly onEvent?: (line: string) => void
  /** Is the event log hashed? Costs a seventh of the time; without it `eventLogSha256` is that of nothing. Default true. */
  readonly hashEvents?: boolean
  /** Called every few virtual hours. */
  readonly onProgress?: (progress: Progress) => void
  /** Asked as often: `true` ends the simulation, with what there is. */
  readonly stop?: () => boolean
}

export interface Progress {
  /** From 0 to 1. */
  readonly done: number
  /** The virtual date, Unix milliseconds. */
  readonly date: number
  readonly accepted: number
  readonly succeeded: number
}

/** Virtual time between two looks at progress and stop. Milliseconds. */
const slice = 6 * 3_600_000

const decodeWorkload = Schema.decodeUnknownEffect(Workload, { onExcessProperty: "error", errors: "all" })
const decodeFaults = Schema.decodeUnknownEffect(FaultModel, { onExcessProperty: "error", errors: "all" })

const prepare = Effect.fnUntraced(function* (options: Options) {
  const profile = typeof options.profile === "object" ? options.profile : Profile.builtIn(options.profile ?? "typical")
  const setting = ablated(options.without ?? [], {
    config: options.config === undefined ? profile.config : yield* RuntimeConfig.decode(options.config),
    workload: options.workload === undefined ? profile.workload : yield* decodeWorkload(options.workload),
    faults: options.faults === undefined ? profile.faults : yield* decodeFaults(options.faults),
    runtime: options.runtime ?? AgentRuntime.layer
  })
  const days = options.days ?? 7
  const agents = options.agents ?? 8
  const seed = options.seed ?? 1
  if (!(days > 0 && days <= 36_500)) return yield* Effect.die(new RangeError(`days must be more than 0 and at most 36,500, not ${days}`))
  if (!Number.isInteger(agents) || agents < 1)
    return yield* Effect.die(new RangeError(`agents must be a whole number of at least 1, not ${agents}`))
  const make = (timeline: Timeline.Timeline, onFinished: () => void): World.World =>
    World.make({
      ...setting,
      timeline,
      seed,
      days,
      agents,
      makeDisk: options.disk ?? SimulatedStore.make,
      onEvent: options.onEvent,
      hashEvents: options.hashEvents ?? true,
      onFinished
    })
  let stopped = false
  const result = (world: World.World): Result => resultOf(world, { seed, days, agents, without: options.without ?? [], complete: !stopped })
  const report = (world: World.World): boolean => {
    const { calendar, ledger, unix } = world.scene
    options.onProgress?.({
      done: Math.min(1, calendar() / (days * 86_400_000)),
      date: unix(calendar()),
      accepted: ledger.counts.accepted,
      succeeded: ledger.counts.succeeded
    })
    if (world.finished() || options.stop?.() !== true) return false
    stopped = true
    return true
  }
  return { make, result, report }
})

/**
 * Runs a simulation in virtual time, as fast as the machine can, and answers its result. Fails with `SchemaError` when configuration, workload or
 * faults are not valid.
 */
export const run = (options: Options = {}): Effect.Effect<Result, Schema.SchemaError> =>
  Effect.gen(function* () {
    const { make, report, result } = yield* prepare(options)
    const timeline = Timeline.makeVirtual()
    const world = make(timeline, () => {})
    while (!world.finished()) {
      timeline.advance(timeline.now() + slice)
      if (report(world)) world.conclude()
      yield* Effect.yieldNow
    }
    return result(world)
  })

/**
 * The same simulation over the clock of the program, a `TestClock` for example: it goes on as that clock is moved, and its event log is the same to
 * the byte.
 */
export const runOnClock = (options: Options = {}): Effect.Effect<Result, Schema.SchemaError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { make, report, result } = yield* prepare(options)
      const clock = yield* Clock.Clock
      const fork = yield* FiberSet.runtime(yield* FiberSet.make<void, never>())<never>()
      const over = Deferred.makeUnsafe<void>()
      const timeline = Timeline.overClock(clock, fork)
      const world = make(timeline, () => Deferred.doneUnsafe(over, Effect.void))
      const watch = (): void => {
        if (report(world)) world.conclude()
        else timeline.at(timeline.now() + slice, watch)
      }
      timeline.at(slice, watch)
      yield* Deferred.await(over)
      return result(world)
    })
  )
