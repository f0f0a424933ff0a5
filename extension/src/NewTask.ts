/** A task as somebody types it in the editor. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { TaskInput } from "../../src/AgentRuntime.ts"
import type { EffectClass } from "../../src/task/Task.ts"

/** The id begins with the first words of the prompt, so that people know it again. */
export const newTask = (prompt: string, effect: EffectClass): Effect.Effect<TaskInput> =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const words = prompt
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, "-")
      .replaceAll(/^-+|-+$/g, "")
      .slice(0, 32)
      .replace(/-[^-]*$/, (rest) => (prompt.length > 32 ? "" : rest))
    return { id: `${words === "" ? "task" : words}-${now.toString(36).slice(-5)}`, prompt, effect }
  })
