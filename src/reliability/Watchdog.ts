/**
 * Watches for a stall: notices by evidence that something which should be working is not.
 *
 * It bounds the time without progress, and refuses nothing: it completes, with the evidence, when there was no progress for the whole stall time. In the pipe it runs beside the
 * driver, as a part of the *attempt limit*. Two signs of life count: `progress()`, which only stores the time, and a sample of the outside world (CPU time, I/O, files), taken only
 * after silence. Its own lateness is no evidence against anybody: a timer that fires too late means that our event loop, or the whole machine, stood still.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { TimeLimit } from "./TimeLimit.ts"

/** When silence is a stall. */
export const Options = Schema.Struct({
  /** No progress for this long is a stall. More than zero. Default 7 minutes: agents of today notice a provider that hangs after up to 361 seconds of silence, and go on by themselves. */
  stallAfter: Schema.DurationFromString.pipe(Schema.withDecodingDefault(Effect.succeed("7 minutes"))),
  /** Samples taken in that time, at equal distances. Count, 1 to 100, default 4: a stall is noticed at most a quarter of the stall time late. */
  samples: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100 })).pipe(Schema.withDecodingDefault(Effect.succeed(4))),
  /** A timer that fires later than this was delayed by ourselves or by a suspend. Default 2 seconds. */
  lagTolerance: Schema.DurationFromString.pipe(Schema.withDecodingDefault(Effect.succeed("2 seconds")))
}).check(
  Schema.makeFilter((options) =>
    Duration.toMillis(options.stallAfter) > 0 ? undefined : { path: ["stallAfter"], issue: "must be more than zero" }
  )
)
export type Options = typeof Options.Type

export const defaults: Options = Schema.decodeSync(Options)({})

/** Our own event loop, or the machine, stood still; nobody else is to blame. */
export class LocalStall extends Schema.TaggedClass<LocalStall>()("LocalStall", {
  /** How much too late the timer was, milliseconds. */
  lagMillis: Schema.Finite
}) {}

/** What is watched, and how. */
export interface Subject<Sample, Evidence, R> {
  /**
   * Looks at the outside world. Taken once at the start and after silence, never twice at once. One that takes longer than the distance of the samples is given up, and
   * says nothing.
   */
  readonly sample: Effect.Effect<Sample, never, R>
  /** The evidence, if nothing happened between the two; `undefined` if something did. */
  readonly same: (before: Sample, after: Sample) => Evidence | undefined
  /** Told of each delay of our own. */
  readonly onLocalStall?: (stall: LocalStall) => void
}

export interface Watchdog<Evidence, R> {
  /** Something happened. Costs a clock reading; call it for every sign of life. */
  readonly progress: () => void
  /** Time does not count until as many `resume` were called: nobody can work while a person is being asked. */
  readonly pause: () => void
  /** Ends a `pause`; counts as progress. */
  readonly resume: () => void
  /** Completes with the evidence of a stall. It watches while it runs: fork it beside the work, and interrupt it at the work's end. */
  readonly stalled: Effect.Effect<Evidence, never, R>
}

/** Makes the watchdog of one attempt. Nothing runs until `stalled` does. */
export const watch = <Sample, Evidence, R = never>(
  options: Options,
  subject: Subject<Sample, Evidence, R>
): Effect.Effect<Watchdog<Evidence, R>, never, TimeLimit> =>
  Effect.map(TimeLimit, (limits) => {
    const stallAfter = Duration.toMillis(options.stallAfter)
    const distance = stallAfter / options.samples
    const tolerance = Duration.toMillis(options.lagTolerance)
    let progressAt = limits.now()
    let paused = 0

    const sample = Effect.option(limits.within(distance)(subject.sample))
    const sleepUntil = (at: number) => Effect.ignore(limits.awaitUntil<never>(at, () => {}))

    const stalled = Effect.gen(function* () {
      /** The last sample that was different, and since when nothing has changed. */
      let baseline = yield* sample
      let since = limits.now()
      let checkedAt = since
      for (;;) {
        const end = since + stallAfter
        const next = Math.max(since, progressAt, checkedAt) + distance
        const at = end > checkedAt && progressAt <= since ? Math.min(next, end) : next
        yield* sleepUntil(at)
        const now = limits.now()
        if (now - at > tolerance) {
          subject.onLocalStall?.(new LocalStall({ lagMillis: now - at }))
          // Whatever we watch stood still with us, or could not tell us that it did not.
          baseline = yield* sample
          since = checkedAt = limits.now()
          continue
        }
        if (paused > 0) progressAt = now
        if (progressAt > since && progressAt + distance > now + rounding) continue
        const after = yield* sample
        checkedAt = limits.now()
        // A sample that could not be taken is no evidence, neither way.
        if (Option.isNone(after)) continue
        const evidence = progressAt <= since && Option.isSome(baseline) ? subject.same(baseline.value, after.value) : undefined
        if (evidence === undefined) {
          baseline = after
          since = checkedAt
        } else if (checkedAt - since >= stallAfter - rounding) return evidence
      }
    })

    return {
      progress: () => {
        progressAt = limits.now()
      },
      pause: () => {
        paused++
      },
      resume: () => {
        if (paused > 0) paused--
        progressAt = limits.now()
      },
      stalled
    }
  })

/** Times are sums of fractions of milliseconds: less than this is no difference. */
const rounding = 0.001
