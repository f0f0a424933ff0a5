/**
 * How tasks come in: checked, written, acknowledged, in this order. What is refused leaves no trace.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Change, Store, StoreUnavailable } from "../store/Store.ts"
import { isEnd, type Task, type TaskSpec } from "../task/Task.ts"
import * as TaskLife from "../task/TaskLife.ts"
import { type Batches, heldMark } from "./Batches.ts"
import { append, type Core } from "./Core.ts"

/** The task table is full: try again when tasks have ended. */
export class QueueFull extends Schema.TaggedError<QueueFull>()("QueueFull", {
  limit: Schema.Int,
  /** Tasks that have not ended. */
  open: Schema.Int,
  /** Tasks that were to be taken, all or none. */
  asked: Schema.Int
}) {
  override get message(): string {
    const room = this.asked === 1 ? "The queue is full" : `The queue has no room for ${this.asked} tasks`
    return `${room}: ${this.open} have not ended, the limit is ${this.limit} (config.queue.limit)`
  }
}

/** Nothing new is taken at the moment. */
export class IntakeStopped extends Schema.TaggedError<IntakeStopped>()("IntakeStopped", { reason: Schema.String }) {
  override get message(): string {
    return `No task is taken at the moment: ${this.reason}`
  }
}

/** The task as given cannot be taken. */
export class TaskInvalid extends Schema.TaggedError<TaskInvalid>()("TaskInvalid", { taskId: Schema.String, problem: Schema.String }) {
  override get message(): string {
    return `Task "${this.taskId}": ${this.problem}`
  }
}

export type SubmitError = QueueFull | IntakeStopped | TaskInvalid

/** The tasks of one file, accepted together or not at all. */
export interface Batch {
  readonly id: string
  readonly file: string
  readonly digest: string
  readonly tasks: ReadonlyArray<TaskSpec>
}

export interface Intake {
  readonly submit: (spec: TaskSpec) => Effect.Effect<Task, SubmitError>
  readonly submitBatch: (batch: Batch) => Effect.Effect<ReadonlyArray<Task>, SubmitError>
  /** Why nothing is taken; undefined: it is. */
  readonly stopped: () => string | undefined
  readonly stop: (component: string, reason: string) => void
  readonly resume: (component: string) => void
}

/** The first cycle among the dependencies of these tasks, as ids in order; undefined without one. */
export const findCycle = (specs: ReadonlyArray<TaskSpec>): ReadonlyArray<string> | undefined => {
  if (specs.every((spec) => spec.dependsOn.length === 0)) return undefined
  const byId = new Map(specs.map((spec) => [spec.id, spec]))
  const done = new Set<string>()
  for (const start of specs) {
    if (start.dependsOn.length === 0 || done.has(start.id)) continue
    const path: Array<string> = []
    const onPath = new Set<string>()
    const stack: Array<{ readonly id: string; next: number }> = [{ id: start.id, next: 0 }]
    path.push(start.id)
    onPath.add(start.id)
    while (stack.length > 0) {
      const top = stack[stack.length - 1]!
      const child = byId.get(top.id)?.dependsOn[top.next++]
      if (child === undefined) {
        stack.pop()
        path.pop()
        onPath.delete(top.id)
        done.add(top.id)
        continue
      }
      if (onPath.has(child)) return [...path.slice(path.indexOf(child)), child]
      if (done.has(child) || !byId.has(child)) continue
      stack.push({ id: child, next: 0 })
      path.push(child)
      onPath.add(child)
    }
  }
  return undefined
}

/** What cannot be written must not be accepted. */
const unwritable = (spec: TaskSpec): string | undefined => {
  try {
    JSON.stringify(spec.input)
    return undefined
  } catch (cause) {
    return `its input is no JSON: ${String(cause)}`
  }
}

export const make = (core: Core, store: Store["Service"], batches: Batches, firstOrder: number): Intake => {
  const { config, journal, table } = core
  const stops = new Map<string, string>()
  let order = firstOrder

  const stopped = (): string | undefined => stops.values().next().value

  const known = (key: string): Effect.Effect<Task | undefined, StoreUnavailable> => {
    const task = table.get(key)
    return task === undefined ? store.task(key) : Effect.succeed(task)
  }

  /** Places a new task: it waits for its dependencies, or for its turn. */
  const place = (spec: TaskSpec, batch: string): Task => {
    const task = TaskLife.accept(spec, { batch, order: ++order, now: core.wallNow() })
    const missing = table.missing(task)
    if (missing.length === 0) return task
    const ended = missing.map((key) => table.get(key)).find((each) => each !== undefined && isEnd(each.state))
    const detail =
      ended === undefined
        ? `waits for ${spec.dependsOn.filter((id) => missing.includes(TaskLife.keyOf(batch, id))).join(", ")}`
        : `${heldMark} dependency ${ended.spec.id} was ${ended.state}`
    return TaskLife.blocked(task, { for: "dependency", detail })
  }

  const accepted = Effect.fnUntraced(function* (batch: string, specs: ReadonlyArray<TaskSpec>, also: ReadonlyArray<Change>) {
    const reason = stopped()
    if (reason !== undefined) return yield* new IntakeStopped({ reason })
    const own = new Set<string>()
    for (const spec of specs) {
      const problem = unwritable(spec)
      if (problem !== undefined) return yield* new TaskInvalid({ taskId: spec.id, problem })
      if (own.has(spec.id)) return yield* new TaskInvalid({ taskId: spec.id, problem: "the id is used twice" })
      own.add(spec.id)
    }
    for (const spec of specs) {
      const existing = yield* Effect.orDie(known(TaskLife.keyOf(batch, spec.id)))
      if (existing !== undefined)
        return yield* new TaskInvalid({ taskId: spec.id, problem: `a task with this id is ${existing.state} already` })
      for (const id of spec.dependsOn) {
        if (own.has(id)) continue
        const dependency = yield* Effect.orDie(known(TaskLife.keyOf(batch, id)))
        if (dependency === undefined)
          return yield* new TaskInvalid({ taskId: spec.id, problem: `it depends on "${id}", which is not there` })
        if (table.get(dependency.key) === undefined) table.put(dependency)
      }
    }
    // From here on nothing waits: what was asked above is asked once more of the table, since others may have come in meanwhile.
    const taken = specs.find((spec) => table.get(TaskLife.keyOf(batch, spec.id)) !== undefined)
    if (taken !== undefined) return yield* new TaskInvalid({ taskId: taken.id, problem: "a task with this id was accepted just now" })
    if (table.open + specs.length > config.queue.limit)
      return yield* new QueueFull({ limit: config.queue.limit, open: table.open, asked: specs.length })
    const cycle = findCycle(specs)
    if (cycle !== undefined)
      return yield* new TaskInvalid({ taskId: cycle[0]!, problem: `its dependencies go in a circle: ${cycle.join(" → ")}` })
    const tasks: Array<Task> = []
    const changes: Array<Change> = [...also]
    for (const spec of specs) {
      const task = place(spec, batch)
      table.put(task)
      tasks.push(task)
      changes.push({ _tag: "PutTask", task }, append(core, { _tag: "TaskAccepted", taskId: spec.id, batch }))
    }
    yield* journal.commit(changes)
    core.pump()
    return tasks
  })
  const accept = (batch: string, specs: ReadonlyArray<TaskSpec>, also: ReadonlyArray<Change>) =>
    Effect.uninterruptible(accepted(batch, specs, also))

  return {
    submit: (spec) => Effect.map(accept("", [spec], []), (tasks) => tasks[0]!),
    submitBatch: ({ digest, file, id, tasks }) =>
      Effect.suspend(() => {
        const record = { id, file, digest, createdAt: core.wallNow() }
        batches.track(record, [])
        return Effect.onError(accept(id, tasks, [{ _tag: "PutBatch", batch: record }]), () => Effect.sync(() => batches.forget(id)))
      }),
    stopped,
    stop: (component, reason) => {
      if (stops.has(component)) return
      stops.set(component, reason)
      journal.live({ _tag: "IntakePaused", at: core.wallNow(), cause: reason })
    },
    resume: (component) => {
      if (!stops.delete(component) || stops.size > 0) return
      journal.live({ _tag: "IntakeResumed", at: core.wallNow() })
      core.pump()
    }
  }
}
