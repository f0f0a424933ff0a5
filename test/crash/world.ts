/**
 * What lies outside of the runtime and outlives it: agents' processes, what was delivered to them, and what a user was told.
 *
 * Its drivers write down intent, process and start as real ones do. A runtime that dies leaves the processes that it had running.
 */
import { Effect } from "effect"
import type { AttemptContext, AttemptFailure, Checked, Reaper } from "../../src/agent/AgentDriver.ts"
import type { Fault } from "../../src/agent/Fault.ts"
import type { TaskInput } from "../../src/AgentRuntime.ts"
import type { Disk } from "../../src/store/MemoryStore.ts"
import { claim, driver, failure, type Script } from "../support/runtime.ts"

/** A prompt that may have reached an agent: `started` has returned. */
export interface Delivery {
  readonly task: string
  readonly run: number
  readonly attempt: number
  readonly incarnation: number
  readonly resumed: boolean
}

export interface World {
  /** Which runtime lives at the moment, from 1. */
  incarnation: number
  readonly deliveries: Array<Delivery>
  /** Ids that the user knows to be accepted. */
  readonly acknowledged: Set<string>
  /** Markers of living processes, with the incarnation that started them. */
  readonly processes: Map<string, number>
  /** Checks that ran, by task, in order with the deliveries. */
  readonly steps: Array<string>
  /** Commits on the disk when the reaper was asked. */
  readonly reapedAt: Array<number>
}

export const make = (): World => ({
  incarnation: 0,
  deliveries: [],
  acknowledged: new Set(),
  processes: new Map(),
  steps: [],
  reapedAt: []
})

/** What the n-th delivery of a task comes to, from 1. */
type Behaviour = (delivery: number, run: number) => Effect.Effect<ReturnType<typeof claim>, AttemptFailure>

const fails = (fault: Fault, more: Partial<AttemptFailure> = {}) => Effect.fail(failure(fault, more))
const crashed: Fault = { _tag: "Crashed", detail: "gone", exitCode: null, signal: "SIGSEGV" }

export const behaviours: Readonly<Record<string, Behaviour>> = {
  flaky: (n) => (n === 1 ? fails({ _tag: "Transient", detail: "reset" }) : Effect.succeed(claim())),
  breaks: () => fails(crashed),
  resumes: (n) => (n === 1 ? fails({ _tag: "Transient", detail: "reset" }, { sessionId: "s1" }) : Effect.succeed(claim())),
  bad: (_, run) => (run === 1 ? fails({ _tag: "InvalidRequest", detail: "no" }) : Effect.succeed(claim())),
  limited: (n) => (n === 1 ? fails({ _tag: "RateLimited", detail: "429", retryAfterMillis: 30_000 }) : Effect.succeed(claim())),
  opens: (n) => (n === 1 ? fails(crashed) : Effect.succeed(claim()))
}

/** Every effect class, retries, a check, dependencies of every kind, a gate, a breaker, a dead letter. */
export const tasks: ReadonlyArray<TaskInput> = [
  { id: "flaky", agent: "a", effect: "idempotent" },
  { id: "once", agent: "a", effect: "unsafe" },
  { id: "breaks", agent: "b", effect: "unsafe" },
  { id: "resumes", agent: "r", effect: "resumable" },
  { id: "checked", agent: "a", effect: "unsafe", verify: ["check"] },
  { id: "after", agent: "a", effect: "idempotent", dependsOn: ["once", "checked"] },
  { id: "held", agent: "a", effect: "idempotent", dependsOn: ["breaks"] },
  { id: "dropped", agent: "a", effect: "idempotent", dependsOn: ["breaks"], onDependencyFailed: "cancel" },
  { id: "bad", agent: "a", effect: "idempotent" },
  { id: "limited", agent: "l", effect: "idempotent" },
  { id: "opens", agent: "o", effect: "idempotent" }
]

export const agents = ["a", "b", "r", "l", "o"].map((id) => ({ id, driver: "scripted", account: `account-${id}` }))

export const script =
  (world: World): Script =>
  (attempt, agentId) =>
    Effect.gen(function* () {
      const { incarnation } = world
      const marker = `${attempt.open.marker}#${incarnation}`
      yield* attempt.open.intend
      world.processes.set(marker, incarnation)
      const gone = Effect.andThen(
        Effect.sync(() => world.processes.delete(marker)),
        attempt.open.gone
      )
      return yield* Effect.ensuring(deliver(world, attempt, agentId, incarnation), gone)
    })

const deliver = Effect.fnUntraced(function* (world: World, attempt: AttemptContext, agentId: string, incarnation: number) {
  yield* attempt.open.register({ pid: world.deliveries.length + 1, startTime: "1", bootId: "b" })
  yield* attempt.started(agentId === "r" ? "s1" : undefined)
  const { id } = attempt.task
  world.deliveries.push({ task: id, run: attempt.run, attempt: attempt.attempt, incarnation, resumed: attempt.resume !== undefined })
  world.steps.push(`deliver ${id}`)
  for (const [marker, of] of world.processes) {
    if (of !== incarnation) return yield* Effect.die(`${marker} of an earlier incarnation is still alive`)
  }
  yield* Effect.sleep("1 second")
  const nth = world.deliveries.filter((each) => each.task === id).length
  return yield* behaviours[id]?.(nth, attempt.run) ?? Effect.succeed(claim())
})

export const drivers = (world: World) => ({ scripted: driver(script(world), { resumable: true }) })

export const check = (world: World): Effect.Effect<Checked> =>
  Effect.andThen(
    Effect.sync(() => void world.steps.push("check")),
    Effect.as(Effect.sleep("1 second"), { _tag: "Passed", verified: true } as const)
  )

export const reap =
  (world: World, disk: Disk): Reaper["Service"]["reap"] =>
  (left) =>
    Effect.sync(() => {
      world.reapedAt.push(disk.commits())
      let ended = 0
      for (const { marker } of left) {
        for (const alive of world.processes.keys()) {
          if (alive.startsWith(`${marker}#`) && world.processes.delete(alive)) ended++
        }
      }
      return ended
    })
