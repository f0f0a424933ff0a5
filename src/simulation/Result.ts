/** What a simulation found, as a document. */
import type { Ablation } from "./Ablation.ts"
import type { Quantiles } from "./Histogram.ts"
import type { Violation } from "./Ledger.ts"
import * as Random from "./SeededRandom.ts"
import * as Statistics from "./Statistics.ts"
import * as Uptime from "./Uptime.ts"
import type { Sample, Span } from "./Watcher.ts"
import type { World } from "./World.ts"

/** Shares are from 0 to 1; durations in milliseconds. */
export interface Result {
  readonly seed: number
  /** Seeds that were run, from `seed` on. */
  readonly seeds: number
  /** Was it run to its end? */
  readonly complete: boolean
  /** Calendar days that were asked for, of each seed. */
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
  /** Where the rest of it went: killed and not started again, event loop stalled, disk full (the machine's); starting, taking no work (its own). */
  readonly unavailableMillis: { readonly [R in Uptime.Reason]: number }
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
  /** Which ones; the first hundred of each seed. */
  readonly failedTasks: ReadonlyArray<{ readonly seed: number; readonly taskId: string; readonly why: string }>
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
export const resultOf = (world: World, given: Pick<Result, "seed" | "days" | "agents" | "without" | "complete">): Result => {
  const { agents, scene, watcher } = world
  const { ledger } = scene
  const { counts, days } = ledger
  const awake = world.awake()
  const unavailableMillis = world.unavailable()
  return {
    ...given,
    seeds: 1,
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
    runtimeAvailability: awake === 0 ? 1 : 1 - Uptime.reasons.reduce((sum, reason) => sum + unavailableMillis[reason], 0) / awake,
    unavailableMillis,
    crashes: world.crashes(),
    operations: counts.attempts,
    extraAttempts: counts.extraAttempts,
    helped: counts.helped,
    timeToDetect: agents.detection.quantiles(),
    timeToRecover: ledger.recovery.quantiles(),
    queueAge: ledger.queueAge.quantiles(),
    parked: ledger.parked.quantiles(),
    failures: Object.fromEntries(ledger.failures),
    failedTasks: ledger.failed.map((failed) => ({ seed: given.seed, ...failed })),
    violations: ledger.violations,
    events: world.events(),
    eventLogSha256: world.eventLogSha256(),
    clusters: days,
    samples: watcher.samples(),
    spans: watcher.spans()
  }
}

const sumOf = (results: ReadonlyArray<Result>, value: (result: Result) => number): number =>
  results.reduce((sum, result) => sum + value(result), 0)

const mostOf = (results: ReadonlyArray<Result>, value: (result: Result) => Quantiles): Quantiles => {
  const all = results.map(value)
  const count = all.reduce((sum, each) => sum + each.count, 0)
  const mean = (of: (each: Quantiles) => number): number =>
    count === 0 ? 0 : Math.round(all.reduce((sum, each) => sum + of(each) * each.count, 0) / count)
  return {
    count,
    meanMillis: mean((each) => each.meanMillis),
    p50Millis: mean((each) => each.p50Millis),
    p95Millis: mean((each) => each.p95Millis),
    maxMillis: Math.max(...all.map((each) => each.maxMillis))
  }
}

/**
 * Runs with seeds that follow one another, as one result: counts are added, the interval is drawn from the days of all of them. Quantiles are the means
 * of the runs' own; samples, spans and the hash of the log are the first run's.
 */
export const together = (results: readonly [Result, ...Array<Result>]): Result => {
  const [first] = results
  if (results.length === 1) return first
  const sum = (value: (result: Result) => number): number => sumOf(results, value)
  const clusters = results.flatMap((result) => result.clusters)
  const possible = sum((result) => result.possible)
  const failures: Record<string, number> = {}
  for (const result of results) for (const [why, count] of Object.entries(result.failures)) failures[why] = (failures[why] ?? 0) + count
  return {
    ...first,
    seeds: results.length,
    complete: results.every((result) => result.complete),
    simulatedDays: sum((result) => result.simulatedDays),
    accepted: sum((result) => result.accepted),
    succeeded: sum((result) => result.succeeded),
    deadLettered: sum((result) => result.deadLettered),
    cancelled: sum((result) => result.cancelled),
    unfinished: sum((result) => result.unfinished),
    lost: sum((result) => result.lost),
    duplicated: sum((result) => result.duplicated),
    wrongEnds: sum((result) => result.wrongEnds),
    falseClaims: sum((result) => result.falseClaims),
    poison: sum((result) => result.poison),
    poisonEscaped: sum((result) => result.poisonEscaped),
    possible,
    inTime: sum((result) => result.inTime),
    availability: Statistics.share(clusters),
    availabilityLower95: Statistics.lower95(clusters, Random.make(first.seed, "bootstrap")),
    unattendedAvailability: possible === 0 ? 1 : sum((result) => result.unattendedAvailability * result.possible) / possible,
    runtimeAvailability: sum((result) => result.runtimeAvailability * result.simulatedDays) / sum((result) => result.simulatedDays),
    unavailableMillis: Object.fromEntries(
      Uptime.reasons.map((reason) => [reason, sum((result) => result.unavailableMillis[reason])])
    ) as Result["unavailableMillis"],
    crashes: sum((result) => result.crashes),
    operations: sum((result) => result.operations),
    extraAttempts: sum((result) => result.extraAttempts),
    helped: sum((result) => result.helped),
    timeToDetect: mostOf(results, (result) => result.timeToDetect),
    timeToRecover: mostOf(results, (result) => result.timeToRecover),
    queueAge: mostOf(results, (result) => result.queueAge),
    parked: mostOf(results, (result) => result.parked),
    failures,
    failedTasks: results.flatMap((result) => result.failedTasks),
    violations: results.flatMap((result) => result.violations),
    events: sum((result) => result.events),
    clusters
  }
}

/** Was every promise kept? */
export const isSound = (result: Result): boolean =>
  result.violations.length === 0 && result.lost + result.duplicated + result.wrongEnds + result.poisonEscaped === 0

/** As a document for programs: without what is only there to be drawn. */
export const forPrograms = ({ clusters: _, samples: __, spans: ___, ...rest }: Result): Omit<Result, "clusters" | "samples" | "spans"> =>
  rest
