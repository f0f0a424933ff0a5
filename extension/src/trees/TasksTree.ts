/** The rows of the Tasks view: what runs, what waits and for what, what has ended last. Pure. */
import type { Snapshot, TaskView } from "../../../src/RuntimeStatus.ts"
import { brief, moment, span, type Translate } from "../View.ts"
import { bounded, lines, type Node } from "./Node.ts"

/** Groups of ended tasks are shown open up to this length. */
const shortList = 10
/** The groups, in their order. */
const groups = ["running", "queued", "parked", "blocked", "dead-lettered", "succeeded", "cancelled"] as const

const titles = (t: Translate): Readonly<Record<TaskView["state"], string>> => ({
  running: t("Running"),
  queued: t("Queued"),
  parked: t("Waiting"),
  blocked: t("Blocked"),
  "dead-lettered": t("Dead-lettered"),
  succeeded: t("Done"),
  cancelled: t("Cancelled")
})

const icons: Readonly<Record<TaskView["state"], readonly [string, string?]>> = {
  running: ["sync", "charts.blue"],
  queued: ["circle-outline"],
  parked: ["watch", "charts.yellow"],
  blocked: ["lock"],
  "dead-lettered": ["error", "list.errorForeground"],
  succeeded: ["pass", "testing.iconPassed"],
  cancelled: ["circle-slash"]
}

const rank: Readonly<Record<string, number>> = { high: 0, medium: 1, low: 2 }
const ended = (task: TaskView): boolean => task.endedAt !== undefined
const isEnded = (state: TaskView["state"]): boolean => state === "succeeded" || state === "dead-lettered" || state === "cancelled"

/** What is open in the order of the queue, what has ended newest first. */
const inOrder = (a: TaskView, b: TaskView): number =>
  ended(a) && ended(b) ? b.endedAt! - a.endedAt! : (rank[a.priority] ?? 1) - (rank[b.priority] ?? 1) || a.acceptedAt - b.acceptedAt

export const nodes = (snapshot: Snapshot, now: number, t: Translate, limit: number): ReadonlyArray<Node> => {
  const byState = Map.groupBy(snapshot.tasks, ({ state }) => state)
  const title = titles(t)
  const paused = snapshot.status.phase === "paused"
  const groupNodes = groups.flatMap((state): ReadonlyArray<Node> => {
    const tasks = byState.get(state)
    if (tasks === undefined) return []
    const label = state === "queued" && paused ? t("Queued (paused)") : title[state]
    // A snapshot has not all tasks; of those that have not ended it says how many there are.
    const count = isEnded(state) ? tasks.length : Math.max(tasks.length, snapshot.status.tasks[state])
    return [
      {
        id: `group:${state}`,
        label,
        description: String(count),
        context: `group.${state}`,
        spoken: t("{0}: {1} tasks", label, count),
        collapsed: (state === "succeeded" || state === "cancelled") && tasks.length > shortList,
        children: bounded(
          tasks.toSorted(inOrder),
          limit,
          (task) => taskNode(task, now, t),
          (more) => ({ id: `more:${state}`, label: t("{0} more", more) }),
          count
        )
      }
    ]
  })
  return groupNodes
}

/** Why it waits, with until when where that is known. */
const waits = (task: TaskView, now: number, t: Translate): string | undefined => {
  if (task.waiting === undefined) return task.state === "blocked" ? t("after {0}", task.dependsOn.join(", ")) : undefined
  const { notBefore } = task.waiting
  const reason = shortReason(task.waiting, t)
  return notBefore === undefined || notBefore <= now ? brief(reason, 80) : t("{0}, in {1}", brief(reason, 60), span(notBefore - now))
}

/** A row has little room: the stages by what they mean, the rest as the runtime says it. The tooltip has all of it. */
const shortReason = (waiting: NonNullable<TaskView["waiting"]>, t: Translate): string => {
  switch (waiting.for) {
    case "bulkhead":
      return t("all places are taken")
    case "circuitBreaker":
      return t("circuit open")
    case "rateLimit":
      return t("rate limit")
    default:
      return waiting.detail
  }
}

const taskNode = (task: TaskView, now: number, t: Translate): Node => {
  const fault = task.lastFault?._tag
  const waiting = waits(task, now, t)
  const parts = [
    task.state === "running" ? task.agentId : undefined,
    task.state === "running" && task.startedAt !== undefined ? span(now - task.startedAt) : undefined,
    waiting,
    task.priority === "medium" || ended(task) ? undefined : task.priority,
    task.attempts > 1 || (task.attempts > 0 && fault !== undefined) ? t("attempt {0}", task.attempts) : undefined,
    task.state === "succeeded" ? (task.verified === true ? t("verified") : task.agentId) : undefined,
    task.state === "dead-lettered" || task.state === "cancelled" ? brief(task.reason ?? fault ?? "", 80) : undefined
  ].filter((part) => part !== undefined && part !== "")
  return {
    id: `task:${task.key}`,
    label: task.id,
    description: parts.join(" · "),
    icon: icons[task.state],
    context: ["task", ended(task) ? "ended" : "open", task.state, ...(task.deadLetterId === undefined ? [] : ["letter"])].join("."),
    spoken: [t("Task {0}", task.id), titles(t)[task.state], ...parts].join(", "),
    tooltip: lines(task.id, [
      [t("State"), task.state],
      [t("Waits for"), task.waiting?.detail ?? waiting],
      [t("After"), task.dependsOn.join(", ")],
      [t("Priority"), task.priority],
      [t("Effect"), task.effect],
      [t("Run"), task.run > 1 ? String(task.run) : undefined],
      [t("Attempts"), String(task.attempts)],
      [t("Agent"), task.agentId],
      [t("Last failure"), fault],
      [t("Reason"), task.reason],
      [t("Accepted"), moment(task.acceptedAt, now)],
      [t("Ended"), task.endedAt === undefined ? undefined : moment(task.endedAt, now)],
      [t("Deadline"), task.deadlineAt === undefined ? undefined : moment(task.deadlineAt, now)],
      [t("Batch"), task.batch]
    ]),
    subject: {
      _tag: "task",
      key: task.key,
      taskId: task.id,
      ...(task.deadLetterId === undefined ? {} : { deadLetterId: task.deadLetterId })
    },
    command: "nofx.openTranscript"
  }
}
