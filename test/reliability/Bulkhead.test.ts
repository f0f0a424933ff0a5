import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as Bulkhead from "../../src/reliability/Bulkhead.ts"

const options = (permits: number, queue: number, perAccount = permits, perAccountQueue = queue): Bulkhead.Options => ({
  global: { permits, queue },
  perAccount: { permits: perAccount, queue: perAccountQueue }
})
const fork = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

describe("Bulkhead", () => {
  it("C44 takes the account's and the global permit, both or none, and says which is missing", () => {
    const bulkhead = Bulkhead.make(options(3, 0, 2))
    const first = bulkhead.tryAcquire("a")
    const second = bulkhead.tryAcquire("a")
    const third = bulkhead.tryAcquire("a")
    assert(first._tag === "BulkheadPermit" && second._tag === "BulkheadPermit" && third._tag === "BulkheadFull")
    assert.deepInclude(third, { scope: "account", permits: 2, key: "a" })
    assert.instanceOf(third, Error)
    assert.isUndefined(third.stack)
    assert.match(third.message, /"a" is full \(2 running\)/)
    assert.strictEqual(bulkhead.tryAcquire("b")._tag, "BulkheadPermit")
    const global = bulkhead.tryAcquire("c")
    assert(global._tag === "BulkheadFull" && global.scope === "global")
    let changes = 0
    const stop = bulkhead.onChange(() => changes++)
    bulkhead.release(first)
    bulkhead.release(first)
    assert.deepEqual(bulkhead.metrics(), { running: 2, waiting: 0, permits: 3, refused: 2, keys: 2 })
    assert.strictEqual(changes, 1)
    stop()
    bulkhead.release(second)
    assert.strictEqual(changes, 1)
  })

  it.effect("C44 runs in strict order of arrival, refuses before the call starts, and never refuses an accepted call", () =>
    Effect.gen(function* () {
      const bulkhead = Bulkhead.make(options(1, 3))
      const log: Array<number> = []
      const call = (id: number) =>
        bulkhead.run("a")(
          Effect.gen(function* () {
            log.push(id)
            yield* Effect.sleep(10)
          })
        )
      const fibers = yield* Effect.forEach([0, 1, 2, 3], (id) => fork(call(id)))
      const refused = yield* Effect.flip(call(4))
      assert(refused._tag === "BulkheadFull" && refused.queue === 3)
      bulkhead.resize(options(1, 0))
      yield* TestClock.adjust(100)
      for (const fiber of fibers) assert.isTrue(Exit.isSuccess(yield* Fiber.await(fiber)))
      assert.deepEqual(log, [0, 1, 2, 3])
      assert.deepEqual(bulkhead.metrics(), { running: 0, waiting: 0, permits: 1, refused: 1, keys: 0 })
    })
  )

  it.effect("C44 permits that are given back for a while are taken again before anybody who came later, and never refused", () =>
    Effect.gen(function* () {
      const bulkhead = Bulkhead.make(options(1, 1))
      const lent = bulkhead.tryAcquire("a")
      assert(lent._tag === "BulkheadPermit")
      bulkhead.release(lent)
      yield* bulkhead.retake(lent)
      assert.strictEqual(bulkhead.metrics().running, 1)
      bulkhead.release(lent)
      const other = bulkhead.tryAcquire("a")
      assert(other._tag === "BulkheadPermit")
      const again = yield* fork(bulkhead.retake(lent))
      const gone = yield* fork(bulkhead.retake({ ...lent }))
      assert.deepInclude(bulkhead.metrics(), { running: 1, waiting: 2 })
      yield* Fiber.interrupt(gone)
      bulkhead.release(other)
      // Told of the change, a newcomer finds the place taken.
      assert.strictEqual(bulkhead.tryAcquire("a")._tag, "BulkheadFull")
      yield* Fiber.join(again)
      assert.deepInclude(bulkhead.metrics(), { running: 1, waiting: 0 })
      bulkhead.release(lent)
      assert.deepInclude(bulkhead.metrics(), { running: 0, waiting: 0, keys: 0 })
    })
  )

  it.effect("C45 one account that hangs takes its own permits and no other's, and blocks no line", () =>
    Effect.gen(function* () {
      const bulkhead = Bulkhead.make(options(4, 100, 2))
      for (let i = 0; i < 20; i++) yield* fork(bulkhead.run("hung")(Effect.never))
      for (let i = 0; i < 1000; i++) assert.strictEqual(yield* bulkhead.run("well")(Effect.succeed(i)), i)
      assert.deepInclude(bulkhead.metrics("hung"), { running: 2, waiting: 18 })
    })
  )

  it.effect("C44 a larger size admits those that wait; a smaller one takes effect as calls end", () =>
    Effect.gen(function* () {
      const bulkhead = Bulkhead.make(options(1, 10))
      const gate = yield* Deferred.make<void>()
      for (let i = 0; i < 5; i++) yield* fork(bulkhead.run("a")(Deferred.await(gate)))
      bulkhead.resize(options(3, 10))
      assert.deepInclude(bulkhead.metrics(), { running: 3, waiting: 2 })
      bulkhead.resize(options(1, 10))
      assert.strictEqual(bulkhead.tryAcquire("b")._tag, "BulkheadFull")
      yield* Deferred.succeed(gate, undefined)
      yield* TestClock.adjust(1)
      assert.deepInclude(bulkhead.metrics(), { running: 0, waiting: 0, keys: 0 })
    })
  )

  it.effect.prop(
    "C44 permits are never exceeded and never leaked, whatever is interrupted when",
    [
      Schema.Array(
        Schema.Struct({
          key: Schema.Literals(["a", "b"]),
          takes: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 20 })),
          start: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 20 })),
          interruptAt: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60 })),
          fails: Schema.Boolean
        })
      ).check(Schema.isMaxLength(25))
    ],
    ([calls]) =>
      Effect.gen(function* () {
        const bulkhead = Bulkhead.make(options(3, 10, 2))
        let most = 0
        let running = 0
        const fibers = yield* Effect.forEach(calls, (call) =>
          fork(
            Effect.delay(
              bulkhead.run(call.key)(
                Effect.acquireUseRelease(
                  Effect.sync(() => {
                    most = Math.max(most, ++running)
                  }),
                  () => Effect.andThen(Effect.sleep(call.takes), call.fails ? Effect.fail("own") : Effect.void),
                  () => Effect.sync(() => running--)
                )
              ),
              call.start
            )
          )
        )
        for (let time = 0; time <= 60; time++) {
          yield* Effect.forEach(calls, (call, index) =>
            call.interruptAt === time ? Fiber.interrupt(fibers[index] as Fiber.Fiber<void, unknown>) : Effect.void
          )
          yield* TestClock.adjust(1)
        }
        yield* TestClock.adjust("1 hour")
        assert.isAtMost(most, 3)
        assert.deepInclude(bulkhead.metrics(), { running: 0, waiting: 0, keys: 0 })
      }),
    { arbitrary: { runs: 60 } }
  )

  it.effect("C44 an interruption in the very step of admission leaks nothing", () =>
    Effect.gen(function* () {
      const bulkhead = Bulkhead.make(options(1, 10))
      const holder = bulkhead.tryAcquire("a")
      assert(holder._tag === "BulkheadPermit")
      const waiter = yield* fork(bulkhead.run("a")(Effect.never))
      // A listener is told in the step in which the waiter was admitted.
      bulkhead.onChange(() => waiter.interruptUnsafe())
      bulkhead.release(holder)
      yield* Fiber.await(waiter)
      assert.deepInclude(bulkhead.metrics(), { running: 0, waiting: 0, keys: 0 })
      const again = yield* fork(bulkhead.run("a")(Effect.never))
      const behind = yield* fork(bulkhead.run("a")(Effect.never))
      behind.interruptUnsafe()
      again.interruptUnsafe()
      yield* Fiber.await(again)
      assert.deepInclude(bulkhead.metrics(), { running: 0, waiting: 0, keys: 0 })
    })
  )

  it("C58 options have defaults, and bad ones are refused with their path", () => {
    assert.deepEqual(Bulkhead.defaults, { global: { permits: 8, queue: 1000 }, perAccount: { permits: 8, queue: 1000 } })
    assert.throws(() => Schema.decodeUnknownSync(Bulkhead.Options)({ perAccount: { permits: 0 } }), /perAccount/)
  })
})
