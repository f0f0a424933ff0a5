/** What `nofx run` shows: events as JSON lines, or as text; on a terminal a live table; at the end the sums and what is left to do. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { AgentRuntime } from "../AgentRuntime.ts"
import type { RuntimeEvent } from "../RuntimeEvent.ts"
import type { BatchEnd } from "../runtime/Batches.ts"
import { clockTime, eventText, span } from "./eventText.ts"
import * as LiveTable from "./liveTable.ts"
import { Machine } from "./machine.ts"

export interface RunOutput {
  /** A line from the command itself, on whatever is shown. */
  readonly note: (text: string) => void
  /** What was degraded before anybody could listen. */
  readonly degraded: (component: string, cause: string) => void
  /** Puts a question on the terminal, and leaves that to whoever answers; undefined: the question is over. */
  readonly question: (lines: ReadonlyArray<string> | undefined) => void
  /** The end. `interrupted`: by a signal, and it can be gone on with. */
  readonly finish: (end: BatchEnd, interrupted: boolean) => Effect.Effect<void>
}

/** How often the table is drawn anew. */
const every = "250 millis"

const finalLines = (
  end: BatchEnd,
  millis: number,
  options: { readonly interrupted: boolean; readonly again: string; readonly deadLetters: string; readonly hints: boolean }
): ReadonlyArray<string> => {
  const sums = [
    `${end.succeeded} succeeded`,
    `${end.deadLettered} dead-lettered`,
    `${end.cancelled} cancelled`,
    ...(end.left > 0 ? [`${end.left} left`] : [])
  ]
  const sum = `${options.interrupted ? "Interrupted" : "Finished"} after ${span(millis)}: ${sums.join(", ")}`
  if (!options.hints && !options.interrupted) return [sum]
  const lines = [sum]
  if (options.interrupted && end.left > 0) lines.push(`The same command goes on with what is left: ${options.again}`)
  if (end.deadLettered > 0) lines.push(`Look at the dead letters: ${options.deadLetters}`)
  if (!options.interrupted && end.left > 0)
    lines.push(`${end.left} tasks are held by a dependency that failed; nofx dlq retry lets them go on once it succeeds`)
  return lines
}

/** Shows the runtime's events from now on, until the scope closes. */
export const make = (options: {
  readonly json: boolean
  /** The command that goes on with an interrupted run. */
  readonly again: string
  /** The command that lists the dead letters. */
  readonly deadLetters: string
  /** Say at the end what can be done next? */
  readonly hints: boolean
}): Effect.Effect<RunOutput, never, AgentRuntime | Scope.Scope> =>
  Effect.gen(function* () {
    const runtime = yield* AgentRuntime
    const machine = yield* Machine
    const clock = yield* Clock.Clock
    const startedAt = clock.currentTimeMillisUnsafe()
    const { terminal, write } = machine
    const live = !options.json && terminal !== undefined
    let drawn: ReadonlyArray<string> = []
    let closed = false
    let asking = false
    let last: RuntimeEvent | undefined

    const clear = (): string => LiveTable.erase(drawn, terminal?.columns() ?? Number.POSITIVE_INFINITY)

    const line = (text: string): void => {
      write(`${clear()}${text}\n`)
      drawn = []
    }

    const draw = Effect.gen(function* () {
      const snapshot = yield* runtime.snapshot
      if (closed || asking || terminal === undefined) return
      const lines = LiveTable.render(snapshot, {
        now: clock.currentTimeMillisUnsafe(),
        startedAt,
        columns: terminal.columns(),
        rows: terminal.rows(),
        style: terminal.colours ? LiveTable.colours : LiveTable.plain
      })
      write(`${clear()}${lines.join("\n")}\n`)
      drawn = lines
    })

    const show = (event: RuntimeEvent): void => {
      if (event._tag === "RunFinished") {
        last = event
        return
      }
      if (closed || event._tag === "Stage" || event._tag === "Progress") return
      if (options.json) return write(`${JSON.stringify(event)}\n`)
      const text = eventText(event)
      if (text !== undefined && (!live || noteworthy(event))) line(`${clockTime(event.at)}  ${text}`)
    }
    yield* runtime.subscribe(show)
    if (live) yield* Effect.forkScoped(Effect.forever(Effect.andThen(draw, Effect.sleep(every))))

    return {
      note: (text) => {
        if (!options.json) line(text)
      },
      question: (lines) => {
        asking = lines !== undefined
        if (lines !== undefined) line(lines.join("\n"))
      },
      degraded: (component, cause) => show({ _tag: "ComponentDegraded", at: clock.currentTimeMillisUnsafe(), component, cause }),
      finish: (end, interrupted) =>
        Effect.gen(function* () {
          if (live) yield* draw
          closed = true
          const now = clock.currentTimeMillisUnsafe()
          if (options.json) {
            const event = last ?? ({ _tag: "RunFinished", at: now, ...end } satisfies RuntimeEvent)
            return write(`${JSON.stringify(event)}\n`)
          }
          for (const text of finalLines(end, now - startedAt, { ...options, interrupted })) write(`${text}\n`)
        })
    }
  })

/** Above a live table only what it does not show by itself. */
const noteworthy = (event: RuntimeEvent): boolean => {
  switch (event._tag) {
    case "AttemptEnded":
      return event.outcome === "failed"
    case "RuntimeStarted":
    case "TaskDeadLettered":
    case "TaskCancelled":
    case "CircuitStateChanged":
    case "GateClosed":
    case "GateReopened":
    case "AgentExited":
    case "AgentSpawnFailed":
    case "ComponentDegraded":
    case "HealthAlert":
    case "RecoveryEscalated":
    case "PermissionRequested":
      return true
    default:
      return false
  }
}
