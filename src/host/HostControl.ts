/**
 * What a host does besides running its runtime: it ends when it is not needed or to be replaced, and does what the user wants when the last
 * editor has gone.
 *
 * That the queue is paused for such a reason is kept in the store, beside the runtime's own state: the next host knows it.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { AgentRuntime } from "../AgentRuntime.ts"
import type { ReliabilityStatus } from "../RuntimeStatus.ts"
import { Store } from "../store/Store.ts"
import * as Presence from "./Presence.ts"

export interface Options {
  /** Without clients and work for so long the host ends. Default 5 minutes. */
  readonly idle?: Duration.Input
  /** Without clients for so long an editor counts as closed; a reload takes less. Default 10 seconds. */
  readonly grace?: Duration.Input
}

/** Why a host ends. */
export type EndReason = "idle" | "retired" | "editor-closed" | "shutdown" | "fenced"

export interface HostControl {
  readonly presence: Presence.Presence
  /** Completes when the host should end; until then everything is served. */
  readonly ended: Effect.Effect<EndReason>
  readonly end: (reason: EndReason) => Effect.Effect<void>
  /** An editor is there: what was held because none was goes on. */
  readonly editorCame: Effect.Effect<void>
  /** The user has decided about the pause: nobody else undoes it. */
  readonly decided: Effect.Effect<void>
  /** Ends as soon as no attempt runs, and starts none meanwhile. Answers how many run. */
  readonly retire: Effect.Effect<number>
}

/** Why the host has paused the queue. */
const Held = Schema.Literals(["retired", "editor-closed"])

const decodeHeld = Schema.decodeUnknownOption(Held)

/** Work that goes on, or would, without anybody: parked until a time counts, what only a person can change does not. */
export const hasWork = ({ agents, phase, tasks }: Pick<ReliabilityStatus, "agents" | "phase" | "tasks">): boolean =>
  tasks.running > 0 || (phase !== "paused" && Object.keys(agents).length > 0 && tasks.queued + tasks.parked > 0)

export const make = (options: Options): Effect.Effect<HostControl, never, AgentRuntime | Store | Scope.Scope> =>
  Effect.gen(function* () {
    const runtime = yield* AgentRuntime
    const store = yield* Store
    const ended = Deferred.makeUnsafe<EndReason>()
    const end = (reason: EndReason) => Effect.asVoid(Deferred.succeed(ended, reason))
    const presence = yield* Presence.make(runtime, Duration.toMillis(Duration.fromInputUnsafe(options.grace ?? "10 seconds")))

    const loaded = yield* Effect.orDie(store.load)
    // A store that cannot write shows itself degraded; at worst a pause has to be ended by hand.
    const put = (state: typeof Held.Type | undefined) =>
      Effect.ignore(
        store.commit(
          [
            state === undefined
              ? { _tag: "DeletePattern", kind: "control", key: "held" }
              : { _tag: "PutPattern", pattern: { kind: "control", key: "held", state } }
          ],
          store.epoch
        )
      )

    let held = Option.getOrUndefined(decodeHeld(loaded.patterns.find(({ key, kind }) => kind === "control" && key === "held")?.state))

    const setHeld = (reason: typeof Held.Type | undefined) =>
      Effect.suspend(() => {
        if (held === reason) return Effect.void
        held = reason
        return put(reason)
      })
    const hold = (reason: typeof Held.Type) =>
      Effect.gen(function* () {
        if ((yield* runtime.getReliabilityStatus).phase === "paused") return
        yield* setHeld(reason)
        yield* runtime.pause
      })
    const release = (reason: typeof Held.Type) =>
      Effect.suspend(() => (held !== reason ? Effect.void : Effect.andThen(setHeld(undefined), runtime.resume)))

    const stirred = Latch.makeUnsafe(true)
    presence.onChange(() => stirred.openUnsafe())
    yield* runtime.subscribe((event) => {
      if (event._tag !== "Progress" && event._tag !== "Stage") stirred.openUnsafe()
    })
    const quiet = Effect.map(runtime.getReliabilityStatus, (status) => presence.count() === 0 && !hasWork(status))
    const watchIdle: Effect.Effect<void> = Effect.gen(function* () {
      for (;;) {
        yield* stirred.await
        stirred.closeUnsafe()
        if (yield* quiet) {
          const rested = yield* Effect.raceFirst(
            Effect.as(Effect.sleep(options.idle ?? "5 minutes"), true),
            Effect.as(stirred.await, false)
          )
          if (rested && (yield* quiet)) return yield* end("idle")
        } else yield* Effect.sleep("1 second")
      }
    })
    const watchEditors: Effect.Effect<void> = Effect.gen(function* () {
      for (;;) {
        const mode = yield* presence.abandoned
        if (mode === "stop") return yield* end("editor-closed")
        yield* hold("editor-closed")
      }
    })

    let retiring = false
    const watchRetirement: Effect.Effect<void> = Effect.gen(function* () {
      const moved = Latch.makeUnsafe(true)
      yield* runtime.subscribe(() => moved.openUnsafe())
      for (;;) {
        yield* moved.await
        moved.closeUnsafe()
        if ((yield* runtime.getReliabilityStatus).tasks.running === 0) return yield* end("retired")
      }
    }).pipe(Effect.scoped)

    const scope = yield* Effect.scope

    // What an earlier host held because it was to be replaced goes on.
    yield* release("retired")
    yield* Effect.forkScoped(watchIdle)
    yield* Effect.forkScoped(watchEditors)
    yield* Effect.forkScoped(Effect.andThen(runtime.fenced, end("fenced")))

    return {
      presence,
      ended: Deferred.await(ended),
      end,
      editorCame: Effect.suspend(() => release("editor-closed")),
      decided: Effect.suspend(() => setHeld(undefined)),
      retire: Effect.gen(function* () {
        if (!retiring) {
          retiring = true
          yield* hold("retired")
          yield* Effect.forkIn(watchRetirement, scope)
        }
        return (yield* runtime.getReliabilityStatus).tasks.running
      })
    }
  })
