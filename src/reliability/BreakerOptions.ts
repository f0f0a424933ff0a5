/** Options of circuit breakers: when they open, for how long, and what closes them. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Rules } from "./BreakerState.ts"
import { PositiveDuration } from "./PositiveDuration.ts"

const PositiveInt = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100_000 }))
const Rate = Schema.Finite.check(Schema.makeFilter((rate) => (rate > 0 && rate <= 1) || "must be a share, more than 0 and at most 1"))

/** A share of the remembered calls that opens the circuit. */
const rateRule = {
  /** Share of failed calls from which the circuit opens. In (0, 1], default 0.5. */
  failureRate: Rate.pipe(Schema.withDecodingDefault(Effect.succeed(0.5))),
  /** Calls below which the share says nothing. Count, 1 to 100,000, default 10. */
  minimumCalls: PositiveInt.pipe(Schema.withDecodingDefault(Effect.succeed(10)))
}

/** When circuits open, for how long, and what closes them. The rules that are on stand beside each other: the first that is met opens. */
export const Options = Schema.Struct({
  /** Failures in a row that open the circuit. Count, 0 to 100,000; 0 switches the rule off. Default 5. */
  consecutiveFailures: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100_000 })).pipe(
    Schema.withDecodingDefault(Effect.succeed(5))
  ),
  /** Looks at the last `size` calls (count, 1 to 100,000, default 100). Absent: off. */
  countWindow: Schema.optionalKey(Schema.Struct({ size: PositiveInt.pipe(Schema.withDecodingDefault(Effect.succeed(100))), ...rateRule })),
  /** Looks at the calls that ended within the last `duration` (default 1 minute). Absent: off. */
  timeWindow: Schema.optionalKey(
    Schema.Struct({ duration: PositiveDuration.pipe(Schema.withDecodingDefault(Effect.succeed("1 minute"))), ...rateRule })
  ),
  /** A call of `duration` or longer is slow; the share `rate` of slow calls in a window (with its `minimumCalls`) opens too. Absent: off. */
  slowCalls: Schema.optionalKey(
    Schema.Struct({ duration: PositiveDuration, rate: Rate.pipe(Schema.withDecodingDefault(Effect.succeed(0.5))) })
  ),
  /** How long the first opening in a row lasts. Default 30 seconds. */
  openTime: PositiveDuration.pipe(Schema.withDecodingDefault(Effect.succeed("30 seconds"))),
  /** By what each further opening in a row lasts longer. 1 to 100, default 2. */
  openTimeFactor: Schema.Finite.check(Schema.isBetween({ minimum: 1, maximum: 100 })).pipe(Schema.withDecodingDefault(Effect.succeed(2))),
  /** The longest open time, at least `openTime`. Default 10 minutes. */
  maxOpenTime: PositiveDuration.pipe(Schema.withDecodingDefault(Effect.succeed("10 minutes"))),
  /** Calls that a half-open circuit lets run at once. Count, 1 to 100,000, default 1. */
  probes: PositiveInt.pipe(Schema.withDecodingDefault(Effect.succeed(1))),
  /** Successful probes that close the circuit. Count, 1 to 100,000, default 1. */
  probeSuccesses: PositiveInt.pipe(Schema.withDecodingDefault(Effect.succeed(1))),
  /** A probe that takes this long counts as failed, and its slot is free. Default 2 minutes. */
  probeTimeLimit: PositiveDuration.pipe(Schema.withDecodingDefault(Effect.succeed("2 minutes"))),
  /** A closed circuit without a failure in memory that was not used for this long is forgotten, with its counters. Default 1 hour. */
  idleTime: PositiveDuration.pipe(Schema.withDecodingDefault(Effect.succeed("1 hour")))
}).check(
  Schema.makeFilter((options) => {
    const issues: Array<{ readonly path: ReadonlyArray<string>; readonly issue: string }> = []
    const { countWindow, slowCalls, timeWindow } = options
    if (countWindow !== undefined && countWindow.minimumCalls > countWindow.size) {
      issues.push({
        path: ["countWindow", "minimumCalls"],
        issue: `must be at most size (${countWindow.size}): the window never holds more calls`
      })
    }
    if (slowCalls !== undefined && countWindow === undefined && timeWindow === undefined) {
      issues.push({ path: ["slowCalls"], issue: "needs a countWindow or a timeWindow to look at" })
    }
    if (options.consecutiveFailures === 0 && countWindow === undefined && timeWindow === undefined) {
      issues.push({
        path: ["consecutiveFailures"],
        issue: "must be at least 1 where no window is configured: nothing would ever open the circuit"
      })
    }
    if (Duration.isGreaterThan(options.openTime, options.maxOpenTime)) {
      issues.push({ path: ["maxOpenTime"], issue: `must be at least openTime (${Duration.format(options.openTime)})` })
    }
    return issues
  })
)
export type Options = typeof Options.Type

export const defaults: Options = Schema.decodeSync(Options)({})

/** Options in numbers, as the state machine takes them. */
export const rulesOf = (options: Options): Rules => ({
  consecutiveFailures: options.consecutiveFailures,
  countWindow: options.countWindow,
  timeWindow:
    options.timeWindow === undefined ? undefined : { ...options.timeWindow, duration: Duration.toMillis(options.timeWindow.duration) },
  slowCalls:
    options.slowCalls === undefined ? undefined : { ...options.slowCalls, duration: Duration.toMillis(options.slowCalls.duration) },
  openTime: Duration.toMillis(options.openTime),
  openTimeFactor: options.openTimeFactor,
  maxOpenTime: Duration.toMillis(options.maxOpenTime),
  probes: options.probes,
  probeSuccesses: options.probeSuccesses,
  probeTimeLimit: Duration.toMillis(options.probeTimeLimit)
})
