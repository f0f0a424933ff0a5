/**
 * Time limits: bounds how long one call may run.
 *
 * It refuses nothing before the call, except when no time is left; it interrupts the call at its limit, waits until its finalizers ran, and then fails. In the pipe
 * it is the *attempt limit*, the last stage before the driver. `Effect.timeout` forks two fibers and arms a timer of its own for each call; here the body runs in one
 * fiber, which starts at once, and all limits share one timer.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { Deadline } from "./Deadline.ts"
import { refusals } from "./Refusal.ts"
import * as TimerWheel from "./TimerWheel.ts"

/** The call took longer than its limit and was interrupted; its finalizers have run. */
export class TimeLimitExceeded extends Schema.TaggedError<TimeLimitExceeded>()("TimeLimitExceeded", {
  /** The limit that was exceeded. */
  limit: Schema.DurationFromString
}) {
  override get message() {
    return `Not done within ${Duration.format(this.limit)}`
  }
}

/**
 * Limits calls in time.
 *
 * A call that is late is interrupted, and the failure comes only after its finalizers, and whatever of it cannot be interrupted, ended: nothing of it runs afterwards.
 * A call that ended by itself is never reported as late, a finalizer that dies is a defect, and an interruption from outside stays an interruption.
 */
export class TimeLimit extends Context.Service<
  TimeLimit,
  {
    /**
     * Runs the call for at most `limit`. Fails with `TimeLimitExceeded` when it was interrupted at the limit, or before it starts if the limit is not positive.
     * An infinite limit is none.
     */
    readonly within: (limit: Duration.Input) => <A, E, R>(call: Effect.Effect<A, E, R>) => Effect.Effect<A, E | TimeLimitExceeded, R>
    /** The same up to a point in monotonic time. Fails before the call starts if it has passed. */
    readonly until: (deadline: Deadline) => <A, E, R>(call: Effect.Effect<A, E, R>) => Effect.Effect<A, E | TimeLimitExceeded, R>
    /**
     * A wait that ends at the deadline without any interruption or fiber: `register` gets the callback that ends the wait, and may return what takes the
     * registration back (called once, if the wait ended otherwise). Fails with `TimeLimitExceeded` at the deadline.
     */
    readonly awaitUntil: <A, E = never>(
      deadline: Deadline,
      register: (resume: (exit: Exit.Exit<A, E>) => void) => (() => void) | void
    ) => Effect.Effect<A, E | TimeLimitExceeded>
    /** Monotonic milliseconds, as deadlines are counted. */
    readonly now: () => number
  }
>()("nofx/TimeLimit") {}

export const make: Effect.Effect<TimeLimit["Service"], never, TimerWheel.TimerWheel> = Effect.map(TimerWheel.TimerWheel, (wheel) => {
  const limited = <A, E, R>(call: Effect.Effect<A, E, R>, millis: number): Effect.Effect<A, E | TimeLimitExceeded, R> =>
    Effect.withFiber<A, E | TimeLimitExceeded, R>((parent) =>
      // The child starts inside the registration: if it interrupts its parent at once, the parent's clean-up already knows it.
      Effect.callback<A, E | TimeLimitExceeded>((resume) => {
        const child = Effect.runForkWith(parent.context as Context.Context<R>)(call)
        const done = child.pollUnsafe()
        if (done !== undefined) return resume(done)
        let late = false
        const timer = wheel.add(millis, () => {
          late = true
          child.interruptUnsafe()
        })
        child.addObserver((exit) => {
          timer.cancel()
          resume(late && Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause) ? exceeded(millis) : exit)
        })
        return Effect.suspend(() => {
          timer.cancel()
          return Fiber.interrupt(child)
        })
      })
    )

  return {
    within: (limit) => {
      const millis = Duration.toMillis(Duration.fromInputUnsafe(limit))
      if (millis === Number.POSITIVE_INFINITY) return (call) => call
      if (millis <= 0) return () => exceeded(millis)
      return (call) => (Exit.isExit(call) ? call : limited(call, millis))
    },
    until: (deadline) => (call) => {
      if (deadline === Number.POSITIVE_INFINITY) return call
      return Effect.suspend(() => {
        const millis = deadline - wheel.now()
        return millis <= 0 ? exceeded(0) : limited(call, millis)
      })
    },
    awaitUntil: <A, E = never>(deadline: Deadline, register: (resume: (exit: Exit.Exit<A, E>) => void) => (() => void) | void) =>
      Effect.callback<A, E | TimeLimitExceeded>((resume) => {
        const millis = deadline - wheel.now()
        if (millis <= 0) return resume(exceeded(0))
        let timer: TimerWheel.Timer | undefined
        let ended = false
        const unregister = register((exit) => {
          if (ended) return
          ended = true
          timer?.cancel()
          resume(exit)
        })
        const giveUp = () => {
          ended = true
          timer?.cancel()
          unregister?.()
        }
        if (ended) return
        timer = wheel.add(millis, () => {
          giveUp()
          resume(exceeded(millis))
        })
        return Effect.sync(giveUp)
      }),
    now: wheel.now
  }
})

export const layer: Layer.Layer<TimeLimit> = Layer.effect(TimeLimit, make).pipe(Layer.provide(TimerWheel.layer))

const refuse = refusals(TimeLimitExceeded)
const exceeded = (millis: number): Exit.Exit<never, TimeLimitExceeded> => Exit.fail(refuse({ limit: Duration.millis(millis) }))
