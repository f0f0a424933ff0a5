/**
 * Runs foreign work for at most a time, even when that work can not be interrupted.
 *
 * `Effect.timeout` waits for the loser's end; a hung finalizer or check has none. Here the work has a fiber of its own: at the limit it is
 * interrupted, given a moment to end, and left behind if it does not.
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"

export type BoundedRun<A, E> =
  | { readonly _tag: "Ended"; readonly exit: Exit.Exit<A, E> }
  /** It did not end in time. `stopped` tells whether it ended when it was interrupted; otherwise it is still running and left behind. */
  | { readonly _tag: "GivenUp"; readonly stopped: boolean; readonly fiber: Fiber.Fiber<A, E> }

/** How long interrupted work may take to end, as a share of its limit, at the most this many milliseconds. */
const graceShare = 0.1
const longestGrace = 500

/**
 * Runs `effect` for at most `limitMillis`, the moment to end included. Never fails. Interrupting the caller interrupts the work, and
 * waits for its end no longer than the same moment. `hurry`, when it completes, ends the time as the limit would.
 */
export const run = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  limitMillis: number,
  hurry?: Effect.Effect<void>
): Effect.Effect<BoundedRun<A, E>, never, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Effect.forkDetach(effect, { startImmediately: true }), (fiber) => ended(fiber, limitMillis, hurry, restore))
  )

/** The same of work that has begun just now. */
export const wait = <A, E>(fiber: Fiber.Fiber<A, E>, limitMillis: number): Effect.Effect<BoundedRun<A, E>> =>
  Effect.uninterruptibleMask((restore) => ended(fiber, limitMillis, undefined, restore))

/** To be run where nothing can interrupt between the work's begin and this. */
const ended = <A, E>(
  fiber: Fiber.Fiber<A, E>,
  limitMillis: number,
  hurry: Effect.Effect<void> | undefined,
  restore: <B>(effect: Effect.Effect<B>) => Effect.Effect<B>
): Effect.Effect<BoundedRun<A, E>> => {
  // Most work is done at once, and needs no clock beside it.
  const done = fiber.pollUnsafe()
  if (done !== undefined) return Effect.succeed({ _tag: "Ended", exit: done } as const)
  const limit = Math.max(0, limitMillis)
  const grace = Math.min(longestGrace, limit * graceShare)
  const interrupt = Effect.sync(() => fiber.interruptUnsafe())
  const time = Effect.sleep(limit - grace)
  return Effect.gen(function* () {
    const first = yield* restore(endOf(fiber, hurry === undefined ? time : Effect.raceFirst(time, hurry))).pipe(
      Effect.onInterrupt(() => Effect.andThen(interrupt, endOf(fiber, Effect.sleep(grace))))
    )
    if (first !== undefined) return { _tag: "Ended", exit: first } as const
    yield* interrupt
    const second = yield* restore(endOf(fiber, Effect.sleep(grace)))
    return { _tag: "GivenUp", stopped: second !== undefined, fiber } as const
  })
}

/** How the work ended; undefined when `time` was over before that. */
const endOf = <A, E>(fiber: Fiber.Fiber<A, E>, time: Effect.Effect<void>): Effect.Effect<Exit.Exit<A, E> | undefined> =>
  Effect.withFiber((waiting) =>
    Effect.callback<Exit.Exit<A, E> | undefined>((resume) => {
      const clock = Effect.runForkWith(waiting.context)(time)
      clock.addObserver(() => resume(Effect.succeed(undefined)))
      const forget = fiber.addObserver((exit) => {
        resume(Effect.succeed(exit))
        clock.interruptUnsafe()
      })
      return Effect.sync(() => {
        forget()
        clock.interruptUnsafe()
      })
    })
  )
