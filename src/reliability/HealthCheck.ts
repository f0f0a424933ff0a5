/**
 * One health check as a running thing: it never overlaps itself, has a time limit, tries its recovery within a budget, and stops with its
 * scope. It decides nothing: every observation goes through `HealthState`.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Monotonic from "../Monotonic.ts"
import * as BoundedRun from "./BoundedRun.ts"
import { causeText } from "./CauseText.ts"
import * as HealthState from "./HealthState.ts"
import type * as TimerWheel from "./TimerWheel.ts"

/** What makes a failed check well again. */
export interface Recovery {
  /** Idempotent: it may run again when it did not help. */
  readonly action: Effect.Effect<unknown, unknown>
  /** Default: the options' `restarts`. */
  readonly maxInWindow?: number
  /** Default: the options' `restartWindow`. */
  readonly window?: Duration.Input
  /** Default: the options' `backoff`. */
  readonly backoff?: Duration.Input
  /** Longest time of the action. Default: the options' `recoveryLimit`. */
  readonly timeLimit?: Duration.Input
}

export interface Check {
  /** Unique. */
  readonly name: string
  /** Which questions it helps to answer. */
  readonly kinds: ReadonlyArray<HealthState.Kind>
  /** Its status outvotes every other check. Default false. */
  readonly critical?: boolean
  /** Its say in the `weighted` strategy, above 0. Default 1. */
  readonly weight?: number
  readonly interval?: Duration.Input
  readonly timeLimit?: Duration.Input
  readonly failuresToUnhealthy?: number
  readonly successesToHealthy?: number
  /** A failure or a defect of it is unhealthy, with the cause as evidence. */
  readonly run: Effect.Effect<HealthState.CheckResult, unknown>
  readonly recover?: Recovery
}

export type RecoveryEvent =
  | { readonly _tag: "RecoveryStarted"; readonly at: number; readonly check: string; readonly attempt: number }
  /** `recovered` only when the check was run again and was not unhealthy. */
  | {
      readonly _tag: "RecoveryEnded"
      readonly at: number
      readonly check: string
      readonly attempt: number
      readonly outcome: "recovered" | "failed"
      readonly detail: string
    }
  /** Its recoveries are used up for now: a person should look. Once an incident. */
  | { readonly _tag: "RecoveryEscalated"; readonly at: number; readonly check: string; readonly detail: string }

export interface RunningCheck {
  readonly state: () => HealthState.CheckState
  /** Runs it now; joins a run that is under way. */
  readonly now: Effect.Effect<void>
}

export interface Hooks {
  /** The state changed from `before`. */
  readonly observed: (before: HealthState.CheckState, after: HealthState.CheckState) => void
  readonly emit: (event: RecoveryEvent) => void
}

const millis = (input: Duration.Input): number => Duration.toMillis(Duration.fromInputUnsafe(input))

/** Starts a check in the current scope: a first run at once, then one every interval. */
export const start = Effect.fnUntraced(function* (
  check: Check,
  options: HealthState.Options,
  wheel: TimerWheel.TimerWheel["Service"],
  hooks: Hooks
) {
  const scope = yield* Effect.scope
  const clock = yield* Clock.Clock
  const fork = Effect.runForkWith(yield* Effect.context<never>())
  const timeLimit = millis(check.timeLimit ?? options.timeLimit)
  const interval = millis(check.interval ?? options.interval)
  const hysteresis = {
    failuresToUnhealthy: check.failuresToUnhealthy ?? options.failuresToUnhealthy,
    successesToHealthy: check.successesToHealthy ?? options.successesToHealthy
  }
  const wallNow = (): number => clock.currentTimeMillisUnsafe()
  let state = HealthState.initial(wallNow())
  let underWay: Deferred.Deferred<void> | undefined
  /** A run that was given up and has not ended: another one beside it would overlap. */
  let hung: { readonly fiber: Fiber.Fiber<unknown, unknown>; readonly since: number } | undefined
  let closed = false

  const take = (result: HealthState.CheckResult): void => {
    if (closed) return
    const before = state
    state = HealthState.observe(state, result, wallNow(), hysteresis)
    hooks.observed(before, state)
  }

  const observe = ({ exit }: { readonly exit: Exit.Exit<HealthState.CheckResult, unknown> }): void =>
    take(Exit.isSuccess(exit) ? exit.value : { status: "unhealthy", evidence: `the check failed: ${causeText(exit.cause)}` })

  /** Does an earlier run still go on, although it was stopped? */
  const hangs = (): boolean => {
    if (hung !== undefined && hung.fiber.pollUnsafe() === undefined) {
      const seconds = Math.round((Monotonic.read(clock) - hung.since) / 1000)
      take({ status: "unhealthy", evidence: `an earlier run still hangs, for ${seconds} s, and does not stop` })
      return true
    }
    hung = undefined
    return false
  }

  const waitFor = (fiber: Fiber.Fiber<HealthState.CheckResult, unknown>): Effect.Effect<void> => {
    const since = Monotonic.read(clock)
    return Effect.map(BoundedRun.wait(fiber, timeLimit), (result) => {
      if (result._tag === "Ended") return observe(result)
      if (!result.stopped) hung = { fiber: result.fiber, since }
      take({ status: "unhealthy", evidence: `no answer within ${Duration.format(Duration.millis(timeLimit))}` })
    })
  }

  const end = (): void => {
    const done = underWay!
    underWay = undefined
    Deferred.doneUnsafe(done, Exit.void)
    considerRecovery()
  }

  /** Begins a run that nobody else has begun. Most answer at once, and need nothing but their own fiber. */
  const begin = (): void => {
    if (hangs()) return considerRecovery()
    // Before it begins: it may ask for itself.
    underWay = Deferred.makeUnsafe<void>()
    const fiber = fork(check.run)
    const exit = fiber.pollUnsafe()
    if (exit !== undefined) {
      observe({ exit })
      return end()
    }
    // In the check's own scope: whoever asked may leave, the run and those who joined it do not.
    const waiting = Effect.onExit(waitFor(fiber), () => Effect.sync(end))
    fork(Effect.forkIn(waiting, scope, { startImmediately: true }))
  }

  /** Runs it now, or joins the run that is under way. */
  const now: Effect.Effect<void> = Effect.suspend(() => {
    if (closed) return Effect.void
    if (underWay === undefined) begin()
    return underWay === undefined ? Effect.void : Deferred.await(underWay)
  })

  /** A run that began after this was asked for. */
  const fresh: Effect.Effect<void> = Effect.suspend(() => (underWay === undefined ? now : Effect.andThen(Deferred.await(underWay), now)))

  let tried: ReadonlyArray<number> = []
  let recovering = false
  let escalatedSince: number | undefined
  const { recover } = check
  const limits: HealthState.RecoveryLimits = {
    maxInWindow: recover?.maxInWindow ?? options.restarts,
    windowMillis: millis(recover?.window ?? options.restartWindow),
    backoffMillis: millis(recover?.backoff ?? options.backoff),
    maxBackoffMillis: millis(options.maxBackoff)
  }
  const isDown = (): boolean => !closed && state.status === "unhealthy" && state.last === "unhealthy"

  const recoverOnce = Effect.fnUntraced(function* (recovery: Recovery) {
    const began = Monotonic.read(clock)
    tried = [...HealthState.inWindow(tried, began, limits), began]
    const attempt = tried.length
    hooks.emit({ _tag: "RecoveryStarted", at: wallNow(), check: check.name, attempt })
    const limit = millis(recovery.timeLimit ?? options.recoveryLimit)
    const result = yield* BoundedRun.run(recovery.action, limit)
    const failure =
      result._tag === "GivenUp"
        ? `the recovery did not end within ${Duration.format(Duration.millis(limit))}; `
        : Exit.isFailure(result.exit)
          ? `the recovery failed: ${causeText(result.exit.cause)}; `
          : ""
    // Its word is not enough: the check decides.
    yield* fresh
    hooks.emit({
      _tag: "RecoveryEnded",
      at: wallNow(),
      check: check.name,
      attempt,
      outcome: state.last === "unhealthy" ? "failed" : "recovered",
      detail: `${failure}${state.observed}`
    })
  })

  const recoverLoop = Effect.fnUntraced(function* (recovery: Recovery) {
    while (isDown()) {
      const decision = HealthState.mayRecover(tried, Monotonic.read(clock), limits)
      if (decision._tag === "Spent" && escalatedSince !== state.since) {
        escalatedSince = state.since
        const detail = `${tried.length} recoveries in ${Duration.format(Duration.millis(limits.windowMillis))} did not help: ${state.observed}`
        hooks.emit({ _tag: "RecoveryEscalated", at: wallNow(), check: check.name, detail })
      }
      const at = decision._tag === "Try" ? decision.at : decision.until
      const wait = at - Monotonic.read(clock)
      if (wait > 0) yield* Effect.sleep(Math.ceil(wait))
      if (decision._tag === "Try" && isDown()) yield* recoverOnce(recovery)
    }
  })

  const considerRecovery = (): void => {
    if (recover === undefined || recovering || !isDown()) return
    recovering = true
    const loop = Effect.ensuring(
      recoverLoop(recover),
      Effect.sync(() => {
        recovering = false
      })
    )
    fork(Effect.forkIn(loop, scope))
  }

  let timer: TimerWheel.Timer | undefined
  const again = (): void => {
    if (!closed) timer = wheel.add(interval, schedule)
  }
  const schedule = (): void => {
    if (closed) return
    if (underWay === undefined) begin()
    if (underWay === undefined) again()
    else fork(Effect.andThen(Deferred.await(underWay), Effect.sync(again)))
  }
  yield* Scope.addFinalizer(
    scope,
    Effect.sync(() => {
      closed = true
      timer?.cancel()
      if (underWay !== undefined) Deferred.doneUnsafe(underWay, Exit.void)
    })
  )
  schedule()
  return { state: () => state, now } satisfies RunningCheck
})
