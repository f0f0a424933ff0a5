/** The people who submit tasks: at random times, in bursts, and again when the runtime was not there or did not answer. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { TaskInput } from "../AgentRuntime.ts"
import type { InputInvalid } from "../runtime/Input.ts"
import type { SubmitError } from "../runtime/Intake.ts"
import { agentId, giveUp, type Scene } from "./Scene.ts"
import * as Random from "./SeededRandom.ts"
import * as Workload from "./Workload.ts"

/** How long somebody waits who was refused, or found nobody. Milliseconds. */
const againAfter = 30_000
const day = 86_400_000

export interface Arrivals {
  /** The runtime is there: what could not be submitted is. */
  readonly onStart: () => void
  /** A task is durable. */
  readonly onAccepted: (taskId: string) => void
  /** Tasks that nobody has acknowledged yet. */
  readonly waiting: () => number
  readonly submitted: () => number
}

interface Submission {
  readonly number: number
  readonly plan: Workload.Plan
  readonly input: TaskInput
  readonly dependsOn: string | undefined
}

/** `until`: the calendar's time from which on nothing new comes. */
export const make = (scene: Scene, until: number): Arrivals => {
  const { agents, ledger, seed, timeline, workload } = scene
  const random = Random.make(seed, "arrivals")
  const bursts = Random.make(seed, "bursts")
  const between = 3_600_000 / (workload.tasksPerAgentHour * agents)
  const waiting = new Map<string, Submission>()
  let numbers = 0
  let again = false

  const submission = (): Submission => {
    const number = numbers++
    const plan = Workload.plan(workload, agents, seed, number)
    const other = plan.dependent ? `t${number - 1}` : undefined
    // Only what is there can be depended on.
    const dependsOn = other !== undefined && ledger.get(other) !== undefined ? other : undefined
    return {
      number,
      plan,
      dependsOn,
      input: {
        id: plan.id,
        kind: plan.kind,
        effect: plan.effect,
        priority: plan.priority,
        deadline: `${plan.deadline} millis`,
        ...(plan.checked ? { verify: ["check"] } : {}),
        ...(plan.pinned === undefined ? {} : { agent: agentId(plan.pinned) }),
        ...(dependsOn === undefined ? {} : { dependsOn: [dependsOn] })
      }
    }
  }

  /** Somebody changes their mind. */
  const cancelLater = (taskId: string, millis: number): void => {
    timeline.at(timeline.now() + millis, () => {
      const entry = ledger.get(taskId)
      if (entry === undefined) return
      const host = scene.host()
      if (host?.runtime === undefined) return cancelLater(taskId, againAfter)
      entry.excluded = true
      const { incarnation, runtime } = host
      const dependents = ledger.dependents(taskId)
      incarnation.run(
        Effect.flatMap(runtime.cancel(taskId, "somebody changed their mind"), ({ state }) =>
          state === "cancelled" ? giveUp(runtime, dependents, "what it waits for was cancelled") : Effect.void
        )
      )
    })
  }

  const submit = (one: Submission, onAnswer: () => void = () => {}): void => {
    const host = scene.host()
    if (host?.runtime === undefined) return
    const refused = (error: SubmitError | InputInvalid): void => {
      // It was acknowledged to a process that died before it could tell.
      if (!waiting.has(one.plan.id)) return onAnswer()
      const inFlight = error._tag === "TaskInvalid" && /already|just now/.test(error.problem)
      if (inFlight || error._tag === "QueueFull" || error._tag === "IntakeStopped") return retryLater()
      ledger.violate("unknown-task", `${one.plan.id} was refused: ${error.message}`)
      waiting.delete(one.plan.id)
    }
    host.incarnation.run(Effect.match(host.runtime.submit(one.input), { onSuccess: onAnswer, onFailure: refused }))
  }

  /** One after the other, until one is refused. */
  const retryAll = (): void => {
    const one = waiting.values().next().value
    if (one !== undefined) submit(one, () => void timeline.at(timeline.now(), retryAll))
  }

  const retryLater = (): void => {
    if (again) return
    again = true
    timeline.at(timeline.now() + againAfter, () => {
      again = false
      retryAll()
    })
  }

  const come = (): void => {
    const one = submission()
    waiting.set(one.plan.id, one)
    submit(one)
  }

  const next = (): void => {
    timeline.at(timeline.now() + random.exponential(between), () => {
      if (scene.calendar() >= until) return
      come()
      next()
    })
  }
  next()

  const { burst } = workload
  const nextBurst = (every: number, tasks: number): void => {
    timeline.at(timeline.now() + bursts.exponential(every), () => {
      if (scene.calendar() >= until) return
      for (let task = 0; task < tasks; task++) come()
      nextBurst(every, tasks)
    })
  }
  if (burst !== undefined) nextBurst(Duration.toMillis(burst.every), burst.tasks)

  return {
    onStart: retryAll,
    onAccepted: (taskId) => {
      const one = waiting.get(taskId)
      if (one === undefined) return
      waiting.delete(taskId)
      ledger.accept(one.number, one.plan, one.dependsOn, Math.floor(scene.calendar() / day))
      if (one.plan.cancelAfter !== undefined) cancelLater(taskId, one.plan.cancelAfter)
    },
    waiting: () => waiting.size,
    submitted: () => numbers
  }
}
