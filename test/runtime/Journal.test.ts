import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import * as Journal from "../../src/runtime/Journal.ts"
import type { RuntimeEvent } from "../../src/RuntimeEvent.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { StoreUnavailable } from "../../src/store/Store.ts"

/** A disk that cannot be written at first, and then numbers its next event as told. */
const numbering = (seqs: ReadonlyArray<number>) => {
  const rest = [...seqs]
  const state = { full: true }
  const store = MemoryStore.make()
  return {
    state,
    store: {
      ...store,
      commit: () =>
        Effect.suspend(() =>
          state.full
            ? Effect.fail(new StoreUnavailable({ operation: "commit", reason: "full", cause: "no space left" }))
            : Effect.succeed(rest.splice(0, 1).map((seq): RuntimeEvent => ({ _tag: "IntakeResumed", at: 0, seq })))
        )
    }
  }
}

describe("the journal", () => {
  it.effect("C56 waits for no event that nobody can bring any more, also after a commit that failed", () =>
    Effect.gen(function* () {
      const { state, store } = numbering([1, 3])
      const context = yield* Effect.context<never>()
      const journal = Journal.make({
        store,
        seq: 0,
        fork: (effect) => void Effect.runForkWith(context)(effect),
        later: (call) => queueMicrotask(call),
        latest: (change) => change,
        onDegraded: () => {}
      })
      const told: Array<number | undefined> = []
      journal.onEvent((event) => told.push(event.seq))
      const change = { _tag: "DeletePattern", kind: "control", key: "none" } as const
      yield* Effect.forkChild(journal.commit([change]), { startImmediately: true })
      assert.strictEqual(journal.degraded()?.reason, "full")
      state.full = false
      yield* TestClock.adjust("1 second")
      assert.isUndefined(journal.degraded())
      yield* journal.commit([change])
      assert.deepStrictEqual(told, [1, 3])
    })
  )

  it.effect("C56 tells nobody any more who stopped listening, or whose listening threw", () =>
    Effect.sync(() => {
      const journal = Journal.make({
        store: MemoryStore.make(),
        seq: 0,
        fork: () => {},
        later: () => {},
        latest: (change) => change,
        onDegraded: () => {}
      })
      const told: Array<string> = []
      journal.onEvent(() => {
        told.push("thrower")
        throw new Error("broken listener")
      })
      const stop = journal.onEvent(() => told.push("leaver"))
      journal.onEvent(() => told.push("stayer"))
      journal.live({ _tag: "IntakeResumed", at: 0 })
      stop()
      journal.live({ _tag: "IntakeResumed", at: 0 })
      assert.deepStrictEqual(told, ["thrower", "leaver", "stayer", "stayer"])
    })
  )
})
