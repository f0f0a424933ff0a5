/** The runtime's state as the documents of `RuntimeStatus`. Reads only. */
import type { TaskEnd } from "../AgentRuntime.ts"
import type { HealthReport } from "../reliability/Health.ts"
import type { BreakerStatus } from "../reliability/CircuitBreaker.ts"
import { isEnd, type Task } from "../task/Task.ts"
import * as TaskLife from "../task/TaskLife.ts"
import type * as Status from "../RuntimeStatus.ts"
import type { AgentView, RetryMetrics, TaskView } from "../RuntimeStatus.ts"
import type { RuntimeEvent } from "../RuntimeEvent.ts"
import type { Agent, Core } from "./Core.ts"
import type { Dispatcher } from "./Dispatcher.ts"
import { accountKey, agentKey } from "./Pipe.ts"

export const agentView = (core: Core, agent: Agent): AgentView => {
  const task = agent.running === undefined ? undefined : core.table.get(agent.running.taskKey)
  return {
    id: agent.spec.id,
    driver: agent.spec.driver,
    account: agent.account,
    capabilities: agent.spec.capabilities,
    state: agent.state,
    detail: agent.detail,
    stateSince: agent.stateSince,
    ...(task === undefined ? {} : { task: task.spec.id }),
    ...(agent.session?.process === undefined ? {} : { pid: agent.session.process.pid }),
    restarts: agent.restartCount,
    ...(agent.running?.permission === undefined ? {} : { permission: agent.running.permission })
  }
}

export const taskView = (core: Core, dispatcher: Dispatcher, task: Task): TaskView => {
  const last = TaskLife.lastAttempt(task)
  const waited = task.waiting?.notBefore !== undefined && task.waiting.notBefore <= core.wallNow()
  const waiting = isEnd(task.state) ? undefined : dispatcher.waiting(waited ? TaskLife.queued(task) : task)
  // Assigned, not spread: a snapshot has thousands of them.
  const view: { -readonly [Key in keyof TaskView]: TaskView[Key] } = {
    key: task.key,
    id: task.spec.id,
    batch: task.batch,
    state: waited && task.state === "parked" ? "queued" : task.state,
    priority: task.spec.priority,
    effect: task.spec.effect,
    acceptedAt: task.acceptedAt,
    run: task.run,
    attempts: TaskLife.attemptsOfRun(task),
    dependsOn: task.spec.dependsOn
  }
  if (task.endedAt !== undefined) view.endedAt = task.endedAt
  if (task.deadlineAt !== undefined) view.deadlineAt = task.deadlineAt
  if (last !== undefined) view.agentId = last.agentId
  if (last?.startedAt !== undefined) view.startedAt = last.startedAt
  if (waiting !== undefined) view.waiting = waiting
  if (last?.fault !== undefined) view.lastFault = last.fault
  if (task.result !== undefined) view.verified = task.result.verified
  if (task.reason !== undefined) view.reason = task.reason
  if (task.deadLetterId !== undefined) view.deadLetterId = task.deadLetterId
  return view
}

/** Counters that events feed: one place, whoever asks. */
export const makeCounters = (): {
  readonly onEvent: (event: RuntimeEvent) => void
  readonly retry: () => RetryMetrics
} => {
  let attempts = 0
  let retries = 0
  let exhausted = 0
  let budgetRefusals = 0
  const faults: Record<string, number> = {}
  return {
    onEvent: (event) => {
      switch (event._tag) {
        case "AttemptStarted":
          attempts++
          if (event.attempt > 1) retries++
          break
        case "AttemptEnded":
          if (event.fault !== undefined) faults[event.fault._tag] = (faults[event.fault._tag] ?? 0) + 1
          break
        case "TaskDeadLettered":
          if (event.attempts > 1) exhausted++
          break
        case "TaskParked":
          if (event.waiting.for === "budget") budgetRefusals++
          break
        default:
          break
      }
    },
    retry: () => ({ attempts, retries, exhausted, budgetRefusals, faults: { ...faults } })
  }
}

/** How a task that has ended did. */
export const endOf = (task: Task): TaskEnd => {
  const last = TaskLife.lastAttempt(task)
  return {
    taskId: task.spec.id,
    state: task.state as TaskEnd["state"],
    run: task.run,
    attempts: TaskLife.attemptsOfRun(task),
    ...(last === undefined ? {} : { agentId: last.agentId }),
    ...(task.result === undefined
      ? {}
      : {
          verified: task.result.verified,
          output: task.result.claim.output,
          ...(task.result.claim.outputFile === undefined ? {} : { outputFile: task.result.claim.outputFile })
        }),
    ...(task.reason === undefined ? {} : { reason: task.reason }),
    ...(task.deadLetterId === undefined ? {} : { deadLetterId: task.deadLetterId })
  }
}

const breakerView = (status: BreakerStatus): Status.BreakerView => {
  const { failed, ignored, rejected, succeeded } = status.counts
  return {
    key: status.key,
    state: status.state,
    failures: status.failures,
    calls: succeeded + failed + ignored + rejected,
    succeeded,
    failed,
    ignored,
    rejected,
    inFlight: status.inFlight,
    ...(status.retryAt === undefined ? {} : { retryAt: status.retryAt }),
    ...(status.cause === undefined ? {} : { cause: status.cause })
  }
}

export const breakerKeys = (agent: Agent): readonly [string, string] => [agentKey(agent.spec.id), accountKey(agent.account)]

const severity = ["closed", "half-open", "open", "isolated"] as const

export const agentBreaker = (core: Core, agent: Agent): Status.AgentCircuitBreakerStatus => {
  const [own, account] = breakerKeys(agent).map((key) => breakerView(core.patterns.breaker.status(key))) as [
    Status.BreakerView,
    Status.BreakerView
  ]
  return {
    agentId: agent.spec.id,
    account: agent.account,
    state: severity.indexOf(own.state) >= severity.indexOf(account.state) ? own.state : account.state,
    agentBreaker: own,
    accountBreaker: account
  }
}

/** The documents about the runtime as a whole. */
export interface StatusOf {
  readonly reliability: () => Status.ReliabilityStatus
  readonly health: () => HealthReport
  readonly retry: () => Status.RetryMetrics
  readonly rateLimiter: () => Status.RateLimiterMetrics
  readonly deadLetters: () => Status.DLQMetrics
}

export const statusOf = (
  core: Core,
  counters: ReturnType<typeof makeCounters>,
  phase: () => Status.ReliabilityStatus["phase"]
): StatusOf => {
  const health = (): HealthReport => core.health.report()
  const rateLimiter = (): Status.RateLimiterMetrics => {
    const { admitted, keys, refused } = core.patterns.limiter.metrics()
    return { admitted, refused, keys }
  }
  const bulkhead = (): Status.BulkheadMetrics => {
    const { permits, refused, running } = core.patterns.bulkhead.metrics()
    return { running, permits, refused }
  }
  const deadLetters = (): Status.DLQMetrics => ({ ...core.deadLetters.metrics(), capacity: core.config.deadLetter.maxLetters })
  return {
    health,
    retry: counters.retry,
    rateLimiter,
    deadLetters,
    reliability: () => {
      const agents: Record<string, number> = {}
      for (const agent of core.agents.values()) agents[agent.state] = (agents[agent.state] ?? 0) + 1
      return {
        at: core.wallNow(),
        phase: phase(),
        health: health(),
        agents,
        tasks: core.table.counts(),
        breakers: core.patterns.breaker.statuses().map(breakerView),
        gates: core.patterns.gate.statuses().map((gate) => ({
          account: gate.account,
          state: gate.state,
          ...(gate.until === undefined ? {} : { until: gate.until }),
          ...(gate.cause === undefined ? {} : { cause: gate.cause })
        })),
        retry: counters.retry(),
        rateLimiter: rateLimiter(),
        bulkhead: bulkhead(),
        deadLetters: deadLetters()
      }
    }
  }
}
