import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as State from "../../src/reliability/BulkheadState.ts"

const keys = ["a", "b", "c"] as const
const Step = Schema.Struct({
  op: Schema.Literals(["run", "run", "run", "try", "end", "end", "interrupt", "resize"]),
  key: Schema.Literals(keys),
  pick: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1000 }))
})

/** The naive model: everybody in one list, in order of arrival. */
interface Call {
  readonly id: number
  readonly key: string
  running: boolean
  readonly waiter: State.Waiter | undefined
}

describe("BulkheadState", () => {
  it.effect.prop(
    "C44 permits and queues agree with a naive model, whatever is called, ended, interrupted and resized in whatever order",
    [Schema.Array(Step).check(Schema.isMinLength(20), Schema.isMaxLength(120))],
    ([steps]) =>
      Effect.sync(() => {
        let bounds: State.Bounds = { global: { permits: 3, queue: 4 }, perAccount: { permits: 2, queue: 3 } }
        const state = State.make(bounds)
        let calls: Array<Call> = []
        let id = 0
        const running = (key?: string) => calls.filter((call) => call.running && (key === undefined || call.key === key)).length
        const waiting = (key?: string) => calls.filter((call) => !call.running && (key === undefined || call.key === key)).length
        const room = (key: string) => running() < bounds.global.permits && running(key) < bounds.perAccount.permits
        /** In order of arrival, whoever may run. */
        const admit = () => {
          const expected: Array<number> = []
          for (const call of calls) {
            if (!call.running && room(call.key)) {
              call.running = true
              expected.push(call.id)
            }
          }
          const actual: Array<number | undefined> = []
          for (let waiter = State.next(state); waiter !== undefined; waiter = State.next(state))
            actual.push(calls.find((call) => call.waiter === waiter)?.id)
          assert.deepEqual(actual, expected)
        }
        for (const { op, key, pick } of steps) {
          if (op === "run" || op === "try") {
            const free = room(key)
            const refused = State.enter(state, key)
            assert.strictEqual(refused === undefined, free)
            if (refused === undefined) calls.push({ id: id++, key, running: true, waiter: undefined })
            else if (op === "run") {
              const fits = waiting(key) < bounds.perAccount.queue && waiting() < bounds.global.queue
              const place = State.join(state, key)
              assert.strictEqual(typeof place !== "string", fits)
              if (typeof place !== "string") calls.push({ id: id++, key, running: false, waiter: place })
            }
          } else if (op === "resize") {
            bounds = { global: { permits: 1 + (pick % 5), queue: pick % 6 }, perAccount: { permits: 1 + (pick % 3), queue: pick % 4 } }
            state.bounds = bounds
          } else {
            const candidates = calls.filter((call) => call.running === (op === "end"))
            const call = candidates[pick % Math.max(1, candidates.length)]
            if (call === undefined) continue
            calls = calls.filter((other) => other !== call)
            if (op === "end") State.exit(state, call.key)
            else if (call.waiter !== undefined) State.withdraw(state, call.waiter)
          }
          admit()
          assert.strictEqual(state.running, running())
          assert.strictEqual(state.waiting, waiting())
          for (const each of keys) {
            assert.strictEqual(state.keys.get(each)?.running ?? 0, running(each))
            assert.strictEqual(state.keys.has(each), running(each) + waiting(each) > 0)
          }
        }
      }),
    { arbitrary: { runs: 200 } }
  )
})
