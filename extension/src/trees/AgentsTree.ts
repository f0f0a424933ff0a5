/** The rows of the Agents view: what needs you first, then by what each agent does. Pure. */
import type { AgentView, BreakerView, ReliabilityStatus, Snapshot } from "../../../src/RuntimeStatus.ts"
import { brief, moment, span, type Translate } from "../View.ts"
import { bounded, lines, type Node } from "./Node.ts"

/** The groups, in their order. */
export const groups = ["needsYou", "working", "waiting", "stalled", "failed", "idle"] as const
export type Group = (typeof groups)[number]

/** Keys of the circuits and the gates that let nothing through now. */
export const heldKeys = ({ breakers, gates }: Pick<ReliabilityStatus, "breakers" | "gates">): ReadonlySet<string> =>
  new Set([
    ...breakers.filter(({ state }) => state !== "closed").map(({ key }) => key),
    ...gates.filter(({ state }) => state === "closed").map(({ account }) => `account:${account}`)
  ])

/** The group that an agent belongs to: one that gets no work because of its circuit, or of its account, waits. */
export const groupOf = (agent: AgentView, held: ReadonlySet<string>): Group => {
  if (agent.permission !== undefined) return "needsYou"
  switch (agent.state) {
    case "working":
    case "stalled":
    case "failed":
      return agent.state
    case "starting":
    case "waiting":
      return "waiting"
    case "idle":
      return held.has(`agent:${agent.id}`) || held.has(`account:${agent.account}`) ? "waiting" : "idle"
    case "stopped":
      return "idle"
  }
}

const titles = (t: Translate): Readonly<Record<Group, string>> => ({
  needsYou: t("Needs you"),
  working: t("Working"),
  waiting: t("Waiting"),
  stalled: t("Stalled"),
  failed: t("Failed"),
  idle: t("Idle")
})

const icons: Readonly<Record<Group, readonly [string, string?]>> = {
  needsYou: ["bell-dot", "notificationsWarningIcon.foreground"],
  working: ["sync", "charts.blue"],
  waiting: ["watch", "charts.yellow"],
  stalled: ["warning", "list.warningForeground"],
  failed: ["error", "list.errorForeground"],
  idle: ["circle-outline"]
}

/** The worse of the two breakers that an agent's work goes through, unless both are closed. */
export const openBreaker = (agent: AgentView, breakers: ReadonlyArray<BreakerView>): BreakerView | undefined =>
  breakers.find(({ key, state }) => key === `agent:${agent.id}` && state !== "closed") ??
  breakers.find(({ key, state }) => key === `account:${agent.account}` && state !== "closed")

export const breakerText = (breaker: BreakerView, now: number, t: Translate): string => {
  switch (breaker.state) {
    case "isolated":
      return t("isolated")
    case "half-open":
      return t("circuit half-open")
    default:
      return breaker.retryAt === undefined || breaker.retryAt <= now
        ? t("circuit open")
        : t("circuit open, tries again in {0}", span(breaker.retryAt - now))
  }
}

export const nodes = (snapshot: Snapshot, now: number, t: Translate, limit: number): ReadonlyArray<Node> => {
  const byGroup = new Map<Group, Array<AgentView>>(groups.map((group) => [group, []]))
  const held = heldKeys(snapshot.status)
  for (const agent of snapshot.agents) byGroup.get(groupOf(agent, held))!.push(agent)
  const title = titles(t)
  return groups.flatMap((group) => {
    const agents = byGroup.get(group)!
    if (agents.length === 0) return []
    return {
      id: `group:${group}`,
      label: title[group],
      description: String(agents.length),
      context: `group.${group}`,
      spoken: t("{0}: {1} agents", title[group], agents.length),
      children: bounded(
        agents,
        limit,
        (agent) => agentNode(agent, group, snapshot, now, t),
        (count) => ({ id: `more:${group}`, label: t("{0} more", count) })
      )
    }
  })
}

const agentNode = (agent: AgentView, group: Group, snapshot: Snapshot, now: number, t: Translate): Node => {
  const breaker = openBreaker(agent, snapshot.status.breakers)
  const gate = snapshot.status.gates.find(({ account, state }) => account === agent.account && state === "closed")
  const asked = snapshot.permissions.find(({ requestId }) => requestId === agent.permission)
  const circuit = breaker === undefined ? undefined : breakerText(breaker, now, t)
  const rests =
    gate === undefined
      ? undefined
      : gate.until === undefined
        ? t("account {0} rests", agent.account)
        : t("account {0} rests until {1}", agent.account, moment(gate.until, now))
  const elapsed = span(now - agent.stateSince)
  const doing =
    asked === undefined
      ? agent.task === undefined || agent.state === "waiting"
        ? brief(agent.detail, 80)
        : agent.task
      : t("asks: {0}", brief(asked.title, 80))
  const parts = [doing, circuit, rests, group === "idle" || group === "failed" ? undefined : elapsed].filter(
    (part) => part !== undefined && part !== ""
  )
  const states = [
    agent.state,
    ...(agent.task === undefined ? [] : ["busy"]),
    ...(asked === undefined ? [] : ["asked"]),
    ...(breaker === undefined ? [] : ["circuit", breaker.state])
  ]
  return {
    id: `agent:${agent.id}`,
    label: agent.id,
    description: parts.join(" · "),
    icon: breaker === undefined ? icons[group] : ["circle-slash", "list.warningForeground"],
    context: `agent.${states.join(".")}`,
    spoken: [t("Agent {0}", agent.id), titles(t)[group], ...parts].join(", "),
    tooltip: lines(agent.id, [
      [t("State"), `${agent.state}, ${elapsed}`],
      [t("Detail"), agent.detail],
      [t("Task"), agent.task],
      [t("Circuit"), circuit === undefined ? undefined : `${circuit}${breaker?.cause === undefined ? "" : ` (${breaker.cause})`}`],
      [t("Account"), rests ?? agent.account],
      [t("Driver"), agent.driver],
      [t("Can"), agent.capabilities.join(", ")],
      [t("Process"), agent.pid === undefined ? undefined : String(agent.pid)],
      [t("Restarts"), agent.restarts === 0 ? undefined : String(agent.restarts)]
    ]),
    subject: {
      _tag: "agent",
      agentId: agent.id,
      ...(agent.task === undefined ? {} : { task: agent.task }),
      ...(asked === undefined ? {} : { requestId: asked.requestId })
    },
    ...(asked === undefined ? (agent.task === undefined ? {} : { command: "nofx.openTranscript" }) : { command: "nofx.answerPermission" })
  }
}
