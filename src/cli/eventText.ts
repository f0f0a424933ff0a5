/** Events as lines for people: what happened, to what, and what follows. */
import * as Duration from "effect/Duration"
import type { RuntimeEvent } from "../RuntimeEvent.ts"
import { brief } from "./printable.ts"

/** A time of day, local. */
export const clockTime = (at: number): string => new Date(at).toTimeString().slice(0, 8)

/** A date and time of day, local. */
export const dateTime = (at: number): string => {
  const date = new Date(at)
  const two = (value: number): string => String(value).padStart(2, "0")
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clockTime(at)}`
}

/** A span for people: whole seconds above ten, tenths below, milliseconds of what is less than a tenth. */
export const span = (millis: number): string => {
  if (millis < 100) return `${Math.max(0, Math.round(millis))}ms`
  const rounded = millis < 10_000 ? Math.round(millis / 100) * 100 : Math.round(millis / 1000) * 1000
  return Duration.format(Duration.millis(rounded))
}

/** What was decided, with its time as everything else here has it: local. */
const nextText = (next: string): string => brief(next.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/, (time) => clockTime(Date.parse(time))))

/** The line of an event; undefined for those that say nothing new to somebody who watches. */
export const eventText = (event: RuntimeEvent): string | undefined => {
  switch (event._tag) {
    case "RuntimeStarted":
      return event.recovered + event.reaped === 0
        ? undefined
        : `recovered ${event.recovered} interrupted tasks, ended ${event.reaped} left-over processes`
    case "TaskBlocked":
      return `${event.taskId}: ${brief(event.waiting.detail)}`
    case "TaskParked":
      return `${event.taskId}: waits for ${event.waiting.for}${event.waiting.notBefore === undefined ? "" : ` until ${clockTime(event.waiting.notBefore)}`} (${brief(event.waiting.detail)})`
    case "AttemptStarted":
      return `${event.taskId}: attempt ${event.attempt} on ${event.agentId}`
    case "AttemptEnded":
      return event.outcome === "succeeded"
        ? undefined
        : `${event.taskId}: attempt ${event.attempt} ${event.outcome} after ${span(event.durationMillis)}${event.fault === undefined ? "" : `: ${event.fault._tag}: ${brief(event.fault.detail)}`}${event.next === undefined ? "" : `; ${nextText(event.next)}`}`
    case "TaskSucceeded":
      return `${event.taskId}: succeeded${event.verified ? ", verified" : ""}${event.attempts > 1 ? ` (attempt ${event.attempts})` : ""}`
    case "TaskDeadLettered":
      return `${event.taskId}: dead letter ${event.deadLetterId}: ${brief(event.reason)}`
    case "TaskCancelled":
      return `${event.taskId}: cancelled: ${brief(event.reason)}`
    case "LateOutcome":
      return `${event.taskId}: a late outcome (${event.outcome}) of attempt ${event.attempt} changes nothing`
    case "BudgetSpent":
      return `budget: ${brief(event.detail)}`
    case "AgentSpawnFailed":
      return `agent ${event.agentId}: could not be started: ${brief(event.fault.detail)}`
    case "AgentExited":
      return `agent ${event.agentId}: ended by itself: ${brief(event.fault.detail)}`
    case "AgentRestarted":
      return `agent ${event.agentId}: restarted (${event.restarts})`
    case "CircuitStateChanged":
      return `circuit ${event.key}: ${event.from} → ${event.to}${event.openMillis === undefined ? "" : ` for ${span(event.openMillis)}`}${event.cause === "" ? "" : ` (${brief(event.cause)})`}`
    case "GateClosed":
      return `account ${event.account}: limited until ${clockTime(event.until)} (${brief(event.cause)})`
    case "GateReopened":
      return `account ${event.account}: open again`
    case "DeadLetterRedriven":
      return `dead letter ${event.deadLetterId}: redriven by ${event.by === "person" ? "hand" : "schedule"}`
    case "DeadLetterReleased":
      return `dead letter ${event.deadLetterId}: waits again: ${brief(event.reason)}`
    case "DeadLetterResolved":
      return `dead letter ${event.deadLetterId}: resolved`
    case "ComponentDegraded":
      return `degraded: ${event.component}: ${brief(event.cause)}`
    case "ComponentRecovered":
      return `well again: ${event.component}`
    case "HealthAlert":
      return `${event.raised ? "alert" : "alert over"}: ${event.incident}: ${brief(event.detail)}`
    case "RecoveryEnded":
      return `recovery ${event.attempt} of ${event.check}: ${event.outcome}: ${brief(event.detail)}`
    case "RecoveryEscalated":
      return `${event.check} does not recover: ${brief(event.detail)}`
    case "IntakePaused":
      return `no new tasks are taken: ${brief(event.cause)}`
    case "IntakeResumed":
      return "new tasks are taken again"
    case "PermissionRequested":
      return `${event.agentId} asks: ${brief(event.title)}`
    case "PermissionAnswered":
      return `permission: ${event.answer} (${event.by})`
    case "ShutdownPhaseStarted":
      return `shutdown: ${event.phase}`
    case "ShutdownProgress":
      return event.remaining === 0 ? undefined : `shutdown: ${event.phase}: ${event.remaining} left`
    case "ShutdownFinished":
      return event.abandoned.length === 0 ? undefined : `shutdown: given up on ${event.abandoned.join(", ")}`
    case "RunFinished":
      return `finished: ${event.succeeded} succeeded, ${event.deadLettered} dead-lettered, ${event.cancelled} cancelled${event.left > 0 ? `, ${event.left} left` : ""}`
    default:
      return undefined
  }
}
