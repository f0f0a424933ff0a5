/** Counts the time in which the runtime does not accept or dispatch work, and whose it is. */

/**
 * Why: killed and not started again · its event loop stands still · the disk is full · it is on its way up · it takes no work by itself. The first
 * three are the machine's, the last two the runtime's own.
 */
export const reasons = ["restart", "stall", "disk", "recovery", "intake"] as const
export type Reason = (typeof reasons)[number]

export interface Uptime {
  /** From now on, or no longer. */
  readonly set: (reason: Reason, on: boolean) => void
  /** Milliseconds in which the machine and the start of the runtime kept nobody from work. */
  readonly worked: () => number
  /** Milliseconds lost so far. While there are several reasons, the first of them counts. */
  readonly lost: () => { readonly [R in Reason]: number }
}

export const make = (now: () => number): Uptime => {
  const lost = { restart: 0, stall: 0, disk: 0, recovery: 0, intake: 0 }
  const present = new Set<Reason>()
  let since = now()
  const count = (): void => {
    const reason = reasons.find((each) => present.has(each))
    if (reason !== undefined) lost[reason] += now() - since
    since = now()
  }
  return {
    set: (reason, on) => {
      count()
      if (on) present.add(reason)
      else present.delete(reason)
    },
    worked: () => {
      count()
      return now() - lost.restart - lost.stall - lost.disk - lost.recovery
    },
    lost: () => {
      count()
      return { ...lost }
    }
  }
}
