/**
 * The one dispatcher: gives waiting tasks to agents, in order, as far as every stage lets them through.
 *
 * It runs to a standstill whenever something changed, and arms one timer for the earliest time at which a stage may answer differently.
 * Nothing polls. Operations of supervisors (spawn, restart) wait here too, in front of the tasks.
 */
import * as Effect from "effect/Effect"
import type { Task, Waiting } from "../task/Task.ts"
import * as TaskLife from "../task/TaskLife.ts"
import { fitting, type Lane } from "../task/TaskQueue.ts"
import { type Agent, append, type Core, setAgentState } from "./Core.ts"
import { accountKey, type Admission, agentKey, type Refusal, type Request } from "./Pipe.ts"
import type { Timer } from "./TaskTable.ts"

/** Longest time of a driver's look at its agent. */
const lookLimit = "30 seconds"
/** A wait longer than this is written down with the task. Milliseconds. */
const durableWait = 1_000

export interface Dispatcher {
  readonly pump: () => void
  /** Waits until every stage lets the operation through. */
  readonly admitted: (request: Request) => Effect.Effect<Admission>
  /** What a task in the queue waits for. */
  readonly waiting: (task: Task) => Waiting | undefined
}

export interface Options {
  /** Why nothing may start at the moment; undefined: go. `notBefore` in monotonic milliseconds. */
  readonly held: () => { readonly for: Waiting["for"]; readonly detail: string; readonly notBefore?: number } | undefined
  readonly start: (task: Task, agent: Agent, admission: Admission) => void
  /** No agent that could ever do this task is left. */
  readonly hopeless: (task: Task) => void
}

interface Operation {
  readonly request: Request
  readonly resume: (admission: Admission) => void
}

const stageOf = (refusal: Refusal): Waiting["for"] => refusal.stage as Waiting["for"]

export const make = (core: Core, options: Options): Dispatcher => {
  const operations = new Set<Operation>()
  /** Why the head of a lane was refused last. */
  const refusals = new Map<string, Waiting>()
  let pumping = false
  let again = false
  let wake: Timer | undefined
  let wakeAt = Number.POSITIVE_INFINITY

  /** What waits here has a deadline that is not over, and its retry is due: otherwise it would not be here. */
  const admit = (request: Request): Admission | Refusal => {
    core.trace?.(request.operation, "deadline", "passed", request.subject)
    core.trace?.(request.operation, "retry", "passed", request.subject)
    return core.admit(request)
  }

  const arm = (at: number): void => {
    if (at === wakeAt) return
    wake?.cancel()
    wakeAt = at
    wake =
      at === Number.POSITIVE_INFINITY
        ? undefined
        : core.arm(Math.max(1, at - core.now()), () => {
            wakeAt = Number.POSITIVE_INFINITY
            // Through the runtime: while it starts, or drains, nothing is let through.
            core.pump()
          })
  }

  const waitingFor = (refusal: Refusal): Waiting => ({
    for: stageOf(refusal),
    detail: refusal.detail,
    ...(refusal.notBefore === undefined ? {} : { notBefore: Math.ceil(core.wallNow() + Math.max(0, refusal.notBefore - core.now())) })
  })

  /** Writes down that the head of a lane waits, when it will take a while and was not known yet. */
  const park = (task: Task, waiting: Waiting): void => {
    if (waiting.notBefore === undefined || waiting.notBefore - core.wallNow() <= durableWait) return
    const known = task.waiting
    if (known?.for === waiting.for && known.notBefore !== undefined && Math.abs(known.notBefore - waiting.notBefore) <= durableWait) return
    const parked = TaskLife.parked(task, waiting)
    core.table.put(parked)
    core.journal.note(
      { _tag: "PutTask", task: parked },
      append(core, { _tag: "TaskParked", taskId: task.spec.id, batch: task.batch, waiting })
    )
  }

  /** Is there an agent that could do the lane's tasks, now or later? */
  const hopeful = (lane: Lane): boolean => {
    for (const agent of core.agents.values()) {
      if (agent.state === "failed") continue
      if (
        lane.agent === undefined ? lane.capabilities.every((each) => agent.spec.capabilities.includes(each)) : agent.spec.id === lane.agent
      )
        return true
    }
    return false
  }

  const idle = (lane: Lane): ReadonlyArray<Agent> => {
    if (lane.agent !== undefined) {
      const agent = core.agents.get(lane.agent)
      return agent !== undefined && agent.state === "idle" ? [agent] : []
    }
    const able: Array<Agent> = []
    for (const agent of core.agents.values()) {
      if (agent.state !== "idle") continue
      if (lane.capabilities.every((capability) => agent.spec.capabilities.includes(capability))) able.push(agent)
    }
    return able.length < 2 ? able : able.sort((a, b) => a.lastUsed - b.lastUsed)
  }

  /**
   * A breaker lets one through to see whether things are well again: the driver's own look comes first, for it costs nothing; then the lane's first
   * task that is not unsafe.
   */
  const lookFirst = (lane: Lane, agent: Agent, admission: Admission): void => {
    setAgentState(core, agent, "waiting", "looks whether it is well again")
    core.fork(
      Effect.gen(function* () {
        const well = yield* Effect.isSuccess(Effect.timeout(agent.driver.probe(agent.spec), lookLimit))
        if (agent.state === "waiting") setAgentState(core, agent, "idle", "")
        if (!well) {
          for (const key of [agentKey(agent.spec.id), accountKey(agent.account)]) {
            yield* core.patterns.breaker.probe(key, Effect.succeed(false))
          }
        }
        const task = well && agent.state === "idle" && lane.heap.length > 0 ? core.table.get(lane.safest!) : undefined
        if (task === undefined) admission.withdraw()
        else options.start(task, agent, admission)
        pump()
      })
    )
  }

  /** Starts the lane's first task on an agent, or answers the earliest time at which that may work. */
  const serve = (lane: Lane): "started" | number => {
    let earliest: Refusal | undefined
    for (const agent of idle(lane)) {
      const head = core.table.get(lane.head!)!
      const request: Request = { operation: "execute", subject: head.key, agentId: agent.spec.id, account: agent.account }
      const answer = admit(request)
      if (answer._tag === "Refusal") {
        if (earliest === undefined || (answer.notBefore ?? Number.POSITIVE_INFINITY) < (earliest.notBefore ?? Number.POSITIVE_INFINITY))
          earliest = answer
        continue
      }
      refusals.delete(lane.name)
      if (answer.probe) lookFirst(lane, agent, answer)
      else options.start(head, agent, answer)
      return "started"
    }
    if (earliest === undefined) {
      refusals.delete(lane.name)
      if (!hopeful(lane)) options.hopeless(core.table.get(lane.head!)!)
      return Number.POSITIVE_INFINITY
    }
    const waiting = waitingFor(earliest)
    refusals.set(lane.name, waiting)
    park(core.table.get(lane.head!)!, waiting)
    return earliest.notBefore ?? Number.POSITIVE_INFINITY
  }

  const pass = (): number => {
    let earliest = Number.POSITIVE_INFINITY
    for (const operation of operations) {
      const answer = admit(operation.request)
      if (answer._tag === "Refusal") {
        earliest = Math.min(earliest, answer.notBefore ?? Number.POSITIVE_INFINITY)
        continue
      }
      operations.delete(operation)
      operation.resume(answer)
    }
    const held = options.held()
    if (held !== undefined) return Math.min(earliest, held.notBefore ?? Number.POSITIVE_INFINITY)
    const refused = new Set<string>()
    for (let started = true; started; ) {
      started = false
      for (const lane of core.table.queue.lanes()) {
        if (refused.has(lane.name)) continue
        const answer = serve(lane)
        if (answer === "started") {
          started = true
          break
        }
        refused.add(lane.name)
        earliest = Math.min(earliest, answer)
      }
    }
    return earliest
  }

  const pump = (): void => {
    if (pumping) {
      again = true
      return
    }
    pumping = true
    try {
      let earliest: number
      do {
        again = false
        earliest = pass()
      } while (again)
      arm(earliest)
    } finally {
      pumping = false
    }
  }

  /** Through the stages that answer at once. */
  const passed = (request: Request): Effect.Effect<Admission> =>
    Effect.callback<Admission>((resume) => {
      const answer = admit(request)
      if (answer._tag === "Admission") return resume(Effect.succeed(answer))
      let given: Admission | undefined
      const operation: Operation = {
        request,
        resume: (admission) => {
          given = admission
          resume(Effect.succeed(admission))
        }
      }
      operations.add(operation)
      if (answer.notBefore !== undefined && answer.notBefore < wakeAt) arm(answer.notBefore)
      return Effect.sync(() => {
        operations.delete(operation)
        given?.withdraw()
      })
    })

  /** And through limits that are counted elsewhere. */
  const admitted = (request: Request): Effect.Effect<Admission> =>
    Effect.flatMap(passed(request), (admission) => {
      if (admission.reserve === undefined) return Effect.succeed(admission)
      const reserved = Effect.onInterrupt(admission.reserve, () => Effect.sync(admission.withdraw))
      return Effect.flatMap(reserved, (refusal) => {
        if (refusal === undefined) return Effect.succeed(admission)
        admission.withdraw()
        return admitted(request)
      })
    })

  return {
    pump,
    admitted,
    waiting: (task) => {
      if (task.waiting !== undefined) return task.waiting
      if (task.state !== "queued") return undefined
      const held = options.held()
      if (held !== undefined) return { for: held.for, detail: held.detail }
      const { agent, name } = fitting(task)
      const refusal = refusals.get(name)
      if (refusal !== undefined) return refusal
      if (agent !== undefined && !core.agents.has(agent)) return { for: "agent", detail: `agent ${agent} is not there` }
      return { for: "agent", detail: agent === undefined ? "every agent that could do it is busy" : `agent ${agent} is busy` }
    }
  }
}
