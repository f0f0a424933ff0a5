/** What happens in the host, for a client: across lost connections, from where it was. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Deferred from "effect/Deferred"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { RuntimeEvent } from "../RuntimeEvent.ts"
import { type Connection, isDropped } from "./Connection.ts"
import type { Position, Update } from "./Protocol.ts"

export interface ClientUpdates {
  readonly updates: Stream.Stream<Update>
  readonly events: Stream.Stream<RuntimeEvent>
  /** Returns when events are being told: what happens after that is not missed. */
  readonly subscribe: (listener: (event: RuntimeEvent) => void) => Effect.Effect<void, never, Scope.Scope>
}

/** Updates that wait for their reader in this process; the host keeps the rest, up to its bound. */
const buffer = 256

export const make = (connection: Effect.Effect<Connection>): ClientUpdates => {
  /** Tells every update from now on; ends only when the host is lost. */
  const follow = (tell: (update: Update) => Effect.Effect<unknown>): Effect.Effect<never> =>
    Effect.gen(function* () {
      let after: typeof Position.Type | undefined
      for (;;) {
        const on = yield* connection
        const exit = yield* Effect.exit(
          Stream.runForEach(on.client.updates(after === undefined ? {} : { after }), (update) => {
            if (update._tag === "Snapshot") after = { epoch: update.snapshot.epoch, seq: update.snapshot.seq }
            else if (update._tag === "Event" && update.event.seq !== undefined && after !== undefined) {
              after = { ...after, seq: update.event.seq }
            }
            return tell(update)
          })
        )
        if (Exit.isFailure(exit) && !isDropped(exit.cause)) return yield* Effect.die(Cause.squash(exit.cause))
        yield* on.closed
      }
    })

  const updates = Stream.callback<Update>(
    (queue) =>
      Effect.forkScoped(
        Effect.catchCause(
          follow((update) => Queue.offer(queue, update)),
          (cause) => Queue.failCause(queue, cause)
        )
      ),
    { bufferSize: buffer, strategy: "suspend" }
  )

  return {
    updates,
    events: Stream.flatMap(updates, (update) => (update._tag === "Event" ? Stream.succeed(update.event) : Stream.empty)),
    subscribe: (listener) =>
      Effect.gen(function* () {
        const ready = Deferred.makeUnsafe<void>()
        const told = follow((update) =>
          Effect.sync(() => {
            if (update._tag === "Event") listener(update.event)
            else Deferred.doneUnsafe(ready, Exit.void)
          })
        )
        // Whoever waits for the first word learns of a lost host instead.
        yield* Effect.forkScoped(Effect.onError(told, (cause) => Effect.sync(() => Deferred.doneUnsafe(ready, Exit.failCause(cause)))))
        yield* Deferred.await(ready)
      })
  }
}
