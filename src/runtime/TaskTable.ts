/**
 * The task table: the only place where tasks wait.
 *
 * Holds every task that has not ended, and the last ones that have; indexes them by state, dependency and batch; wakes retried tasks when
 * their time has come. The record of a task changes only through `put`, with a record that a pure transition made.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { isEnd, type State, type Task } from "../task/Task.ts"
import * as TaskLife from "../task/TaskLife.ts"
import * as TaskQueue from "../task/TaskQueue.ts"

/** Ended tasks that are kept in memory, for those who ask for them at once. The store has them all. */
const keptEnds = 2_000

/** A timer that can be called off. */
export interface Timer {
  readonly cancel: () => void
}

export interface Options {
  readonly ageingMillis: number
  /** Calls back after a time, in milliseconds; what is armed while the host sleeps is armed anew by `rearm`. */
  readonly arm: (delayMillis: number, fire: () => void) => Timer
  readonly wallNow: () => number
  /** A parked task as it is when its time has come: queued, or parked until a later time. */
  readonly due: (task: Task) => Task
  /** A task may be dispatched now. */
  readonly onReady: () => void
  /** A task's deadline is there. It has not ended. */
  readonly onDeadline: (task: Task) => void
}

export interface TaskTable {
  readonly get: (key: string) => Task | undefined
  /** By key; else the newest with this id. */
  readonly find: (id: string) => Task | undefined
  /** Calls nothing back: whoever puts a record has yet to write it. */
  readonly put: (task: Task) => void
  readonly queue: TaskQueue.TaskQueue
  /** Tasks that have not ended. */
  readonly open: number
  readonly counts: () => { readonly [S in State]: number }
  readonly all: () => Iterable<Task>
  readonly running: () => Iterable<Task>
  /** Completes with the record at its end, when that is durable. */
  readonly ended: (key: string) => Deferred.Deferred<Task>
  /** Has it an end that is not durable yet? Nobody may be told of it. */
  readonly unwritten: (key: string) => boolean
  /** The end of a task is durable now. */
  readonly written: (key: string) => void
  /** Tasks that wait for this one. */
  readonly dependents: (key: string) => ReadonlyArray<Task>
  /** Keys of the dependencies of a task that have not succeeded, as far as the table knows. */
  readonly missing: (task: Task) => ReadonlyArray<string>
  /** Tasks whose deadline is still to come. */
  readonly deadlines: number
  /** Looks at the deadline of a task again. */
  readonly overdue: (key: string) => void
  /** Arms every timer anew: the clock jumped, or the host slept. */
  readonly rearm: () => void
}

export const make = (options: Options): TaskTable => {
  const tasks = new Map<string, Task>()
  const newest = new Map<string, string>()
  const waiters = new Map<string, Deferred.Deferred<Task>>()
  const dependents = new Map<string, Set<string>>()
  const parks = new Map<string, Timer>()
  const deadlines = new Map<string, Timer>()
  const running = new Set<string>()
  const ends = new Set<string>()
  const unwritten = new Map<string, Task>()
  const queue = TaskQueue.make(options.ageingMillis)
  const counts: Record<State, number> = {
    queued: 0,
    blocked: 0,
    running: 0,
    parked: 0,
    succeeded: 0,
    "dead-lettered": 0,
    cancelled: 0
  }

  const drop = (timers: Map<string, Timer>, key: string): void => {
    timers.get(key)?.cancel()
    timers.delete(key)
  }

  /** A retried task is out of the queue until its time; a task that a stage refused keeps its place in it. */
  const waitsForTime = (task: Task): boolean =>
    task.state === "parked" && (task.waiting?.for === "retry" || task.waiting?.for === "budget") && task.waiting.notBefore !== undefined

  const armPark = (task: Task): void => {
    drop(parks, task.key)
    // One that is due already too: whoever puts a task has yet to write it, and nothing may start with it before.
    const delay = Math.max(0, (task.waiting?.notBefore ?? 0) - options.wallNow())
    parks.set(
      task.key,
      options.arm(delay, () => wake(task.key))
    )
  }

  const wake = (key: string): void => {
    parks.delete(key)
    const task = tasks.get(key)
    if (task === undefined || !waitsForTime(task)) return
    if (task.waiting!.notBefore! > options.wallNow()) return armPark(task)
    const next = options.due(task)
    put(next)
    if (next.state === "queued") options.onReady()
  }

  const armDeadline = (task: Task): void => {
    drop(deadlines, task.key)
    if (task.deadlineAt === undefined) return
    const delay = task.deadlineAt - options.wallNow()
    deadlines.set(
      task.key,
      options.arm(Math.max(0, delay), () => {
        deadlines.delete(task.key)
        const current = tasks.get(task.key)
        if (current !== undefined && !isEnd(current.state)) options.onDeadline(current)
      })
    )
  }

  // Kept, since a new iterator would have to pass over all that was deleted in front.
  let oldestEnd = ends.values()
  const forgetOldEnds = (): void => {
    while (ends.size > keptEnds) {
      const { done, value: key } = oldestEnd.next()
      if (done === true) {
        oldestEnd = ends.values()
        continue
      }
      ends.delete(key)
      if ((dependents.get(key)?.size ?? 0) > 0) {
        ends.add(key)
        return
      }
      const task = tasks.get(key)!
      counts[task.state]--
      endedBefore[task.state as "succeeded"]++
      tasks.delete(key)
      if (newest.get(task.spec.id) === key) newest.delete(task.spec.id)
    }
  }
  /** Ends that were forgotten still count. */
  const endedBefore = { succeeded: 0, "dead-lettered": 0, cancelled: 0 }

  const put = (task: Task): void => {
    const { key } = task
    const old = tasks.get(key)
    tasks.set(key, task)
    if (old === undefined) {
      newest.set(task.spec.id, key)
      for (const id of task.spec.dependsOn) {
        const on = TaskLife.keyOf(task.batch, id)
        const set = dependents.get(on)
        if (set === undefined) dependents.set(on, new Set([key]))
        else set.add(key)
      }
    } else {
      counts[old.state]--
    }
    counts[task.state]++
    if (task.state === "running") running.add(key)
    else if (old?.state === "running") running.delete(key)
    if (task.state === "queued" || (task.state === "parked" && !waitsForTime(task))) queue.add(task)
    else queue.remove(key)
    if (waitsForTime(task)) armPark(task)
    else if (parks.size > 0) drop(parks, key)
    if (isEnd(task.state)) {
      drop(deadlines, key)
      if (task.state === "succeeded") {
        for (const id of task.spec.dependsOn) {
          const on = TaskLife.keyOf(task.batch, id)
          const set = dependents.get(on)
          set?.delete(key)
          if (set?.size === 0) dependents.delete(on)
        }
      }
      ends.add(key)
      if (old !== undefined && !isEnd(old.state)) unwritten.set(key, task)
      if (ends.size > keptEnds) forgetOldEnds()
    } else {
      if (old !== undefined && isEnd(old.state)) ends.delete(key)
      if (old === undefined || isEnd(old.state) || old.deadlineAt !== task.deadlineAt) armDeadline(task)
      // It was due while an attempt ran, which had it as its limit; now that the task waits again it counts again.
      else if (old.state === "running" && task.state !== "running" && !deadlines.has(key)) armDeadline(task)
    }
  }

  return {
    get: (key) => tasks.get(key),
    find: (id) => tasks.get(id) ?? tasks.get(newest.get(id) ?? ""),
    put,
    queue,
    get open() {
      return counts.queued + counts.blocked + counts.running + counts.parked
    },
    counts: () => ({
      ...counts,
      succeeded: counts.succeeded + endedBefore.succeeded,
      "dead-lettered": counts["dead-lettered"] + endedBefore["dead-lettered"],
      cancelled: counts.cancelled + endedBefore.cancelled
    }),
    all: () => tasks.values(),
    running: function* () {
      for (const key of running) yield tasks.get(key)!
    },
    ended: (key) => {
      let waiter = waiters.get(key)
      if (waiter === undefined) waiters.set(key, (waiter = Deferred.makeUnsafe<Task>()))
      return waiter
    },
    unwritten: (key) => unwritten.has(key),
    written: (key) => {
      const task = unwritten.get(key)
      if (task === undefined) return
      unwritten.delete(key)
      const waiter = waiters.get(key)
      if (waiter === undefined) return
      waiters.delete(key)
      Deferred.doneUnsafe(waiter, Effect.succeed(task))
    },
    dependents: (key) => [...(dependents.get(key) ?? [])].map((each) => tasks.get(each)!).filter((each) => each !== undefined),
    missing: (task) =>
      task.spec.dependsOn.map((id) => TaskLife.keyOf(task.batch, id)).filter((key) => tasks.get(key)?.state !== "succeeded"),
    get deadlines() {
      return deadlines.size
    },
    overdue: (key) => {
      const task = tasks.get(key)
      if (task !== undefined && !isEnd(task.state)) armDeadline(task)
    },
    rearm: () => {
      for (const key of [...parks.keys()]) armPark(tasks.get(key)!)
      for (const key of [...deadlines.keys()]) armDeadline(tasks.get(key)!)
    }
  }
}
