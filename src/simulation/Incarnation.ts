/**
 * One life of the simulated host process: its clock, its scheduler and its random numbers, which end with it.
 *
 * A crash drops all three: timers are taken out, what was ready to run never runs, and no finalizer does. An event loop that stands still delays
 * every timer until it goes on; nothing else of the world waits for it.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Scheduler from "effect/Scheduler"
import type { SeededRandom } from "./SeededRandom.ts"
import type { Timeline, Timer } from "./Timeline.ts"

export interface Incarnation {
  /** Has it not crashed? */
  readonly alive: () => boolean
  /** Clock, scheduler and random numbers, for whatever runs in it. */
  readonly context: Context.Context<never>
  /** Enters the process: calls, and lets everything run that became ready. One whose loop stands still answers later, a dead one never. */
  readonly enter: (call: () => void) => void
  /** Runs an effect in it. */
  readonly run: (effect: Effect.Effect<unknown, unknown>) => void
  /** A timer of its event loop. */
  readonly after: (millis: number, fire: () => void) => Timer
  /** Its event loop stands still until this time. */
  readonly freeze: (until: number) => void
  readonly crash: () => void
}

/** The timer of a process that is dead. */
const none: Timer = { cancel: () => {} }

/** Steps at one moment from which on the program is going round in circles. */
const livelock = 2_000_000

const random = (stream: SeededRandom): typeof Random.Random.Service => ({
  nextDoubleUnsafe: stream.next,
  nextIntUnsafe: () => Math.floor(stream.between(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER))
})

/** `wall`: what the wall clock of the machine shows, Unix milliseconds. */
export const make = (timeline: Timeline, wall: () => number, stream: SeededRandom): Incarnation => {
  const timers = new Set<Timer>()
  const ready: Array<() => void> = []
  let alive = true
  let draining = false
  let frozenUntil = 0
  let steps = 0
  let stepsAt = -1

  const drain = (): void => {
    if (draining || ready.length === 0) return
    draining = true
    if (stepsAt !== timeline.now()) {
      stepsAt = timeline.now()
      steps = 0
    }
    try {
      for (let head = 0; alive && head < ready.length; head++) {
        ready[head]!()
        if (++steps > livelock) throw new Error(`The runtime goes round in circles at ${stepsAt} ms`)
        if (head === 4095) {
          ready.splice(0, 4096)
          head = -1
        }
      }
    } finally {
      ready.length = 0
      draining = false
    }
  }

  const enter = (call: () => void): void => {
    if (!alive) return
    if (timeline.now() < frozenUntil) return void at(frozenUntil, call)
    call()
    drain()
  }

  const at = (time: number, fire: () => void): Timer => {
    if (!alive) return none
    const due = (): void => {
      if (timeline.now() < frozenUntil) {
        inner = timeline.at(frozenUntil, due)
        return
      }
      timers.delete(timer)
      fire()
      drain()
    }
    let inner = timeline.at(time, due)
    const timer: Timer = {
      cancel: () => {
        timers.delete(timer)
        inner.cancel()
      }
    }
    timers.add(timer)
    return timer
  }

  const scheduler: Scheduler.Scheduler = {
    executionMode: "async",
    shouldYield: () => false,
    makeDispatcher: () => ({ scheduleTask: (task) => void ready.push(task), flush: drain })
  }

  let nanosAt = -1
  let nanos = 0n
  const monotonic = (): bigint => {
    const now = timeline.now()
    if (now !== nanosAt) {
      nanosAt = now
      nanos = BigInt(now) * 1_000_000n
    }
    return nanos
  }
  const wallNanos = (): bigint => BigInt(wall()) * 1_000_000n
  const clock: Clock.Clock = {
    currentTimeMillisUnsafe: wall,
    currentTimeMillis: Effect.sync(wall),
    currentTimeNanosUnsafe: wallNanos,
    currentTimeNanos: Effect.sync(wallNanos),
    monotonicTimeNanosUnsafe: monotonic,
    monotonicTimeNanos: Effect.sync(monotonic),
    sleep: (duration) => {
      const millis = Duration.toMillis(duration)
      if (millis <= 0) return Effect.yieldNow
      if (millis === Number.POSITIVE_INFINITY) return Effect.never
      return Effect.callback<void>((resume) => {
        const timer = at(timeline.now() + millis, () => resume(Effect.void))
        return Effect.sync(timer.cancel)
      })
    }
  }

  const context = Context.make(Clock.Clock, clock).pipe(
    Context.add(Scheduler.Scheduler, scheduler),
    Context.add(Random.Random, random(stream))
  ) as Context.Context<never>
  const runFork = Effect.runForkWith(context)

  return {
    alive: () => alive,
    context,
    enter,
    run: (effect) => enter(() => void runFork(effect)),
    after: (millis, fire) => at(timeline.now() + millis, fire),
    freeze: (until) => {
      frozenUntil = Math.max(frozenUntil, until)
    },
    crash: () => {
      alive = false
      for (const timer of timers) timer.cancel()
      timers.clear()
    }
  }
}
