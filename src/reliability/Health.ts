/**
 * Health: scheduled checks with evidence, three separate answers (alive? ready? started?), named degradation, bounded recovery.
 *
 * It judges and reports; it refuses nothing itself. Whoever takes in work asks `readiness`. An open circuit, a store that cannot write, a
 * limiter without its Redis are *degraded components*: they never make the process count as dead, for a restart would not help them.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Announcer from "./Announcer.ts"
import { complete, type Given } from "./GivenOptions.ts"
import * as HealthCheck from "./HealthCheck.ts"
import * as HealthState from "./HealthState.ts"
import * as TimerWheel from "./TimerWheel.ts"

export type { Check, Recovery } from "./HealthCheck.ts"
export { defaults, Options } from "./HealthState.ts"
export type { CheckResult, Kind, Status } from "./HealthState.ts"

/** One check as it is shown. Times are Unix milliseconds. */
export const CheckReport = Schema.Struct({
  name: Schema.String,
  kinds: Schema.Array(Schema.Literals(["liveness", "readiness", "startup"])),
  /** `unknown` until the first status is certain. */
  status: Schema.Literals(["healthy", "degraded", "unhealthy", "unknown"]),
  critical: Schema.Boolean,
  /** What the last run saw. */
  observed: Schema.String,
  /** When that was; 0 before the first run. */
  at: Schema.Finite,
  /** Since when the status is what it is. */
  since: Schema.Finite
})
export type CheckReport = typeof CheckReport.Type

/** A component that is not well. Times are Unix milliseconds. */
export const DegradedComponent = Schema.Struct({
  component: Schema.String,
  cause: Schema.String,
  since: Schema.Finite,
  /** New work is not taken while it lasts. */
  blocksWork: Schema.Boolean
})
export type DegradedComponent = typeof DegradedComponent.Type

/** Everything about health, as JSON as it stands. */
export const HealthReport = Schema.Struct({
  /** Of this format. */
  version: Schema.Literal(1),
  at: Schema.Finite,
  status: HealthState.Status,
  live: Schema.Boolean,
  ready: Schema.Boolean,
  started: Schema.Boolean,
  draining: Schema.Boolean,
  /** Why it is not live, not ready or not started; empty when it is all three. */
  reasons: Schema.Array(Schema.String),
  strategy: HealthState.Strategy,
  checks: Schema.Array(CheckReport),
  degraded: Schema.Array(DegradedComponent)
})
export type HealthReport = typeof HealthReport.Type

/** The answer to one probe; `reasons` is empty when it is `ok`. */
export interface Answer {
  readonly ok: boolean
  readonly reasons: ReadonlyArray<string>
}

export type HealthEvent =
  | {
      readonly _tag: "HealthChanged"
      readonly at: number
      readonly check: string
      readonly from: CheckReport["status"]
      readonly status: HealthState.Status
      readonly evidence: string
    }
  /** `raised` once when a check becomes unhealthy, and not raised once when it is healthy again or gone. */
  | {
      readonly _tag: "HealthAlert"
      readonly at: number
      readonly incident: string
      readonly raised: boolean
      readonly check: string
      readonly detail: string
    }
  | { readonly _tag: "ComponentDegraded"; readonly at: number; readonly component: string; readonly cause: string }
  | { readonly _tag: "ComponentRecovered"; readonly at: number; readonly component: string }
  | { readonly _tag: "ReadinessChanged"; readonly at: number; readonly ready: boolean; readonly reasons: ReadonlyArray<string> }
  | HealthCheck.RecoveryEvent

/**
 * Health of one process.
 *
 * Every answer is computed from what is known now; asking costs no run of a check. Nothing here fails: a check that throws or hangs is
 * unhealthy, a listener that throws is dropped.
 */
export class Health extends Context.Service<
  Health,
  {
    /**
     * Starts a check; it runs at once, then every interval, until the scope closes, which also ends its incident. Throws `RangeError` for
     * a name in use, and for a weight, an interval or a time limit that is not above zero.
     */
    readonly register: (check: HealthCheck.Check) => Effect.Effect<void, never, Scope.Scope>
    /** The start sequence is over. Without this call nothing is ever ready. */
    readonly markStarted: () => void
    /** While draining nothing is ready, and liveness stays as it should: true. */
    readonly setDraining: (draining: boolean) => void
    /**
     * Marks a component as not well; a repeated call only updates the cause. `blocksWork`: not ready while it lasts (default false).
     */
    readonly degrade: (component: string, cause: string, options?: { readonly blocksWork?: boolean }) => void
    readonly recovered: (component: string) => void
    readonly degraded: () => ReadonlyArray<DegradedComponent>
    /** Should the process be left alone? Only liveness checks can say no, only once started, and not while draining. */
    readonly liveness: () => Answer
    /** Does it take new work? */
    readonly readiness: () => Answer
    /** Has it started? Once yes, always yes. */
    readonly startup: () => Answer
    readonly report: () => HealthReport
    /** Runs one check, or all, now, and reports. A run that is under way is joined, not doubled. An unknown name runs nothing. */
    readonly runNow: (name?: string) => Effect.Effect<HealthReport>
    /** Calls the listener with every event, synchronously, until the returned function is called. */
    readonly onEvent: (listener: (event: HealthEvent) => void) => () => void
    /** Events from the subscription on; a slow reader loses the oldest beyond 1,024. */
    readonly events: Stream.Stream<HealthEvent>
  }
>()("nofx/reliability/Health") {}

interface Registered {
  readonly check: HealthCheck.Check
  readonly running: { current: HealthCheck.RunningCheck | undefined }
  incident: string | undefined
}

const completed = complete("Health", HealthState.Options)

export const make = Effect.fnUntraced(function* (given: Given<typeof HealthState.Options> = {}) {
  const options = completed(given)
  const clock = yield* Clock.Clock
  const wheel = yield* TimerWheel.TimerWheel
  const now = (): number => clock.currentTimeMillisUnsafe()
  const checks = new Map<string, Registered>()
  const components = new Map<string, DegradedComponent>()
  const { emit, onEvent } = Announcer.make<HealthEvent>()
  const bornAt = now()
  let marked = false
  let startedOnce = false
  let draining = false
  let wasReady = false

  const stateOf = (entry: Registered): HealthState.CheckState => entry.running.current?.state() ?? HealthState.initial(bornAt)
  const ofKind = (kind: HealthState.Kind): ReadonlyArray<Registered> =>
    [...checks.values()].filter((entry) => entry.check.kinds.includes(kind))
  const judge = (entries: ReadonlyArray<Registered>): HealthState.Status =>
    HealthState.aggregate(
      entries.map((entry) => ({ status: stateOf(entry).status, critical: entry.check.critical ?? false, weight: entry.check.weight ?? 1 })),
      options
    )
  const describe = (entries: ReadonlyArray<Registered>, statuses: ReadonlyArray<CheckReport["status"]>): ReadonlyArray<string> =>
    entries
      .filter((entry) => statuses.includes(stateOf(entry).status))
      .map((entry) => `${entry.check.name} is ${stateOf(entry).status}: ${stateOf(entry).observed}`)
  const answer = (reasons: ReadonlyArray<string>): Answer => ({ ok: reasons.length === 0, reasons })

  const startup = (): Answer => {
    if (startedOnce) return answer([])
    const reasons = [...(marked ? [] : ["starting"]), ...describe(ofKind("startup"), ["unhealthy", "unknown"])]
    startedOnce = reasons.length === 0
    return answer(reasons)
  }

  const liveness = (): Answer => {
    if (draining || !startup().ok) return answer([])
    const entries = ofKind("liveness")
    return answer(judge(entries) === "unhealthy" ? describe(entries, ["unhealthy", "degraded"]) : [])
  }

  const readiness = (): Answer => {
    const entries = ofKind("readiness")
    const reasons = [...startup().reasons]
    if (draining) reasons.push("draining")
    for (const each of components.values()) if (each.blocksWork) reasons.push(`${each.component} is degraded: ${each.cause}`)
    if (judge(entries) === "unhealthy") reasons.push(...describe(entries, ["unhealthy", "degraded"]))
    // Work must not begin under a protection that nobody has looked at yet.
    reasons.push(
      ...describe(
        entries.filter((entry) => entry.check.critical === true),
        ["unknown"]
      )
    )
    return answer([...new Set(reasons)])
  }

  /** After every change: says so when readiness is another one now. */
  const settle = (): void => {
    const { ok, reasons } = readiness()
    if (ok === wasReady) return
    wasReady = ok
    emit({ _tag: "ReadinessChanged", at: now(), ready: ok, reasons })
  }

  const closeIncident = (entry: Registered, detail: string): void => {
    const { incident } = entry
    if (incident === undefined) return
    entry.incident = undefined
    emit({ _tag: "HealthAlert", at: now(), incident, raised: false, check: entry.check.name, detail })
  }

  const observed = (entry: Registered, before: HealthState.CheckState, after: HealthState.CheckState): void => {
    const { name } = entry.check
    if (before.status !== after.status && after.status !== "unknown") {
      emit({ _tag: "HealthChanged", at: after.at, check: name, from: before.status, status: after.status, evidence: after.observed })
      if (after.status === "healthy") closeIncident(entry, after.observed)
      if (after.status === "unhealthy" && entry.incident === undefined) {
        entry.incident = `${name}@${after.since}`
        emit({ _tag: "HealthAlert", at: after.at, incident: entry.incident, raised: true, check: name, detail: after.observed })
      }
    }
    if (before.status !== after.status) settle()
  }

  const register = Effect.fnUntraced(function* (check: HealthCheck.Check) {
    if (checks.has(check.name)) throw new RangeError(`Health check "${check.name}": the name is in use`)
    if (!((check.weight ?? 1) > 0)) throw new RangeError(`Health check "${check.name}": weight must be above 0, not ${check.weight}`)
    for (const setting of ["interval", "timeLimit"] as const) {
      const value = check[setting]
      if (value !== undefined && !(Duration.toMillis(value) > 0))
        throw new RangeError(`Health check "${check.name}": ${setting} must be above 0, not ${String(value)}`)
    }
    const entry: Registered = { check, running: { current: undefined }, incident: undefined }
    checks.set(check.name, entry)
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        checks.delete(check.name)
        closeIncident(entry, "the check was removed")
        settle()
      })
    )
    entry.running.current = yield* HealthCheck.start(check, options, wheel, {
      observed: (before, after) => observed(entry, before, after),
      emit
    })
    settle()
  })

  const report = (): HealthReport => {
    const [live, ready, started] = [liveness(), readiness(), startup()]
    const all = [...checks.values()]
    const judged = HealthState.worse(judge(all), components.size > 0 ? "degraded" : "healthy")
    return {
      version: 1,
      at: now(),
      status: live.ok ? judged : "unhealthy",
      live: live.ok,
      ready: ready.ok,
      started: started.ok,
      draining,
      reasons: [...new Set([...live.reasons, ...ready.reasons, ...started.reasons])],
      strategy: options.strategy,
      checks: all.map((entry) => {
        const { at, observed, since, status } = stateOf(entry)
        return { name: entry.check.name, kinds: entry.check.kinds, status, critical: entry.check.critical ?? false, observed, at, since }
      }),
      degraded: [...components.values()]
    }
  }

  return Health.of({
    register: (check) => Effect.suspend(() => register(check)),
    markStarted: () => {
      marked = true
      settle()
    },
    setDraining: (value) => {
      draining = value
      settle()
    },
    degrade: (component, cause, { blocksWork = false } = {}) => {
      const before = components.get(component)
      components.set(component, { component, cause, since: before?.since ?? now(), blocksWork })
      if (before === undefined) emit({ _tag: "ComponentDegraded", at: now(), component, cause })
      settle()
    },
    recovered: (component) => {
      if (!components.delete(component)) return
      emit({ _tag: "ComponentRecovered", at: now(), component })
      settle()
    },
    degraded: () => [...components.values()],
    liveness,
    readiness,
    startup,
    report,
    runNow: (name) =>
      Effect.suspend(() => {
        const asked = [...checks.values()].filter((entry) => name === undefined || entry.check.name === name)
        return Effect.forEach(asked, (entry) => entry.running.current?.now ?? Effect.void, { concurrency: "unbounded", discard: true })
      }).pipe(Effect.andThen(Effect.sync(report))),
    onEvent,
    events: Stream.callback<HealthEvent>(
      (queue) =>
        Effect.acquireRelease(
          Effect.sync(() => onEvent((event) => void Queue.offerUnsafe(queue, event))),
          (off) => Effect.sync(off)
        ),
      { bufferSize: 1024, strategy: "sliding" }
    )
  })
})

export const layer = (options?: Given<typeof HealthState.Options>): Layer.Layer<Health> =>
  Layer.effect(Health, make(options)).pipe(Layer.provide(TimerWheel.layer))
