/** How far a server's clock is ahead of ours: so that what it promised for a time starts then, in its order, never earlier. */

export interface ServerClock {
  /** What the server's clock said in an answer that came in at `now`; answers how far it is ahead, at most. Milliseconds. */
  readonly offset: (server: number, now: number) => number
}

/** Clocks drift apart by less than this. */
const drift = 1e-4
/** No answer takes so long on its way as a clock that was set back. Milliseconds. */
const jump = 200

export const make = (): ServerClock => {
  let best = Number.NEGATIVE_INFINITY
  let at = 0
  return {
    // The quickest answer knows best; one that took longer says less, never more.
    offset: (server, now) => {
      const sample = server - now
      const known = best - (now - at) * drift
      if (sample < known && known - sample < jump) return known
      best = sample
      at = now
      return sample
    }
  }
}
