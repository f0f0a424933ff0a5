/**
 * What happened, as log records: one an event, with the trace id of the attempt that it belongs to.
 *
 * They go to the loggers that were installed for it, and to no terminal: commands show events by themselves.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import type * as LogLevel from "effect/LogLevel"
import * as References from "effect/References"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import { AgentRuntime } from "../AgentRuntime.ts"
import type { RuntimeEvent } from "../RuntimeEvent.ts"
import { keyOf } from "../task/TaskLife.ts"

/** Loggers that were there before are not told: they have their own users. */
export type Others = ReadonlySet<Logger.Logger<unknown, unknown>>

/** Logs the runtime's events until the scope closes. */
export const make = Effect.fnUntraced(function* (others: Others): Effect.fn.Return<void, never, AgentRuntime | Scope.Scope> {
  const runtime = yield* AgentRuntime
  const loggers = [...(yield* Logger.CurrentLoggers)].filter((logger) => !others.has(logger))
  const context = yield* Effect.context<never>()
  /** Of tasks that have begun: their latest attempt. */
  const attempts = new Map<string, string>()

  const traceOf = (event: RuntimeEvent): string | undefined => {
    if ("attemptId" in event) {
      if (event._tag === "AttemptAdmitted") attempts.set(keyOf(event.batch, event.taskId), event.attemptId)
      return event.attemptId
    }
    if (!("batch" in event && "taskId" in event)) return undefined
    const key = keyOf(event.batch, event.taskId)
    const attempt = attempts.get(key)
    if (ends.has(event._tag)) attempts.delete(key)
    return attempt
  }

  yield* runtime.subscribe((event) => {
    if (event._tag === "Stage" || event._tag === "Progress" || event._tag === "ShutdownProgress") return
    const trace = traceOf(event)
    const record = Effect.logWithLevel(levelOf(event))(event._tag).pipe(
      Effect.annotateLogs(attributesOf(event)),
      trace === undefined ? (log) => log : Effect.withParentSpan(Tracer.externalSpan({ traceId: trace, spanId: "" })),
      Effect.provideService(Logger.CurrentLoggers, new Set(loggers)),
      Effect.provideService(References.MinimumLogLevel, "Info")
    )
    Effect.runSyncWith(context)(record)
  })
})

export const layer = (others: Others): Layer.Layer<never, never, AgentRuntime> => Layer.effectDiscard(make(others))

const ends: ReadonlySet<RuntimeEvent["_tag"]> = new Set(["TaskSucceeded", "TaskDeadLettered", "TaskCancelled"])

/** Under the names that spans use, too. */
const names: Readonly<Record<string, string>> = {
  taskId: "nofx.task.id",
  agentId: "gen_ai.agent.name",
  attemptId: "nofx.attempt.id"
}

/** Plain values as they are, the rest as JSON; a fault's class is the type of the error. */
const attributesOf = ({ _tag, at: _at, ...fields }: RuntimeEvent): Record<string, unknown> => {
  const attributes: Record<string, unknown> = { "event.name": `nofx.${_tag}` }
  for (const [field, value] of Object.entries(fields)) {
    if (field === "fault") attributes["error.type"] = (value as { readonly _tag: string })._tag
    attributes[names[field] ?? `nofx.${field}`] = typeof value === "object" ? JSON.stringify(value) : value
  }
  return attributes
}

const levelOf = (event: RuntimeEvent): LogLevel.Severity => {
  switch (event._tag) {
    case "TaskDeadLettered":
    case "RecoveryEscalated":
      return "Error"
    case "AgentSpawnFailed":
    case "AgentExited":
    case "BudgetSpent":
    case "ComponentDegraded":
    case "DeadLetterAdded":
    case "DeadLetterFailedAgain":
    case "GateClosed":
    case "IntakePaused":
    case "LateOutcome":
      return "Warn"
    case "AttemptEnded":
      return event.fault === undefined ? "Info" : "Warn"
    case "CircuitStateChanged":
      return event.to === "open" ? "Warn" : "Info"
    case "HealthAlert":
      return event.raised ? "Warn" : "Info"
    default:
      return "Info"
  }
}
