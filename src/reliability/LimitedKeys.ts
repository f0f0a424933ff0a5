/** The keys of a rate limiter in memory: what each has spent, and who waits for it. Everything here is one synchronous step. */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Monotonic from "../Monotonic.ts"
import { type Algorithm, type AlgorithmName, algorithmOf, type Rule, type State } from "./LimitAlgorithm.ts"
import * as Listeners from "./Listeners.ts"
import type { Limit, Metrics, Permit, RateLimitExceeded } from "./RateLimiter.ts"
import type { Timer, TimerWheel } from "./TimerWheel.ts"

/** A place in the queue of a key. */
export interface Place {
  readonly _tag: "Place"
  readonly cost: number
  readonly table: Table
  readonly entry: Entry
  /** Set when it is admitted. */
  permit: Permit | undefined
  resume: ((permit: Permit) => void) | undefined
}

type MakeRefusal = (fields: Pick<RateLimitExceeded, "limit" | "key" | "cost" | "reason" | "retryAfter" | "notBefore">) => RateLimitExceeded

export class LimitedKeys {
  private readonly clock: Clock.Clock
  private readonly wheel: TimerWheel["Service"]
  private readonly tables = new Map<string, Table>()
  /** Throws for a bad limit. */
  private readonly check: (limit: Limit) => void
  private readonly makeRefusal: MakeRefusal
  /** Told when quota came back other than by time. */
  readonly changes = Listeners.make<{ readonly limit: string; readonly key: string }>()

  constructor(clock: Clock.Clock, wheel: TimerWheel["Service"], check: (limit: Limit) => void, makeRefusal: MakeRefusal) {
    this.clock = clock
    this.wheel = wheel
    this.check = check
    this.makeRefusal = makeRefusal
  }

  /** Admits or refuses; with `willing`, a refusal that waiting could avoid is answered with `undefined`. */
  tryAcquire(limit: Limit, key: string, cost: number, now?: number): Permit | RateLimitExceeded
  tryAcquire(limit: Limit, key: string, cost: number, now: number | undefined, willing: boolean): Permit | RateLimitExceeded | undefined
  tryAcquire(
    limit: Limit,
    key: string,
    cost: number,
    now = Monotonic.read(this.clock),
    willing = false
  ): Permit | RateLimitExceeded | undefined {
    const table = this.table(limit, now)
    const entry = table.entries.get(key)
    if (!(cost >= 0 && cost <= limit.limit)) return this.outOfRange(table, key, cost)
    const { algorithm, rule } = table
    if (entry === undefined) return this.admit(table, this.add(table, key), cost, now)
    if (entry.queue.length === 0 && algorithm.startAt(rule, entry.spent, cost, now) <= now) return this.admit(table, entry, cost, now)
    entry.spent = algorithm.trim(rule, entry.spent, now)
    if (willing) return undefined
    return this.refuse(table, key, cost, "rate", now, algorithm.startAt(rule, promised(table, entry, now), cost, now))
  }

  /** Takes a place in the queue: the permit is there at once, or comes to `resume`. */
  enter(limit: Limit, key: string, cost: number, now = Monotonic.read(this.clock)): Place | RateLimitExceeded {
    const answer = this.tryAcquire(limit, key, cost, now, true)
    if (answer?._tag === "RateLimitExceeded") return answer
    const table = this.table(limit, now)
    const { algorithm, rule } = table
    const entry = table.entries.get(key) as Entry
    const place: Place = { _tag: "Place", cost, table, entry, permit: answer, resume: undefined }
    if (answer !== undefined) return place
    const state = promised(table, entry, now)
    const at = algorithm.startAt(rule, state, cost, now)
    if (entry.queue.length >= limit.maxQueue || algorithm.acceptAt(rule, state, cost, now) > now)
      return this.refuse(table, key, cost, "queue", now, at)
    if (at - now > Duration.toMillis(limit.maxWait)) return this.refuse(table, key, cost, "wait", now, at)
    entry.promised = algorithm.take(rule, state, cost, at)
    if (entry.queue === nobody) entry.queue = []
    entry.queue.push(place)
    table.waiting++
    if (entry.queue.length === 1) this.arm(table, entry, now)
    return place
  }

  /** Gives up a place: it leaves the queue, or gives back what it got. */
  leave(place: Place, now = Monotonic.read(this.clock)): void {
    if (place.permit !== undefined) return this.settle(place.permit, 0, now)
    const index = place.entry.queue.indexOf(place)
    if (index < 0) return
    place.entry.queue.splice(index, 1)
    place.table.waiting--
    place.entry.promised = undefined
    if (index === 0) this.advance(place.table, place.entry, now)
  }

  settle(permit: Permit, cost: number, now = Monotonic.read(this.clock), told = true): void {
    checkCost(permit.limit, cost)
    if (permit.cost === cost || permit.cost === 0) return
    const table = this.table(permit.limit, now)
    const before = permit.cost
    permit.cost = cost
    if (cost === 0) table.refunded++
    let entry = table.entries.get(permit.key)
    if (cost > before) {
      entry ??= this.add(table, permit.key)
      entry.spent = table.algorithm.take(table.rule, entry.spent, cost - before, now)
      entry.promised = undefined
      return
    }
    if (entry === undefined) return
    entry.spent = table.algorithm.giveBack(table.rule, entry.spent, permit, before - cost, now)
    entry.promised = undefined
    this.advance(table, entry, now)
    if (told) this.changes.announce([{ limit: table.limit.name, key: permit.key }])
  }

  metrics(name?: string): Metrics {
    let [admitted, refused, refunded, waiting, keys] = [0, 0, 0, 0, 0]
    for (const table of name === undefined ? this.tables.values() : [this.tables.get(name)]) {
      if (table === undefined) continue
      admitted += table.admitted
      refused += table.refused
      refunded += table.refunded
      waiting += table.waiting
      keys += table.entries.size
    }
    return { admitted, refused, refunded, waiting, keys }
  }

  private table(limit: Limit, now: number): Table {
    const known = this.tables.get(limit.name)
    if (known?.limit === limit) return known
    const rule = { limit: limit.limit, window: Duration.toMillis(limit.window) }
    const algorithm = algorithmOf(limit.algorithm)
    if (known === undefined) {
      this.check(limit)
      const table = {
        limit,
        rule,
        algorithm,
        name: limit.algorithm,
        entries: new Map(),
        admitted: 0,
        refused: 0,
        refunded: 0,
        waiting: 0,
        sweeping: false
      }
      this.tables.set(limit.name, table)
      return table
    }
    // Another configuration of the same limit: what was spent still counts, if the new algorithm can read it.
    const unreadable = known.name !== limit.algorithm
    const changed = unreadable || known.rule.limit !== rule.limit || known.rule.window !== rule.window
    if (changed) this.check(limit)
    Object.assign(known, { limit, rule, algorithm, name: limit.algorithm })
    if (changed) {
      for (const entry of known.entries.values()) {
        if (unreadable) entry.spent = algorithm.fresh
        entry.promised = undefined
        this.advance(known, entry, now)
      }
    }
    return known
  }

  private refuse(table: Table, key: string, cost: number, reason: RateLimitExceeded["reason"], now: number, at: number): RateLimitExceeded {
    table.refused++
    return this.makeRefusal({
      limit: table.limit.name,
      key,
      cost,
      reason,
      retryAfter: Duration.millis(Math.ceil(at - now - 1e-6)),
      notBefore: at
    })
  }

  private outOfRange(table: Table, key: string, cost: number): RateLimitExceeded {
    checkCost(table.limit, cost)
    table.refused++
    return this.makeRefusal({ limit: table.limit.name, key, cost, reason: "cost", retryAfter: undefined, notBefore: undefined })
  }

  private add(table: Table, key: string): Entry {
    const entry: Entry = { key, spent: table.algorithm.fresh, promised: undefined, queue: nobody, timer: undefined }
    table.entries.set(key, entry)
    if (!table.sweeping) this.sweepLater(table)
    return entry
  }

  private admit(table: Table, entry: Entry, cost: number, now: number): Permit {
    entry.spent = table.algorithm.take(table.rule, entry.spent, cost, now)
    table.admitted++
    return { _tag: "RatePermit", limit: table.limit, key: entry.key, at: now, mark: table.algorithm.mark(entry.spent, now), cost }
  }

  /** Admits whoever's time has come, in order, and arms the timer for the next. */
  private advance(table: Table, entry: Entry, now: number): void {
    for (let place = entry.queue[0]; place !== undefined; place = entry.queue[0]) {
      entry.spent = table.algorithm.trim(table.rule, entry.spent, now)
      if (place.cost <= table.rule.limit && table.algorithm.startAt(table.rule, entry.spent, place.cost, now) > now) break
      entry.queue.shift()
      table.waiting--
      place.permit = this.admit(table, entry, place.cost, now)
      entry.promised = undefined
      place.resume?.(place.permit)
    }
    this.arm(table, entry, now)
  }

  private arm(table: Table, entry: Entry, now: number): void {
    entry.timer?.cancel()
    const head = entry.queue[0]
    entry.timer =
      head === undefined
        ? undefined
        : this.wheel.add(table.algorithm.startAt(table.rule, entry.spent, head.cost, now) - now, () =>
            this.advance(table, entry, Monotonic.read(this.clock))
          )
  }

  /** While there are keys, each is looked at once a window (at least every minute, at most every second), in slices that hold nobody up. */
  private sweepLater(table: Table): void {
    table.sweeping = table.entries.size > 0
    if (!table.sweeping) return
    this.wheel.add(Math.min(Math.max(table.rule.window, 1000), 60_000), () => this.sweep(table, table.entries.entries()))
  }

  private sweep(table: Table, rest: MapIterator<[string, Entry]>): void {
    const now = Monotonic.read(this.clock)
    for (let i = 0; i < 10_000; i++) {
      const next = rest.next()
      if (next.done) return this.sweepLater(table)
      const [key, entry] = next.value
      if (entry.queue.length === 0 && table.algorithm.freshAt(table.rule, entry.spent) <= now) table.entries.delete(key)
    }
    this.wheel.add(0, () => this.sweep(table, rest))
  }
}

const nobody: Array<Place> = []

interface Entry {
  readonly key: string
  spent: State
  /** `spent`, and what those that wait will have spent when they start. `undefined` when that has to be worked out again. */
  promised: State | undefined
  /** `nobody` until somebody has waited: most keys never have a queue. */
  queue: Array<Place>
  timer: Timer | undefined
}

/** All keys of one limit. */
interface Table {
  limit: Limit
  rule: Rule
  name: AlgorithmName
  algorithm: Algorithm<State>
  readonly entries: Map<string, Entry>
  admitted: number
  refused: number
  refunded: number
  waiting: number
  sweeping: boolean
}

const promised = ({ algorithm, rule }: Table, entry: Entry, now: number): State => {
  if (entry.queue.length === 0) return entry.spent
  if (entry.promised === undefined) {
    entry.promised = entry.queue.reduce(
      (state, { cost }) => algorithm.take(rule, state, cost, algorithm.startAt(rule, state, cost, now)),
      entry.spent
    )
  }
  return entry.promised
}

const checkCost = (limit: Limit, cost: number): void => {
  if (!(cost >= 0 && Number.isFinite(cost))) throw new RangeError(`cost of "${limit.name}" must be at least 0 and finite, not ${cost}`)
}
