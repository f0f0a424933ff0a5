/**
 * The window's link to the runtime of its folder: reached when somebody needs it, followed while it is there, reached again when it is lost.
 *
 * Events only say that something has changed; what is shown is always a whole snapshot, at most four a second, fewer when snapshots cost much.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type { AgentRuntime } from "../../src/AgentRuntime.ts"
import type { RuntimeEvent } from "../../src/RuntimeEvent.ts"
import { afterStart, Log } from "./Editor.ts"
import { Hosts, type HostState, type HostUnavailable, type Reached, type Wish } from "./Hosts.ts"
import { samePlace } from "./Place.ts"
import { Settings } from "./Settings.ts"
import type { View } from "./View.ts"

/** There is no folder here that NofX may work in. */
export class NotHere extends Schema.TaggedError<NotHere>()("NotHere", { place: Schema.Literals(["noFolder", "virtual", "untrusted"]) }) {
  override get message(): string {
    return reasons[this.place]
  }
}

const reasons = {
  noFolder: "Open a folder first: agents work on its files.",
  virtual: "NofX needs a folder on this machine.",
  untrusted: "NofX starts nothing in a folder that is not trusted."
} as const

/** Snapshots are at least this far apart, in milliseconds. */
export const refreshMillis = 250
/** A snapshot that takes long may take at most this share of the time; but what is shown is never older than a second for it. */
const costShare = 10
const longestRest = 750
/** Without an event: so often while somebody looks, since metrics change without one; and so often while nobody does. In milliseconds. */
export const watchedMillis = 1_000
const unwatchedMillis = 15_000
/** Waits between attempts to reach a lost runtime again: doubling, in milliseconds. */
const waits = { first: 500, longest: 30_000 }

type Runtime = AgentRuntime["Service"]

export class Link extends Context.Service<
  Link,
  {
    readonly view: () => View
    /** The view as it is, and as it becomes. */
    readonly changes: Stream.Stream<View>
    /** Calls back with every event of the runtime; answers how to stop that. */
    readonly onEvent: (listener: (event: RuntimeEvent) => void) => () => void
    /** The runtime; reached, and started if need be. */
    readonly runtime: Effect.Effect<Runtime, NotHere | HostUnavailable>
    /** Reaches the runtime if something has worked here before; starts nothing otherwise. */
    readonly resume: Effect.Effect<void>
    /** Somebody looks, or looks away. */
    readonly watch: (delta: 1 | -1) => void
    /** Takes a snapshot soon. */
    readonly refresh: () => void
    /** The runtime was shut down: it is left, and nothing but a wish for it starts it again. */
    readonly stop: Effect.Effect<void>
    /** Replaces the host as soon as no attempt runs; the next one goes by the settings of then. Answers how many run. */
    readonly restartHost: Effect.Effect<number, NotHere | HostUnavailable>
  }
>()("nofx/extension/Link") {}

interface Connection extends Reached {
  readonly scope: Scope.Closeable
  /** What its host was asked for last. */
  wish: Wish
}

const make = Effect.gen(function* () {
  const hosts = yield* Hosts
  const settings = yield* Settings
  const log = yield* Log
  const scope = yield* Effect.scope
  const context = yield* Effect.context<never>()
  const one = yield* Semaphore.make(1)
  const dirty = yield* Latch.make(false)
  const clock = yield* Clock.Clock
  const listeners = new Set<(event: RuntimeEvent) => void>()
  const empty = (): View => ({
    place: settings.place(),
    link: "idle",
    problem: undefined,
    snapshot: undefined,
    stateDirectory: undefined,
    about: [],
    skew: undefined,
    outdated: false,
    retiring: undefined
  })
  const ref = yield* SubscriptionRef.make(empty())
  let connection: Connection | undefined
  let watchers = 0
  /** It was shut down: no lost link, and no look at it, starts it again. */
  let stopped = false
  const set = (part: Partial<View>) => SubscriptionRef.update(ref, (view) => ({ ...view, ...part }))
  const fork = (effect: Effect.Effect<unknown>): void => void Effect.runForkWith(context)(Effect.forkIn(effect, scope))

  const leave = one.withPermit(
    Effect.suspend(() => {
      const left = connection
      connection = undefined
      return left === undefined ? Effect.void : Scope.close(left.scope, Exit.void)
    })
  )

  const takeSnapshot = Effect.fnUntraced(function* (runtime: Runtime) {
    const before = clock.currentTimeMillisUnsafe()
    const snapshot = yield* runtime.snapshot
    yield* set({ snapshot, link: "connected", problem: undefined })
    return clock.currentTimeMillisUnsafe() - before
  })

  const follow = Effect.fnUntraced(function* (runtime: Runtime) {
    yield* Effect.forkChild(
      Stream.runForEach(runtime.events, (event) =>
        Effect.sync(() => {
          // Whoever did it: what was shut down in order stays so.
          if (event._tag === "ShutdownPhaseStarted") {
            stopped = true
            if (SubscriptionRef.getUnsafe(ref).link === "connecting") fork(stop)
          }
          for (const listener of listeners) listener(event)
          if (event._tag !== "Progress" && event._tag !== "Stage") dirty.openUnsafe()
        })
      ),
      { startImmediately: true }
    )
    for (;;) {
      dirty.closeUnsafe()
      const cost = yield* takeSnapshot(runtime)
      yield* Effect.sleep(Math.min(Math.max(refreshMillis, cost * costShare), longestRest))
      yield* Effect.timeoutOption(dirty.await, watchers > 0 ? watchedMillis - refreshMillis : unwatchedMillis)
    }
  })

  const wish: Effect.Effect<Wish | undefined> = Effect.suspend(() => {
    const place = settings.place()
    return place._tag === "ready" && !stopped ? settings.wish(place.directory) : Effect.undefined
  })

  const retire = Effect.fnUntraced(function* (reached: Reached) {
    const running = yield* reached.retire
    yield* set({ retiring: running })
    return running
  })

  /** What becomes of the host: connected to one, to another one, to none. */
  const onState = Effect.fnUntraced(function* (reached: Reached, state: HostState) {
    if (state._tag === "Reconnecting") {
      log.warn(`the link to the host was lost: ${state.detail}`)
      return yield* stopped ? Effect.forkIn(stop, scope) : set({ link: "connecting", problem: state.detail })
    }
    const { about, skew, stateDirectory } = state.about
    log.info(`connected: ${about.map(([label, value]) => `${label} ${value}`).join(", ")}`)
    yield* set({ about, skew, stateDirectory, link: "connected", problem: undefined, outdated: false, retiring: undefined })
    dirty.openUnsafe()
    const current = yield* wish
    if (connection !== undefined && current !== undefined) connection.wish = current
    if (skew === undefined) return
    log.warn(`the host is of version ${skew.host}, this extension of ${skew.own}`)
    if (skew.older) yield* retire(reached)
  })

  const reach = Effect.fnUntraced(function* () {
    const place = settings.place()
    if (place._tag !== "ready") return yield* new NotHere({ place: place._tag })
    // The view is of this place from now on, whether or not it was told that it changed: being told then does not reach it once more.
    yield* set({ ...(samePlace(place, SubscriptionRef.getUnsafe(ref).place) ? {} : empty()), link: "connecting" })
    yield* settings.tell
    const own = yield* Scope.fork(scope)
    const asked = yield* settings.wish(place.directory)
    const reached = yield* Effect.exit(Scope.provide(hosts.connect(wish), own))
    if (Exit.isFailure(reached)) {
      yield* Scope.close(own, reached)
      const reason = reached.cause.reasons[0]
      const problem = reason?._tag === "Fail" ? reason.error.message : String(reason?._tag === "Die" ? reason.defect : "interrupted")
      log.error(problem, reason)
      yield* set({ link: "failed", problem })
      if (reason?._tag === "Fail" && reason.error.passes) fork(reachAgain)
      return yield* Effect.failCause(reached.cause)
    }
    connection = { ...reached.value, scope: own, wish: asked }
    yield* takeSnapshot(reached.value.runtime)
    yield* Effect.forkIn(
      Stream.runForEach(reached.value.states, (state) => onState(reached.value, state)),
      own
    )
    yield* Effect.forkIn(follow(reached.value.runtime), own)
    // Not in the connection's own scope, which it closes.
    yield* Effect.forkIn(Effect.flatMap(reached.value.lost, onLost(reached.value)), scope)
    return reached.value.runtime
  })

  const runtime: Link["Service"]["runtime"] = one.withPermit(
    Effect.suspend(() => {
      stopped = false
      return connection === undefined ? reach() : Effect.succeed(connection.runtime)
    })
  )

  /** Until it is reached, shut down, or not to be reached in this window any more. */
  const reachAgain = Effect.gen(function* () {
    for (let wait = waits.first; ; wait = Math.min(waits.longest, wait * 2)) {
      yield* Effect.sleep(wait)
      if ((yield* wish) === undefined || connection !== undefined) return
      if (Exit.isSuccess(yield* Effect.exit(runtime))) return
    }
  })

  const onLost =
    (lost: Reached) =>
    (reason: string): Effect.Effect<void> =>
      Effect.gen(function* () {
        if (connection?.runtime !== lost.runtime) return
        log.warn(`no host can be reached: ${reason}`)
        yield* set({ link: "connecting", problem: reason })
        yield* leave
        yield* reachAgain
      })

  const stop = Effect.suspend(() => {
    stopped = true
    return Effect.andThen(leave, set({ ...empty(), link: "stopped" }))
  })

  const resume = Effect.gen(function* () {
    const place = settings.place()
    if (place._tag !== "ready" || connection !== undefined || stopped) return
    if (yield* hosts.hasState(yield* settings.wish(place.directory))) yield* Effect.ignore(runtime)
  })

  /** Another folder: its runtime is shown. The same one: its host is told what it can be told, and the rest counts at its next start. */
  const onSettings = Effect.gen(function* () {
    if (!samePlace(settings.place(), SubscriptionRef.getUnsafe(ref).place)) {
      stopped = false
      yield* leave
      yield* set(empty())
      return yield* resume
    }
    const next = yield* wish
    if (connection === undefined || next === undefined) return
    const { leaving, wish: before } = connection
    connection.wish = { ...next, config: before.config }
    yield* set({ outdated: JSON.stringify(next.config) !== JSON.stringify(before.config) })
    if (next.onEditorClose === before.onEditorClose) return
    yield* leaving(next.onEditorClose)
    log.info(`the host will ${next.onEditorClose} when the last window closes`)
  })
  yield* Effect.acquireRelease(
    Effect.sync(() => settings.onChange(() => fork(onSettings))),
    (end) => Effect.sync(end)
  )
  // What came in between the first look and now nobody has told of.
  if (!samePlace(settings.place(), SubscriptionRef.getUnsafe(ref).place)) fork(onSettings)
  if (settings.place()._tag === "ready") yield* Effect.forkIn(afterStart(settings.tell), scope)
  if (settings.connectOnStartup()) yield* Effect.forkIn(afterStart(resume), scope)

  return Link.of({
    view: () => SubscriptionRef.getUnsafe(ref),
    changes: SubscriptionRef.changes(ref),
    onEvent: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    runtime,
    resume,
    watch: (delta) => {
      watchers += delta
      if (delta === 1) dirty.openUnsafe()
    },
    refresh: () => void dirty.openUnsafe(),
    stop,
    restartHost: Effect.gen(function* () {
      yield* runtime
      return connection === undefined ? 0 : yield* retire(connection)
    })
  })
})

export const layer = Layer.effect(Link, make)
