/**
 * Who is connected, and what that means: for permission requests, for work when the last editor has gone, and for the host's own end.
 *
 * A window that reloads goes and comes back: what its user wants at the close of the editor happens only when nobody has come back for a
 * moment. Pausing for that reason ends by itself when an editor comes.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Scope from "effect/Scope"
import type { AgentRuntime } from "../AgentRuntime.ts"
import type { LeaveMode } from "./Protocol.ts"

export interface Presence {
  /** A client has said who it is. `onLeave`: it is an editor, or somebody else who can answer permission requests. */
  readonly join: (clientId: number, onLeave: LeaveMode | undefined) => Effect.Effect<void>
  /** Has it said so? */
  readonly knows: (clientId: number) => boolean
  /** What becomes of the work when this client has gone, and nobody else is there. */
  readonly leaving: (clientId: number, mode: LeaveMode) => Effect.Effect<void>
  readonly leave: (clientId: number) => Effect.Effect<void>
  readonly count: () => number
  /** Calls back when somebody came or went. */
  readonly onChange: (listener: () => void) => void
  /** What the last editor wanted, once nobody is there for the time of grace; never `finish`. */
  readonly abandoned: Effect.Effect<"pause" | "stop">
}

export const make = (
  runtime: Pick<AgentRuntime["Service"], "attend">,
  /** Nobody is there for so long until it is taken for the editor's end. Milliseconds. */
  graceMillis: number
): Effect.Effect<Presence, never, Scope.Scope> =>
  Effect.gen(function* () {
    const own = yield* Effect.scope
    const clients = new Map<number, { mode: LeaveMode | undefined; readonly scope: Scope.Closeable | undefined }>()
    const listeners = new Set<() => void>()
    const changed = Latch.makeUnsafe(false)
    /** Of the last editor that left. */
    let last: LeaveMode | undefined

    const tell = (): void => {
      changed.openUnsafe()
      for (const listener of listeners) listener()
    }

    const abandoned: Effect.Effect<"pause" | "stop"> = Effect.gen(function* () {
      for (;;) {
        changed.closeUnsafe()
        if (clients.size > 0 || last === undefined || last === "finish") yield* changed.await
        else {
          const mode = last
          const alone = yield* Effect.raceFirst(Effect.as(Effect.sleep(graceMillis), true), Effect.as(changed.await, false))
          if (!alone) continue
          last = undefined
          return mode
        }
      }
    })

    return {
      join: (clientId, onLeave) =>
        Effect.gen(function* () {
          if (clients.has(clientId)) return
          const scope = onLeave === undefined ? undefined : yield* Scope.fork(own)
          clients.set(clientId, { mode: onLeave, scope })
          if (scope !== undefined) yield* Scope.provide(runtime.attend, scope)
          tell()
        }),
      knows: (clientId) => clients.has(clientId),
      leaving: (clientId, mode) =>
        Effect.sync(() => {
          const client = clients.get(clientId)
          if (client !== undefined) client.mode = mode
        }),
      leave: (clientId) =>
        Effect.suspend(() => {
          const client = clients.get(clientId)
          if (client === undefined) return Effect.void
          clients.delete(clientId)
          if (client.mode !== undefined) last = client.mode
          tell()
          return client.scope === undefined ? Effect.void : Scope.close(client.scope, Exit.void)
        }),
      count: () => clients.size,
      onChange: (listener) => void listeners.add(listener),
      abandoned
    }
  })
