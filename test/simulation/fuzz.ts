/** Random worlds for the runtime: how they are made, judged, and made smaller when one breaks a promise. */
import { Duration, Effect } from "effect"
import * as Campaign from "../../src/simulation/Campaign.ts"
import { profiles } from "../../src/simulation/profiles.ts"
import * as Random from "../../src/simulation/SeededRandom.ts"
import type * as Simulation from "../../src/simulation/Simulation.ts"

type Fields = Record<string, unknown>
/** A profile as a file has it. */
interface ProfileFile {
  readonly workload: Fields
  readonly faults: Record<string, Fields>
  config?: Fields
}

/** One world. */
export interface Case {
  readonly seed: number
  readonly days: number
  readonly agents: number
  readonly profile: ProfileFile
}

/** What replaces a part of the world: a runtime that is broken on purpose. */
export type Mutation = Pick<Simulation.Options, "runtime" | "disk">

const faultGroups = {
  agent: ["startFails", "crashEvery", "hangEvery", "slow", "corrupt", "falseSuccess"],
  provider: ["transientEvery", "outage", "overload", "usageLimit", "authLoss"],
  machine: ["kill", "suspend", "clockStep", "stall", "diskFull"]
} as const

const scaled = (text: string, factor: number): string =>
  `${Math.max(1, Math.round(Duration.toMillis(Duration.fromInputUnsafe(text as Duration.Input)) * factor))} millis`

/** A world that this number decides: a built-in profile with other rates, a light workload, a configuration with other limits. */
export const generate = (number: number, days: number): Case => {
  const random = Random.make(number, "fuzz")
  const names = Object.keys(profiles) as Array<keyof typeof profiles>
  const base = structuredClone(profiles[names[random.pick(names.map(() => 1))]!]) as unknown as ProfileFile
  for (const [part, groups] of Object.entries(faultGroups)) {
    for (const group of groups) {
      const faults = base.faults[part]!
      const fault = faults[group] as string | { every: string } | undefined
      if (typeof fault === "string") faults[group] = scaled(fault, 4 ** random.between(-1, 1))
      else if (typeof fault === "object" && "every" in fault) fault.every = scaled(fault.every, 4 ** random.between(-1, 1))
    }
  }
  base.workload["tasksPerAgentHour"] = random.between(1, 5)
  base.workload["accounts"] = 1 + Math.floor(random.between(0, 3))
  base.workload["dependent"] = random.between(0, 0.2)
  base.workload["cancelled"] = random.between(0, 0.05)
  base.workload["pinned"] = random.between(0, 0.5)
  base.workload["burst"] = { every: "12 hours", tasks: Math.ceil(random.between(1, 20)) }
  base.config = {
    retry: {
      maxAttempts: 1 + Math.floor(random.between(0, 6)),
      strategy: ["exponential", "decorrelated", "fixed"][random.pick([1, 1, 1])]
    },
    circuitBreaker: { consecutiveFailures: 1 + Math.floor(random.between(0, 8)), probes: 1 + Math.floor(random.between(0, 3)) },
    bulkhead: {
      global: { permits: 1 + Math.floor(random.between(0, 8)) },
      perAccount: { permits: 1 + Math.floor(random.between(0, 4)) }
    },
    rateLimit: { perAccount: ["api", "user", "expensive", "none"][random.pick([1, 1, 1, 1])] },
    timeLimit: { stall: `${Math.ceil(random.between(1, 10))} minutes` },
    deadLetter: { redriveAfter: `${Math.ceil(random.between(1, 30))} minutes` },
    health: { interval: `${Math.ceil(random.between(15, 300))} seconds` }
  }
  return { seed: number, days, agents: 1 + Math.floor(random.between(0, 6)), profile: base }
}

/** The world as a campaign runs it. */
export const runOf = ({ profile, ...world }: Case): Campaign.Run => ({
  ...world,
  profile: { name: `fuzz-${world.seed}.yaml`, text: JSON.stringify(profile) },
  without: [],
  hashEvents: false
})

/** Every promise that was broken; none: the world is sound. */
export const judge = (answer: Campaign.Answer): ReadonlyArray<string> => {
  if (answer._tag === "Died") return [`defect: ${answer.problem}`]
  const { result } = answer
  const found = result.violations.map((violation) => `${violation.rule}: ${violation.detail}`)
  for (const key of ["lost", "duplicated", "wrongEnds", "poisonEscaped"] as const) if (result[key] > 0) found.push(`${key}: ${result[key]}`)
  return found
}

export const broken = (world: Case, mutation: Mutation = {}): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(Campaign.perform(runOf(world), mutation), judge)

/** Looks at many worlds, as many at once as there are threads, until one breaks a promise. `onDone`: so many from the front have been looked at. */
export const search = (
  worlds: ReadonlyArray<Case>,
  threads: number,
  hooks: { readonly onBroken: (world: Case, found: ReadonlyArray<string>) => void; readonly onDone?: (worlds: number) => void }
): Effect.Effect<void> => {
  const done = new Set<number>()
  let front = 0
  let stopped = false
  return Effect.asVoid(
    Campaign.run({
      runs: worlds.map(runOf),
      threads,
      stop: () => stopped,
      onAnswer: (index, answer) => {
        const found = judge(answer)
        if (found.length > 0 && !stopped) {
          stopped = true
          hooks.onBroken(worlds[index]!, found)
        }
        done.add(index)
        while (done.delete(front)) front++
        hooks.onDone?.(front)
      }
    })
  )
}

/** Worlds that are a little smaller than this one. */
function* smaller(world: Case): Generator<Case> {
  if (world.days > 0.25) yield { ...world, days: world.days / 2 }
  if (world.agents > 1) yield { ...world, agents: Math.floor(world.agents / 2) }
  for (const [part, groups] of Object.entries(faultGroups)) {
    for (const group of groups) {
      if (world.profile.faults[part]![group] === undefined) continue
      const profile = structuredClone(world.profile)
      delete profile.faults[part]![group]
      yield { ...world, profile }
    }
  }
  for (const section of Object.keys(world.profile.config ?? {})) {
    const profile = structuredClone(world.profile)
    delete profile.config![section]
    yield { ...world, profile }
  }
  for (const key of ["burst", "dependent", "cancelled", "pinned", "poison"]) {
    if (world.profile.workload[key] === undefined) continue
    const profile = structuredClone(world.profile)
    delete profile.workload[key]
    yield { ...world, profile }
  }
}

/** The smallest world that can be reached by taking away and still breaks a promise. */
export const shrink = (world: Case, mutation: Mutation = {}): Effect.Effect<Case> =>
  Effect.gen(function* () {
    let best = world
    for (let found = true; found; ) {
      found = false
      for (const candidate of smaller(best)) {
        if ((yield* broken(candidate, mutation)).length === 0) continue
        best = candidate
        found = true
        break
      }
    }
    return best
  })

/** The first of these worlds that breaks a promise. */
export const firstBroken = (numbers: Iterable<number>, days: number, mutation: Mutation = {}) =>
  Effect.gen(function* () {
    for (const number of numbers) {
      const world = generate(number, days)
      const found = yield* broken(world, mutation)
      if (found.length > 0) return { world, found }
    }
    return undefined
  })

/** The command that shows it again; the profile must have been written to the file. */
export const commandLine = (world: Case, file: string): string =>
  `npm run -s nofx -- simulate --seed ${world.seed} --days ${world.days} --agents ${world.agents} --profile ${file}`
