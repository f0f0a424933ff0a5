/** What the parts of a simulated world share: its time, its faults, its tasks, and the runtime that lives in it at the moment. */
import * as Effect from "effect/Effect"
import type { AgentRuntime } from "../AgentRuntime.ts"
import type { FaultModel } from "./FaultModel.ts"
import type { HostClock } from "./HostClock.ts"
import type { Incarnation } from "./Incarnation.ts"
import type { Entry, Ledger } from "./Ledger.ts"
import type { Account } from "./Provider.ts"
import type { Timeline } from "./Timeline.ts"
import type { Workload } from "./Workload.ts"

/** The process, and the runtime in it once that has started. */
export interface Host {
  readonly incarnation: Incarnation
  readonly clock: HostClock
  runtime: AgentRuntime["Service"] | undefined
}

export interface Scene {
  readonly seed: number
  readonly agents: number
  readonly faults: FaultModel
  readonly workload: Workload
  /** Its time counts while the machine is awake. */
  readonly timeline: Timeline
  /** Milliseconds since the beginning as a calendar counts them, sleep included. */
  readonly calendar: () => number
  /** The wall clock's Unix milliseconds for a time of the calendar. */
  readonly unix: (calendar: number) => number
  readonly accounts: ReadonlyArray<Account>
  readonly ledger: Ledger
  /** The process that lives; undefined between a crash and the next start. */
  readonly host: () => Host | undefined
}

/** A person gives up these tasks, which wait for another: they say nothing about the runtime any more. */
export const giveUp = (runtime: AgentRuntime["Service"], entries: ReadonlyArray<Entry>, reason: string): Effect.Effect<void> =>
  Effect.forEach(
    entries,
    (entry) => {
      entry.excluded = true
      return Effect.ignore(runtime.cancel(entry.plan.id, reason))
    },
    { discard: true }
  )

export const accountIndex = (agent: number, accounts: number): number => agent % accounts
export const agentId = (agent: number): string => `agent-${agent}`
export const accountName = (account: number): string => `account-${account}`
