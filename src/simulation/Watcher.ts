/** Looks at the runtime from outside, now and then: does everything move that could, and what does it look like over time? */
import type { ReliabilityStatus, TaskView } from "../RuntimeStatus.ts"
import * as Effect from "effect/Effect"
import type { RuntimeEvent } from "../RuntimeEvent.ts"
import type { Agents } from "./Agents.ts"
import type { Entry } from "./Ledger.ts"
import { accountIndex, accountName, agentId, type Host, type Scene } from "./Scene.ts"

/** A moment, for plots. */
export interface Sample {
  /** Milliseconds of the calendar. */
  readonly at: number
  readonly up: boolean
  /** Tasks that have not ended and do not run. */
  readonly waiting: number
  readonly running: number
  readonly deadLetters: number
}

/** Something of the runtime was not in its usual state. Milliseconds of the calendar. */
export interface Span {
  readonly key: string
  readonly state: string
  readonly from: number
  readonly to: number
}

export interface Watcher {
  readonly onEvent: (event: RuntimeEvent) => void
  readonly onCrash: () => void
  /** Forgets what was known of gates. */
  readonly onNewDisk: () => void
  readonly closedGate: (agentId: string, at: number) => string | undefined
  readonly sample: () => void
  /** Is everything given back, now that there is no work? */
  readonly checkIdle: () => void
  readonly samples: () => ReadonlyArray<Sample>
  readonly spans: () => ReadonlyArray<Span>
}

/** A task that has waited less is not looked at. Milliseconds. */
const patience = 300_000

/** While tasks wait, every so many samples looks at all of them: usually it is for a reason. */
const lookEvery = 3

/** More than these are not drawn. */
const keptSpans = 4_000

export const make = (
  scene: Scene,
  agents: () => Agents,
  options: { readonly keepEvery: number; readonly disturbances: () => number }
): Watcher => {
  const accounts = scene.accounts.length
  const gates = new Map<string, { readonly at: number; readonly until: number; readonly disturbances: number }>()
  const open = new Map<string, { readonly state: string; readonly from: number }>()
  const spans: Array<Span> = []
  const samples: Array<Sample> = []
  /** Tasks that could have gone on and did not, when last looked at. */
  let suspects = new Map<string, number>()
  let keptAt = Number.NEGATIVE_INFINITY
  let longWaits = 0

  const turn = (key: string, state: string | undefined): void => {
    const old = open.get(key)
    if (old !== undefined) {
      open.delete(key)
      if (spans.length < keptSpans) spans.push({ key, state: old.state, from: old.from, to: scene.calendar() })
    }
    if (state !== undefined) open.set(key, { state, from: scene.calendar() })
  }

  const keep = (sample: Omit<Sample, "at">): void => {
    const at = scene.calendar()
    if (at - keptAt < options.keepEvery) return
    keptAt = at
    samples.push({ at, ...sample })
  }

  /** Is there an agent at rest that may do it? */
  const anyRestsFor = (entry: Entry | undefined, idle: ReadonlySet<string>): boolean => {
    const pinned = entry?.plan.pinned
    return pinned === undefined ? idle.size > 0 : idle.has(agentId(pinned))
  }

  /** Has what it depends on succeeded? */
  const wasReleased = (entry: Entry | undefined): boolean => entry?.dependsOn !== undefined && scene.ledger.hasSucceeded(entry.dependsOn)

  /** Could the task go on, as far as can be seen from here? */
  const couldGoOn = (task: TaskView, idle: ReadonlySet<string>, wall: number): boolean => {
    const entry = scene.ledger.get(task.id)
    if (task.state === "blocked") return wasReleased(entry) && anyRestsFor(entry, idle)
    if (task.state !== "queued" && task.state !== "parked") return false
    const { waiting } = task
    if (waiting?.notBefore !== undefined) {
      if (waiting.notBefore > wall - 60_000) return false
    } else if (waiting !== undefined && waiting.for !== "agent") return false
    if (task.effect === "resumable" && task.agentId !== undefined) return idle.has(task.agentId)
    return anyRestsFor(entry, idle)
  }

  /** A permit belongs to a task that runs, or to an agent that is started or looked at. */
  const permitsTooMany = ({ agents, bulkhead, tasks }: ReliabilityStatus): boolean =>
    bulkhead.running > tasks.running + (agents["starting"] ?? 0) + (agents["waiting"] ?? 0) + (agents["stalled"] ?? 0)

  /** Looking makes circuits notice what time has done, and that may set work in motion: only what is there at a second look counts. */
  const checkPermits = (host: Host, status: ReliabilityStatus): void => {
    if (!permitsTooMany(status)) return
    host.incarnation.run(
      Effect.map(host.runtime!.getReliabilityStatus, (again) => {
        if (!permitsTooMany(again)) return
        const { agents, bulkhead, tasks } = again
        scene.ledger.violate("left-over", `${bulkhead.running} permits are held by ${tasks.running} tasks and ${JSON.stringify(agents)}`)
      })
    )
  }

  /** Waits for more than the end of another task. */
  const waits = ({ attempt, dependsOn, state }: Entry): boolean =>
    state === "open" && attempt === undefined && (dependsOn === undefined || scene.ledger.get(dependsOn) === undefined)

  /** To ask for every task is dear, and most of the time all of them move, or wait for each other or for the one agent that may do them. */
  const anyWaits = (isMeant: (entry: Entry) => boolean): boolean => {
    for (const entry of scene.ledger.open()) if (waits(entry) && isMeant(entry)) return true
    return false
  }

  const anyWaitsLong = (): boolean => {
    const before = scene.timeline.now() - patience
    return anyWaits((entry) => Math.max(entry.acceptedAt, entry.movedAt) < before)
  }

  const look = (host: Host, status: ReliabilityStatus): Effect.Effect<void> => {
    const runtime = host.runtime!
    return Effect.gen(function* () {
      const idle = new Set((yield* runtime.agents).filter((agent) => agent.state === "idle").map((agent) => agent.id))
      const next = new Map<string, number>()
      if (anyWaits((entry) => anyRestsFor(entry, idle))) {
        for (const task of yield* runtime.tasks) {
          if (!couldGoOn(task, idle, status.at)) continue
          const stamp = task.attempts + 1000 * task.run
          if (suspects.get(task.id) === stamp)
            scene.ledger.violate(
              "starved",
              `${task.id} is ${task.state} (${task.waiting?.detail ?? "for no reason"}) while ${[...idle].join(", ")} rest`
            )
          next.set(task.id, stamp)
        }
      }
      suspects = next
    })
  }

  return {
    onEvent: (event) => {
      switch (event._tag) {
        case "CircuitStateChanged":
          return turn(event.key, event.to === "closed" ? undefined : event.to)
        case "GateClosed":
          gates.set(event.account, { at: event.at, until: event.until, disturbances: options.disturbances() })
          return turn(`gate:${event.account}`, event.cause)
        case "GateReopened":
          gates.delete(event.account)
          return turn(`gate:${event.account}`, undefined)
        case "AgentStateChanged":
          return event.state === "failed"
            ? turn(`agent ${event.agentId}`, "failed")
            : open.has(`agent ${event.agentId}`)
              ? turn(`agent ${event.agentId}`, undefined)
              : undefined
        default:
          return
      }
    },
    onCrash: () => suspects.clear(),
    onNewDisk: () => gates.clear(),
    closedGate: (id, at) => {
      const account = accountName(accountIndex(Number(id.slice(id.lastIndexOf("-") + 1)), accounts))
      const gate = gates.get(account)
      if (gate === undefined || gate.disturbances !== options.disturbances() || at <= gate.at || at >= gate.until) return undefined
      return `on ${account}, ${Math.round((gate.until - at) / 1000)} s before its gate opens`
    },
    sample: () => {
      const host = scene.host()
      if (host?.runtime === undefined) return keep({ up: false, waiting: 0, running: 0, deadLetters: 0 })
      const { runtime } = host
      host.incarnation.run(
        Effect.flatMap(runtime.getReliabilityStatus, (status) => {
          const { blocked, parked, queued, running } = status.tasks
          checkPermits(host, status)
          keep({ up: true, waiting: blocked + parked + queued, running, deadLetters: status.deadLetters.size })
          if (blocked + parked + queued > 0 && anyWaitsLong()) return ++longWaits % lookEvery === 0 ? look(host, status) : Effect.void
          suspects.clear()
          return Effect.void
        })
      )
    },
    checkIdle: () => {
      const host = scene.host()
      if (host?.runtime === undefined) return
      host.incarnation.run(
        Effect.map(host.runtime.getReliabilityStatus, (status) => {
          const { ledger } = scene
          if (status.tasks.running > 0) ledger.violate("left-over", `${status.tasks.running} tasks run although none is there`)
          checkPermits(host, status)
          const working = status.agents["working"] ?? 0
          if (working > 0) ledger.violate("left-over", `${working} agents work, and there is no work`)
          if (agents().living() > scene.agents) ledger.violate("orphan", `${agents().living()} processes live for ${scene.agents} agents`)
        })
      )
    },
    samples: () => samples,
    spans: () => [...spans, ...Array.from(open, ([key, span]) => ({ key, ...span, to: scene.calendar() }))]
  }
}
