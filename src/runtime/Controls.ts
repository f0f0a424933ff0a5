/** The public operations of `AgentRuntime`, over the parts that do the work. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type { AgentRuntime, TaskEnd, TaskInput } from "../AgentRuntime.ts"
import type { Shutdown } from "../reliability/Shutdown.ts"
import type { RuntimeEvent } from "../RuntimeEvent.ts"
import type * as Status from "../RuntimeStatus.ts"
import type { Store } from "../store/Store.ts"
import { isEnd, type Task } from "../task/Task.ts"
import * as TaskLife from "../task/TaskLife.ts"
import type { Batches } from "./Batches.ts"
import type { Agent, Core } from "./Core.ts"
import type { Dispatcher } from "./Dispatcher.ts"
import * as Input from "./Input.ts"
import type { Intake } from "./Intake.ts"
import type { Permissions } from "./Permissions.ts"
import type { Redrives } from "./Redrives.ts"
import type { Settlement } from "./Settlement.ts"
import { AgentNotFound, type Supervisor } from "./Supervisor.ts"
import type { TaskTable } from "./TaskTable.ts"
import * as Views from "./Views.ts"

/** Events that a slow consumer of the stream may fall behind by; then it loses the oldest. */
const eventBuffer = 65_536
/**
 * Tasks in a snapshot, at most: what viewers fetch after each change must stay small. The counts in its status are of all; `tasks` and the
 * store have the rest.
 */
const snapshotTasks = 2_000
/** Of these, tasks that have ended, at most. */
const snapshotEnds = 500

export interface Parts {
  /** Tasks that had ended before this start, and are shown again. */
  readonly earlier: ReadonlyArray<Task>
  readonly dispatcher: Dispatcher
  readonly intake: Intake
  readonly batches: Batches
  readonly supervisor: Supervisor
  readonly permissions: Permissions
  readonly redrives: Redrives
  readonly settlement: Settlement
  readonly shutdown: Shutdown["Service"]
  readonly store: Store["Service"]
  readonly status: Views.StatusOf
  readonly pause: (on: boolean) => void
}

/** The stages that an operation which only stops things does not ask. */
const bypassed = ["deadline", "retry", "cooldown", "rateLimit", "bulkhead", "circuitBreaker"] as const

export const make = (core: Core, parts: Parts): AgentRuntime["Service"] => {
  const { deadLetters, journal, patterns, table } = core
  const { batches, dispatcher, earlier, intake, permissions, redrives, settlement, shutdown, status, store, supervisor } = parts
  const view = (task: Task) => Views.taskView(core, dispatcher, task)

  const bypass = (operation: "cancel" | "remove" | "shutdown", subject: string): void => {
    for (const stage of bypassed) core.trace?.(operation, stage, "bypassed", subject)
  }

  const findAgent = (agentId: string): Effect.Effect<Agent, AgentNotFound> =>
    Effect.suspend(() => {
      const agent = core.agents.get(agentId)
      return agent === undefined ? Effect.fail(new AgentNotFound({ agentId })) : Effect.succeed(agent)
    })

  const findTask = (taskId: string): Effect.Effect<Task, Input.TaskNotFound> =>
    Effect.suspend(() => {
      const task = table.find(taskId)
      if (task !== undefined) return Effect.succeed(task)
      return Effect.flatMap(Effect.orDie(store.task(taskId)), (stored) =>
        stored === undefined ? Effect.fail(new Input.TaskNotFound({ taskId })) : Effect.succeed(stored)
      )
    })

  /** Waits for the end of a task. It may have ended since the record was read. */
  const awaitEnd = (key: string): Effect.Effect<TaskEnd, Input.TaskNotFound> =>
    Effect.flatMap(findTask(key), (task) =>
      isEnd(task.state) && !table.unwritten(task.key)
        ? Effect.succeed(Views.endOf(task))
        : Effect.map(Deferred.await(table.ended(task.key)), Views.endOf)
    )

  const submit = (input: TaskInput) => Effect.flatMap(Input.task(input), intake.submit)

  const cancel = Effect.fnUntraced(function* (taskId: string, reason: string) {
    bypass("cancel", taskId)
    const task = yield* findTask(taskId)
    if (isEnd(task.state)) return yield* awaitEnd(task.key)
    const ended = table.ended(task.key)
    const agent = [...core.agents.values()].find((each) => each.running?.taskKey === task.key)
    if (agent?.running !== undefined) agent.running.stop({ _tag: "Cancel", reason })
    else yield* journal.commit(settlement.cancelChanges(table.get(task.key)!, reason))
    core.pump()
    return Views.endOf(yield* Deferred.await(ended))
  })

  const breakerOf = (agent: Agent): Status.AgentCircuitBreakerStatus => Views.agentBreaker(core, agent)

  const setPaused = (on: boolean) =>
    Effect.suspend(() => {
      parts.pause(on)
      const change = on
        ? ({ _tag: "PutPattern", pattern: { kind: "control", key: "paused", state: true } } as const)
        : ({ _tag: "DeletePattern", kind: "control", key: "paused" } as const)
      return Effect.andThen(journal.commit([change]), Effect.sync(core.pump))
    })

  return {
    spawn: (input) =>
      Effect.flatMap(Input.agent(input), (spec) => {
        redrives.begin()
        return Effect.map(supervisor.spawn(spec), (agent) => Views.agentView(core, agent))
      }),
    submit: (input) => Effect.map(submit(input), view),
    submitBatch: (batch) => Effect.map(intake.submitBatch(batch), (tasks) => tasks.map(view)),
    unfinishedBatches: (file) => Effect.sync(() => batches.unfinished(file)),
    awaitBatch: (id) =>
      Effect.suspend(() => {
        redrives.begin()
        return batches.finished(id)
      }),
    standing: (id) => Effect.sync(() => batches.standing(id)),
    cancelBatch: Effect.fnUntraced(function* (id: string, reason: string) {
      yield* redrives.giveUp(id, reason)
      yield* Effect.forEach(batches.open(id), (taskId) => Effect.ignore(cancel(TaskLife.keyOf(id, taskId), reason)), {
        concurrency: "unbounded",
        discard: true
      })
      yield* batches.finished(id)
    }),
    execute: Effect.fnUntraced(function* (agentId: string, input: TaskInput) {
      yield* findAgent(agentId)
      const { key } = yield* submit({ ...input, agent: agentId })
      return yield* Effect.orDie(awaitEnd(key))
    }),
    await: awaitEnd,
    cancel: (taskId, reason = "cancelled on request") => cancel(taskId, reason),
    remove: (agentId) =>
      Effect.suspend(() => {
        bypass("remove", agentId)
        return supervisor.remove(agentId, "the agent was removed")
      }),
    restart: (agentId) => Effect.map(supervisor.restart(agentId, "restarted on request"), (agent) => Views.agentView(core, agent)),
    agents: Effect.sync(() => [...core.agents.values()].map((agent) => Views.agentView(core, agent))),
    tasks: Effect.sync(() => Array.from(table.all(), view)),
    snapshot: Effect.sync(() => {
      const tasks = seen(table, earlier).map(view)
      return {
        epoch: store.epoch,
        seq: journal.seq(),
        status: status.reliability(),
        agents: [...core.agents.values()].map((agent) => Views.agentView(core, agent)),
        tasks,
        deadLetters: [...deadLetters.list({ limit: 1_000 })],
        permissions: permissions.pending().map((pending) => ({
          requestId: pending.requestId,
          agentId: pending.agentId,
          taskId: pending.taskId,
          askedAt: pending.askedAt,
          title: pending.request.title,
          kind: pending.request.kind,
          detail: pending.request.detail,
          options: pending.request.options
        }))
      }
    }),
    events: Stream.callback<RuntimeEvent>(
      (queue) =>
        Effect.acquireRelease(
          Effect.sync(() => journal.onEvent((event) => void Queue.offerUnsafe(queue, event))),
          (unsubscribe) => Effect.sync(unsubscribe)
        ),
      { bufferSize: eventBuffer, strategy: "sliding" }
    ),
    subscribe: (listener) =>
      Effect.asVoid(
        Effect.acquireRelease(
          Effect.sync(() => journal.onEvent(listener)),
          (unsubscribe) => Effect.sync(unsubscribe)
        )
      ),
    pause: setPaused(true),
    resume: setPaused(false),
    fenced: journal.fenced,
    shutdown: Effect.suspend(() => {
      bypass("shutdown", "runtime")
      return shutdown.run()
    }),
    getReliabilityStatus: Effect.sync(status.reliability),
    getOverallHealthStatus: Effect.sync(status.health),
    getAgentCircuitBreakerStatus: (agentId) => Effect.map(findAgent(agentId), breakerOf),
    resetAgentCircuitBreaker: (agentId) =>
      Effect.map(findAgent(agentId), (agent) => {
        const reset = Views.breakerKeys(agent).filter((key) => patterns.breaker.reset(key)._tag === "Reset")
        core.pump()
        return { agentId, result: reset.length > 0 ? "Reset" : "AlreadyClosed", reset } as const
      }),
    isolateAgentCircuitBreaker: (agentId, reason = "isolated on request") =>
      Effect.map(findAgent(agentId), (agent) => {
        patterns.breaker.isolate(Views.breakerKeys(agent)[0]!, reason)
        return breakerOf(agent)
      }),
    getRetryMetrics: Effect.sync(status.retry),
    getRateLimiterMetrics: Effect.sync(status.rateLimiter),
    getDLQMessages: Effect.sync(() => deadLetters.list({ limit: Number.POSITIVE_INFINITY })),
    getDLQMetrics: Effect.sync(status.deadLetters),
    retryDLQMessage: (messageId) => Effect.orDie(deadLetters.redrive(messageId, "person")),
    discardDLQMessage: (messageId) => Effect.orDie(deadLetters.discard(messageId)),
    restoreDLQMessage: (messageId) => Effect.orDie(deadLetters.restore(messageId)),
    exportDLQ: Stream.orDie(deadLetters.export()),
    purgeDLQ: (filter = {}) => Effect.flatMap(Input.filter(filter), (decoded) => Effect.orDie(deadLetters.purge(decoded))),
    registerDLQProcessor: (kind, handler) => Effect.asVoid(Effect.sync(() => deadLetters.register(kind, handler))),
    runHealthChecks: Effect.andThen(core.health.runNow(), Effect.sync(status.health)),
    registerHealthCheck: (check) => core.health.register(check),
    answerPermission: (requestId, option, by = "program") => permissions.answer(requestId, option, by),
    attend: Effect.acquireRelease(
      Effect.sync(() => permissions.attend(1)),
      () => Effect.sync(() => permissions.attend(-1))
    )
  }
}

/** The tasks of a snapshot: all that run, the last that have ended, and of the others as many as there is room for, the oldest first. */
const seen = (table: TaskTable, earlier: ReadonlyArray<Task>): ReadonlyArray<Task> => {
  const all = [...earlier.filter(({ key }) => table.get(key) === undefined), ...table.all()]
  if (all.length <= snapshotTasks) return all
  const running = new Set(table.running())
  const ends = all
    .filter(({ endedAt }) => endedAt !== undefined)
    .sort((a, b) => b.endedAt! - a.endedAt!)
    .slice(0, snapshotEnds)
  const chosen = new Set([...running, ...ends])
  for (const task of all) {
    if (chosen.size >= snapshotTasks) break
    if (task.endedAt === undefined) chosen.add(task)
  }
  return [...chosen]
}
