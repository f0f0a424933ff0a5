/**
 * Synchronous listeners that see everything in its order.
 *
 * What is announced from inside a listener is delivered after the present announcement has reached everybody, so that no two listeners ever
 * see different orders.
 */

export interface Listeners<A> {
  /** Delivers these, in their order, to every listener. One that throws keeps no other from it; the first error comes out when all is delivered. */
  readonly announce: (announcements: ReadonlyArray<A>) => void
  /** Adds a listener, for what is announced from now on; returns what takes it away. */
  readonly add: (listener: (announcement: A) => void) => () => void
}

export const make = <A>(): Listeners<A> => {
  let listeners: ReadonlyArray<{ readonly listener: (announcement: A) => void }> = []
  const undelivered: Array<A> = []
  let delivering = false

  return {
    announce: (announcements) => {
      undelivered.push(...announcements)
      if (delivering) return
      delivering = true
      const errors: Array<unknown> = []
      for (let next = undelivered.shift(); next !== undefined; next = undelivered.shift()) {
        for (const { listener } of listeners) {
          try {
            listener(next)
          } catch (error) {
            errors.push(error)
          }
        }
      }
      delivering = false
      if (errors.length > 0) throw errors[0]
    },
    add: (listener) => {
      const own = { listener }
      listeners = [...listeners, own]
      return () => {
        listeners = listeners.filter((each) => each !== own)
      }
    }
  }
}
