import * as v8 from "node:v8"
import * as vm from "node:vm"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { AgentRuntime } from "../../src/AgentRuntime.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { afterStart, claim, driver, layer } from "../support/runtime.ts"

const cycles = 10_000

/** Bytes in use after everything that can be collected has been. */
const heap = Effect.promise(async () => {
  v8.setFlagsFromString("--expose-gc")
  const collect = vm.runInNewContext("gc") as () => void
  for (let turn = 0; turn < 3; turn++) {
    collect()
    await new Promise((resolve) => setImmediate(resolve))
  }
  return process.memoryUsage().heapUsed
})

describe("leaks", () => {
  it.effect(
    `C61 ${cycles} times spawn, execute, remove leave heap and handles as they were`,
    () =>
      Effect.gen(function* () {
        const runtime = yield* AgentRuntime
        const cycle = Effect.fnUntraced(function* (n: number) {
          yield* runtime.spawn({ id: `a${n}`, driver: "fake", account: "one" })
          const end = yield* runtime.execute(`a${n}`, { id: `t${n}` })
          assert.strictEqual(end.state, "succeeded")
          yield* runtime.remove(`a${n}`)
        })
        for (let n = 0; n < cycles / 2; n++) yield* cycle(n)
        const half = yield* heap
        const handles = process.getActiveResourcesInfo().length
        for (let n = cycles / 2; n < cycles; n++) yield* cycle(n)
        const grown = (yield* heap) - half
        assert.isBelow(grown, 500 * (cycles / 2), `${Math.round(grown / (cycles / 2))} bytes a cycle`)
        assert.isAtMost(process.getActiveResourcesInfo().length, handles + 2)
        assert.deepStrictEqual(yield* runtime.agents, [])
      }).pipe(
        Effect.provide(
          layer({
            disk: MemoryStore.makeDisk({ keepEvents: 100, keepEnded: 100 }),
            drivers: { fake: driver(afterStart(Effect.succeed(claim()))) }
          })
        )
      ),
    120_000
  )
})
