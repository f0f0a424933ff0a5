/**
 * Attempts as traces: one span an attempt, and one in it for each stage of the pipe that it went through.
 *
 * The trace id of an attempt is its attempt id, which events, logs and dead letters hold already. The spans are made from events, so a runtime without a tracer does nothing for them.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import { AgentRuntime } from "../AgentRuntime.ts"
import type { EventOf, RuntimeEvent } from "../RuntimeEvent.ts"
import { keyOf } from "../task/TaskLife.ts"
import * as Providers from "./Providers.ts"

interface Open {
  readonly attempt: Tracer.Span
  stage: Tracer.Span | undefined
}

/** Subjects whose stages are kept while they wait; more are traced without the stages before their admission. */
const mostWaiting = 10_000

const nanos = (at: number): bigint => BigInt(Math.round(at * 1000)) * 1000n

/** Traces what the runtime does, with the tracer of the context, until the scope closes. Sees stages only where the runtime tells them (`Environment.tracesStages`). */
export const make: Effect.Effect<void, never, AgentRuntime | Scope.Scope> = Effect.gen(function* () {
  const runtime = yield* AgentRuntime
  const tracer = yield* Effect.tracer
  const clock = yield* Clock.Clock
  const provider = yield* Providers.make
  const before = new Map<string, Array<EventOf<"Stage">>>()
  const open = new Map<string, Open>()

  const span = (name: string, at: number, parent: Tracer.AnySpan, attributes: Readonly<Record<string, unknown>>): Tracer.Span => {
    const made = tracer.span({
      name,
      parent: Option.some(parent),
      annotations: Context.empty(),
      links: [],
      startTime: nanos(at),
      kind: "internal",
      root: false,
      sampled: true
    })
    for (const [key, value] of Object.entries(attributes)) made.attribute(key, value)
    return made
  }

  const enter = (entry: Open, { at, detail, stage }: EventOf<"Stage">): void => {
    entry.stage?.end(nanos(at), Exit.void)
    entry.stage = span(`stage ${stage}`, at, entry.attempt, {
      "nofx.stage": stage,
      ...(detail === undefined ? {} : { "nofx.detail": detail })
    })
  }

  const leave = (key: string, at: number, exit: Exit.Exit<unknown, unknown>): void => {
    const entry = open.get(key)
    if (entry === undefined) return
    open.delete(key)
    entry.stage?.end(nanos(at), exit)
    entry.attempt.end(nanos(at), exit)
  }

  const onEvent = (event: RuntimeEvent): void => {
    switch (event._tag) {
      case "Stage": {
        if (event.operation !== "execute") return
        const entry = open.get(event.subject)
        if (entry !== undefined) return enter(entry, event)
        if (event.decision !== "passed") return void before.delete(event.subject)
        // Each try begins at the first stage.
        if (event.stage === "deadline" && before.size < mostWaiting) before.set(event.subject, [])
        before.get(event.subject)?.push(event)
        return
      }
      case "AttemptAdmitted": {
        const key = keyOf(event.batch, event.taskId)
        const stages = before.get(key) ?? []
        before.delete(key)
        // A parent without an id: this one is the first of its trace.
        const parent = Tracer.externalSpan({ traceId: event.attemptId, spanId: "" })
        const attempt = span(`invoke_agent ${event.agentId}`, stages[0]?.at ?? event.at, parent, {
          "gen_ai.operation.name": "invoke_agent",
          "gen_ai.provider.name": provider(event.agentId),
          "gen_ai.agent.name": event.agentId,
          "nofx.task.id": event.taskId,
          "nofx.run": event.run,
          "nofx.attempt": event.attempt
        })
        const entry: Open = { attempt, stage: undefined }
        open.set(key, entry)
        for (const stage of stages) enter(entry, stage)
        return
      }
      case "AttemptEnded": {
        const key = keyOf(event.batch, event.taskId)
        if (event.fault !== undefined) open.get(key)?.attempt.attribute("error.type", event.fault._tag)
        return leave(key, event.at, event.fault === undefined ? Exit.void : Exit.fail(event.fault))
      }
      case "TaskSucceeded":
      case "TaskDeadLettered":
      case "TaskCancelled":
        return void before.delete(keyOf(event.batch, event.taskId))
      default:
        return
    }
  }

  yield* runtime.subscribe(onEvent)
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const key of [...open.keys()]) leave(key, clock.currentTimeMillisUnsafe(), Exit.interrupt())
    })
  )
})

export const layer: Layer.Layer<never, never, AgentRuntime> = Layer.effectDiscard(make)
