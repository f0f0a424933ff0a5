/**
 * The person whose work it is: looks, some time after something has come to wait for a decision, at everything that does.
 *
 * They see in the working tree whether an attempt of unknown outcome did its work, and may let it run again; what nobody can do they give up, together
 * with what waits for it. Agents that could not be started are started once more. They decide nothing that the schedule redrives by itself.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { DeadLetter } from "../reliability/DeadLetter.ts"
import type { RuntimeEvent } from "../RuntimeEvent.ts"
import { giveUp, type Scene } from "./Scene.ts"
import * as Random from "./SeededRandom.ts"
import type { AgentRuntime } from "../AgentRuntime.ts"

export interface Person {
  readonly onEvent: (event: RuntimeEvent) => void
  /** A new process: what the last one was being told has not been heard. */
  readonly onStart: () => void
}

/** What was tried so often by hand is given up. */
const patience = 5

export const make = (scene: Scene): Person => {
  const { faults, ledger, seed, timeline } = scene
  const random = Random.make(seed, "person")
  const { atMost, looksAfter } = faults.person
  let looking = false

  const decide = (runtime: AgentRuntime["Service"], letter: DeadLetter): Effect.Effect<unknown> => {
    if (letter.kind === "spawn" || letter.kind === "restart") return runtime.retryDLQMessage(letter.id)
    const entry = ledger.get(letter.subject)
    // Somebody cancelled it meanwhile.
    if (entry === undefined || entry.excluded) return runtime.discardDLQMessage(letter.id)
    const { poison } = entry.plan
    const hopeless = poison === "never-passes" ? letter.failures > 1 : poison !== undefined
    if (!hopeless && letter.failures <= patience) {
      entry.helped = true
      entry.doubtful = false
      return runtime.retryDLQMessage(letter.id)
    }
    const dependents = ledger.dependents(entry.plan.id)
    return Effect.andThen(runtime.discardDLQMessage(letter.id), giveUp(runtime, dependents, "what it waits for was given up"))
  }

  const look = (): void => {
    looking = false
    const host = scene.host()
    // They come back when the program is there again.
    if (host?.runtime === undefined) return
    const { incarnation, runtime } = host
    incarnation.run(
      Effect.map(runtime.getDLQMessages, (letters) => {
        for (const letter of letters) {
          if (letter.status === "pending" && letter.redriveAt === undefined) incarnation.run(decide(runtime, letter))
        }
      })
    )
  }

  const lookLater = (): void => {
    if (looking || looksAfter === undefined) return
    looking = true
    timeline.at(timeline.now() + Math.min(Duration.toMillis(atMost), random.exponential(Duration.toMillis(looksAfter))), look)
  }

  return {
    onEvent: (event) => {
      if (event._tag === "DeadLetterAdded" || event._tag === "DeadLetterFailedAgain" || event._tag === "DeadLetterReleased") lookLater()
    },
    onStart: lookLater
  }
}
