import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import type { RuntimeEvent } from "../../src/RuntimeEvent.ts"
import * as Random from "../../src/simulation/SeededRandom.ts"
import * as SimulatedStore from "../../src/simulation/SimulatedStore.ts"

const event = (at: number): RuntimeEvent => ({ _tag: "GateReopened", at, account: "a" })
const append = (at: number) => [{ _tag: "AppendEvent", event: event(at) }] as const

describe("SimulatedStore", () => {
  it.effect("C27 what was acknowledged is there after a crash, and of what was not a part from the front", () =>
    Effect.gen(function* () {
      const kept = new Set<number>()
      for (let seed = 1; seed <= 60; seed++) {
        const disk = SimulatedStore.make()
        const store = disk.open()
        yield* store.commit(append(1), store.epoch)
        yield* store.commit(append(2), store.epoch)
        disk.stopSyncing()
        const writers = yield* Effect.forEach([3, 4, 5], (at) =>
          Effect.forkChild(store.commit(append(at), store.epoch), { startImmediately: true })
        )
        disk.crash(Random.make(seed, "crash"))
        const next = disk.open()
        const times = (yield* next.events(0, 100)).map(({ at }) => at)
        assert.deepStrictEqual(times, [1, 2, 3, 4, 5].slice(0, times.length))
        assert.isAtLeast(times.length, 2)
        kept.add(times.length)
        for (const writer of writers) assert.isUndefined(writer.pollUnsafe(), "a commit that was not synced returned")
        yield* Fiber.interruptAll(writers)
      }
      assert.deepStrictEqual([...kept].sort(), [2, 3, 4, 5])
    })
  )

  it.effect("C54 a process that has died writes nothing any more", () =>
    Effect.gen(function* () {
      const disk = SimulatedStore.make()
      const dead = disk.open()
      disk.crash(Random.make(1, "crash"))
      const late = yield* Effect.forkChild(dead.commit(append(1), dead.epoch), { startImmediately: true })
      const next = disk.open()
      yield* next.commit(append(2), next.epoch)
      assert.deepStrictEqual(
        (yield* next.events(0, 100)).map(({ at }) => at),
        [2]
      )
      assert.isUndefined(late.pollUnsafe())
      yield* Fiber.interrupt(late)
    })
  )

  it.effect("C53 a full disk refuses, and writes again when there is room", () =>
    Effect.gen(function* () {
      const disk = SimulatedStore.make()
      const store = disk.open()
      disk.setFull(true)
      const error = yield* Effect.flip(store.commit(append(1), store.epoch))
      assert.strictEqual(error._tag === "StoreUnavailable" && error.reason, "full")
      disk.setFull(false)
      yield* store.commit(append(2), store.epoch)
      assert.deepStrictEqual(
        (yield* store.events(0, 100)).map(({ at }) => at),
        [2]
      )
    })
  )
})
