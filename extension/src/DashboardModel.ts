/** What the dashboard shows, as one bounded message, computed from a snapshot and from what happened while this window looked. Pure. */
import type { RuntimeEvent } from "../../src/RuntimeEvent.ts"
import type { AgentView } from "../../src/RuntimeStatus.ts"
import { groupOf } from "./trees/AgentsTree.ts"
import type { View } from "./View.ts"

/** How far back the timeline and the rates go, in milliseconds. */
export const shownMillis = 60 * 60_000
/** Rows of the fleet, breakers and gates; what needs a person comes first. */
export const rows = 60
/** Bars of the throughput, in the shown time; columns of the availability, one an hour. */
const bars = 30
const hours = 12

export interface Span {
  readonly state: AgentView["state"]
  readonly from: number
  readonly to: number
}

/** Per agent, oldest first; the last one is still on. */
export type Timeline = ReadonlyMap<string, ReadonlyArray<Omit<Span, "to">>>

/** The timeline with what an event says. */
export const remember = (timeline: Timeline, event: RuntimeEvent): Timeline => {
  if (event._tag === "AgentRemoved") {
    const left = new Map(timeline)
    left.delete(event.agentId)
    return left
  }
  if (event._tag !== "AgentStateChanged") return timeline
  const spans = (timeline.get(event.agentId) ?? []).filter(
    (_span, index, all) => (all[index + 1]?.from ?? event.at) > event.at - shownMillis
  )
  return new Map([...timeline, [event.agentId, [...spans.slice(-200), { state: event.state, from: event.at }]]])
}

const urgency: Readonly<Record<string, number>> = { needsYou: 0, failed: 1, stalled: 2, working: 3, waiting: 4, idle: 5 }

/** Counts of what fell into each of `count` equal parts of the time until now. */
const histogram = (times: ReadonlyArray<number>, now: number, length: number, count: number): ReadonlyArray<number> => {
  const parts = Array.from({ length: count }, () => 0)
  for (const at of times) {
    const index = Math.floor(((at - (now - length)) / length) * count)
    if (index >= 0 && index < count) parts[index]!++
  }
  return parts
}

export const message = (view: View, timeline: Timeline, now: number) => {
  const { snapshot } = view
  if (snapshot === undefined) return { _tag: "Nothing", link: view.link, problem: view.problem ?? "" } as const
  const { agents, status, tasks } = snapshot
  const ends = (state: string) => tasks.flatMap((task) => (task.state === state && task.endedAt !== undefined ? [task.endedAt] : []))
  const succeeded = ends("succeeded")
  const failed = ends("dead-lettered")
  const hourly = [histogram(succeeded, now, hours * 3_600_000, hours), histogram(failed, now, hours * 3_600_000, hours)] as const
  const fleet = agents.toSorted(
    (a, b) => urgency[groupOf(a)]! - urgency[groupOf(b)]! || a.id.localeCompare(b.id, undefined, { numeric: true })
  )
  return {
    _tag: "Status",
    link: view.link,
    problem: view.problem ?? "",
    now,
    from: now - shownMillis,
    phase: status.phase,
    health: { status: status.health.status, reasons: status.health.reasons },
    tasks: status.tasks,
    agents: agents.length,
    asked: snapshot.permissions.length,
    retry: status.retry,
    limiter: status.rateLimiter,
    bulkhead: status.bulkhead,
    letters: { size: status.deadLetters.size, capacity: status.deadLetters.capacity, byCause: status.deadLetters.byCause },
    gates: status.gates.toSorted((a, b) => Number(a.state === "open") - Number(b.state === "open")).slice(0, rows),
    breakers: status.breakers.toSorted((a, b) => Number(a.state === "closed") - Number(b.state === "closed")).slice(0, rows * 4),
    fleet: fleet.slice(0, rows).map((agent) => {
      const spans = timeline.get(agent.id) ?? []
      // Seen by events or not, its present state is known.
      const whole =
        spans.at(-1)?.from === agent.stateSince
          ? spans
          : [...spans.filter(({ from }) => from < agent.stateSince), { state: agent.state, from: agent.stateSince }]
      return {
        id: agent.id,
        state: agent.state,
        task: agent.task ?? "",
        spans: whole.map((span, index): Span => ({ ...span, to: whole[index + 1]?.from ?? now })).filter(({ to }) => to > now - shownMillis)
      }
    }),
    more: Math.max(0, agents.length - rows),
    throughput: { succeeded: histogram(succeeded, now, shownMillis, bars), failed: histogram(failed, now, shownMillis, bars) },
    availability: hourly[0].map((good, index) => ({ good, bad: hourly[1][index]! }))
  } as const
}
export type Message = ReturnType<typeof message>
