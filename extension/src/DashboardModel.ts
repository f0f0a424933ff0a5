/** What the dashboard shows, as one bounded message, computed from a snapshot and from what happened while this window looked. Pure. */
import type { RuntimeEvent } from "../../src/RuntimeEvent.ts"
import type { AgentView, TaskView } from "../../src/RuntimeStatus.ts"
import { type Group, groupOf, heldKeys } from "./trees/AgentsTree.ts"
import { words } from "./trees/DeadLettersTree.ts"
import { healthText, type View } from "./View.ts"

/** How far back the timeline and the rates go, in milliseconds. */
export const shownMillis = 60 * 60_000
/** The timeline of agents that began only now covers at least so much, in milliseconds. */
const leastMillis = 5 * 60_000
/** Rows of the fleet, breakers and gates; what needs a person comes first. */
export const rows = 60
/** Columns of the throughput, in the shown time; columns of the availability, one an hour. */
const bars = 30
const hours = 12
const hourMillis = 60 * 60_000

export interface Span {
  readonly state: AgentView["state"]
  readonly from: number
  readonly to: number
}

/** Tasks that ended in one part of the time. */
export interface Column {
  readonly from: number
  readonly millis: number
  readonly good: number
  readonly bad: number
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

const urgency: ReadonlyArray<Group> = ["needsYou", "failed", "stalled", "working", "waiting", "idle"]

/** What ended in each of `count` equal parts of the time until `end`. */
const columns = (tasks: ReadonlyArray<TaskView>, end: number, millis: number, count: number): ReadonlyArray<Column> => {
  const begin = end - millis * count
  const made = Array.from({ length: count }, (_, index) => ({ from: begin + index * millis, millis, good: 0, bad: 0 }))
  for (const { endedAt, state } of tasks) {
    if (endedAt === undefined || (state !== "succeeded" && state !== "dead-lettered")) continue
    const column = made[Math.floor((endedAt - begin) / millis)]
    if (column !== undefined) column[state === "succeeded" ? "good" : "bad"]++
  }
  return made
}

/**
 * What an agent did, as far as is known: from the events that this window has seen, and before the first of them from the tasks whose last
 * attempt it made. Its present state is known in any case.
 */
const spansOf = (
  agent: AgentView,
  tasks: ReadonlyArray<TaskView>,
  seen: ReadonlyArray<Omit<Span, "to">>,
  now: number
): ReadonlyArray<Span> => {
  const present = seen.at(-1)?.from === agent.stateSince
  const whole = present ? seen : [...seen.filter(({ from }) => from < agent.stateSince), { state: agent.state, from: agent.stateSince }]
  const first = whole[0]!.from
  const worked = tasks
    .flatMap(({ endedAt = first, startedAt }) => (startedAt === undefined || startedAt >= first ? [] : [{ startedAt, endedAt }]))
    .sort((a, b) => a.startedAt - b.startedAt)
    .map(({ endedAt, startedAt }): Span => ({ state: "working", from: startedAt, to: Math.min(endedAt, first) }))
  return [...worked, ...whole.map((span, index): Span => ({ ...span, to: whole[index + 1]?.from ?? now }))].filter(
    ({ to }) => to > now - shownMillis
  )
}

/** The largest first, in words. */
const byCount = (counts: Readonly<Record<string, number>>): ReadonlyArray<readonly [name: string, count: number]> =>
  Object.entries(counts)
    .sort(([, a], [, b]) => b - a)
    .map(([name, count]) => [words(name), count])

export const message = (view: View, timeline: Timeline, now: number) => {
  const { snapshot } = view
  if (snapshot === undefined) return { _tag: "Nothing", link: view.link, problem: view.problem ?? "" } as const
  const { agents, status, tasks } = snapshot
  const byAgent = Map.groupBy(tasks, ({ agentId }) => agentId)
  const held = heldKeys(status)
  const rank = (agent: AgentView): number => urgency.indexOf(groupOf(agent, held))
  const fleet = agents
    .toSorted((a, b) => rank(a) - rank(b) || a.id.localeCompare(b.id, undefined, { numeric: true }))
    .slice(0, rows)
    .map((agent) => ({
      id: agent.id,
      state: agent.state,
      task: agent.task ?? "",
      spans: spansOf(agent, byAgent.get(agent.id) ?? [], timeline.get(agent.id) ?? [], now)
    }))
  const began = Math.min(now - leastMillis, ...fleet.flatMap(({ spans }) => (spans[0] === undefined ? [] : [spans[0].from])))
  // Columns that begin at full minutes and hours stand still from one message to the next.
  const columnMillis = shownMillis / bars
  const full = (millis: number): number => Math.ceil(now / millis) * millis
  const open = status.breakers.filter(({ state }) => state !== "closed")
  return {
    _tag: "Status",
    link: view.link,
    problem: view.problem ?? "",
    now,
    from: Math.max(began, now - shownMillis),
    phase: status.phase,
    health: { status: status.health.status, text: healthText(status.health) },
    tasks: status.tasks,
    done: tasks.filter(({ state }) => state === "succeeded").length,
    agents: agents.length,
    asked: snapshot.permissions.length,
    retries: status.retry.retries,
    faults: byCount(status.retry.faults),
    limiter: status.rateLimiter,
    bulkhead: status.bulkhead,
    letters: { size: status.deadLetters.size, capacity: status.deadLetters.capacity, byCause: byCount(status.deadLetters.byCause) },
    gates: status.gates.toSorted((a, b) => Number(a.state === "open") - Number(b.state === "open")).slice(0, rows),
    breakers: open.slice(0, rows),
    closedBreakers: status.breakers.length - open.length,
    fleet,
    more: Math.max(0, agents.length - rows),
    throughput: columns(tasks, full(columnMillis), columnMillis, bars),
    availability: columns(tasks, full(hourMillis), hourMillis, hours)
  } as const
}
export type Message = ReturnType<typeof message>
