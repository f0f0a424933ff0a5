/**
 * Runs foreign work for at most a time, even when that work can not be interrupted.
 *
 * `Effect.timeout` waits for the loser's end; a hung finalizer or check has none. Here the work has a fiber of its own: at the limit it is
 * interrupted, given a moment to end, and left behind if it does not.
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"

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
  hurry: Effect.Effect<void> = Effect.never
): Effect.Effect<BoundedRun<A, E>, never, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const limit = Math.max(0, limitMillis)
      const grace = Math.min(longestGrace, limit * graceShare)
      const fiber = yield* Effect.forkDetach(effect, { startImmediately: true })
      const interrupt = Effect.sync(() => fiber.interruptUnsafe())
      const first = yield* restore(
        Fiber.await(fiber).pipe(Effect.raceFirst(Effect.as(hurry, undefined)), Effect.timeoutOption(limit - grace))
      ).pipe(Effect.onInterrupt(() => Effect.andThen(interrupt, Effect.timeoutOption(Fiber.await(fiber), grace))))
      if (Option.isSome(first) && first.value !== undefined) return { _tag: "Ended", exit: first.value } as const
      yield* interrupt
      const second = yield* restore(Effect.timeoutOption(Fiber.await(fiber), grace))
      return { _tag: "GivenUp", stopped: Option.isSome(second), fiber } as const
    })
  )
