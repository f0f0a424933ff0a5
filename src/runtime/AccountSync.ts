/**
 * Shares closed gates with the user's other runtimes: an account's limit is the user's, not a repository's.
 *
 * A gate that closes here is written into the account store; before work is admitted, one look tells whether somebody else wrote, and
 * closings from elsewhere are taken over as far as they last longer. A store that cannot be used is shown as degraded, and the gates are
 * local until it can be used again.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as CooldownGate from "../reliability/CooldownGate.ts"
import { type AccountRecord, AccountStore } from "../store/AccountStore.ts"
import type { StoreUnavailable } from "../store/Store.ts"
import type { Core } from "./Core.ts"

export interface AccountSync {
  /** Takes over what others wrote. Synchronous; some microseconds when nobody did. */
  readonly look: () => void
}

/** Two looks are at least this far apart: one pump asks for many admissions. Monotonic milliseconds. */
const lookMillis = 10
/** How often it is looked while work waits and nothing else happens: what is shown stays true. Milliseconds. */
const idleMillis = 5_000

const kind = "gate"
const component = "accounts"

const decodeGate = Schema.decodeUnknownOption(CooldownGate.Persisted)

/** Nothing is shared: there is no store. */
export const local: AccountSync = { look: () => {} }

/** Connects the gates with the account store, if one is provided, until the scope closes. */
export const connect = (core: Core): Effect.Effect<AccountSync, never, Scope.Scope> =>
  Effect.gen(function* () {
    const provided = yield* Effect.serviceOption(AccountStore)
    if (Option.isNone(provided)) return local
    const store = provided.value
    const { gate } = core.patterns
    let known = 0
    let lookedAt = Number.NEGATIVE_INFINITY
    let degraded = false
    // What is being taken over is no news for the others.
    let adopting = false

    /** The store's statements are synchronous; what fails is shown once. */
    const ask = <A>(question: Effect.Effect<A, StoreUnavailable>): A | undefined => {
      const exit = Effect.runSyncExit(question)
      if (Exit.isSuccess(exit)) {
        if (degraded) core.health.recovered(component)
        degraded = false
        return exit.value
      }
      const error = exit.cause.reasons.find((reason) => reason._tag === "Fail")?.error
      if (!degraded) core.health.degrade(component, `limits are not shared with other runtimes: ${error?.message ?? String(exit.cause)}`)
      degraded = true
      return undefined
    }

    const adopt = (record: AccountRecord): void => {
      known = Math.max(known, record.version)
      const persisted = record.kind === kind ? decodeGate(record.state) : Option.none()
      if (Option.isSome(persisted) && persisted.value.until > core.wallNow()) gate.restore(record.account, persisted.value)
    }

    const look = (): void => {
      const now = core.now()
      if (now - lookedAt < lookMillis) return
      lookedAt = now
      const version = ask(store.version)
      if (version === undefined || version <= known) return
      const records = ask(store.changesSince(known)) ?? []
      adopting = true
      try {
        for (const record of records) adopt(record)
      } finally {
        adopting = false
      }
    }

    const publish = (account: string): void => {
      if (adopting || gate.status(account).state !== "closed") return
      const state = gate.dump(account)
      // Whole milliseconds: what two processes compute from the same time may differ in its fractions.
      if (state !== undefined) ask(store.put({ account, kind, generation: 0, until: Math.ceil(state.until), state }))
    }

    const unsubscribe = gate.onUpdate(publish)
    let timer = core.arm(idleMillis, tick)
    function tick(): void {
      if (core.table.open > 0) look()
      timer = core.arm(idleMillis, tick)
    }
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        unsubscribe()
        timer.cancel()
      })
    )
    // What was closed here before the last end; then what others closed meanwhile.
    for (const { account } of gate.statuses()) publish(account)
    look()
    return { look }
  })
