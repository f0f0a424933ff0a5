/** Waits for what no event tells. */
import { Effect } from "effect"

/** Waits for a condition in real time; the test's own limit bounds it. */
export const until = (condition: () => boolean | Promise<boolean>): Effect.Effect<void> =>
  Effect.promise(async () => {
    while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 10))
  })
