/** The rows of the Health view: every check with what it saw, circuits, gates, limits, the host. Pure. */
import type { Snapshot } from "../../../src/RuntimeStatus.ts"
import { brief, moment, span, type Translate, type View } from "../View.ts"
import { breakerText } from "./AgentsTree.ts"
import { bounded, lines, type Node } from "./Node.ts"
import { words } from "./DeadLettersTree.ts"
import { hostNote } from "../StatusBarText.ts"

const icons: Readonly<Record<string, readonly [string, string?]>> = {
  healthy: ["pass", "testing.iconPassed"],
  degraded: ["warning", "list.warningForeground"],
  unhealthy: ["error", "list.errorForeground"],
  unknown: ["question"]
}

export const nodes = (view: View, now: number, t: Translate, limit: number): ReadonlyArray<Node> => {
  const { snapshot } = view
  if (snapshot === undefined) return []
  return [
    ...checks(snapshot, now, t),
    ...degraded(snapshot, now, t),
    breakers(snapshot, now, t, limit),
    gates(snapshot, now, t, limit),
    numbers(snapshot, t),
    host(view, now, t)
  ]
}

const row = (id: string, label: string, description: string, more: Partial<Node> = {}): Node => ({
  id,
  label,
  description,
  context: "value",
  spoken: `${label}: ${description}`,
  ...more
})

const checks = (snapshot: Snapshot, now: number, t: Translate): ReadonlyArray<Node> => {
  const { health } = snapshot.status
  const status = words(health.status)
  return [
    {
      id: "checks",
      label: t("Checks"),
      description: health.ready ? status : [status, ...health.reasons].join(" · "),
      icon: icons[health.status]!,
      context: "checks",
      spoken: t("Health: {0}", [status, ...health.reasons].join(", ")),
      children: health.checks.map((check) => ({
        id: `check:${check.name}`,
        label: check.name,
        description: `${brief(check.observed, 100)}${check.at === 0 ? "" : ` · ${t("{0} ago", span(now - check.at))}`}`,
        icon: icons[check.status]!,
        context: `check.${check.status}`,
        spoken: [t("Check {0}", check.name), words(check.status), check.observed].join(", "),
        tooltip: lines(check.name, [
          [t("Status"), check.status],
          [t("Saw"), check.observed],
          [t("When"), check.at === 0 ? undefined : moment(check.at, now)],
          [t("Since"), moment(check.since, now)],
          [t("Answers"), check.kinds.join(", ")],
          [t("Critical"), check.critical ? t("yes") : undefined]
        ])
      }))
    }
  ]
}

const degraded = (snapshot: Snapshot, now: number, t: Translate): ReadonlyArray<Node> => {
  const components = snapshot.status.health.degraded
  if (components.length === 0) return []
  return [
    {
      id: "degraded",
      label: t("Degraded"),
      description: String(components.length),
      icon: icons["degraded"]!,
      context: "group.degraded",
      spoken: t("{0} degraded components", components.length),
      children: components.map((each) =>
        row(`degraded:${each.component}`, each.component, `${brief(each.cause)} · ${span(now - each.since)}`, {
          icon: icons[each.blocksWork ? "unhealthy" : "degraded"]!
        })
      )
    }
  ]
}

const breakers = (snapshot: Snapshot, now: number, t: Translate, limit: number): Node => {
  const all = snapshot.status.breakers.toSorted((a, b) => Number(a.state === "closed") - Number(b.state === "closed"))
  const open = all.filter(({ state }) => state !== "closed").length
  return {
    id: "breakers",
    label: t("Circuits"),
    description: open === 0 ? t("{0} closed", all.length) : t("{0} open of {1}", open, all.length),
    icon: open === 0 ? icons["healthy"]! : icons["degraded"]!,
    context: "group.breakers",
    spoken: t("Circuits: {0} open of {1}", open, all.length),
    collapsed: true,
    children: bounded(
      all,
      limit,
      (breaker) => {
        const [scope, name = ""] = breaker.key.split(/:(.*)/s)
        const state = breaker.state === "closed" ? t("closed") : breakerText(breaker, now, t)
        const counts = t("{0} calls, {1} failed, {2} rejected", breaker.calls, breaker.failed, breaker.rejected)
        return row(`breaker:${breaker.key}`, scope === "agent" ? name : t("account {0}", name), `${state} · ${counts}`, {
          icon: breaker.state === "closed" ? ["circle-filled", "testing.iconPassed"] : ["circle-slash", "list.warningForeground"],
          context: `breaker.${scope}${breaker.state === "closed" ? "" : ".circuit"}.${breaker.state}`,
          tooltip: lines(breaker.key, [
            [t("State"), state],
            [t("Why"), breaker.cause],
            [t("Calls"), counts],
            [t("Failures in a row"), String(breaker.failures)],
            [t("Under way"), String(breaker.inFlight)]
          ]),
          ...(scope === "agent" ? { subject: { _tag: "breaker", agentId: name } as const } : {})
        })
      },
      (count) => ({ id: "more:breakers", label: t("{0} more", count) })
    )
  }
}

const gates = (snapshot: Snapshot, now: number, t: Translate, limit: number): Node => {
  const { gates: all } = snapshot.status
  const closed = all.filter(({ state }) => state !== "open").length
  return {
    id: "gates",
    label: t("Account limits"),
    description: closed === 0 ? t("none reached") : t("{0} of {1} accounts rest", closed, all.length),
    icon: closed === 0 ? icons["healthy"]! : icons["degraded"]!,
    context: "group.gates",
    spoken: t("Account limits: {0} of {1} accounts rest", closed, all.length),
    collapsed: true,
    children: bounded(
      all,
      limit,
      (gate) =>
        row(
          `gate:${gate.account}`,
          gate.account,
          [gate.state, gate.until === undefined ? undefined : t("until {0}", moment(gate.until, now)), gate.cause]
            .filter((part) => part !== undefined)
            .join(" · ")
        ),
      (count) => ({ id: "more:gates", label: t("{0} more", count) })
    )
  }
}

/** The counters of the patterns, as the runtime counts them. */
const numbers = (snapshot: Snapshot, t: Translate): Node => {
  const { bulkhead, deadLetters, rateLimiter, retry } = snapshot.status
  const faults = Object.entries(retry.faults).map(([name, count]) => `${name} ${count}`)
  return {
    id: "numbers",
    label: t("Numbers"),
    description: t("{0} of {1} permits in use", bulkhead.running, bulkhead.permits),
    icon: ["graph"],
    context: "group.numbers",
    spoken: t("{0} of {1} permits in use", bulkhead.running, bulkhead.permits),
    collapsed: true,
    children: [
      row("number:bulkhead", t("Bulkhead"), t("{0} of {1} running, {2} refused", bulkhead.running, bulkhead.permits, bulkhead.refused)),
      row("number:limiter", t("Rate limiter"), t("{0} admitted, {1} refused", rateLimiter.admitted, rateLimiter.refused)),
      row("number:retry", t("Retry"), t("{0} attempts, {1} retries, {2} exhausted", retry.attempts, retry.retries, retry.exhausted)),
      row("number:budget", t("Retry budget"), t("{0} retries delayed", retry.budgetRefusals)),
      row("number:faults", t("Failures by class"), faults.length === 0 ? t("none") : faults.join(", ")),
      row(
        "number:letters",
        t("Dead letter queue"),
        t("{0} of {1}, {2} added, {3} resolved", deadLetters.size, deadLetters.capacity, deadLetters.added, deadLetters.resolved)
      )
    ]
  }
}

const host = (view: View, now: number, t: Translate): Node => {
  const note = hostNote(view, t)
  const state = view.link === "connected" ? (view.snapshot?.status.phase ?? "") : (view.problem ?? t("reconnecting"))
  const link = note === undefined ? state : `${state} · ${note}`
  return {
    id: "host",
    label: t("Host"),
    description: link,
    icon: view.link === "connected" && note === undefined ? ["server-process"] : icons["degraded"]!,
    context: "group.host",
    spoken: t("Host: {0}", link),
    collapsed: true,
    children: [
      ...view.about.map(([label, value]) => row(`host:${label}`, label, value)),
      row("host:epoch", t("Epoch"), String(view.snapshot?.epoch ?? "")),
      row("host:at", t("As of"), view.snapshot === undefined ? "" : t("{0} ago", span(now - view.snapshot.status.at)))
    ]
  }
}
