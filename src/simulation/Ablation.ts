/** Switching patterns off, one at a time, to see what each is worth: by configuration where it has a switch, else by a layer that does nothing. */
import * as Duration from "effect/Duration"
import type { RuntimeConfig } from "../RuntimeConfig.ts"
import type { FaultModel } from "./FaultModel.ts"
import type { Workload } from "./Workload.ts"
import type { RuntimeLayer } from "./World.ts"

export interface Setting {
  readonly config: RuntimeConfig
  readonly workload: Workload
  readonly faults: FaultModel
  readonly runtime: (config: RuntimeConfig) => RuntimeLayer
  readonly forgets: boolean
}

const never = Duration.days(36_500)
/** The longest time of an option; no letter is kept longer. */
const longest = Duration.days(366)

/** What each switches off. */
const ablations = {
  /** A task has one attempt. */
  retry: (setting: Setting): Setting => ({ ...setting, config: { ...setting.config, retry: { ...setting.config.retry, maxAttempts: 1 } } }),
  /** A rate limit closes an account for a second only, whatever the provider says. */
  cooldown: (setting: Setting): Setting => {
    const short = Duration.seconds(1)
    const cooldown = { ...setting.config.cooldown, slack: Duration.zero, baseClosed: short, maxEscalation: short, maxClosed: short }
    return { ...setting, config: { ...setting.config, cooldown } }
  },
  rateLimit: (setting: Setting): Setting => ({
    ...setting,
    config: { ...setting.config, rateLimit: { accounts: {}, perAccount: "none", execute: "none", spawn: "none" } }
  }),
  bulkhead: (setting: Setting): Setting => {
    const bound = { permits: Number.MAX_SAFE_INTEGER, queue: 0 }
    return { ...setting, config: { ...setting.config, bulkhead: { global: bound, perAccount: bound } } }
  },
  /** Circuits never open. */
  circuitBreaker: (setting: Setting): Setting => {
    const { countWindow: _, timeWindow: __, slowCalls: ___, ...rest } = setting.config.circuitBreaker
    return { ...setting, config: { ...setting.config, circuitBreaker: { ...rest, consecutiveFailures: 100_000 } } }
  },
  /** No attempt ends for taking too long, and no hang is noticed; a deadline still is one. */
  timeLimit: (setting: Setting): Setting => ({
    ...setting,
    config: { ...setting.config, timeLimit: { ...setting.config.timeLimit, attempt: never, stall: never } }
  }),
  /** What failed stays where it is: nothing is redriven, by the schedule or by hand. */
  deadLetter: (setting: Setting): Setting => {
    const { looksAfter: _, ...person } = setting.faults.person
    const deadLetter = { ...setting.config.deadLetter, redriveAfter: longest, maxRedriveAfter: longest }
    return { ...setting, config: { ...setting.config, deadLetter }, faults: { ...setting.faults, person } }
  },
  /** Agents that died are not started again by themselves. */
  health: (setting: Setting): Setting => ({ ...setting, config: { ...setting.config, health: { ...setting.config.health, restarts: 0 } } }),
  /** A new process begins with an empty disk. */
  recovery: (setting: Setting): Setting => ({ ...setting, forgets: true }),
  /** Nobody checks what agents claim. */
  verify: (setting: Setting): Setting => ({ ...setting, workload: { ...setting.workload, checked: 0 } })
}

export type Ablation = keyof typeof ablations
export const names = Object.keys(ablations) as ReadonlyArray<Ablation>

export const ablated = (without: ReadonlyArray<Ablation>, setting: Omit<Setting, "forgets">): Setting =>
  without.reduce<Setting>((current, name) => ablations[name](current), { ...setting, forgets: false })
