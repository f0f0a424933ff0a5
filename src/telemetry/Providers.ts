/** Whose models an agent uses, as `gen_ai.provider.name` says it: its account's name. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { AgentRuntime } from "../AgentRuntime.ts"

/** Answers for agents that are there, or were when they were last asked about. */
export const make: Effect.Effect<(agentId: string) => string, never, AgentRuntime | Scope.Scope> = Effect.gen(function* () {
  const runtime = yield* AgentRuntime
  const context = yield* Effect.context<never>()
  const known = new Map<string, string>()
  yield* runtime.subscribe((event) => {
    if (event._tag === "AgentSpawned" || event._tag === "AgentRemoved") known.delete(event.agentId)
  })
  return (agentId) => {
    let account = known.get(agentId)
    if (account === undefined) {
      account = Effect.runSyncWith(context)(runtime.agents).find(({ id }) => id === agentId)?.account
      if (account !== undefined) known.set(agentId, account)
    }
    return account ?? "unknown"
  }
})
