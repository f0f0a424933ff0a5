/**
 * Lets those who know their time, by another machine's clock, start in its order.
 *
 * How far that clock is ahead is known better with every answer; who was told a time by an earlier answer must not be overtaken by those who come later.
 */
import * as Effect from "effect/Effect"
import type * as TimerWheel from "./TimerWheel.ts"

interface Turn {
  readonly time: number
  readonly go: () => void
}

export interface Turns {
  /** Does anybody of the key wait? */
  readonly waiting: (key: string) => boolean
  /** Waits until `at` (monotonic milliseconds of the wheel), or until somebody of the same key with the same or a later `time` may go. */
  readonly wait: (key: string, time: number, at: number) => Effect.Effect<void>
}

export const make = (wheel: TimerWheel.TimerWheel["Service"]): Turns => {
  /** Per key, in the order of their times: they came in it. */
  const queues = new Map<string, Array<Turn>>()
  return {
    waiting: (key) => queues.has(key),
    wait: (key, time, at) =>
      Effect.callback<void>((resume) => {
        let queue = queues.get(key)
        if (queue === undefined) queues.set(key, (queue = []))
        const turns = queue
        const leave = (turn: Turn): void => {
          const index = turns.indexOf(turn)
          if (index >= 0) turns.splice(index, 1)
          if (turns.length === 0 && queues.get(key) === turns) queues.delete(key)
        }
        const turn: Turn = { time, go: () => resume(Effect.void) }
        turns.push(turn)
        const timer = wheel.add(at - wheel.now(), () => {
          for (let first = turns[0]; first !== undefined && first.time <= time; first = turns[0]) {
            leave(first)
            first.go()
          }
        })
        return Effect.sync(() => {
          timer.cancel()
          leave(turn)
        })
      })
  }
}
