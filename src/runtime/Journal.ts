/**
 * The one way to the store: write first, act after.
 *
 * Commits become durable in the order in which they were asked for. While the store cannot write (a full disk), they wait and are tried
 * again, all together in one transaction; nothing that depends on them happens meanwhile, and the runtime shows itself degraded. Published
 * are only events that are durable, or that are live by nature. Once another owner has taken over nothing is written any more: whoever asks is
 * interrupted, so that nothing acts on what was not written.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { RuntimeEvent } from "../RuntimeEvent.ts"
import type { Change, Fenced, Store, StoreUnavailable } from "../store/Store.ts"

export interface Journal {
  /** Completes when the changes are durable and their events published. Interrupts its caller when another owner has taken over. */
  readonly commit: (changes: ReadonlyArray<Change>) => Effect.Effect<void>
  /** Adds changes that nothing waits for; they go with the next commit, at the latest in the next turn. */
  readonly note: (...changes: ReadonlyArray<Change>) => void
  /** Publishes an event that is live only. */
  readonly live: (event: RuntimeEvent) => void
  /** Synchronous, in order; a listener that throws is dropped. Returns how to stop listening. */
  readonly onEvent: (listener: (event: RuntimeEvent) => void) => () => void
  /** The seq of the last durable event. */
  readonly seq: () => number
  /** Why it cannot write at the moment. */
  readonly degraded: () => StoreUnavailable | undefined
  /** Completes when everything asked for so far is durable. */
  readonly flush: Effect.Effect<void>
  /** Completes when another owner has taken over. */
  readonly fenced: Effect.Effect<Fenced>
}

/** How long it waits before it tries a store again that could not write. */
const retryEvery = Duration.seconds(1)

export interface Options {
  readonly store: Store["Service"]
  readonly seq: number
  /** Runs an effect in the runtime's scope. */
  readonly fork: (effect: Effect.Effect<void>) => void
  /** Calls in the next turn. */
  readonly later: (call: () => void) => void
  /** The present state of what a change wrote: a change that is tried again must not bring back an older state. */
  readonly latest: (change: Change) => Change
  readonly onDegraded: (cause: StoreUnavailable | undefined) => void
}

interface Waiting {
  readonly changes: ReadonlyArray<Change>
  readonly done: Deferred.Deferred<void>
}

/** Without the records that a later one in the same commit replaces. */
const withoutReplaced = (changes: ReadonlyArray<Change>): ReadonlyArray<Change> => {
  const last = new Map<string, Change>()
  let records = 0
  for (const change of changes) {
    if (change._tag !== "PutTask") continue
    last.set(change.task.key, change)
    records++
  }
  if (last.size === records) return changes
  return changes.filter((change) => change._tag !== "PutTask" || last.get(change.task.key) === change)
}

export const make = (options: Options): Journal => {
  const { store } = options
  type Listener = (event: RuntimeEvent) => void
  let listeners: ReadonlyArray<Listener> = []
  const drop = (listener: Listener): void => {
    listeners = listeners.filter((each) => each !== listener)
  }
  const fenced = Deferred.makeUnsafe<Fenced>()
  let seq = options.seq
  let degraded: StoreUnavailable | undefined
  let fencedBy: Fenced | undefined
  let noted: Array<Change> = []
  let noteArmed = false
  /** Commits that failed or came while the store could not write, in order. */
  const held: Array<Waiting> = []

  /** Events that a listener's own doing led to: they are told to all after the one that it is being told. */
  const untold: Array<RuntimeEvent> = []
  let telling = false

  const publish = (event: RuntimeEvent): void => {
    if (event.seq !== undefined) seq = event.seq
    if (telling) return void untold.push(event)
    telling = true
    for (let next: RuntimeEvent | undefined = event; next !== undefined; next = untold.shift()) {
      for (const listener of listeners) {
        try {
          listener(next)
        } catch {
          drop(listener)
        }
      }
    }
    telling = false
  }

  /** Commits that are being written, or whose events have not been published. */
  let underWay = 0
  /** Durable events of a commit whose caller went on before that of an earlier one: they wait for those. By seq. */
  const early = new Map<number, RuntimeEvent>()

  /** Publishes what was committed, in the order in which it became durable: whoever follows by `seq` takes a jump for a gap. */
  const publishInOrder = (events: ReadonlyArray<RuntimeEvent>): void => {
    for (const event of events) {
      if (event.seq === seq + 1) publish(event)
      else early.set(event.seq ?? seq + 1, event)
    }
    // Not before: what a listener commits meanwhile comes after these.
    underWay--
    if (early.size === 0) return
    for (let next = early.get(seq + 1); next !== undefined; next = early.get(seq + 1)) {
      early.delete(seq + 1)
      publish(next)
    }
    if (underWay > 0) return
    // Nobody is left who could close the gap.
    const rest = [...early].sort(([one], [other]) => one - other)
    early.clear()
    for (const [, event] of rest) publish(event)
  }

  const fence = (cause: Fenced): Effect.Effect<never> => {
    fencedBy ??= cause
    Deferred.doneUnsafe(fenced, Effect.succeed(fencedBy))
    for (const { done } of held.splice(0)) Deferred.doneUnsafe(done, Effect.interrupt)
    return Effect.interrupt
  }

  // Every step of every task passes here: few effects.
  const write = <E = never>(
    changes: ReadonlyArray<Change>,
    onUnavailable: (cause: StoreUnavailable) => Effect.Effect<void, E>
  ): Effect.Effect<void, E> => {
    if (fencedBy !== undefined) return Effect.interrupt
    underWay++
    const written = Effect.onExitPrimitive(store.commit(changes, store.epoch), (exit) => {
      publishInOrder(Exit.isSuccess(exit) ? exit.value : [])
      return undefined
    })
    return Effect.matchEffect(written, {
      onSuccess: () => Effect.void,
      onFailure: (cause) => (cause._tag === "Fenced" ? fence(cause) : onUnavailable(cause))
    })
  }

  const hold = (changes: ReadonlyArray<Change>): Effect.Effect<void> => {
    const done = Deferred.makeUnsafe<void>()
    held.push({ changes, done })
    return Deferred.await(done)
  }

  // In one transaction: the present state of a task may come from a later one of them, and must not be there without what belongs to it.
  const recover: Effect.Effect<void> = Effect.gen(function* () {
    while (held.length > 0) {
      yield* Effect.sleep(retryEvery)
      const now = held.slice()
      const all = now.flatMap((each) => each.changes.map(options.latest))
      const exit = yield* Effect.exit(write(withoutReplaced(all), Effect.fail))
      if (fencedBy !== undefined) return
      if (Exit.isFailure(exit)) continue
      held.splice(0, now.length)
      for (const { done } of now) yield* Deferred.succeed(done, undefined)
    }
    degraded = undefined
    options.onDegraded(undefined)
  })

  const takeNoted = (): ReadonlyArray<Change> => {
    const changes = noted
    noted = []
    return changes
  }

  const commit = (changes: ReadonlyArray<Change>): Effect.Effect<void> =>
    Effect.suspend(() => (changes.length === 0 && noted.length === 0 ? Effect.void : ordered(changes)))

  /** After everything that was asked for before, be it with nothing to write. */
  const ordered = (changes: ReadonlyArray<Change>): Effect.Effect<void> => {
    const all = noted.length === 0 ? changes : withoutReplaced([...takeNoted(), ...changes])
    if (degraded !== undefined) return hold(all)
    return write(all, (cause) => {
      const wait = hold(all)
      if (degraded !== undefined) return wait
      degraded = cause
      options.onDegraded(cause)
      options.fork(recover)
      return wait
    })
  }

  return {
    commit,
    note: (...changes) => {
      for (const change of changes) noted.push(change)
      if (noteArmed) return
      noteArmed = true
      options.later(() => {
        noteArmed = false
        if (noted.length > 0) options.fork(commit([]))
      })
    },
    live: publish,
    onEvent: (listener) => {
      listeners = [...listeners, listener]
      return () => drop(listener)
    },
    seq: () => seq,
    degraded: () => degraded,
    flush: Effect.suspend(() => ordered([])),
    fenced: Deferred.await(fenced)
  }
}
