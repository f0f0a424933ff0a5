/**
 * What health is made of, as pure functions: hysteresis of one check, aggregation of many, and when a recovery may be tried.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { PositiveDuration } from "./PositiveDuration.ts"

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))
const Share = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))

export const Strategy = Schema.Literals(["worst", "weighted", "majority"])
export type Strategy = typeof Strategy.Type

/** How health is judged, and how often recovery is tried. */
export const Options = Schema.Struct({
  /** How many checks become one status. Default worst. A critical failure decides in each of them. */
  strategy: Strategy.pipe(Schema.withDecodingDefault(Effect.succeed("worst" as const))),
  /** `weighted`: healthy at this score or above (healthy counts 1, degraded 0.5, unhealthy 0, each by its weight). 0 to 1, default 0.9. */
  healthyScore: Share.pipe(Schema.withDecodingDefault(Effect.succeed(0.9))),
  /** `weighted`: unhealthy below this score. 0 to 1, default 0.5. */
  unhealthyScore: Share.pipe(Schema.withDecodingDefault(Effect.succeed(0.5))),
  /** From the end of a check's run to the next. Default 15 seconds. */
  interval: PositiveDuration.pipe(Schema.withDecodingDefault(Effect.succeed("15 seconds"))),
  /** Longest time of one run; one that hangs is unhealthy. Default 5 seconds. */
  timeLimit: PositiveDuration.pipe(Schema.withDecodingDefault(Effect.succeed("5 seconds"))),
  /** Observations in a row that make a check's status worse. Count, at least 1, default 2: one lost packet is no incident. */
  failuresToUnhealthy: Count.pipe(Schema.withDecodingDefault(Effect.succeed(2))),
  /** Observations in a row that make it better. Count, at least 1, default 2. */
  successesToHealthy: Count.pipe(Schema.withDecodingDefault(Effect.succeed(2))),
  /** Recoveries of one check, or restarts of one agent that died by itself, in `restartWindow`. Count, at least 0, default 5; then it stays failed. */
  restarts: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)).pipe(Schema.withDecodingDefault(Effect.succeed(5))),
  /** Default 10 minutes. */
  restartWindow: PositiveDuration.pipe(Schema.withDecodingDefault(Effect.succeed("10 minutes"))),
  /** Wait between two recoveries; doubles with each in the window. Default 1 second. */
  backoff: PositiveDuration.pipe(Schema.withDecodingDefault(Effect.succeed("1 second"))),
  /** The longest such wait. Default 1 minute. */
  maxBackoff: PositiveDuration.pipe(Schema.withDecodingDefault(Effect.succeed("1 minute"))),
  /** Longest time of a recovery action. Default 30 seconds. */
  recoveryLimit: PositiveDuration.pipe(Schema.withDecodingDefault(Effect.succeed("30 seconds")))
})
export type Options = typeof Options.Type

export const defaults: Options = Schema.decodeSync(Options)({})

/** What one run of a check saw. */
export const Status = Schema.Literals(["healthy", "degraded", "unhealthy"])
export type Status = typeof Status.Type

/** The answer of one run: a status, and what was seen, in one sentence. */
export interface CheckResult {
  readonly status: Status
  readonly evidence: string
}

/** Which of the three questions a check helps to answer. */
export type Kind = "liveness" | "readiness" | "startup"

const severity: { readonly [S in Status]: number } = { healthy: 0, degraded: 1, unhealthy: 2 }
const bySeverity: ReadonlyArray<Status> = ["healthy", "degraded", "unhealthy"]

export const worse = (a: Status, b: Status): Status => (severity[a] >= severity[b] ? a : b)

/** One check's state. */
export interface CheckState {
  /** What is shown: changes only after enough observations in a row. `unknown` until then. */
  readonly status: Status | "unknown"
  /** Evidence of the last observation. */
  readonly observed: string
  /** The last observation itself. */
  readonly last: Status | undefined
  /** When it was made, Unix milliseconds; 0 before the first. */
  readonly at: number
  /** Since when `status` is what it is. */
  readonly since: number
  /** Observations in a row on the same side of `status`: how many, which side, and the one nearest to `status`. */
  readonly streak: { readonly side: "worse" | "better"; readonly count: number; readonly nearest: Status } | undefined
}

export const initial = (now: number): CheckState => ({
  status: "unknown",
  observed: "not checked yet",
  last: undefined,
  at: 0,
  since: now,
  streak: undefined
})

/**
 * Takes in an observation. The status changes when the last k observations are all worse than it, or the last n all better, and then only as
 * far as all of them agree: a check that swings every time keeps its status. Before the first status a good observation counts at once,
 * `unhealthy` only k times in a row.
 */
export const observe = (
  state: CheckState,
  result: CheckResult,
  now: number,
  options: { readonly failuresToUnhealthy: number; readonly successesToHealthy: number }
): CheckState => {
  if (state.status === "unknown" && result.status !== "unhealthy") return seen(result, now, result.status, now)
  const from = state.status === "unknown" ? "healthy" : state.status
  const distance = severity[result.status] - severity[from]
  if (distance === 0) return seen(result, now, state.status, state.since)
  const side = distance > 0 ? "worse" : "better"
  const same = state.streak?.side === side ? state.streak : undefined
  const count = (same?.count ?? 0) + 1
  const nearest =
    same === undefined
      ? result.status
      : bySeverity[(side === "worse" ? Math.min : Math.max)(severity[same.nearest], severity[result.status])]!
  if (count >= (side === "worse" ? options.failuresToUnhealthy : options.successesToHealthy)) return seen(result, now, nearest, now)
  return seen(result, now, state.status, state.since, { side, count, nearest })
}

const seen = (
  { evidence, status: last }: CheckResult,
  at: number,
  status: CheckState["status"],
  since: number,
  streak?: CheckState["streak"]
): CheckState => ({ status, observed: evidence, last, at, since, streak })

/** What aggregation looks at. */
export interface Judged {
  readonly status: Status | "unknown"
  readonly critical: boolean
  /** Above 0. */
  readonly weight: number
}

/**
 * One status out of many. A critical check decides at least its own status, whatever the strategy. What is unknown has no say; nothing known
 * is healthy.
 *
 * `worst`: the worst of all. `weighted`: by the mean score. `majority`: what more than half of the checks are, else degraded.
 */
export const aggregate = (
  checks: ReadonlyArray<Judged>,
  options: Pick<Options, "strategy" | "healthyScore" | "unhealthyScore">
): Status => {
  const known = checks.filter((check): check is Judged & { readonly status: Status } => check.status !== "unknown")
  if (known.length === 0) return "healthy"
  const floor = known.reduce<Status>((sofar, check) => (check.critical ? worse(sofar, check.status) : sofar), "healthy")
  return worse(floor, judge(known, options))
}

const judge = (
  known: ReadonlyArray<{ readonly status: Status; readonly weight: number }>,
  options: Pick<Options, "strategy" | "healthyScore" | "unhealthyScore">
): Status => {
  switch (options.strategy) {
    case "worst":
      return known.reduce<Status>((sofar, check) => worse(sofar, check.status), "healthy")
    case "weighted": {
      const total = known.reduce((sum, check) => sum + check.weight, 0)
      const score = known.reduce((sum, check) => sum + (check.weight * (2 - severity[check.status])) / 2, 0) / total
      // Sums of fractions must not miss a threshold by their last bit.
      if (score >= options.healthyScore - 1e-9) return "healthy"
      return score >= options.unhealthyScore - 1e-9 ? "degraded" : "unhealthy"
    }
    case "majority": {
      const half = known.length / 2
      const of = (status: Status): number => known.filter((check) => check.status === status).length
      if (of("unhealthy") > half) return "unhealthy"
      return of("healthy") > half ? "healthy" : "degraded"
    }
  }
}

/** Bounds of recovery, in milliseconds. */
export interface RecoveryLimits {
  readonly maxInWindow: number
  readonly windowMillis: number
  readonly backoffMillis: number
  readonly maxBackoffMillis: number
}

/** May a recovery be tried? `at` is when, in monotonic milliseconds. */
export type RecoveryDecision = { readonly _tag: "Try"; readonly at: number } | { readonly _tag: "Spent"; readonly until: number }

/** Drops what the window has left behind. `tried`: when recoveries began, oldest first. */
export const inWindow = (tried: ReadonlyArray<number>, now: number, limits: RecoveryLimits): ReadonlyArray<number> =>
  tried.filter((at) => at > now - limits.windowMillis)

/** At most `maxInWindow` in any window, and after the n-th in it a wait of backoff · 2^(n-1), capped. */
export const mayRecover = (tried: ReadonlyArray<number>, now: number, limits: RecoveryLimits): RecoveryDecision => {
  const recent = inWindow(tried, now, limits)
  if (recent.length === 0) return { _tag: "Try", at: now }
  if (recent.length >= limits.maxInWindow)
    return { _tag: "Spent", until: recent[recent.length - limits.maxInWindow]! + limits.windowMillis }
  const wait = Math.min(limits.maxBackoffMillis, limits.backoffMillis * 2 ** (recent.length - 1))
  return { _tag: "Try", at: Math.max(now, recent[recent.length - 1]! + wait) }
}
