/**
 * Requests that change something, done once: whoever asks again under the same id gets the first answer.
 *
 * They run in the host's scope, not in that of a connection: a client that goes away cancels nothing.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Monotonic from "../Monotonic.ts"

export interface Once {
  /** Runs the effect, or waits for the one that was run under this id. */
  readonly run: <A, E>(requestId: string, effect: Effect.Effect<A, E>) => Effect.Effect<A, E>
}

/** An answer is remembered at least so long, unless there are very many. */
const keepMillis = 10 * 60_000
const most = 4_096

interface Entry {
  readonly fiber: Fiber.Fiber<unknown, unknown>
  /** Monotonic milliseconds. */
  readonly since: number
}

export const make: Effect.Effect<Once, never, Scope.Scope> = Effect.gen(function* () {
  const scope = yield* Effect.scope
  const clock = yield* Clock.Clock
  const entries = new Map<string, Entry>()

  /** Oldest first; what has not ended stays. */
  const forget = (now: number): void => {
    for (const [id, { fiber, since }] of entries) {
      if (now - since < keepMillis && entries.size < most) return
      if (fiber.pollUnsafe() !== undefined) entries.delete(id)
    }
  }

  return {
    run: <A, E>(requestId: string, effect: Effect.Effect<A, E>) =>
      Effect.suspend(() => {
        const known = entries.get(requestId)
        if (known !== undefined) return Fiber.join(known.fiber as Fiber.Fiber<A, E>)
        const now = Monotonic.read(clock)
        forget(now)
        return Effect.flatMap(Effect.forkIn(effect, scope), (fiber) => {
          entries.set(requestId, { fiber, since: now })
          return Fiber.join(fiber)
        })
      })
  }
})
