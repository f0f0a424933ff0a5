/** What the one status bar item says. Pure. */
import { lines } from "./trees/Node.ts"
import { brief, healthText, type Translate, type View } from "./View.ts"

export interface Shown {
  readonly text: string
  readonly tooltip: string
  /** In words. */
  readonly spoken: string
  readonly level: "normal" | "warning" | "error"
}

/** What there is to know of the host's version and settings; undefined: it is as it should be. */
export const hostNote = ({ outdated, retiring, skew }: View, t: Translate): string | undefined =>
  retiring !== undefined
    ? t("starts anew when {0} tasks have ended", retiring)
    : skew !== undefined
      ? t("version {0}, and this extension is {1}", skew.host, skew.own)
      : outdated
        ? t("goes by earlier settings until it starts anew")
        : undefined

/** Undefined: there is nothing to show in this window. */
export const shown = (view: View, t: Translate): Shown | undefined => {
  if (view.place._tag !== "ready") return undefined
  if (view.snapshot === undefined) {
    if (view.link === "idle" || view.link === "stopped") return undefined
    const failed = view.link === "failed"
    const text = failed ? t("NofX could not be started") : t("NofX is connecting")
    return {
      text: failed ? "$(error) NofX" : "$(sync~spin) NofX",
      spoken: text,
      level: failed ? "error" : "normal",
      tooltip: `${lines(text, [[t("Why"), view.problem]])}\n\n[${t("Try again")}](command:nofx.connect) · [${t("Log")}](command:nofx.showLog)`
    }
  }
  const { agents, permissions, status, tasks } = view.snapshot
  const running = agents.filter(({ state }) => state === "working").length
  const waiting = status.tasks.queued + status.tasks.parked + status.tasks.blocked
  const letters = status.deadLetters.size
  const asked = permissions.length
  const lost = view.link !== "connected"
  const unwell = status.health.status !== "healthy" || lost
  const paused = status.phase === "paused"
  const draining = status.phase === "draining"
  const icon =
    lost || draining ? "$(sync~spin)" : asked > 0 ? "$(bell-dot)" : unwell ? "$(warning)" : paused ? "$(debug-pause)" : "$(nofx-none)"
  const text = [
    icon === "$(nofx-none)" ? (running > 0 ? "$(pulse)" : "$(check)") : icon,
    "NofX",
    ...(running > 0 ? [`$(play) ${running}`] : []),
    ...(waiting > 0 ? [`$(watch) ${waiting}`] : []),
    ...(letters > 0 ? [`$(mail) ${letters}`] : []),
    ...(asked > 0 ? [`$(question) ${asked}`] : [])
  ].join(" ")
  const health = lost ? t("reconnecting: {0}", brief(view.problem ?? "")) : healthText(status.health)
  const words = [
    t("{0} working", running),
    t("{0} tasks waiting", waiting),
    t("{0} dead letters", letters),
    ...(asked > 0 ? [t("{0} permission requests", asked)] : [])
  ]
  const links = [
    `[${t("Dashboard")}](command:nofx.openDashboard)`,
    `[${t("Add task")}](command:nofx.addTask)`,
    paused ? `[${t("Resume queue")}](command:nofx.resumeQueue)` : `[${t("Pause queue")}](command:nofx.pauseQueue)`,
    ...(letters > 0 ? [`[${t("Dead letters")}](command:nofx.deadLetters.focus)`] : []),
    ...(asked > 0 ? [`[${t("Answer")}](command:nofx.answerPermission)`] : []),
    `[${t("Log")}](command:nofx.showLog)`
  ]
  return {
    text,
    spoken: ["NofX", health, ...words].join(", "),
    level: status.health.status === "unhealthy" ? "error" : asked > 0 || status.health.status === "degraded" ? "warning" : "normal",
    tooltip: `${lines("NofX", [
      [t("Folder"), view.place.name],
      [t("Health"), health],
      [t("Phase"), status.phase],
      [t("Agents"), t("{0}, {1} working", agents.length, running)],
      [
        t("Tasks"),
        t("{0} waiting, {1} running, {2} done", waiting, status.tasks.running, tasks.filter(({ state }) => state === "succeeded").length)
      ],
      [t("Dead letters"), String(letters)],
      [t("Host"), hostNote(view, t)]
    ])}\n\n${links.join(" · ")}`
  }
}
