/** The provider behind one account: when it is down, overloaded, over its limit or without a login. Drawn ahead, the same whoever asks when. */
import * as Duration from "effect/Duration"
import type { FaultModel } from "./FaultModel.ts"
import type { SeededRandom } from "./SeededRandom.ts"
import * as Random from "./SeededRandom.ts"

/** From its start to before its end, in milliseconds of the simulation's calendar. */
export interface Interval {
  readonly from: number
  readonly to: number
}

/** Intervals that follow one another. Asked with times that do not fall: what is over is forgotten. */
export interface Intervals {
  readonly at: (time: number) => Interval | undefined
  /** The first that begins after this time. */
  readonly after: (time: number) => Interval | undefined
}

const never: Intervals = { at: () => undefined, after: () => undefined }

export const intervals = (random: SeededRandom, every: number, length: (random: SeededRandom) => number): Intervals => {
  /** The first is that of now, or the next one. */
  const known: Array<Interval> = []
  let drawnTo = 0
  const drawOne = (): void => {
    const from = drawnTo + random.exponential(every)
    const to = from + length(random)
    known.push({ from, to })
    drawnTo = to
  }
  const reach = (time: number): void => {
    while (known.length === 0 || known.at(-1)!.from <= time) drawOne()
    while (known[0]!.to <= time) known.shift()
  }
  return {
    at: (time) => {
      reach(time)
      return known[0]!.from <= time ? known[0] : undefined
    },
    after: (time) => {
      reach(time)
      return known.find((interval) => interval.from > time)
    }
  }
}

export interface Account {
  readonly name: string
  readonly outage: Intervals
  readonly overload: Intervals
  readonly limit: Intervals
  readonly authLoss: Intervals
}

export const account = (faults: FaultModel, seed: number, name: string): Account => {
  const { authLoss, outage, overload, usageLimit } = faults.provider
  const stream = (what: string): SeededRandom => Random.make(seed, `${what} of ${name}`)
  const simple = (what: string, fault: { readonly every: Duration.Duration; readonly length: Duration.Duration } | undefined): Intervals =>
    fault === undefined
      ? never
      : intervals(stream(what), Duration.toMillis(fault.every), (random) => random.exponential(Duration.toMillis(fault.length)))
  return {
    name,
    outage: simple("outage", outage),
    overload: simple("overload", overload),
    authLoss: simple("authLoss", authLoss === undefined ? undefined : { every: authLoss.every, length: authLoss.repair }),
    limit:
      usageLimit === undefined
        ? never
        : intervals(stream("limit"), Duration.toMillis(usageLimit.every), (random) =>
            Math.ceil(Duration.toMillis(usageLimit.window) * random.between(usageLimit.leastLeft, usageLimit.mostLeft))
          )
  }
}
