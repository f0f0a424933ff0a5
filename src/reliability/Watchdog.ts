/**
 * Watches for a stall: notices by evidence that something which should be working is not.
 *
 * It bounds the time without progress, and refuses nothing: it calls back, with the evidence, when there was no progress for the whole stall time. In the pipe it runs beside the
 * driver, as a part of the *attempt limit*. Two signs of life count: `progress()`, which only stores the time, and a sample of the outside world (CPU time, I/O, files), taken only
 * after silence. Its own lateness is no evidence against anybody: a timer that fires too late means that our event loop, or the whole machine, stood still. Between two samples it
 * is one timer: every attempt has one of these.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"

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
export interface Subject<Sample, Evidence> {
  /**
   * Looks at the outside world. Taken once at the start and after silence, never twice at once. One that takes longer than the distance of the samples is given up; that one,
   * and one that fails, say nothing.
   */
  readonly sample: Effect.Effect<Sample, unknown>
  /** The evidence, if nothing happened between the two; `undefined` if something did. */
  readonly same: (before: Sample, after: Sample) => Evidence | undefined
  /** Called once, with the evidence of a stall; it watches no longer then. */
  readonly onStalled: (evidence: Evidence) => void
  /** Told of each delay of our own. */
  readonly onLocalStall?: (stall: LocalStall) => void
}

/** Where it gets its time from, and runs its samples. */
export interface Host {
  /** Monotonic milliseconds. */
  readonly now: () => number
  readonly arm: (delayMillis: number, fire: () => void) => { readonly cancel: () => void }
  readonly fork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>
}

export interface Watchdog {
  /** Something happened. Costs a clock reading; call it for every sign of life. */
  readonly progress: () => void
  /** Time does not count until as many `resume` were called: nobody can work while a person is being asked. */
  readonly pause: () => void
  /** Ends a `pause`; counts as progress. */
  readonly resume: () => void
  /** Watches no longer. */
  readonly cancel: () => void
}

/** Starts to watch one attempt. */
export const start = <Sample, Evidence>(options: Options, subject: Subject<Sample, Evidence>, { arm, fork, now }: Host): Watchdog => {
  const stallAfter = Duration.toMillis(options.stallAfter)
  const distance = stallAfter / options.samples
  const tolerance = Duration.toMillis(options.lagTolerance)
  let progressAt = now()
  let paused = 0
  let over = false
  /** The last sample that was different, and since when nothing has changed. */
  let baseline: Exit.Exit<Sample, unknown>
  let since = progressAt
  let checkedAt = progressAt
  let timer: { readonly cancel: () => void } | undefined
  let sampling: Fiber.Fiber<Sample, unknown> | undefined

  const sample = (use: (exit: Exit.Exit<Sample, unknown>) => void): void => {
    const fiber = fork(subject.sample)
    sampling = fiber
    fiber.addObserver((exit) => {
      timer?.cancel()
      sampling = undefined
      if (!over) use(exit)
    })
    if (sampling === fiber) timer = arm(distance, () => fiber.interruptUnsafe())
  }

  const begin = (): void =>
    sample((exit) => {
      baseline = exit
      since = checkedAt = now()
      rest()
    })

  const rest = (): void => {
    const end = since + stallAfter
    const next = Math.max(since, progressAt, checkedAt) + distance
    const at = end > checkedAt && progressAt <= since ? Math.min(next, end) : next
    timer = arm(Math.max(0, at - now()), () => look(at))
  }

  const look = (at: number): void => {
    const lagMillis = now() - at
    if (lagMillis > tolerance) {
      subject.onLocalStall?.(new LocalStall({ lagMillis }))
      // Whatever we watch stood still with us, or could not tell us that it did not.
      return begin()
    }
    if (paused > 0) progressAt = now()
    if (progressAt > since && progressAt + distance > now() + rounding) return rest()
    sample((after) => {
      checkedAt = now()
      // A sample that could not be taken is no evidence, neither way.
      if (Exit.isFailure(after)) return rest()
      const evidence = progressAt <= since && Exit.isSuccess(baseline) ? subject.same(baseline.value, after.value) : undefined
      if (evidence === undefined) {
        baseline = after
        since = checkedAt
      } else if (checkedAt - since >= stallAfter - rounding) return subject.onStalled(evidence)
      rest()
    })
  }

  begin()
  return {
    progress: () => {
      progressAt = now()
    },
    pause: () => {
      paused++
    },
    resume: () => {
      if (paused > 0) paused--
      progressAt = now()
    },
    cancel: () => {
      over = true
      timer?.cancel()
      sampling?.interruptUnsafe()
    }
  }
}

/** Times are sums of fractions of milliseconds: less than this is no difference. */
const rounding = 0.001
