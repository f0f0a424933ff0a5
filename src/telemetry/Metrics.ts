/**
 * The numbers of a runtime as metrics: counters and histograms fed by its events, gauges read from its state when somebody collects them.
 *
 * Nothing here decides or refuses anything, and a runtime without this layer pays nothing for it.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import type * as Scope from "effect/Scope"
import { AgentRuntime } from "../AgentRuntime.ts"
import type { RuntimeEvent } from "../RuntimeEvent.ts"
import type { ReliabilityStatus } from "../RuntimeStatus.ts"
import * as Providers from "./Providers.ts"
import { catalogue, type Definition, type MetricName, prometheusName } from "./catalogue.ts"

/** Upper bounds, seconds: attempts take from a moment to an hour. */
const durations = [0.1, 0.5, 1, 5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600]

type Attributes = Readonly<Record<string, string>>

const taskStates = ["queued", "blocked", "running", "parked"] as const
const agentStates = ["starting", "idle", "working", "waiting", "stalled", "failed", "stopped"] as const
const circuitStates = ["closed", "open", "half-open", "isolated"] as const

/** Metrics of the runtime, in the registry of the context, until the scope closes. */
export const make: Effect.Effect<void, never, AgentRuntime | Scope.Scope> = Effect.gen(function* () {
  const runtime = yield* AgentRuntime
  const context = yield* Effect.context<never>()
  const known = new Map<string, Metric.Metric<number, unknown>>()

  const metricOf = (name: MetricName, attributes: Attributes): Metric.Metric<number, unknown> => {
    const key = JSON.stringify([name, attributes])
    let metric = known.get(key)
    if (metric === undefined) {
      const { description, kind, unit }: Definition = catalogue[name]
      const options = { description, attributes: { unit, ...attributes } }
      metric =
        kind === "counter"
          ? Metric.counter(name, { ...options, incremental: true })
          : kind === "gauge"
            ? Metric.gauge(name, options)
            : Metric.histogram(name, { ...options, boundaries: durations })
      known.set(key, metric)
    }
    return metric
  }

  const add = (name: MetricName, amount = 1, attributes: Attributes = {}): void => metricOf(name, attributes).updateUnsafe(amount, context)

  /** One reading serves everybody who collects in the same turn. */
  let reading: ReliabilityStatus | undefined
  const status = (): ReliabilityStatus => {
    if (reading === undefined) {
      reading = Effect.runSyncWith(context)(runtime.getReliabilityStatus)
      queueMicrotask(() => (reading = undefined))
    }
    return reading
  }

  /** A number that the runtime keeps itself, read when it is collected. */
  const observe = (name: MetricName, read: (status: ReliabilityStatus) => number, attributes: Attributes = {}) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const metric = metricOf(name, attributes)
        const get = () => (catalogue[name].kind === "counter" ? { count: read(status()), incremental: true } : { value: read(status()) })
        return Metric.registerUnsafe(metric, context, { get, update: () => {}, modify: () => {} })
      }),
      (registration) => Effect.sync(() => registration.remove())
    )

  // What is counted by events is there from the start, with nothing in it, so that rates have something to begin with.
  for (const [name, { attributes, kind }] of Object.entries(catalogue as Record<string, Definition>))
    if (kind === "counter" && attributes.length === 0) add(name as MetricName, 0)

  for (const outcome of ["succeeded", "dead-lettered", "cancelled"]) add("nofx.task.ended", 0, { "nofx.task.outcome": outcome })
  for (const state of circuitStates) add("nofx.circuit.transitions", 0, { "nofx.circuit.state": state })
  for (const by of ["person", "schedule"]) add("nofx.dead_letter.redriven", 0, { "nofx.by": by })
  add("nofx.budget.spent", 0, { "nofx.budget": "perDay" })

  for (const state of taskStates) yield* observe("nofx.tasks", ({ tasks }) => tasks[state], { "nofx.task.state": state })
  for (const state of agentStates) yield* observe("nofx.agents", ({ agents }) => agents[state] ?? 0, { "nofx.agent.state": state })
  for (const state of circuitStates)
    yield* observe("nofx.circuits", ({ breakers }) => count(breakers, state), { "nofx.circuit.state": state })
  for (const state of ["closed", "ramp"]) yield* observe("nofx.gates", ({ gates }) => count(gates, state), { "nofx.gate.state": state })
  yield* observe("nofx.rate_limit.admitted", ({ rateLimiter }) => rateLimiter.admitted)
  yield* observe("nofx.rate_limit.refused", ({ rateLimiter }) => rateLimiter.refused)
  yield* observe("nofx.bulkhead.running", ({ bulkhead }) => bulkhead.running)
  yield* observe("nofx.bulkhead.limit", ({ bulkhead }) => bulkhead.permits)
  yield* observe("nofx.bulkhead.refused", ({ bulkhead }) => bulkhead.refused)
  yield* observe("nofx.retry.budget_refusals", ({ retry }) => retry.budgetRefusals)
  yield* observe("nofx.dead_letters", ({ deadLetters }) => deadLetters.size)
  yield* observe("nofx.dead_letter.limit", ({ deadLetters }) => deadLetters.capacity)
  for (const probe of ["live", "ready", "started"] as const)
    yield* observe("nofx.health.answer", ({ health }) => Number(health[probe]), { "nofx.health.probe": probe })
  yield* observe("nofx.health.degraded", ({ health }) => health.degraded.length)

  const provider = yield* Providers.make
  yield* runtime.subscribe((event) => counted(event, add, provider))
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const metric of known.values()) Metric.removeUnsafe(metric, context)
    })
  )
})

export const layer: Layer.Layer<never, never, AgentRuntime> = Layer.effectDiscard(make)

/** Everything in the registry as Prometheus reads it. */
export const prometheusText: Effect.Effect<string> = PrometheusMetrics.format({ metricNameMapper: prometheusName })

const count = (all: ReadonlyArray<{ readonly state: string }>, state: string): number => all.filter((each) => each.state === state).length

/** What an event means in numbers. */
const counted = (
  event: RuntimeEvent,
  add: (name: MetricName, amount?: number, attributes?: Attributes) => void,
  provider: (agentId: string) => string
): void => {
  switch (event._tag) {
    case "TaskAccepted":
      return add("nofx.task.accepted")
    case "TaskSucceeded":
      if (event.verified) add("nofx.task.verified")
      return add("nofx.task.ended", 1, { "nofx.task.outcome": "succeeded" })
    case "TaskDeadLettered":
      return add("nofx.task.ended", 1, { "nofx.task.outcome": "dead-lettered" })
    case "TaskCancelled":
      return add("nofx.task.ended", 1, { "nofx.task.outcome": "cancelled" })
    case "TaskParked":
      return add("nofx.task.parked", 1, { "nofx.waiting.for": event.waiting.for })
    case "AttemptStarted":
      if (event.attempt > 1) add("nofx.attempt.retries")
      return add("nofx.attempt.started")
    case "LateOutcome":
      return add("nofx.attempt.late_outcomes")
    case "AttemptEnded": {
      const error = event.fault === undefined ? undefined : { "error.type": event.fault._tag }
      if (error !== undefined) add("nofx.attempt.faults", 1, error)
      if (event.tokens !== undefined) add("nofx.attempt.tokens", event.tokens)
      return add("gen_ai.client.operation.duration", event.durationMillis / 1000, {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": provider(event.agentId),
        ...error
      })
    }
    case "AgentSpawned":
      return add("nofx.agent.spawned")
    case "AgentSpawnFailed":
      return add("nofx.agent.spawn_failed", 1, { "error.type": event.fault._tag })
    case "AgentExited":
      return add("nofx.agent.exited", 1, { "error.type": event.fault._tag })
    case "AgentRestarted":
      return add("nofx.agent.restarted")
    case "CircuitStateChanged":
      return add("nofx.circuit.transitions", 1, { "nofx.circuit.state": event.to })
    case "GateClosed":
      return add("nofx.gate.closings")
    case "BudgetSpent":
      return add("nofx.budget.spent", 1, { "nofx.budget": event.budget })
    case "DeadLetterAdded":
      return add("nofx.dead_letter.added")
    case "DeadLetterRedriven":
      return add("nofx.dead_letter.redriven", 1, { "nofx.by": event.by })
    case "DeadLetterResolved":
      return add("nofx.dead_letter.resolved")
    case "DeadLetterDiscarded":
      return add("nofx.dead_letter.discarded")
    case "DeadLetterExpired":
      return add("nofx.dead_letter.expired")
    case "PermissionRequested":
      return add("nofx.permission.requested")
    case "PermissionAnswered":
      return add("nofx.permission.answered")
    case "HealthAlert":
      return event.raised ? add("nofx.health.alerts") : undefined
    default:
      return
  }
}
