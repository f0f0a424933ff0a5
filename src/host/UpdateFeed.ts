/**
 * What one client is told of what happens: a snapshot or what it missed, then every event in order.
 *
 * Each client has a buffer of its own between the runtime and its connection. A client that does not keep up loses the buffer and gets a
 * snapshot instead, when it reads again: the runtime never waits for it, and what is kept for it is bounded.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Stream from "effect/Stream"
import type { AgentRuntime } from "../AgentRuntime.ts"
import type { RuntimeEvent } from "../RuntimeEvent.ts"
import type { Store } from "../store/Store.ts"
import type { Position, Update } from "./Protocol.ts"

export interface Options {
  readonly runtime: Pick<AgentRuntime["Service"], "snapshot" | "subscribe">
  readonly store: Pick<Store["Service"], "events">
  /** Events that a client may fall behind by. Count, default 2,048. */
  readonly buffer?: number
}

/** Missed events that are told one by one; a client that missed more gets a snapshot. */
const replayed = 1_000
/** Events in one message: between two the client says that it took the first. */
const chunk = 256

/** The updates of one client, from `after` on, or from the beginning. Ends only with its reader. */
export const updates = (options: Options, after: typeof Position.Type | undefined): Stream.Stream<Update> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const { runtime, store } = options
      const limit = options.buffer ?? 2_048
      const wake = Latch.makeUnsafe(false)
      let waiting: Array<RuntimeEvent> = []
      let lagged = false
      /** Up to here everything durable has been told. */
      let told = 0

      // Before anything is looked at: what happens meanwhile comes after it.
      yield* runtime.subscribe((event) => {
        if (lagged) return
        if (waiting.length >= limit) {
          lagged = true
          waiting = []
        } else waiting.push(event)
        wake.openUnsafe()
      })

      const whole = (reason: "start" | "gap" | "lag"): Effect.Effect<readonly [Update]> =>
        Effect.map(runtime.snapshot, (snapshot) => {
          told = snapshot.seq
          return [{ _tag: "Snapshot", reason, snapshot }] as const
        })

      const begin = Effect.gen(function* () {
        if (after === undefined) return yield* whole("start")
        const { agents, epoch, permissions, seq } = yield* runtime.snapshot
        if (after.epoch !== epoch || after.seq > seq || seq - after.seq > replayed) return yield* whole("gap")
        const missed = after.seq === seq ? [] : yield* Effect.orElseSucceed(store.events(after.seq, replayed), () => [])
        // Retention may have taken some of them, and a store in trouble has none.
        if (after.seq < seq && missed[0]?.seq !== after.seq + 1) return yield* whole("gap")
        told = missed.at(-1)?.seq ?? seq
        const resumed: Update = { _tag: "Resumed", epoch, seq: after.seq, agents, permissions }
        return [resumed, ...missed.map((event): Update => ({ _tag: "Event", event }))] as const
      })

      const next: Effect.Effect<readonly [Update, ...Array<Update>]> = Effect.suspend(() => {
        if (lagged) {
          lagged = false
          waiting = []
          return whole("lag")
        }
        const taken = waiting.splice(0, chunk).filter(({ seq }) => seq === undefined || seq > told)
        const [first, ...rest] = taken.map((event): Update => ({ _tag: "Event", event }))
        if (first !== undefined) return Effect.succeed([first, ...rest] as const)
        if (waiting.length > 0) return next
        wake.closeUnsafe()
        return Effect.andThen(wake.await, next)
      })

      let begun = false
      const pull = Effect.suspend(() => {
        if (begun) return next
        begun = true
        return begin
      })
      return Stream.fromPull(Effect.succeed(pull as typeof next))
    })
  )
