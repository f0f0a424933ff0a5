/**
 * Every number in the runtime that a user might want to change: each pattern's own Options under its name, and what belongs to the runtime
 * itself. Decoded once, at the edge; what is not given has its default.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Runaway from "./agent/Runaway.ts"
import * as Bulkhead from "./reliability/Bulkhead.ts"
import * as CircuitBreaker from "./reliability/CircuitBreaker.ts"
import * as CooldownGate from "./reliability/CooldownGate.ts"
import * as DeadLetterQueue from "./reliability/DeadLetterQueue.ts"
import * as Health from "./reliability/Health.ts"
import * as RedisOptions from "./reliability/RedisOptions.ts"
import * as RateLimiter from "./reliability/RateLimiter.ts"
import * as Retry from "./reliability/Retry.ts"
import * as Shutdown from "./reliability/Shutdown.ts"

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))
const positive = Schema.DurationFromString.check(
  Schema.makeFilter((duration: Duration.Duration) => Duration.toMillis(duration) > 0 || "expected a duration above zero")
)
const duration = (byDefault: string) => positive.pipe(Schema.withDecodingDefault(Effect.succeed(byDefault)))
const section = <S extends Schema.Struct.Fields>(fields: S) =>
  Schema.Struct(fields).pipe(Schema.withDecodingDefault(Effect.succeed({} as never)))

/** A limit, one of the presets by name, or none at all. */
export const LimitOrPreset = Schema.Union([Schema.Literals(["api", "user", "expensive", "none"]), RateLimiter.Limit])
export type LimitOrPreset = typeof LimitOrPreset.Type

export const TimeLimits = {
  /**
   * Longest time of one attempt. Default 2 hours, the last resort: stalls and loops are noticed long before, and work that takes an hour on a slow
   * day must not end for it. A task may say otherwise.
   */
  attempt: duration("2 hours"),
  /** Longest time until an agent has started. Default 2 minutes. */
  spawn: duration("2 minutes"),
  /** Longest time of a task's own check. Default 10 minutes. */
  verify: duration("10 minutes"),
  /** An attempt in which nothing moves for so long, twice measured, is stalled. Default 7 minutes: agents wait for up to 6 by themselves, and go on. */
  stall: duration("7 minutes"),
  /** Longest wait for somebody to answer a permission request. Default 10 minutes. */
  permission: duration("10 minutes")
}

export const RuntimeConfig = Schema.Struct({
  retry: Retry.Options.pipe(Schema.withDecodingDefault(Effect.succeed({}))),
  circuitBreaker: CircuitBreaker.Options.pipe(Schema.withDecodingDefault(Effect.succeed({}))),
  rateLimit: section({
    /**
     * Per account, over all its agents. Default: `user` (1,000 an hour) for agents that speak ACP, none for commands, which spend nobody's
     * quota unless it is said here.
     */
    perAccount: Schema.optionalKey(LimitOrPreset),
    /** For single accounts, by name; wins over `perAccount`. */
    accounts: Schema.Record(Schema.String, LimitOrPreset).pipe(Schema.withDecodingDefault(Effect.succeed({}))),
    /** Per operation, over all agents. Default: `api` (100 a minute) for what ACP agents execute, none for commands. */
    execute: Schema.optionalKey(LimitOrPreset),
    /** Per operation, over all agents. Default: none; the restart budget and the breaker bound it. */
    spawn: Schema.optionalKey(LimitOrPreset)
  }),
  cooldown: CooldownGate.Options.pipe(Schema.withDecodingDefault(Effect.succeed({}))),
  bulkhead: Bulkhead.Options.pipe(Schema.withDecodingDefault(Effect.succeed({}))),
  queue: section({
    /** Tasks that have not ended. Count, default 10,000; more are refused with `QueueFull`. */
    limit: Count.pipe(Schema.withDecodingDefault(Effect.succeed(10_000))),
    /** Waiting so long is worth one level of priority. Default 10 minutes. */
    ageing: duration("10 minutes")
  }),
  timeLimit: section(TimeLimits),
  budget: section({
    /** All tasks together, per local day; what is spent stops new attempts until the next. Default: none. */
    perDay: section({
      attempts: Schema.optionalKey(Count),
      tokens: Schema.optionalKey(Count),
      time: Schema.optionalKey(positive)
    }),
    runaway: Runaway.Options.pipe(Schema.withDecodingDefault(Effect.succeed({})))
  }),
  deadLetter: DeadLetterQueue.Options.pipe(Schema.withDecodingDefault(Effect.succeed({}))),
  health: Health.Options.pipe(Schema.withDecodingDefault(Effect.succeed({}))),
  shutdown: Shutdown.Options.pipe(Schema.withDecodingDefault(Effect.succeed({}))),
  worktrees: section({
    /** Worktrees of agents in one repository. Count, default 16; an agent that would need one more is not started. */
    max: Count.pipe(Schema.withDecodingDefault(Effect.succeed(16))),
    /** Space that a new worktree must leave free on its disk. Megabytes, default 1,024. */
    minFreeMegabytes: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)).pipe(Schema.withDecodingDefault(Effect.succeed(1_024)))
  }),
  transcripts: section({
    /** Of one attempt: its beginning and its end are kept. Megabytes, default 4. */
    maxMegabytes: Count.pipe(Schema.withDecodingDefault(Effect.succeed(4))),
    /** Of one agent, its other outputs too; the oldest attempts go first. Megabytes, default 256. */
    keepMegabytes: Count.pipe(Schema.withDecodingDefault(Effect.succeed(256))),
    /** Attempts of one agent. Count, default 200. */
    keepAttempts: Count.pipe(Schema.withDecodingDefault(Effect.succeed(200))),
    /** Default 30 days. */
    keep: duration("30 days")
  }),
  store: section({
    /** Ended tasks and events older than this are dropped. Default 30 days. */
    keep: duration("30 days")
  }),
  /** Limits, gates and retry budgets that several machines share. Default: none, everything is counted in this process. */
  redis: Schema.optionalKey(RedisOptions.Options),
  telemetry: section({
    /** Export metrics, traces and logs where the standard `OTEL_*` variables say so. Default true: without those variables nothing is exported. */
    otlp: Schema.Boolean.pipe(Schema.withDecodingDefault(Effect.succeed(true)))
  })
}).annotate({ identifier: "RuntimeConfig" })
export type RuntimeConfig = typeof RuntimeConfig.Type
/** As written in a task file or a program: every part optional, durations as text. */
export type Input = typeof RuntimeConfig.Encoded

/** Decodes a configuration; fails with the path of what is wrong. */
export const decode = Schema.decodeUnknownEffect(RuntimeConfig, { onExcessProperty: "error", errors: "all" })

export const defaults: RuntimeConfig = Schema.decodeUnknownSync(RuntimeConfig)({})

/** The limit that a name stands for; undefined: none. */
export const limitOf = (limit: LimitOrPreset | undefined): RateLimiter.Limit | undefined =>
  limit === undefined || limit === "none" ? undefined : typeof limit === "string" ? RateLimiter.presets[limit] : limit
