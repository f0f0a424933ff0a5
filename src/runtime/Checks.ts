/** The runtime's own health checks. They look and report; restarting agents is the supervisor's. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Monotonic from "../Monotonic.ts"
import type { Core } from "./Core.ts"

/** An event loop that is late by more than this does not answer in time. Milliseconds. */
const lagDegraded = 500
const lagUnhealthy = 5_000

/** Registers them until the scope closes. */
export const register = (core: Core): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    const { health, journal } = core

    // A loop that stood still shows it afterwards: by how much this very check comes late.
    const interval = Duration.toMillis(core.config.health.interval)
    let dueAt = Number.POSITIVE_INFINITY
    yield* health.register({
      name: "event loop",
      kinds: ["liveness"],
      run: Effect.sync(() => {
        const now = Monotonic.read(clock)
        const lag = Math.max(0, Math.round(now - dueAt))
        dueAt = now + interval
        const evidence = `a timer came ${lag} ms late`
        return { status: lag > lagUnhealthy ? "unhealthy" : lag > lagDegraded ? "degraded" : "healthy", evidence } as const
      })
    })
    yield* health.register({
      name: "store",
      kinds: ["startup", "readiness"],
      critical: true,
      failuresToUnhealthy: 1,
      run: Effect.sync(() => {
        const cause = journal.degraded()
        return cause === undefined
          ? ({ status: "healthy", evidence: `writes; last event ${journal.seq()}` } as const)
          : ({ status: "unhealthy", evidence: cause.message } as const)
      })
    })
    yield* health.register({
      name: "agents",
      kinds: ["readiness"],
      run: Effect.sync(() => {
        const { size } = core.agents
        const failed: Array<string> = []
        for (const { detail, spec, state } of core.agents.values()) if (state === "failed") failed.push(`${spec.id} (${detail})`)
        if (failed.length === 0) return { status: "healthy", evidence: `${size} agents, none failed` } as const
        return { status: failed.length === size ? "unhealthy" : "degraded", evidence: `failed: ${failed.join(", ")}` } as const
      })
    })
  })
