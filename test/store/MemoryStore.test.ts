import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import type { Change } from "../../src/store/Store.ts"
import { suite } from "../support/storeSuite.ts"
import { batch, ended, event, task } from "../support/storeTasks.ts"

suite("memory", () => MemoryStore.layer())

const put = (value: ReturnType<typeof task>): Change => ({ _tag: "PutTask", task: value })

describe("MemoryStore", () => {
  it.effect("C27 what was acknowledged is there for the next owner of the disk, who fences off the former", () =>
    Effect.gen(function* () {
      const disk = MemoryStore.makeDisk()
      const first = disk.open()
      yield* first.commit([put(task("a", 1))], first.epoch)
      const second = disk.open()
      assert.deepStrictEqual((yield* second.load).tasks, [task("a", 1)])
      const refused = yield* Effect.flip(first.commit([put(task("b", 2))], first.epoch))
      assert.deepStrictEqual([refused._tag, (yield* second.load).tasks.length], ["Fenced", 1])
    })
  )

  for (const applied of [true, false]) {
    it.effect(`C27 the commit at the crash never returns, and is ${applied ? "" : "not "}there after it; none returns later`, () =>
      Effect.gen(function* () {
        const disk = MemoryStore.makeDisk()
        const first = disk.open()
        disk.crashAfter(2, applied)
        yield* first.commit([put(task("a", 1))], first.epoch)
        const dying = yield* Effect.forkChild(first.commit([put(task("b", 2))], first.epoch), { startImmediately: true })
        const late = yield* Effect.forkChild(first.commit([put(task("c", 3))], first.epoch), { startImmediately: true })
        assert.deepStrictEqual([dying.pollUnsafe(), late.pollUnsafe()], [undefined, undefined])
        const second = disk.open()
        assert.deepStrictEqual(
          (yield* second.load).tasks.map((one) => one.key),
          applied ? ["a", "b"] : ["a"]
        )
        yield* second.commit([put(task("d", 4))], second.epoch)
        yield* Fiber.interrupt(dying)
        yield* Fiber.interrupt(late)
      })
    )
  }

  it.effect("C61 ended tasks and events are bounded; those of an unfinished batch are kept until it is finished", () =>
    Effect.gen(function* () {
      const store = MemoryStore.make({ keepEnded: 3, keepEvents: 5 })
      yield* store.commit([{ _tag: "PutBatch", batch: batch("b", 1) }], store.epoch)
      for (let n = 0; n < 20; n++) {
        const changes: ReadonlyArray<Change> = [
          put(ended(`t${n}`, n, n)),
          put(ended(`t${n}`, 100 + n, n, "b")),
          { _tag: "AppendEvent", event: event(`t${n}`) }
        ]
        yield* store.commit(changes, store.epoch)
      }
      const kept = yield* store.tasks({ batch: "" })
      assert.deepStrictEqual(
        kept.map((one) => one.key),
        ["t17", "t18", "t19"]
      )
      assert.strictEqual((yield* store.tasks({ batch: "b" })).length, 20)
      assert.deepStrictEqual(
        (yield* store.events(0, 100)).map((one) => one.seq),
        [16, 17, 18, 19, 20]
      )
      yield* store.commit([{ _tag: "PutBatch", batch: batch("b", 1, 50) }], store.epoch)
      assert.strictEqual((yield* store.tasks({})).length, 3)
    })
  )
})
