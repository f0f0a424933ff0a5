/**
 * What a process may still admit while Redis is away: its share of each limit, the limit divided by the last known number of processes.
 *
 * Shares add up to the limit. What had been spent when Redis was lost is known to nobody, so a share begins as spent (see `afterLoss`).
 */
import * as Duration from "effect/Duration"
import { algorithmOf, type Rule, type State } from "./LimitAlgorithm.ts"
import type { Limit, Permit, Request } from "./RateLimiter.ts"
import type { Members } from "./RedisConnection.ts"

export interface Shares {
  /** Admits all or none. With `longest` (milliseconds, -1: none) also for later: the permits start at `at`. */
  readonly acquire: (
    requests: ReadonlyArray<Request>,
    longest: number,
    now: number
  ) =>
    | { readonly _tag: "Shares"; readonly permits: ReadonlyArray<Permit>; readonly at: number }
    | { readonly _tag: "None"; readonly request: Request; readonly reason: "rate" | "wait" | "away"; readonly wait: number | undefined }
  readonly settle: (permit: Permit, before: number, cost: number, now: number) => void
  /** Keys that are remembered now. */
  readonly keys: () => number
}

interface Entry {
  readonly limit: Limit
  readonly rule: Rule
  state: State
}

/** For one time of being away, since `lostAt` (monotonic milliseconds). `spent`: shares begin as spent at that time. */
export const make = (members: Members, lostAt: number, spent: boolean): Shares => {
  const entries = new Map<string, Entry>()
  let sweepAt = 1024

  const entryOf = (limit: Limit, key: string, rule: Rule, now: number): Entry => {
    const name = JSON.stringify([limit.name, limit.algorithm, key])
    const known = entries.get(name)
    if (known !== undefined && known.rule.limit === rule.limit && known.rule.window === rule.window) return known
    if (entries.size >= sweepAt) {
      // Held shares count as fresh only after the window since the loss.
      for (const [each, { limit, rule, state }] of entries)
        if (Math.max(algorithmOf(limit.algorithm).freshAt(rule, state), lostAt + rule.window) <= now) entries.delete(each)
      sweepAt = Math.max(1024, 2 * entries.size)
    }
    const algorithm = algorithmOf(limit.algorithm)
    const held = spent && lostAt + rule.window > now
    const entry = { limit, rule, state: held ? algorithm.take(rule, algorithm.fresh, rule.limit, lostAt) : algorithm.fresh }
    entries.set(name, entry)
    return entry
  }

  return {
    acquire: (requests, longest, now) => {
      const found: Array<readonly [Request, Entry]> = []
      for (const request of requests) {
        const rule = shareOf(request.limit, members)
        if (rule === undefined || (request.cost ?? 1) > rule.limit) return { _tag: "None", request, reason: "away", wait: undefined }
        const entry = entryOf(request.limit, request.key, rule, now)
        entry.state = algorithmOf(request.limit.algorithm).trim(rule, entry.state, now)
        found.push([request, entry])
      }
      let at = now
      let last = requests[0]!
      for (let again = true; again; ) {
        again = false
        for (const [request, { limit, rule, state }] of found) {
          const start = algorithmOf(limit.algorithm).startAt(rule, state, request.cost ?? 1, at)
          if (start <= at) continue
          at = start
          last = request
          again = found.length > 1
        }
      }
      if (at - now > Math.max(0, longest)) return { _tag: "None", request: last, reason: longest < 0 ? "rate" : "wait", wait: at - now }
      const permits = found.map(([{ cost = 1, key, limit }, entry]): Permit => {
        const algorithm = algorithmOf(limit.algorithm)
        entry.state = algorithm.take(entry.rule, entry.state, cost, at)
        return { _tag: "RatePermit", limit, key, at, mark: algorithm.mark(entry.state, at), cost }
      })
      return { _tag: "Shares", permits, at }
    },
    settle: (permit, before, cost, now) => {
      const entry = entries.get(JSON.stringify([permit.limit.name, permit.limit.algorithm, permit.key]))
      if (entry === undefined) return
      const algorithm = algorithmOf(permit.limit.algorithm)
      if (cost > before) entry.state = algorithm.take(entry.rule, entry.state, cost - before, now)
      // Beneath others who wait, what is given back could let two start too close together: it stays spent.
      else if (typeof entry.state !== "number" || entry.state === permit.mark)
        entry.state = algorithm.giveBack(entry.rule, entry.state, { ...permit, cost: before }, before - cost, now)
    },
    keys: () => entries.size
  }
}

/** This process's part of a limit; undefined: there are more processes than calls, and this one gets none. */
const shareOf = (limit: Limit, { count, rank }: Members): Rule | undefined => {
  const window = Duration.toMillis(limit.window)
  const share = limit.limit / count
  if (share >= 1) return { limit: share, window }
  return rank < Math.floor(limit.limit) ? { limit: 1, window } : undefined
}
