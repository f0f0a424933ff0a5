/**
 * What a state directory says, as the documents of `RuntimeStatus`: for commands that look at it from outside of the runtime.
 *
 * Only what is written down is known here: counters of a running process, and what its agents do this instant, are not.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { accountOf } from "../agent/AgentSpec.ts"
import * as CircuitBreaker from "../reliability/CircuitBreaker.ts"
import * as CooldownGate from "../reliability/CooldownGate.ts"
import { isWaiting } from "../reliability/DeadLetter.ts"
import { type DegradedComponent, defaults as healthDefaults, type HealthReport } from "../reliability/Health.ts"
import type { AgentView, BreakerView, GateView, Snapshot, TaskView } from "../RuntimeStatus.ts"
import type { OwnerInfo } from "../store/Ownership.ts"
import type { DamageReport, Loaded, PatternRecord, Quarantined, StoreUnavailable } from "../store/Store.ts"
import { isEnd, type State, type Task } from "../task/Task.ts"
import * as TaskLife from "../task/TaskLife.ts"
import type { View } from "./viewer.ts"

/** Everything at a glance. Times are Unix milliseconds. */
export interface Stored {
  readonly at: number
  readonly directory: string
  /** Who owns it; `alive` false: who owned it last, and died. */
  readonly owner: (OwnerInfo & { readonly alive: boolean }) | undefined
  readonly paused: boolean
  readonly tasks: Readonly<Record<State, number>>
  readonly agents: ReadonlyArray<AgentView>
  /** Those that are not plainly closed. */
  readonly breakers: ReadonlyArray<BreakerView & { readonly openedAt?: number }>
  /** Those that are closed. */
  readonly gates: ReadonlyArray<GateView>
  readonly deadLetters: { readonly size: number; readonly redriving: number; readonly byCause: Readonly<Record<string, number>> }
  /** Unfinished ones, with the tasks that are left of them. */
  readonly batches: ReadonlyArray<{ readonly id: string; readonly file: string; readonly createdAt: number; readonly left: number }>
  /** What is not well in a runtime that is there, by component; without one nobody knows. */
  readonly degraded: ReadonlyArray<DegradedComponent>
  readonly quarantined: ReadonlyArray<Quarantined>
  readonly damage: ReadonlyArray<DamageReport>
}

const decodeBreaker = Schema.decodeUnknownOption(CircuitBreaker.Persisted)
const decodeGate = Schema.decodeUnknownOption(CooldownGate.Persisted)

/** Reads it. */
export const read = (view: View, now: number): Effect.Effect<Stored, StoreUnavailable> =>
  Effect.gen(function* () {
    const loaded = yield* view.store.load
    const seen = yield* view.owner
    const owner = seen === undefined ? undefined : { ...seen.owner, alive: seen.alive }
    const byCause: Record<string, number> = {}
    for (const letter of loaded.deadLetters) byCause[letter.cause] = (byCause[letter.cause] ?? 0) + 1
    return {
      at: now,
      directory: view.directory,
      owner,
      paused: loaded.patterns.some(({ key, kind }) => kind === "control" && key === "paused"),
      tasks: yield* view.store.counts,
      agents: agentViews(loaded, owner?.alive === true),
      breakers: loaded.patterns.flatMap(breakerView).filter(({ failures, state }) => state !== "closed" || failures > 0),
      gates: loaded.patterns.flatMap((pattern) => gateView(pattern, now)),
      deadLetters: {
        size: loaded.deadLetters.length,
        redriving: loaded.deadLetters.filter(({ status }) => status === "redriving").length,
        byCause
      },
      batches: loaded.batches.map(({ createdAt, file, id }) => ({
        id,
        file,
        createdAt,
        left:
          loaded.tasks.filter((task) => task.batch === id).length +
          loaded.deadLetters.filter((letter) => isWaiting(letter) && letter.asked?.group === id).length
      })),
      degraded: [],
      quarantined: loaded.quarantined,
      damage: loaded.damage
    }
  })

/** The same with what a host says of this instant. */
export const overlaid = (stored: Stored, { agents, status }: Snapshot): Stored => ({
  ...stored,
  agents,
  paused: status.phase === "paused",
  breakers: status.breakers.filter(({ failures, state }) => state !== "closed" || failures > 0),
  gates: status.gates.filter(({ state }) => state === "closed"),
  degraded: status.health.degraded
})

/** The agents that are written down. `alive`: is there a runtime whose agents they are? */
export const agentViews = (loaded: Loaded, alive: boolean): ReadonlyArray<AgentView> =>
  loaded.agents.map(({ at, restarts, spec }) => {
    const task = loaded.tasks.find((each) => each.state === "running" && TaskLife.lastAttempt(each)?.agentId === spec.id)
    const process = loaded.processes.find(({ agentId, pid }) => agentId === spec.id && pid !== undefined)
    const letter = loaded.deadLetters.find(({ kind, subject }) => kind !== "task" && subject === spec.id)
    const state = !alive ? "stopped" : task !== undefined ? "working" : letter === undefined ? "idle" : "failed"
    return {
      id: spec.id,
      driver: spec.driver,
      account: accountOf(spec),
      capabilities: spec.capabilities,
      state,
      detail: letter?.reason ?? (alive || task === undefined ? "" : "its runtime ended while it worked"),
      stateSince: (task === undefined ? undefined : TaskLife.lastAttempt(task)?.admittedAt) ?? at,
      ...(task === undefined ? {} : { task: task.spec.id }),
      ...(process?.pid === undefined ? {} : { pid: process.pid }),
      restarts
    }
  })

const breakerView = ({ key, kind, state }: PatternRecord): Stored["breakers"] => {
  const persisted = kind === "breaker" ? decodeBreaker(state) : Option.none()
  if (Option.isNone(persisted)) return []
  const { cause, counts, failures, openedAt, retryAt, state: phase } = persisted.value
  return [
    {
      key,
      state: phase,
      failures,
      calls: counts.succeeded + counts.failed + counts.ignored + counts.rejected,
      inFlight: 0,
      ...counts,
      ...(openedAt === undefined ? {} : { openedAt }),
      ...(retryAt === undefined ? {} : { retryAt }),
      ...(cause === undefined ? {} : { cause })
    }
  ]
}

const gateView = ({ key, kind, state }: PatternRecord, now: number): ReadonlyArray<GateView> => {
  const persisted = kind === "gate" ? decodeGate(state) : Option.none()
  if (Option.isNone(persisted) || persisted.value.until <= now) return []
  return [{ account: key, state: "closed", until: persisted.value.until, cause: persisted.value.cause }]
}

/** A task as it is written down. */
export const taskView = (task: Task): TaskView => {
  const last = TaskLife.lastAttempt(task)
  return {
    key: task.key,
    id: task.spec.id,
    batch: task.batch,
    state: task.state,
    priority: task.spec.priority,
    effect: task.spec.effect,
    acceptedAt: task.acceptedAt,
    ...(task.endedAt === undefined ? {} : { endedAt: task.endedAt }),
    ...(task.deadlineAt === undefined ? {} : { deadlineAt: task.deadlineAt }),
    run: task.run,
    attempts: TaskLife.attemptsOfRun(task),
    ...(last === undefined ? {} : { agentId: last.agentId }),
    ...(task.waiting === undefined || isEnd(task.state) ? {} : { waiting: task.waiting }),
    dependsOn: task.spec.dependsOn,
    ...(last?.fault === undefined ? {} : { lastFault: last.fault }),
    ...(task.result === undefined ? {} : { verified: task.result.verified }),
    ...(task.reason === undefined ? {} : { reason: task.reason }),
    ...(task.deadLetterId === undefined ? {} : { deadLetterId: task.deadLetterId })
  }
}

/** Health, as far as the state says: no check runs outside of the runtime, so none is reported. */
export const health = (stored: Stored): HealthReport => {
  const alive = stored.owner?.alive === true
  const found = (component: string, cause: string, blocksWork = false) => ({ component, cause, since: stored.at, blocksWork })
  const degraded = [
    ...stored.breakers
      .filter(({ state }) => state !== "closed")
      .map(({ cause, key, openedAt, state }) => ({
        ...found(`circuit ${key}`, `${state}${cause === undefined ? "" : `: ${cause}`}`),
        ...(openedAt === undefined ? {} : { since: openedAt })
      })),
    ...stored.gates.map(({ account, cause }) => found(`account ${account}`, `limited: ${cause ?? "unknown"}`)),
    ...stored.quarantined.map(({ key, reason, table }) => found(`store row ${table} ${key}`, `quarantined: ${reason}`)),
    ...stored.damage.map(({ at, found: what }) => ({ ...found("store", what.join("; ")), since: at })),
    ...(stored.paused ? [found("queue", "paused", true)] : [])
  ]
  const reasons = alive
    ? []
    : [stored.owner === undefined ? "no runtime is running here" : "the last runtime here ended without a clean end"]
  return {
    version: 1,
    at: stored.at,
    status: degraded.length > 0 || !alive ? "degraded" : "healthy",
    live: alive,
    ready: alive && !stored.paused,
    started: alive,
    draining: false,
    reasons: stored.paused ? [...reasons, "the queue is paused"] : reasons,
    strategy: healthDefaults.strategy,
    checks: [],
    degraded
  }
}
