/**
 * Graceful shutdown: finalizers in six phases, in order, each bounded in time, with a truthful report.
 *
 * Phase n + 1 starts after n has ended; within a phase the last registered goes first. A finalizer that hangs is given up at its limit, even
 * if it cannot be interrupted; a drain that uses up its time leaves the later phases theirs (`ShutdownBudget`). Because everything is
 * written first, this is only the politer end: a kill at any moment loses nothing.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Monotonic from "../Monotonic.ts"
import * as Announcer from "./Announcer.ts"
import * as BoundedRun from "./BoundedRun.ts"
import { causeText } from "./CauseText.ts"
import { complete, type Given } from "./GivenOptions.ts"
import { finalizerAllowance, Options, type Phase, phaseAllowance, phases, Phase as PhaseSchema } from "./ShutdownBudget.ts"

export { defaults, Options, Phase, phases } from "./ShutdownBudget.ts"

/** What came of one finalizer. */
export const FinalizerReport = Schema.Struct({
  phase: PhaseSchema,
  name: Schema.String,
  /** `cut-short`: it was ended by a second request. `timed-out`: its time was over. */
  outcome: Schema.Literals(["completed", "failed", "timed-out", "cut-short"]),
  /** Why, when it did not complete. */
  detail: Schema.optionalKey(Schema.String),
  durationMillis: Schema.Finite,
  /** What it said that it had left undone. */
  abandoned: Schema.Array(Schema.String)
})
export type FinalizerReport = typeof FinalizerReport.Type

export const PhaseReport = Schema.Struct({
  phase: PhaseSchema,
  /** `completed` only when each of its finalizers did. */
  outcome: Schema.Literals(["completed", "incomplete"]),
  durationMillis: Schema.Finite,
  finalizers: Schema.Array(FinalizerReport)
})
export type PhaseReport = typeof PhaseReport.Type

/** What a shutdown did, as JSON as it stands. Times are Unix milliseconds. */
export const ShutdownReport = Schema.Struct({
  startedAt: Schema.Finite,
  endedAt: Schema.Finite,
  durationMillis: Schema.Finite,
  /** Somebody asked twice. */
  hurried: Schema.Boolean,
  phases: Schema.Array(PhaseReport),
  /** All that was left undone, of every phase. */
  abandoned: Schema.Array(Schema.String)
})
export type ShutdownReport = typeof ShutdownReport.Type

/** What a finalizer can see and say while it runs. */
export interface Controls {
  /** How long it has. */
  readonly limit: Duration.Duration
  /** Completes when somebody asked a second time: end soon. */
  readonly hurried: Effect.Effect<void>
  /** How much is left to do, for people who wait. */
  readonly progress: (remaining: number) => void
  /** Names what will not be done; counts also when the finalizer is given up after this. */
  readonly abandon: (items: ReadonlyArray<string>) => void
}

/** May answer with what it abandoned. */
type Work = Effect.Effect<ReadonlyArray<string> | void, unknown>
export type Finalizer = Work | ((controls: Controls) => Work)

export interface ShutdownStatus {
  readonly state: "running" | "shutting-down" | "stopped"
  readonly phase: Phase | undefined
  /** What is left to do in this phase, as its finalizers report it; without a word from them the number of finalizers left. */
  readonly remaining: number
  readonly hurried: boolean
}

export type ShutdownEvent =
  | { readonly _tag: "ShutdownPhaseStarted"; readonly at: number; readonly phase: Phase; readonly remaining: number }
  | { readonly _tag: "ShutdownProgress"; readonly at: number; readonly phase: Phase; readonly remaining: number }
  | ({ readonly _tag: "ShutdownFinalizerEnded"; readonly at: number } & FinalizerReport)
  | {
      readonly _tag: "ShutdownPhaseEnded"
      readonly at: number
      readonly phase: Phase
      readonly outcome: PhaseReport["outcome"]
      readonly durationMillis: number
    }
  | { readonly _tag: "ShutdownHurried"; readonly at: number }
  | { readonly _tag: "ShutdownFinished"; readonly at: number; readonly abandoned: ReadonlyArray<string> }

/**
 * The end of one process's work.
 *
 * It runs once. Each request gets the same report; a second one makes it faster, not double. It goes on when its caller is interrupted.
 */
export class Shutdown extends Context.Service<
  Shutdown,
  {
    /**
     * Adds a finalizer until the scope closes. In the scope of the service itself it stays, so that closing that scope runs it. While its
     * phase runs it is still taken in; after that it is run at once, within its limit.
     */
    readonly register: (
      phase: Phase,
      name: string,
      finalizer: Finalizer,
      options?: { readonly timeLimit?: Duration.Input }
    ) => Effect.Effect<void, never, Scope.Scope>
    /** Shuts down and reports. Asked again while it runs, the drain is cut short. Never fails. */
    readonly run: () => Effect.Effect<ShutdownReport>
    /**
     * When the current scope closes, the shutdown is run if nobody has, and waited for. A layer that registers finalizers for resources of
     * its own scope calls this after it has acquired them all. The service does so for its own scope.
     */
    readonly runOnClose: Effect.Effect<void, never, Scope.Scope>
    readonly status: () => ShutdownStatus
    /** Undefined until it is over. */
    readonly report: () => ShutdownReport | undefined
    readonly onEvent: (listener: (event: ShutdownEvent) => void) => () => void
  }
>()("nofx/reliability/Shutdown") {}

interface Registered {
  readonly phase: Phase
  readonly name: string
  readonly finalizer: Finalizer
  readonly timeLimit: number | undefined
}

const completed = complete("Shutdown", Options)

export const make = Effect.fnUntraced(function* (given: Given<typeof Options> = {}) {
  const options = completed(given)
  const own = yield* Effect.scope
  const clock = yield* Clock.Clock
  const wallNow = (): number => clock.currentTimeMillisUnsafe()
  const monotonic = (): number => Monotonic.read(clock)
  const budget = Duration.toMillis(options.budget)
  const registered = new Set<Registered>()
  const { emit, onEvent } = Announcer.make<ShutdownEvent>()
  const hurried = Deferred.makeUnsafe<void>()
  const finished = Deferred.makeUnsafe<ShutdownReport>()
  let state: ShutdownStatus["state"] = "running"
  let phase: Phase | undefined
  let said: number | undefined
  let hurry = false
  let report: ShutdownReport | undefined

  const waiting = (of: Phase): ReadonlyArray<Registered> => [...registered].filter((entry) => entry.phase === of)

  const finalize = Effect.fnUntraced(function* (entry: Registered, limit: number) {
    const began = monotonic()
    const abandoned: Array<string> = []
    let open = true
    const controls: Controls = {
      limit: Duration.millis(limit),
      hurried: Deferred.await(hurried),
      progress: (remaining) => {
        if (!open || phase !== entry.phase || remaining === said) return
        said = remaining
        emit({ _tag: "ShutdownProgress", at: wallNow(), phase: entry.phase, remaining })
      },
      abandon: (items) => {
        if (open) abandoned.push(...items)
      }
    }
    const work = Effect.suspend(() => (Effect.isEffect(entry.finalizer) ? entry.finalizer : entry.finalizer(controls)))
    const cut = entry.phase === "drain" ? Effect.andThen(Deferred.await(hurried), Effect.sleep(options.hurry)) : Effect.never
    const result = yield* BoundedRun.run(work, limit, cut)
    open = false
    const durationMillis = monotonic() - began
    const common = { phase: entry.phase, name: entry.name, durationMillis }
    if (result._tag === "GivenUp") {
      const wasHurried = hurry && entry.phase === "drain" && durationMillis < limit * 0.9
      const left = result.stopped ? "" : "; it does not stop and was left behind"
      return {
        ...common,
        outcome: wasHurried ? "cut-short" : "timed-out",
        detail: `it had not ended after ${Duration.format(Duration.millis(Math.round(durationMillis)))}${left}`,
        abandoned
      } satisfies FinalizerReport as FinalizerReport
    }
    if (Exit.isFailure(result.exit))
      return { ...common, outcome: "failed", detail: causeText(result.exit.cause), abandoned } as FinalizerReport
    return { ...common, outcome: "completed", abandoned: [...abandoned, ...(result.exit.value ?? [])] } as FinalizerReport
  })

  const standardLimit = (entry: Registered): number =>
    entry.timeLimit ?? (entry.phase === "drain" ? Number.POSITIVE_INFINITY : Duration.toMillis(options.finalizer))

  const runPhase = Effect.fnUntraced(function* (current: Phase, deadline: number) {
    const began = monotonic()
    const allowance = phaseAllowance(current, deadline - began, budget, options.shares)
    const reports: Array<FinalizerReport> = []
    phase = current
    said = undefined
    emit({ _tag: "ShutdownPhaseStarted", at: wallNow(), phase: current, remaining: waiting(current).length })
    for (let left = waiting(current); left.length > 0; left = waiting(current)) {
      const entry = left[left.length - 1]!
      const limit = finalizerAllowance(began + allowance - monotonic(), allowance, left.length - 1, standardLimit(entry))
      const ended = yield* finalize(entry, limit)
      registered.delete(entry)
      said = undefined
      reports.push(ended)
      emit({ _tag: "ShutdownFinalizerEnded", at: wallNow(), ...ended })
    }
    const outcome = reports.every((each) => each.outcome === "completed") ? "completed" : "incomplete"
    const durationMillis = monotonic() - began
    emit({ _tag: "ShutdownPhaseEnded", at: wallNow(), phase: current, outcome, durationMillis })
    return { phase: current, outcome, durationMillis, finalizers: reports } satisfies PhaseReport as PhaseReport
  })

  const shutDown = Effect.gen(function* () {
    const began = monotonic()
    const startedAt = wallNow()
    const reports: Array<PhaseReport> = []
    for (const each of phases) reports.push(yield* runPhase(each, began + budget))
    const abandoned = reports.flatMap((each) => each.finalizers.flatMap((finalizer) => finalizer.abandoned))
    report = { startedAt, endedAt: wallNow(), durationMillis: monotonic() - began, hurried: hurry, phases: reports, abandoned }
    state = "stopped"
    phase = undefined
    emit({ _tag: "ShutdownFinished", at: wallNow(), abandoned })
    yield* Deferred.succeed(finished, report)
  })

  /** Begins it if nobody has. Answers whether this call did. */
  const begin: Effect.Effect<boolean> = Effect.suspend(() => {
    if (state !== "running") return Effect.succeed(false)
    state = "shutting-down"
    // On its own: whoever asked may be interrupted, the shutdown may not. Its budget ends it.
    return Effect.as(Effect.forkDetach(shutDown, { startImmediately: true, uninterruptible: true }), true)
  })

  const runOnClose = Effect.addFinalizer(() => Effect.andThen(begin, Deferred.await(finished)))
  yield* runOnClose

  const register = Effect.fnUntraced(function* (
    of: Phase,
    name: string,
    finalizer: Finalizer,
    settings?: { readonly timeLimit?: Duration.Input }
  ) {
    const limit = settings?.timeLimit
    const entry: Registered = {
      phase: of,
      name,
      finalizer,
      timeLimit: limit === undefined ? undefined : Duration.toMillis(Duration.fromInputUnsafe(limit))
    }
    const isOver = state === "stopped" || (phase !== undefined && phases.indexOf(of) < phases.indexOf(phase))
    if (isOver) {
      yield* finalize(entry, Math.min(standardLimit(entry), Duration.toMillis(options.finalizer)))
      return
    }
    registered.add(entry)
    const scope = yield* Effect.scope
    if (scope !== own)
      yield* Scope.addFinalizer(
        scope,
        Effect.sync(() => registered.delete(entry))
      )
  })

  return Shutdown.of({
    register,
    run: () =>
      Effect.flatMap(begin, (first) => {
        if (!first && !hurry && state === "shutting-down") {
          hurry = true
          emit({ _tag: "ShutdownHurried", at: wallNow() })
          Deferred.doneUnsafe(hurried, Exit.void)
        }
        return Deferred.await(finished)
      }),
    runOnClose,
    status: () => ({
      state,
      phase,
      remaining: said ?? (phase === undefined ? registered.size : waiting(phase).length),
      hurried: hurry
    }),
    report: () => report,
    onEvent
  })
})

export const layer = (options?: Given<typeof Options>): Layer.Layer<Shutdown> => Layer.effect(Shutdown, make(options))
