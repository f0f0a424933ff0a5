/**
 * Bulkheads: bounds how many calls run at once, of each account and of all together, so that one account cannot take everything.
 *
 * It refuses what neither runs nor fits into a bounded queue. In the pipe it is the fifth stage, after the rate limiter; nothing is held while a call waits. (Effect's semaphores
 * queue without a bound, and two of them nested hold the one while waiting for the other.)
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as State from "./BulkheadState.ts"
import { complete, type Given } from "./GivenOptions.ts"
import * as Listeners from "./Listeners.ts"
import { refusals } from "./Refusal.ts"

const Bound = Schema.Struct({
  /** Calls running at once. Count, at least 1, default 8. */
  permits: Schema.Int.check(Schema.isGreaterThanOrEqualTo(1)).pipe(Schema.withDecodingDefault(Effect.succeed(8))),
  /** Calls of `run` waiting for a permit. Count, at least 0, default 1000; 0 refuses at once. */
  queue: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)).pipe(Schema.withDecodingDefault(Effect.succeed(1000)))
})

/** The limits of all together, and of each account. */
export const Options = Schema.Struct({
  global: Bound.pipe(Schema.withDecodingDefault(Effect.succeed({}))),
  perAccount: Bound.pipe(Schema.withDecodingDefault(Effect.succeed({})))
})
export type Options = typeof Options.Type

export const defaults: Options = Schema.decodeSync(Options)({})

/** The call was refused before it started. Only a change helps: no time is known. */
export class BulkheadFull extends Schema.TaggedError<BulkheadFull>()("BulkheadFull", {
  key: Schema.String,
  /** Which limit is reached. */
  scope: Schema.Literals(["account", "global"]),
  /** Of that limit. */
  permits: Schema.Int,
  /** Of that limit; 0 when the caller did not want to wait. */
  queue: Schema.Int
}) {
  override get message() {
    const whose = this.scope === "global" ? "The bulkhead of all accounts" : `Bulkhead "${this.key}"`
    return `${whose} is full (${this.permits} running${this.queue > 0 ? `, ${this.queue} waiting` : ""})`
  }
}

/** Both permits, of the account and of all. */
export interface Permit {
  readonly _tag: "BulkheadPermit"
  readonly key: string
  released: boolean
}

export interface Metrics {
  readonly running: number
  readonly waiting: number
  /** Permits of all accounts together. */
  readonly permits: number
  /** Since the start. */
  readonly refused: number
  /** Accounts that run or wait. */
  readonly keys: number
}

/**
 * Runs calls within the limits.
 *
 * A call holds both permits or none. Waiting calls start in strict order of arrival, except that one whose account is busy keeps nobody of another account waiting. Fails with
 * `BulkheadFull` before the call starts, never after, and never once it waits. An interrupted call gives back its permits or its place.
 */
export class Bulkhead extends Context.Service<
  Bulkhead,
  {
    readonly run: (key: string) => <A, E, R>(call: Effect.Effect<A, E, R>) => Effect.Effect<A, E | BulkheadFull, R>
    /** Takes both permits, or answers why not. Never waits, and overtakes nobody who does. */
    readonly tryAcquire: (key: string) => Permit | BulkheadFull
    /** Gives both back; once, later calls do nothing. */
    readonly release: (permit: Permit) => void
    /** The same for a permit of the same synchronous step, before anybody could have seen it taken: nobody is told. */
    readonly undo: (permit: Permit) => void
    /** Takes both again that were given back for a while. Waits in line, before everybody who only comes later, and is never refused. */
    readonly retake: (permit: Permit) => Effect.Effect<void>
    /** Other limits from now on. Fewer permits take effect as calls end; who waits keeps its place. */
    readonly resize: (options: Given<typeof Options>) => void
    /** Of all, or of one account (its own permits, running and waiting; refusals of all). */
    readonly metrics: (key?: string) => Metrics
    /** Calls the listener, synchronously, when a permit is free that was not. Returns what takes it out again. */
    readonly onChange: (listener: (change: { readonly key: string }) => void) => () => void
  }
>()("nofx/Bulkhead") {}

const completed = complete("Bulkhead", Options)

export const make = (options: Given<typeof Options> = {}): Bulkhead["Service"] => {
  const state = State.make(completed(options))
  const changes = Listeners.make<{ readonly key: string }>()
  const places = new Map<State.Waiter, Place>()
  let refused = 0

  const refuse = (key: string, scope: State.Scope, waits: boolean): BulkheadFull => {
    refused++
    const { permits, queue } = scope === "global" ? state.bounds.global : state.bounds.perAccount
    return makeRefusal({ key, scope, permits, queue: waits ? queue : 0 })
  }

  const admitWaiting = () => {
    for (let waiter = State.next(state); waiter !== undefined; waiter = State.next(state)) {
      const place = places.get(waiter)
      places.delete(waiter)
      if (place === undefined) continue
      place.admitted = true
      place.resume?.()
    }
  }

  const exit = (key: string, told = true) => {
    State.exit(state, key)
    admitWaiting()
    if (told) changes.announce([{ key }])
  }

  const leave = (place: Place) => {
    if (place.admitted) return exit(place.key)
    if (place.waiter === undefined) return
    places.delete(place.waiter)
    State.withdraw(state, place.waiter)
  }

  const enter = (key: string): Place | BulkheadFull => {
    if (State.enter(state, key) === undefined) return { key, admitted: true, waiter: undefined, resume: undefined }
    const waiter = State.join(state, key)
    if (typeof waiter === "string") return refuse(key, waiter, true)
    const place: Place = { key, admitted: false, waiter, resume: undefined }
    places.set(waiter, place)
    return place
  }

  return {
    run:
      (key) =>
      <A, E, R>(call: Effect.Effect<A, E, R>) =>
        Effect.suspend(() => {
          let place: Place | undefined
          // The finalizer stands before the place is taken: no interruption can come between them. One that answers nothing costs nothing.
          return Effect.onExitPrimitive(
            Effect.suspend((): Effect.Effect<A, E | BulkheadFull, R> => {
              const entered = enter(key)
              if (entered instanceof BulkheadFull) return Effect.fail(entered)
              place = entered
              return entered.admitted ? call : Effect.andThen(admission(entered), call)
            }),
            () => {
              if (place !== undefined) leave(place)
              return undefined
            }
          )
        }),
    tryAcquire: (key) => {
      const scope = State.enter(state, key)
      return scope === undefined ? { _tag: "BulkheadPermit", key, released: false } : refuse(key, scope, false)
    },
    release: (permit) => {
      if (permit.released) return
      permit.released = true
      exit(permit.key)
    },
    undo: (permit) => {
      if (permit.released) return
      permit.released = true
      exit(permit.key, false)
    },
    retake: (permit) =>
      Effect.callback<void>((resume) => {
        const { key } = permit
        const inside = (): void => {
          permit.released = false
          resume(Effect.void)
        }
        if (State.enter(state, key) === undefined) return inside()
        const waiter = State.comeBack(state, key)
        const place: Place = { key, admitted: false, waiter, resume: inside }
        places.set(waiter, place)
        return Effect.sync(() => {
          if (!place.admitted) leave(place)
        })
      }),
    resize: (bounds) => {
      state.bounds = completed(bounds)
      admitWaiting()
      changes.announce([{ key: "" }])
    },
    metrics: (key) => {
      if (key === undefined)
        return { running: state.running, waiting: state.waiting, permits: state.bounds.global.permits, refused, keys: state.keys.size }
      const own = state.keys.get(key)
      const permits = state.bounds.perAccount.permits
      return { running: own?.running ?? 0, waiting: own?.queue.length ?? 0, permits, refused, keys: own === undefined ? 0 : 1 }
    },
    onChange: changes.add
  }
}

export const layer = (options?: Given<typeof Options>): Layer.Layer<Bulkhead> => Layer.sync(Bulkhead, () => make(options))

/** No limits. For tests, and for comparing with and without. */
export const layerUnlimited: Layer.Layer<Bulkhead> = Layer.sync(Bulkhead, () => {
  const bound = { permits: Number.MAX_SAFE_INTEGER, queue: 0 }
  return make({ global: bound, perAccount: bound })
})

const makeRefusal = refusals(BulkheadFull)

const admission = (place: Place): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (place.admitted) resume(Effect.void)
    else place.resume = () => resume(Effect.void)
  })

interface Place {
  readonly key: string
  admitted: boolean
  readonly waiter: State.Waiter | undefined
  resume: (() => void) | undefined
}
