/** Listeners that cannot harm: each sees every event in order, and one that throws is dropped. */
import * as Listeners from "./Listeners.ts"

export interface Announcer<Event> {
  readonly emit: (event: Event) => void
  /** Adds a listener; call the answer to take it away. */
  readonly onEvent: (listener: (event: Event) => void) => () => void
}

export const make = <Event>(): Announcer<Event> => {
  const listeners = Listeners.make<Event>()
  return {
    emit: (event) => listeners.announce([event]),
    onEvent: (listener) => {
      const stop = listeners.add((event) => {
        try {
          listener(event)
        } catch {
          stop()
        }
      })
      return stop
    }
  }
}
