/**
 * What the demo's run came to, out of the events that really happened and the files that are really there.
 *
 * Nothing in it is known beforehand, but for how each task is to end: that decides whether the demo went well.
 */
import type { EventOf, RuntimeEvent } from "../RuntimeEvent.ts"
import { type Answer, answers } from "./answers.ts"
import { type Produced, produced } from "./produced.ts"
import { type DemoScenario, demoScenarios } from "./scenarios.ts"

/** One thing that was asked for, and how it ended. */
export interface Asked {
  readonly taskId: string
  readonly asked: string
  /** `unfinished` when it has not ended. */
  readonly end: DemoScenario["end"] | "unfinished"
  /** Confirmed by the task's own check. */
  readonly verified: boolean
  readonly attempts: number
}

/** An attempt that failed. */
export interface Wrong {
  readonly taskId: string
  readonly attempt: number
  readonly agentId: string
  /** Class of the fault. */
  readonly fault: string
  readonly detail: string
  /** How long it took. */
  readonly millis: number
}

/** A process that an agent left behind, by the agent's own note. */
export interface LeftBehind {
  readonly pid: number
  readonly alive: boolean
}

export interface Left {
  readonly id: string
  readonly subject: string
  readonly cause: string
  readonly reason: string
}

/** What was observed. */
export interface Observed {
  readonly events: ReadonlyArray<RuntimeEvent>
  /** Files of the repository by path, before and after. */
  readonly before: ReadonlyMap<string, string>
  readonly after: ReadonlyMap<string, string>
  readonly deadLetters: ReadonlyArray<Left>
  readonly leftBehind: ReadonlyArray<LeftBehind>
  /** Processes of the demo's agents that still live. */
  readonly processes: ReadonlyArray<number>
}

export interface DemoReport {
  readonly asked: ReadonlyArray<Asked>
  readonly wrong: ReadonlyArray<Wrong>
  readonly leftBehind: ReadonlyArray<LeftBehind & { readonly taskId: string; readonly detail: string }>
  readonly answers: ReadonlyArray<Answer>
  readonly produced: ReadonlyArray<Produced>
  readonly deadLetters: ReadonlyArray<Left>
  readonly processes: ReadonlyArray<number>
  /** What is not as it must be, one sentence each. */
  readonly differs: ReadonlyArray<string>
}

/** The report of a run of these scenarios. */
export const make = (observed: Observed, scenarios: ReadonlyArray<DemoScenario> = demoScenarios): DemoReport => {
  const { events } = observed
  const leaver = scenarios.find(({ fault }) => fault?.kind === "grandchild")
  const asked = scenarios.map((scenario) => askedOf(scenario, events))
  const wrong = events
    .filter((event) => event._tag === "AttemptEnded")
    .filter(({ outcome }) => outcome === "failed")
    .map(wrongOf)
  return {
    asked,
    wrong,
    leftBehind: observed.leftBehind.map((each) => ({ ...each, taskId: leaver?.taskId ?? "", detail: leaver?.wrong ?? "" })),
    answers: answers(events, observed.leftBehind),
    produced: produced(observed.before, observed.after),
    deadLetters: observed.deadLetters,
    processes: observed.processes,
    differs: differences(observed, scenarios, asked, wrong)
  }
}

const ends = { TaskSucceeded: "succeeded", TaskDeadLettered: "dead-lettered", TaskCancelled: "cancelled" } as const

type EndEvent = EventOf<keyof typeof ends>

const isEnd = (event: RuntimeEvent): event is EndEvent => event._tag in ends

const askedOf = ({ asked, taskId }: DemoScenario, events: ReadonlyArray<RuntimeEvent>): Asked => {
  const own = events.filter((event) => "taskId" in event && event.taskId === taskId)
  const end = own.filter(isEnd).at(-1)
  return {
    taskId,
    asked,
    end: end === undefined ? "unfinished" : ends[end._tag],
    verified: end?._tag === "TaskSucceeded" && end.verified,
    attempts: own.filter((event) => event._tag === "AttemptStarted").length
  }
}

const wrongOf = ({ agentId, attempt, durationMillis, fault, taskId }: EventOf<"AttemptEnded">): Wrong => ({
  taskId,
  attempt,
  agentId,
  fault: fault?._tag ?? "Unknown",
  detail: fault?.detail ?? "",
  millis: durationMillis
})

const differences = (
  { deadLetters, leftBehind, processes }: Observed,
  scenarios: ReadonlyArray<DemoScenario>,
  asked: ReadonlyArray<Asked>,
  wrong: ReadonlyArray<Wrong>
): ReadonlyArray<string> => {
  const found: Array<string> = []
  for (const [index, { end, fault, taskId }] of scenarios.entries()) {
    const real = asked[index]!
    if (real.end !== end) found.push(`${taskId} was to end ${end}, and is ${real.end}`)
    if (end === "succeeded" && real.end === end && !real.verified) found.push(`${taskId} succeeded without having been checked`)
    const failures = wrong.filter((each) => each.taskId === taskId).length
    const expected = fault === undefined || fault.kind === "grandchild" ? 0 : (fault.times ?? 1)
    if (failures < expected)
      found.push(`${taskId} was to fail ${expected === 1 ? "once" : `${expected} times`} on the way, and failed ${failures} times`)
    if (fault?.kind === "grandchild" && leftBehind.length === 0) found.push(`${taskId} was to leave a process behind, and left none`)
  }
  const lost = scenarios.filter(({ end }) => end === "dead-lettered").length
  if (deadLetters.length !== lost) found.push(`${lost} dead letters were to be left, and there are ${deadLetters.length}`)
  if (processes.length > 0) found.push(`processes of its agents are left: ${processes.join(", ")}`)
  return found
}
