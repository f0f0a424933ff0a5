/** What each pattern did in a run, counted from its events: a pattern without events has done nothing, and says so. */
import type { EventOf, RuntimeEvent } from "../RuntimeEvent.ts"
import type { LeftBehind } from "./report.ts"

/** What one part did. */
export interface Answer {
  readonly part: string
  /** How often it acted; 0: it had nothing to do. */
  readonly count: number
  /** In words, with its numbers. */
  readonly did: string
}

type Events = ReadonlyArray<RuntimeEvent>

const of = <Tag extends RuntimeEvent["_tag"]>(events: Events, tag: Tag): ReadonlyArray<EventOf<Tag>> =>
  events.filter((event): event is EventOf<Tag> => event._tag === tag)

const times = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`

const seconds = (millis: number): string => `${(millis / 1000).toFixed(1)} s`

const names = (values: Iterable<string>): string => [...new Set(values)].join(", ")

const parked = (events: Events, reason: string) => of(events, "TaskParked").filter(({ waiting }) => waiting.for === reason)

const faults = (events: Events, ...classes: ReadonlyArray<string>) =>
  of(events, "AttemptEnded").filter(({ fault, outcome }) => outcome === "failed" && fault !== undefined && classes.includes(fault._tag))

const retry = (events: Events): Answer => {
  const again = of(events, "AttemptStarted").filter(({ attempt }) => attempt > 1)
  const waits = parked(events, "retry")
  const waited = waits.reduce((sum, { at, waiting }) => sum + Math.max(0, (waiting.notBefore ?? at) - at), 0)
  return {
    part: "retry",
    count: again.length,
    did: `started ${times(again.length, "attempt")} anew after a failure (${names(again.map(({ taskId }) => taskId))}); ${times(waits.length, "wait")} with backoff and jitter, ${seconds(waited)} in all`
  }
}

const gate = (events: Events): Answer => {
  const closed = of(events, "GateClosed")
  const waits = parked(events, "cooldown")
  const closings = closed.map(({ account, at, cause, until }) => `account ${account} for ${seconds(until - at)} (${cause})`)
  return {
    part: "cooldown gate",
    count: closed.length,
    did: `closed ${closings.join(", ")}; ${times(new Set(waits.map(({ taskId }) => taskId)).size, "task")} waited for it`
  }
}

const limiter = (events: Events): Answer => {
  const waits = parked(events, "rateLimit")
  return { part: "rate limiter", count: waits.length, did: `made ${names(waits.map(({ taskId }) => taskId))} wait` }
}

const breaker = (events: Events): Answer => {
  const changes = of(events, "CircuitStateChanged")
  const opened = changes.filter(({ to }) => to === "open")
  const closed = changes.filter(({ to }) => to === "closed")
  return {
    part: "circuit breaker",
    count: opened.length,
    did: `opened ${times(opened.length, "time")} (${names(opened.map(({ key }) => key))}), closed again ${times(closed.length, "time")} after a probe`
  }
}

const limits = (events: Events): Answer => {
  const stopped = faults(events, "Stalled", "TimedOut", "Runaway")
  return {
    part: "attempt limit",
    count: stopped.length,
    did: `stopped ${stopped.map(({ durationMillis, fault, taskId }) => `${taskId} after ${seconds(durationMillis)} (${fault!._tag})`).join(", ")}`
  }
}

const verify = (events: Events): Answer => {
  const claimed = new Set(of(events, "AttemptClaimed").map(({ attemptId }) => attemptId))
  const caught = faults(events, "CheckFailed", "FalseSuccess").filter(({ attemptId }) => claimed.has(attemptId))
  const verified = of(events, "TaskSucceeded").filter((event) => event.verified)
  return {
    part: "verify",
    count: caught.length,
    did: `caught ${times(caught.length, "claim")} of success that ${caught.length === 1 ? "was" : "were"} false (${names(caught.map(({ taskId }) => taskId))}), and confirmed ${verified.length}`
  }
}

const reroute = (events: Events): Answer => {
  const last = new Map<string, string>()
  const moved: Array<string> = []
  for (const { agentId, taskId } of of(events, "AttemptStarted")) {
    const before = last.get(taskId)
    if (before !== undefined && before !== agentId) moved.push(`${taskId} from ${before} to ${agentId}`)
    last.set(taskId, agentId)
  }
  return { part: "dispatcher", count: moved.length, did: `moved ${moved.join(", ")}` }
}

const tree = (left: ReadonlyArray<LeftBehind>): Answer => {
  const ended = left.filter(({ alive }) => !alive)
  return {
    part: "process tree",
    count: ended.length,
    did: `ended what was left running (pid ${ended.map(({ pid }) => pid).join(", ")})`
  }
}

const dependencies = (events: Events): Answer => {
  const cancelled = of(events, "TaskCancelled")
  return {
    part: "dependencies",
    count: cancelled.length,
    did: `cancelled ${cancelled.map(({ reason, taskId }) => `${taskId}: ${reason}`).join("; ")}`
  }
}

const letters = (events: Events): Answer => {
  const added = of(events, "DeadLetterAdded")
  return {
    part: "dead letter queue",
    count: added.length,
    did: `keeps ${names(added.map(({ subject }) => subject.split("/").at(-1)!))}, with its whole history`
  }
}

const shutdown = (events: Events): Answer => {
  const phases = of(events, "ShutdownPhaseEnded")
  const abandoned = of(events, "ShutdownFinished").flatMap((event) => event.abandoned)
  return {
    part: "shutdown",
    count: phases.length,
    did: `went through ${times(phases.length, "phase")}, abandoned ${abandoned.length === 0 ? "nothing" : names(abandoned)}`
  }
}

/** In the order of the pipe, then what stands around it. */
export const answers = (events: Events, leftBehind: ReadonlyArray<LeftBehind>): ReadonlyArray<Answer> => [
  retry(events),
  gate(events),
  limiter(events),
  breaker(events),
  limits(events),
  tree(leftBehind),
  verify(events),
  reroute(events),
  dependencies(events),
  letters(events),
  shutdown(events)
]
