/**
 * One timer for many deadlines.
 *
 * Bounds the number of timers, not time: any number of entries share one sleeping fiber, armed for the earliest of them. Nothing is refused. It stands
 * below the pipe: time limits, limiters and gates arm their wake-ups here.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scheduler from "effect/Scheduler"
import type * as Scope from "effect/Scope"
import * as Monotonic from "../Monotonic.ts"

/** An entry of the wheel. */
export interface Timer {
  /** When it fires, monotonic milliseconds. */
  readonly at: number
  /** Takes it out. Does nothing once it fired or was cancelled. */
  readonly cancel: () => void
}

/**
 * A shared timer.
 *
 * An entry fires at most once, never earlier than asked (by more than a microsecond), in the order of its time and then of its addition. Adding and cancelling cost
 * O(log n), and O(1) in the usual case of equal delays; a cancelled entry leaves nothing behind; without entries nothing is armed. When the scope closes the rest is dropped, not fired.
 */
export class TimerWheel extends Context.Service<
  TimerWheel,
  {
    /** Calls `fire` once the delay is over. Milliseconds; 0 or less fires at the next turn. `fire` must be short; what it throws is logged. */
    readonly add: (delayMillis: number, fire: () => void) => Timer
    /** The clock it goes by, monotonic milliseconds. */
    readonly now: () => number
    /** Entries that wait. */
    readonly size: () => number
    /** Is a fiber sleeping for it? */
    readonly armed: () => boolean
  }
>()("nofx/TimerWheel") {}

export const make: Effect.Effect<TimerWheel["Service"], never, Scope.Scope> = Effect.gen(function* () {
  const context = yield* Effect.context<never>()
  const clock = Context.get(context, Clock.Clock)
  const run = Effect.runForkWith(context)
  const dispatcher = Context.get(context, Scheduler.Scheduler).makeDispatcher()
  const heap: Array<Entry> = []
  let sequence = 0
  let sleeper: { readonly at: number; readonly fiber: Fiber.Fiber<void> } | undefined
  let idleCheck = false
  let firing = false
  let closed = false

  const disarm = () => {
    const old = sleeper
    sleeper = undefined
    old?.fiber.interruptUnsafe()
  }

  const arm = () => {
    const first = heap[0]
    if (firing || closed || first === undefined || (sleeper !== undefined && sleeper.at <= first.at)) return
    disarm()
    const fiber = run(sleepUntil(first.at))
    // A clock that does not wait has woken us already.
    if (fiber.pollUnsafe() === undefined) sleeper = { at: first.at, fiber }
  }

  const sleepUntil = (at: number): Effect.Effect<void> =>
    Effect.flatMap(clock.sleep(Duration.millis(Math.max(shortest, at - Monotonic.read(clock)))), wake)

  const wake = (): Effect.Effect<void> => {
    const woken = sleeper?.fiber
    sleeper = undefined
    firing = true
    const thrown: Array<unknown> = []
    const due = Monotonic.read(clock) + tolerance
    // What the callbacks add waits for the next turn, or a callback that adds itself again would never let go.
    const added = sequence
    for (let entry = heap[0]; entry !== undefined && entry.at <= due && entry.order < added; entry = heap[0]) {
      removeAt(heap, 0)
      try {
        entry.fire()
      } catch (cause) {
        thrown.push(cause)
      }
    }
    firing = false
    const next = rest(woken)
    return thrown.length === 0 ? next : Effect.andThen(Effect.logError("A timer's callback threw", ...thrown), next)
  }

  /** Until the next entry, in the same fiber. */
  const rest = (woken: Fiber.Fiber<void> | undefined): Effect.Effect<void> => {
    const first = heap[0]
    if (woken === undefined || first === undefined) {
      arm()
      return Effect.void
    }
    sleeper = { at: first.at, fiber: woken }
    return sleepUntil(first.at)
  }

  // Only when the turn is over: calls that follow one another each add and cancel one entry, and would arm a new sleep every time.
  const disarmIdle = () => {
    idleCheck = false
    if (heap.length === 0) disarm()
  }

  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      closed = true
      heap.length = 0
      disarm()
    })
  )

  return {
    add: (delayMillis, fire) => {
      const entry: Entry = {
        at: Monotonic.read(clock) + Math.max(0, delayMillis),
        order: sequence++,
        index: heap.length,
        fire,
        cancel: () => cancel(entry)
      }
      if (closed || delayMillis === Number.POSITIVE_INFINITY) {
        entry.index = -1
        return entry
      }
      heap.push(entry)
      siftUp(heap, entry)
      if (entry.index === 0) arm()
      return entry
    },
    now: () => Monotonic.read(clock),
    size: () => heap.length,
    armed: () => sleeper !== undefined
  }

  function cancel(entry: Entry) {
    if (entry.index < 0) return
    removeAt(heap, entry.index)
    if (heap.length === 0 && sleeper !== undefined && !idleCheck) {
      idleCheck = true
      dispatcher.scheduleTask(disarmIdle, 0)
    }
  }
})

/** A wheel on the clock of the program. Every layer that needs a wheel provides this one, so a program has one wheel. */
export const layer: Layer.Layer<TimerWheel> = Layer.effect(TimerWheel, make)

/** Monotonic time is counted in nanoseconds and added up in fractions of milliseconds: less than this is no difference. */
const tolerance = 0.001
/** A sleep that any clock takes for longer than the tolerance. */
const shortest = 0.002

interface Entry extends Timer {
  readonly order: number
  /** Its place in the heap; -1 once it is out. */
  index: number
  readonly fire: () => void
}

const before = (a: Entry, b: Entry): boolean => a.at < b.at || (a.at === b.at && a.order < b.order)

const place = (heap: Array<Entry>, entry: Entry, index: number) => {
  heap[index] = entry
  entry.index = index
}

const siftUp = (heap: Array<Entry>, entry: Entry) => {
  let index = entry.index
  while (index > 0) {
    const up = (index - 1) >> 1
    const parent = heap[up] as Entry
    if (!before(entry, parent)) break
    place(heap, parent, index)
    index = up
  }
  place(heap, entry, index)
}

const siftDown = (heap: Array<Entry>, entry: Entry) => {
  let index = entry.index
  for (;;) {
    let down = 2 * index + 1
    if (down >= heap.length) break
    if (down + 1 < heap.length && before(heap[down + 1] as Entry, heap[down] as Entry)) down++
    const child = heap[down] as Entry
    if (!before(child, entry)) break
    place(heap, child, index)
    index = down
  }
  place(heap, entry, index)
}

const removeAt = (heap: Array<Entry>, index: number) => {
  const entry = heap[index] as Entry
  entry.index = -1
  const last = heap.pop() as Entry
  if (last === entry) return
  place(heap, last, index)
  siftUp(heap, last)
  siftDown(heap, last)
}
