/** What a simulation found, as a document. */
import type { Ablation } from "./Ablation.ts"
import type { Quantiles } from "./Histogram.ts"
import type { Violation } from "./Ledger.ts"
import * as Random from "./SeededRandom.ts"
import * as Statistics from "./Statistics.ts"
import type { Sample, Span } from "./Watcher.ts"
import type { World } from "./World.ts"

/** Shares are from 0 to 1; durations in milliseconds. */
export interface Result {
  readonly seed: number
  /** Calendar days that were asked for. */
  readonly days: number
  readonly agents: number
  readonly without: ReadonlyArray<Ablation>
  /** Calendar days that were simulated, the time after the last one included in which tasks could end. */
  readonly simulatedDays: number
  readonly accepted: number
  readonly succeeded: number
  /** Those that were not redriven with success. */
  readonly deadLettered: number
  readonly cancelled: number
  readonly unfinished: number
  /** Must be 0, like the next two. */
  readonly lost: number
  readonly duplicated: number
  readonly wrongEnds: number
  /** Successes without a check of the task's own that were none. */
  readonly falseClaims: number
  /** Tasks that nobody could do, and those of them that did not end as dead letters. */
  readonly poison: number
  readonly poisonEscaped: number
  /** Accepted tasks that are possible and were not cancelled: what `availability` is the share of. */
  readonly possible: number
  /** Those that ended succeeded within their deadline. */
  readonly inTime: number
  readonly availability: number
  /** Lower end of its 95 % confidence interval, by bootstrap over days. */
  readonly availabilityLower95: number
  /** The same share, of tasks that no person had to help. */
  readonly unattendedAvailability: number
  /** Share of the awake time in which the runtime accepted and dispatched work. */
  readonly runtimeAvailability: number
  readonly crashes: number
  /** Operations that went through the pipe: attempts of tasks. */
  readonly operations: number
  readonly extraAttempts: number
  /** Tasks about which a person had to decide. */
  readonly helped: number
  /** From the moment at which an agent stood still until it was stopped. */
  readonly timeToDetect: Quantiles
  /** From a task's first failed attempt until its success. */
  readonly timeToRecover: Quantiles
  /** From acceptance to the first attempt. */
  readonly queueAge: Quantiles
  /** Of tasks that had to wait for a limit or a delay. */
  readonly parked: Quantiles
  /** Why possible tasks failed the indicator. */
  readonly failures: Readonly<Record<string, number>>
  /** Promises that were broken; the first hundred. */
  readonly violations: ReadonlyArray<Violation>
  readonly events: number
  readonly eventLogSha256: string
  readonly clusters: ReadonlyArray<Statistics.Cluster>
  readonly samples: ReadonlyArray<Sample>
  readonly spans: ReadonlyArray<Span>
}

const day = 86_400_000

/** The world must have finished. */
export const resultOf = (world: World, given: Pick<Result, "seed" | "days" | "agents" | "without">): Result => {
  const { agents, scene, watcher } = world
  const { ledger } = scene
  const { counts, days } = ledger
  const awake = world.awake()
  return {
    ...given,
    simulatedDays: scene.calendar() / day,
    accepted: counts.accepted,
    succeeded: counts.succeeded,
    deadLettered: counts.deadLettered,
    cancelled: counts.cancelled,
    unfinished: counts.unfinished,
    lost: counts.lost,
    duplicated: counts.duplicated,
    wrongEnds: counts.wrongEnds,
    falseClaims: counts.falseClaims,
    poison: counts.poison,
    poisonEscaped: counts.poisonEscaped,
    possible: days.reduce((sum, each) => sum + each.possible, 0),
    inTime: days.reduce((sum, each) => sum + each.good, 0),
    availability: Statistics.share(days),
    availabilityLower95: Statistics.lower95(days, Random.make(given.seed, "bootstrap")),
    unattendedAvailability: Statistics.share(ledger.unattended),
    runtimeAvailability: awake === 0 ? 1 : 1 - world.unavailable() / awake,
    crashes: world.crashes(),
    operations: counts.attempts,
    extraAttempts: counts.extraAttempts,
    helped: counts.helped,
    timeToDetect: agents.detection.quantiles(),
    timeToRecover: ledger.recovery.quantiles(),
    queueAge: ledger.queueAge.quantiles(),
    parked: ledger.parked.quantiles(),
    failures: Object.fromEntries(ledger.failures),
    violations: ledger.violations,
    events: world.events(),
    eventLogSha256: world.eventLogSha256(),
    clusters: days,
    samples: watcher.samples(),
    spans: watcher.spans()
  }
}
