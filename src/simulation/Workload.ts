/** What simulated people ask for: how much, of which kinds, and by when. Drawn per task, from a stream of its own. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { EffectClass, Priority } from "../task/Task.ts"
import { PositiveDuration } from "../reliability/PositiveDuration.ts"
import { duration, section, share } from "./FaultModel.ts"
import * as SeededRandom from "./SeededRandom.ts"

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))
const Weight = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))

const Kind = Schema.Struct({
  name: Schema.NonEmptyString,
  /** Its share of the tasks, against the weights of the other kinds. */
  weight: Weight,
  /** Mean time of one turn that nothing disturbs. */
  expected: PositiveDuration,
  effects: Schema.Struct({ idempotent: Weight, resumable: Weight, unsafe: Weight })
})

export const Workload = Schema.Struct({
  /** Accounts that the agents are spread over. Count, default 2. */
  accounts: Count.pipe(Schema.withDecodingDefault(Effect.succeed(2))),
  /** Tasks per agent and hour, at random times. */
  tasksPerAgentHour: Schema.Finite.check(Schema.isGreaterThan(0)),
  /** Tasks that come at once. */
  burst: Schema.optionalKey(Schema.Struct({ every: PositiveDuration, tasks: Count })),
  kinds: Schema.Array(Kind).check(Schema.isMinLength(1)),
  /** By when a task is wanted: this many times its expected time, and this much more. Default 3, and 5 hours, one limit window. */
  deadline: section({
    times: Schema.Finite.check(Schema.isGreaterThan(0)).pipe(Schema.withDecodingDefault(Effect.succeed(3))),
    plus: duration("5 hours")
  }),
  /** Share of tasks that only one agent may do. Default 0. */
  pinned: share(0),
  /** Share that waits for an earlier task. Default 0. */
  dependent: share(0),
  /** Share that is cancelled before it could end. Default 0. */
  cancelled: share(0),
  /** Share that brings a check of its own. Default 1. */
  checked: share(1),
  /** Share that nothing and nobody can do. Default 0. */
  poison: share(0)
}).check(
  Schema.makeFilter((workload) =>
    workload.kinds.some((kind) => kind.weight > 0) ? undefined : { path: ["kinds"], issue: "needs a weight above zero" }
  )
)
export type Workload = typeof Workload.Type

/** How a task that cannot be done fails: it is refused, kills its agents, or never passes its check. */
export type Poison = "invalid" | "refused" | "crasher" | "never-passes"
const poisons: ReadonlyArray<Poison> = ["invalid", "refused", "crasher", "never-passes"]

/** A task before it is submitted. */
export interface Plan {
  readonly id: string
  readonly kind: string
  readonly effect: EffectClass
  readonly priority: Priority
  /** Milliseconds of work that it really is. */
  readonly work: number
  /** Milliseconds after its acceptance by which it is wanted. */
  readonly deadline: number
  /** Index of the only agent that may do it. */
  readonly pinned: number | undefined
  readonly dependent: boolean
  readonly checked: boolean
  readonly poison: Poison | undefined
  /** Milliseconds after its acceptance at which it is cancelled. */
  readonly cancelAfter: number | undefined
}

const effects = ["idempotent", "resumable", "unsafe"] as const
const priorities = ["high", "medium", "low"] as const

/** The task with this number; the same whenever it is asked for. */
export const plan = (workload: Workload, agents: number, seed: number, number: number): Plan => {
  const random = SeededRandom.make(seed, `task ${number}`)
  const kind = workload.kinds[random.pick(workload.kinds.map((each) => each.weight))]!
  const expected = Duration.toMillis(kind.expected)
  const effect = effects[random.pick([kind.effects.idempotent, kind.effects.resumable, kind.effects.unsafe])]!
  const priority = priorities[random.pick([1, 3, 1])]!
  const work = Math.max(1_000, Math.round(random.around(expected)))
  const pinned = random.chance(workload.pinned) ? Math.floor(random.between(0, agents)) : undefined
  const dependent = number > 0 && random.chance(workload.dependent)
  const checked = random.chance(workload.checked)
  const poison = random.chance(workload.poison) ? poisons[random.pick([1, 1, 1, 1])]! : undefined
  const cancelAfter = random.chance(workload.cancelled) ? Math.round(random.exponential(expected)) : undefined
  return {
    id: `t${number}`,
    kind: kind.name,
    effect,
    priority,
    work,
    deadline: Math.round(workload.deadline.times * expected + Duration.toMillis(workload.deadline.plus)),
    pinned,
    dependent,
    checked: checked || poison === "never-passes",
    poison,
    cancelAfter
  }
}
