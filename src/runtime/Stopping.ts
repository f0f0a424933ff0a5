/** What the runtime does in each phase of a shutdown. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Shutdown } from "../reliability/Shutdown.ts"
import type { ReliabilityStatus } from "../RuntimeStatus.ts"
import type { Core } from "./Core.ts"
import type { Intake } from "./Intake.ts"
import type { Supervisor } from "./Supervisor.ts"

export interface Parts {
  readonly intake: Intake
  readonly supervisor: Supervisor
  readonly shutdown: Shutdown["Service"]
  readonly onPhase: (phase: ReliabilityStatus["phase"]) => void
}

export const register = (core: Core, parts: Parts): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { health, journal, table } = core
    const { shutdown } = parts
    const running = () => Array.from(table.running(), (task) => task.spec.id)

    yield* shutdown.register(
      "stop-intake",
      "intake",
      Effect.sync(() => {
        parts.onPhase("draining")
        parts.intake.stop("shutdown", "the runtime shuts down")
        health.setDraining(true)
      })
    )
    yield* shutdown.register("drain", "running attempts", (controls) =>
      Effect.gen(function* () {
        const each = (agent: { readonly running: { readonly settled: Effect.Effect<void> } | undefined }) =>
          agent.running === undefined
            ? Effect.void
            : Effect.andThen(
                agent.running.settled,
                Effect.sync(() => controls.progress(running().length))
              )
        controls.progress(running().length)
        yield* Effect.raceFirst(
          Effect.forEach([...core.agents.values()], each, { concurrency: "unbounded", discard: true }),
          Effect.raceFirst(controls.hurried, journal.fenced)
        )
      })
    )
    yield* shutdown.register("save-state", "journal", journal.flush)
    yield* shutdown.register("stop-agents", "agents", (controls) =>
      Effect.gen(function* () {
        controls.abandon(running())
        yield* Effect.forEach([...core.agents.values()], (agent) => parts.supervisor.stop(agent, "the runtime shuts down", true), {
          concurrency: "unbounded",
          discard: true
        })
      })
    )
    yield* shutdown.register(
      "clean-up",
      "last changes",
      Effect.ensuring(
        journal.flush,
        Effect.sync(() => void parts.onPhase("stopped"))
      )
    )
    // These registrations end with this scope: its end must run them first.
    yield* shutdown.runOnClose
    // Another owner has taken over: nothing of this one may go on.
    core.fork(Effect.andThen(journal.fenced, shutdown.run()))
    const stop = shutdown.onEvent((event) => {
      switch (event._tag) {
        case "ShutdownPhaseStarted":
        case "ShutdownProgress":
        case "ShutdownPhaseEnded":
          return journal.live(event)
        case "ShutdownFinished":
          return journal.live({ _tag: "ShutdownFinished", at: event.at, abandoned: [...event.abandoned] })
        default:
          return
      }
    })
    yield* Effect.addFinalizer(() => Effect.sync(stop))
  })
