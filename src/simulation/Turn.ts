/** One turn of an agent, decided when it begins: when it starts to change things, and how and when it ends if nobody stops it. Pure. */
import * as Duration from "effect/Duration"
import type { Fault } from "../agent/Fault.ts"
import type { FaultModel } from "./FaultModel.ts"
import type { Account, Interval } from "./Provider.ts"
import type { SeededRandom } from "./SeededRandom.ts"
import type { Poison } from "./Workload.ts"

export type Ending =
  /** It claims to be done; `true`: it is. */
  | { readonly _tag: "Claim"; readonly done: boolean }
  | { readonly _tag: "Fault"; readonly fault: Fault }
  /** The agent's process dies with it. */
  | { readonly _tag: "Crash" }
  /** It stands still until somebody ends it. */
  | { readonly _tag: "Hang" }

export interface Turn {
  /** Milliseconds from its begin. */
  readonly endsAfter: number
  readonly ending: Ending
  /** Milliseconds from its begin until the first tool runs; before that it has changed nothing. */
  readonly actsAfter: number
  /** Milliseconds that one of work takes in it. */
  readonly slowness: number
}

export interface Setting {
  readonly faults: FaultModel
  readonly account: Account
  /** The simulation's calendar, milliseconds. */
  readonly now: number
  /** Unix milliseconds of a time of that calendar. */
  readonly unix: (time: number) => number
  /** Milliseconds of work that are left. */
  readonly left: number
  readonly poison: Poison | undefined
  readonly random: SeededRandom
}

/** A refusal of the provider, seconds after it was asked. */
const refusedAfter = 1_000

const limited = (setting: Setting, limit: Interval): Fault => ({
  _tag: "RateLimited",
  detail: "usage limit reached",
  ...(setting.random.chance(setting.faults.provider.usageLimit?.named ?? 0) ? { resetsAt: Math.ceil(setting.unix(limit.to)) } : {})
})

const atOnce = (ending: Fault, millis = refusedAfter): Turn => ({
  endsAfter: millis,
  ending: { _tag: "Fault", fault: ending },
  actsAfter: Number.POSITIVE_INFINITY,
  slowness: 1
})

/** What the account's provider says to a new turn; undefined: it takes it. */
const refusal = (setting: Setting): Turn | undefined => {
  const { account, faults, now, random } = setting
  if (account.outage.at(now) !== undefined)
    return atOnce({ _tag: "Outage", detail: "connection refused" }, Math.round(random.between(1_000, 10_000)))
  if (account.authLoss.at(now) !== undefined) return atOnce({ _tag: "AuthRequired", detail: "not logged in" })
  const limit = account.limit.at(now)
  if (limit !== undefined) return atOnce(limited(setting, limit))
  if (account.overload.at(now) !== undefined && random.chance(faults.provider.overload?.refuses ?? 0))
    return atOnce({ _tag: "Overloaded", detail: "overloaded" }, Math.round(random.between(1_000, 5_000)))
  return undefined
}

export const decide = (setting: Setting): Turn => {
  const { account, faults, now, poison, random } = setting
  const refused = refusal(setting)
  if (refused !== undefined) return refused
  if (poison === "invalid") return atOnce({ _tag: "InvalidRequest", detail: "the request cannot be served" })
  if (poison === "refused") return atOnce({ _tag: "Refused", detail: "the model declined" }, 5_000)

  const { slow } = faults.agent
  const slowness = slow !== undefined && random.chance(slow.share) ? random.between(1, slow.factor) : 1
  const length = Math.max(1_000, setting.left * slowness)
  const actsAfter = Math.ceil(length * random.between(0.1, 0.4))

  let endsAfter = length
  let ending: Ending = { _tag: "Claim", done: poison === undefined }
  const earlier = (after: number, what: () => Ending): void => {
    if (after >= endsAfter) return
    endsAfter = after
    ending = what()
  }
  if (random.chance(faults.agent.falseSuccess)) ending = { _tag: "Claim", done: false }
  if (random.chance(faults.agent.corrupt))
    ending = { _tag: "Fault", fault: { _tag: "ProtocolViolation", detail: "an answer that is no message" } }
  if (poison === "crasher") earlier(length / 2, () => ({ _tag: "Crash" }))
  const drawn = (every: Duration.Duration | undefined): number =>
    every === undefined ? Number.POSITIVE_INFINITY : random.exponential(Duration.toMillis(every))
  earlier(drawn(faults.agent.crashEvery), () => ({ _tag: "Crash" }))
  earlier(drawn(faults.agent.hangEvery), () => ({ _tag: "Hang" }))
  earlier(drawn(faults.provider.transientEvery), () => ({ _tag: "Fault", fault: { _tag: "Transient", detail: "connection reset" } }))
  // What begins meanwhile is met with the next call of the model, some seconds later.
  const next = (interval: Interval | undefined): number =>
    interval === undefined ? Number.POSITIVE_INFINITY : interval.from - now + random.between(0, 20_000)
  const outage = account.outage.after(now)
  earlier(next(outage), () => ({ _tag: "Fault", fault: { _tag: "Outage", detail: "nothing answers any more" } }))
  const limit = account.limit.after(now)
  earlier(next(limit), () => ({ _tag: "Fault", fault: limited(setting, limit!) }))
  earlier(next(account.authLoss.after(now)), () => ({ _tag: "Fault", fault: { _tag: "AuthRequired", detail: "the login has expired" } }))
  return { endsAfter: Math.ceil(endsAfter), ending, actsAfter, slowness }
}
