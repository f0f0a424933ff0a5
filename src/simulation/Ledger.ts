/**
 * What the simulated world knows of every task: the truth that the runtime's word is held against.
 *
 * It follows the runtime's events and the deliveries that agents really got, and notes every promise that is broken. Of a task that is over only one
 * byte is kept, so that a year fits.
 */
import type { RuntimeEvent } from "../RuntimeEvent.ts"
import * as Histogram from "./Histogram.ts"
import type { Cluster } from "./Statistics.ts"
import type { Plan } from "./Workload.ts"

/** A task whose end is not final. */
export interface Entry {
  readonly number: number
  readonly plan: Plan
  readonly dependsOn: string | undefined
  /** Milliseconds of the simulation in which the machine was awake. */
  readonly acceptedAt: number
  /** When the time of its run is over, in milliseconds in which the runtime could work. */
  overAt: number
  readonly day: number
  /** Milliseconds of work left. */
  left: number
  session: string | undefined
  /** Is the work really done? */
  done: boolean
  state: "open" | "dead-lettered"
  /** The attempt that is under way, as the runtime says. */
  attempt: string | undefined
  attempts: number
  /** The run that has ended. */
  endedRun: number
  /** It is unsafe, was begun, and nobody has proven or decided since that it may run again. */
  doubtful: boolean
  /** A person had to decide something about it. */
  helped: boolean
  /** A person cancels it, or it waits for one that cannot be done: it says nothing about the runtime. */
  excluded: boolean
  failedAt: number | undefined
  /** When its last attempt ended. */
  movedAt: number
  /** When it was dead-lettered last, Unix milliseconds. */
  deadAt: number
}

/** What a broken promise is called. */
export interface Violation {
  readonly rule:
    | "two-ends"
    | "two-attempts"
    | "unsafe-twice"
    | "acted-on-ended"
    | "cancelled-unasked"
    | "dependency"
    | "gate-closed"
    | "lost"
    | "unknown-task"
    | "sequence"
    | "left-over"
    | "starved"
    | "overdue"
    | "orphan"
    | "defect"
  readonly at: number
  readonly detail: string
}

/** What was counted. */
export interface Counts {
  accepted: number
  succeeded: number
  deadLettered: number
  cancelled: number
  /** Neither ended nor waiting for a person when the simulation ended. */
  unfinished: number
  /** Acknowledged, and not there any more. */
  lost: number
  /** Unsafe work that was begun a second time without proof, or work that ran twice at once. */
  duplicated: number
  /** Ended as succeeded and confirmed, although it is not done. */
  wrongEnds: number
  /** Ended as succeeded without a check, although it is not done: the agent lied, and nobody could know. */
  falseClaims: number
  poison: number
  /** Poison that ended as anything but a dead letter, or a cancellation by a person. */
  poisonEscaped: number
  excluded: number
  attempts: number
  /** Attempts beyond the first of each task. */
  extraAttempts: number
  helped: number
}

export interface Ledger {
  readonly counts: Counts
  readonly violations: Array<Violation>
  readonly open: () => Iterable<Entry>
  readonly get: (taskId: string) => Entry | undefined
  /** Tasks that wait for this one, directly or not. */
  readonly dependents: (taskId: string) => ReadonlyArray<Entry>
  readonly accept: (number: number, plan: Plan, dependsOn: string | undefined, day: number) => void
  readonly isAccepted: (number: number) => boolean
  readonly hasSucceeded: (taskId: string) => boolean
  readonly onEvent: (event: RuntimeEvent) => void
  /** A prompt reaches an agent. */
  readonly delivered: (entry: Entry, attemptId: string) => void
  /** What the driver tells of an attempt that failed: proven to have changed nothing? */
  readonly reported: (entry: Entry, unchanged: boolean) => void
  /** A task that was acknowledged is not in the store. `kept`: so long, in milliseconds, a dead letter is in the archive. */
  readonly missing: (entry: Entry, at: number, kept: number) => void
  readonly violate: (rule: Violation["rule"], detail: string) => void
  /** The disk is a new one: its events are counted from 1 again. */
  readonly restartSequence: () => void
  /** Takes out what is still open: a failure, unless there would still have been time. */
  readonly close: () => void
  /** By day of acceptance: tasks that are possible, and those that succeeded in time. */
  readonly days: ReadonlyArray<Cluster>
  /** The same, only those that no person had to help. */
  readonly unattended: ReadonlyArray<Cluster>
  readonly recovery: Histogram.Histogram
  readonly queueAge: Histogram.Histogram
  readonly parked: Histogram.Histogram
  /** Why possible tasks did not make it, for people. */
  readonly failures: Map<string, number>
  /** The first of them. */
  readonly failed: Array<{ readonly taskId: string; readonly why: string }>
}

/** By when it is wanted. */
export const dueAt = (entry: Entry): number => entry.acceptedAt + entry.plan.deadline

const numberOf = (taskId: string): number => Number(taskId.slice(1))
/** More say nothing new. */
const kept = 100
/** By how much the wall clock may be behind what it once was. Milliseconds. */
const clockSteps = 7_200_000
/** By so much a task may end after its deadline: a start can not know that the clock was set back since the last one. Milliseconds. */
const overdueAfter = 2 * 3_600_000

/**
 * `now`: the time in which the machine was awake; `worked`: of that, in which the runtime could work; both in milliseconds. `closedGate`: why an
 * agent's account must not be used at this time (Unix milliseconds); undefined: it may.
 */
export const make = (now: () => number, worked: () => number, closedGate: (agentId: string, at: number) => string | undefined): Ledger => {
  const entries = new Map<string, Entry>()
  const waiting = new Map<string, Array<string>>()
  /** By number: 0 unknown, 1 open, 2 over, 3 over and succeeded. */
  let known = new Uint8Array(1 << 16)
  const days: Array<{ possible: number; good: number }> = []
  const unattended: Array<{ possible: number; good: number }> = []
  const violations: Array<Violation> = []
  const recovery = Histogram.make()
  const queueAge = Histogram.make()
  const parkedFor = Histogram.make()
  const parkedAt = new Map<string, number>()
  const failures = new Map<string, number>()
  const failed: Ledger["failed"] = []
  let seq = 0
  const counts: Counts = {
    accepted: 0,
    succeeded: 0,
    deadLettered: 0,
    cancelled: 0,
    unfinished: 0,
    lost: 0,
    duplicated: 0,
    wrongEnds: 0,
    falseClaims: 0,
    poison: 0,
    poisonEscaped: 0,
    excluded: 0,
    attempts: 0,
    extraAttempts: 0,
    helped: 0
  }

  const violate: Ledger["violate"] = (rule, detail) => {
    if (violations.length < kept) violations.push({ rule, at: now(), detail })
  }

  const hasSucceeded = (taskId: string): boolean => known[numberOf(taskId)] === 3

  const clusterOf = (clusters: Array<{ possible: number; good: number }>, day: number) => {
    while (clusters.length <= day) clusters.push({ possible: 0, good: 0 })
    return clusters[day]!
  }

  /** A task is over for good. `why`: what is to be blamed when it did not make it. */
  const finish = (entry: Entry, good: boolean, end: "succeeded" | "other", why: string): void => {
    entries.delete(entry.plan.id)
    parkedAt.delete(entry.plan.id)
    waiting.delete(entry.plan.id)
    known[entry.number] = end === "succeeded" ? 3 : 2
    if (entry.helped) counts.helped++
    if (entry.plan.poison !== undefined) counts.poison++
    else if (entry.excluded) counts.excluded++
    else {
      const day = clusterOf(days, entry.day)
      const alone = clusterOf(unattended, entry.day)
      day.possible++
      alone.possible++
      if (good) day.good++
      else {
        failures.set(why, (failures.get(why) ?? 0) + 1)
        if (failed.length < kept) failed.push({ taskId: entry.plan.id, why })
      }
      if (good && !entry.helped) alone.good++
    }
  }

  /** A run is over when its time is. */
  const checkDue = (entry: Entry): void => {
    const late = worked() - entry.overAt
    if (late > overdueAfter) violate("overdue", `${entry.plan.id} had not ended ${(late / 3_600_000).toFixed(1)} h after its deadline`)
  }

  const endRun = (entry: Entry, run: number): void => {
    checkDue(entry)
    if (entry.endedRun >= run) violate("two-ends", `run ${run} of ${entry.plan.id} ended twice`)
    entry.endedRun = run
    entry.attempt = undefined
  }

  const succeed = (entry: Entry, verified: boolean): void => {
    counts.succeeded++
    if (!entry.done) {
      if (verified) counts.wrongEnds++
      else counts.falseClaims++
    }
    if (entry.plan.poison !== undefined && verified) counts.poisonEscaped++
    const late = now() > dueAt(entry)
    if (entry.failedAt !== undefined) recovery.add(now() - entry.failedAt)
    finish(entry, entry.done && !late, "succeeded", late ? "late" : "not done")
  }

  /** The entry that an event speaks of. */
  const entryOf = (event: { readonly _tag: string; readonly taskId: string }): Entry | undefined => {
    const entry = entries.get(event.taskId)
    if (entry !== undefined) return entry
    const state = known[numberOf(event.taskId)]
    if (state !== undefined && state > 1) violate("acted-on-ended", `${event._tag} of ${event.taskId}, which had ended`)
    else violate("unknown-task", `${event._tag} of ${event.taskId}, which nobody submitted`)
    return undefined
  }

  const admitted = (event: RuntimeEvent & { readonly _tag: "AttemptAdmitted" }, entry: Entry): void => {
    if (entry.attempt !== undefined)
      violate("two-attempts", `${event.taskId} has attempt ${event.attemptId} while ${entry.attempt} is under way`)
    entry.attempt = event.attemptId
    entry.attempts++
    counts.attempts++
    if (entry.attempts > 1) counts.extraAttempts++
    else queueAge.add(now() - entry.acceptedAt)
    const since = parkedAt.get(event.taskId)
    if (since !== undefined) {
      parkedFor.add(now() - since)
      parkedAt.delete(event.taskId)
    }
    if (entry.dependsOn !== undefined && !hasSucceeded(entry.dependsOn))
      violate("dependency", `${event.taskId} began, and ${entry.dependsOn} has not succeeded`)
    const closed = closedGate(event.agentId, event.at)
    if (closed !== undefined) violate("gate-closed", `${event.taskId} was admitted ${closed}`)
  }

  return {
    counts,
    violations,
    open: () => entries.values(),
    get: (taskId) => entries.get(taskId),
    dependents: (taskId) => {
      const found = new Map<string, Entry>()
      const visit = (id: string): void => {
        for (const other of waiting.get(id) ?? []) {
          const entry = entries.get(other)
          if (entry === undefined || found.has(other)) continue
          found.set(other, entry)
          visit(other)
        }
      }
      visit(taskId)
      return [...found.values()]
    },
    accept: (number, plan, dependsOn, day) => {
      if (number >= known.length) {
        const more = new Uint8Array(known.length * 2)
        more.set(known)
        known = more
      }
      if (known[number] !== 0) return
      known[number] = 1
      counts.accepted++
      if (dependsOn !== undefined) {
        const others = waiting.get(dependsOn) ?? []
        waiting.set(dependsOn, [...others, plan.id])
      }
      entries.set(plan.id, {
        number,
        plan,
        dependsOn,
        acceptedAt: now(),
        overAt: worked() + plan.deadline,
        day,
        left: plan.work,
        session: undefined,
        done: false,
        state: "open",
        attempt: undefined,
        attempts: 0,
        endedRun: 0,
        doubtful: false,
        helped: false,
        excluded: false,
        failedAt: undefined,
        movedAt: 0,
        deadAt: 0
      })
    },
    isAccepted: (number) => (known[number] ?? 0) !== 0,
    hasSucceeded,
    onEvent: (event) => {
      if (event.seq !== undefined) {
        if (event.seq !== seq + 1) violate("sequence", `event ${event.seq} follows ${seq}`)
        seq = event.seq
      }
      switch (event._tag) {
        case "AttemptAdmitted": {
          const entry = entryOf(event)
          if (entry !== undefined) admitted(event, entry)
          return
        }
        case "AttemptEnded": {
          const entry = entryOf(event)
          if (entry === undefined) return
          if (entry.attempt !== event.attemptId && entry.attempt !== undefined)
            violate("two-attempts", `${event.attemptId} of ${event.taskId} ended while ${entry.attempt} is under way`)
          entry.attempt = undefined
          entry.movedAt = now()
          if (event.outcome === "failed") entry.failedAt ??= now()
          return
        }
        case "TaskParked":
          if (!parkedAt.has(event.taskId)) parkedAt.set(event.taskId, now())
          return
        case "TaskSucceeded": {
          const entry = entryOf(event)
          if (entry === undefined) return
          endRun(entry, event.run)
          return succeed(entry, event.verified)
        }
        case "TaskDeadLettered": {
          const entry = entryOf(event)
          if (entry === undefined) return
          endRun(entry, event.run)
          entry.state = "dead-lettered"
          entry.deadAt = event.at
          return
        }
        case "TaskCancelled": {
          const entry = entryOf(event)
          if (entry === undefined) return
          endRun(entry, event.run)
          counts.cancelled++
          if (!entry.excluded && entry.plan.poison === undefined)
            violate("cancelled-unasked", `${event.taskId} was cancelled, and nobody had asked for it`)
          entry.excluded = true
          return finish(entry, false, "other", "cancelled")
        }
        case "TaskQueued": {
          const entry = entryOf(event)
          if (entry?.state !== "dead-lettered") return
          // Redriven: a new run, with as much time.
          entry.state = "open"
          entry.overAt = worked() + entry.plan.deadline
          return
        }
        default:
          return
      }
    },
    delivered: (entry, attemptId) => {
      if (entry.plan.effect === "unsafe" && entry.doubtful) {
        counts.duplicated++
        violate("unsafe-twice", `${entry.plan.id} was begun again by ${attemptId} without proof`)
      }
      entry.doubtful = true
    },
    reported: (entry, unchanged) => {
      if (unchanged) entry.doubtful = false
    },
    missing: (entry, at, kept) => {
      // A person has put it aside long ago.
      if (entry.state === "dead-lettered" && at - entry.deadAt > kept - clockSteps) {
        counts.deadLettered++
        return finish(entry, false, "other", entry.state)
      }
      counts.lost++
      violate("lost", `${entry.plan.id} was acknowledged, and is not in the store any more`)
      finish(entry, false, "other", "lost")
    },
    violate,
    restartSequence: () => {
      seq = 0
    },
    close: () => {
      for (const entry of [...entries.values()]) {
        if (entry.state === "dead-lettered") counts.deadLettered++
        else {
          counts.unfinished++
          checkDue(entry)
        }
        // Nobody can say yet what becomes of it.
        if (entry.state === "open" && now() < dueAt(entry)) entry.excluded = true
        finish(entry, false, "other", entry.state)
      }
    },
    days,
    unattended,
    recovery,
    queueAge,
    parked: parkedFor,
    failures,
    failed
  }
}
