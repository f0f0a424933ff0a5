import { assert, describe, it } from "@effect/vitest"
import * as Awake from "../../src/runtime/Awake.ts"
import type { Core } from "../../src/runtime/Core.ts"

describe("the note of when the host was awake", () => {
  it("is made while deadlines wait and no event tells of the time, and not where nothing can be written", () => {
    const state = { seq: 7, deadlines: 1, degraded: false }
    const noted: Array<unknown> = []
    let look = (): void => {}
    const core = {
      wallNow: () => 1_000,
      arm: (_: number, fire: () => void) => {
        look = fire
      },
      table: {
        get deadlines() {
          return state.deadlines
        }
      },
      journal: {
        seq: () => state.seq,
        degraded: () => (state.degraded ? { message: "full" } : undefined),
        note: (change: unknown) => noted.push(change)
      }
    } as unknown as Core
    const noteWhen = (change: Partial<typeof state>): number => {
      const before = noted.length
      Object.assign(state, change)
      look()
      return noted.length - before
    }
    Awake.keepNoting(core)
    assert.strictEqual(noteWhen({}), 1)
    assert.deepStrictEqual(noted, [{ _tag: "PutPattern", pattern: { kind: "control", key: "awake", state: { at: 1_000, seq: 7 } } }])
    assert.strictEqual(noteWhen({ seq: 8 }), 0)
    assert.strictEqual(noteWhen({}), 1)
    assert.strictEqual(noteWhen({ degraded: true }), 0)
    assert.strictEqual(noteWhen({ degraded: false, deadlines: 0 }), 0)
    assert.strictEqual(noteWhen({ deadlines: 2 }), 1)
  })
})
