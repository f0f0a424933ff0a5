import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as Deadline from "../../src/reliability/Deadline.ts"
import * as TimeLimit from "../../src/reliability/TimeLimit.ts"
import * as TimerWheel from "../../src/reliability/TimerWheel.ts"

const provide = Effect.provide([TimeLimit.layer, TimerWheel.layer])

/** The exit as text: the value, or the reasons. */
const shown = (exit: Exit.Exit<unknown, unknown>): string =>
  Exit.isSuccess(exit)
    ? String(exit.value)
    : exit.cause.reasons
        .map((reason) =>
          reason._tag === "Fail"
            ? reason.error instanceof TimeLimit.TimeLimitExceeded
              ? `late:${reason.error.limit}`
              : String(reason.error)
            : reason._tag
        )
        .join("+")

type Within = TimeLimit.TimeLimit["Service"]["within"]

/** Runs it in a fiber of its own, moves the clock past everything, checks that no timer is left, and shows the exit. */
const outcome = (body: (within: Within) => Effect.Effect<unknown, unknown>) =>
  Effect.gen(function* () {
    const { within } = yield* TimeLimit.TimeLimit
    const wheel = yield* TimerWheel.TimerWheel
    const fiber = yield* Effect.forkChild(body(within), { startImmediately: true })
    yield* TestClock.adjust("100 seconds")
    const exit = yield* Fiber.await(fiber)
    assert.strictEqual(wheel.size(), 0)
    return shown(exit)
  }).pipe(provide)

const cases: ReadonlyArray<readonly [name: string, expected: string, body: (within: Within) => Effect.Effect<unknown, unknown>]> = [
  ["a call in time keeps its value", "7", (within) => within(1000)(Effect.as(Effect.sleep(999), 7))],
  ["a call that fails by itself keeps its error", "own", (within) => within(1000)(Effect.andThen(Effect.sleep(1), Effect.fail("own")))],
  ["a synchronous call keeps its value", "3", (within) => within(1000)(Effect.sync(() => 3))],
  ["a synchronous failure stays one", "own", (within) => within(1000)(Effect.fail("own"))],
  ["the inner limit of two ends the call", "late:1000 millis", (within) => within(2000)(within(1000)(Effect.never))],
  ["the outer limit of two ends the call", "late:1000 millis", (within) => within(1000)(within(2000)(Effect.never))],
  ["equal limits end the call once", "late:1000 millis", (within) => within(1000)(within(1000)(Effect.never))],
  ["a limit of zero refuses before the call starts", "late:0 millis", (within) => within(0)(Effect.sync(() => assert.fail("started")))],
  ["an infinite limit is none", "5", (within) => within(Duration.infinity)(Effect.as(Effect.sleep("90 seconds"), 5))],
  [
    "a part that cannot be interrupted is waited for",
    "late:1000 millis at 5000",
    (within) =>
      within(1000)(Effect.as(Effect.uninterruptible(Effect.sleep(5000)), 9)).pipe(
        Effect.exit,
        Effect.flatMap((exit) => Effect.map(Clock.currentTimeMillis, (now) => `${shown(exit)} at ${now}`))
      )
  ],
  ["a call that interrupts itself is not late", "Interrupt", (within) => within(1000)(Effect.interrupt)],
  [
    "a call that interrupts itself later is not late",
    "Interrupt",
    (within) => within(1000)(Effect.andThen(Effect.sleep(10), Effect.interrupt))
  ],
  [
    "a finalizer that dies is a defect, not a limit",
    "Interrupt+Die",
    (within) => within(1000)(Effect.never.pipe(Effect.ensuring(Effect.die("x"))))
  ],
  [
    "the fiber can be limited again after a limit",
    "3",
    (within) =>
      Effect.gen(function* () {
        let late = 0
        for (let i = 0; i < 3; i++) {
          if (Exit.isFailure(yield* Effect.exit(within(1000)(Effect.never)))) late++
          yield* Effect.sleep(10)
          yield* Effect.uninterruptible(Effect.sleep(5))
        }
        return late
      })
  ],
  [
    "an interruption from outside stays one",
    "Interrupt",
    (within) =>
      Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(within(1000)(Effect.never), { startImmediately: true })
        yield* Effect.sleep(500)
        yield* Fiber.interrupt(fiber)
        return shown(yield* Fiber.await(fiber))
      })
  ],
  [
    "an interruption from outside, while the late call is being stopped, stays one",
    "Interrupt",
    (within) =>
      Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(within(1000)(Effect.never.pipe(Effect.onInterrupt(() => Effect.sleep(100)))), {
          startImmediately: true
        })
        yield* Effect.sleep(1050)
        yield* Fiber.interrupt(fiber)
        return shown(yield* Fiber.await(fiber))
      })
  ],
  [
    "an interruption in the instant of the limit ends it once",
    "Interrupt",
    (within) =>
      Effect.gen(function* () {
        const interrupter = yield* Effect.forkChild(
          Effect.andThen(
            Effect.sleep(1000),
            Effect.suspend(() => Fiber.interrupt(fiber))
          ),
          { startImmediately: true }
        )
        const fiber: Fiber.Fiber<never, unknown> = yield* Effect.forkChild(within(1000)(Effect.never), { startImmediately: true })
        yield* Fiber.await(interrupter)
        return shown(yield* Fiber.await(fiber))
      })
  ],
  [
    "a call that interrupts its caller at once is stopped itself",
    "Interrupt stopped",
    (within) =>
      Effect.gen(function* () {
        let stopped = ""
        const fiber = yield* Effect.forkChild(
          Effect.withFiber((self) =>
            within(1000)(
              Effect.andThen(
                Effect.sync(() => self.interruptUnsafe()),
                Effect.onInterrupt(Effect.never, () =>
                  Effect.sync(() => {
                    stopped += " stopped"
                  })
                )
              )
            )
          )
        )
        yield* Effect.sleep(10)
        return shown(yield* Fiber.await(fiber)) + stopped
      })
  ]
]

describe("TimeLimit", () => {
  for (const [name, expected, body] of cases) {
    it.effect(`C46 ${name}`, () => Effect.map(outcome(body), (actual) => assert.strictEqual(actual, expected)))
  }

  it.effect("C46 fails only after the finalizers of the call, and nothing of it runs afterwards", () =>
    Effect.gen(function* () {
      const { within } = yield* TimeLimit.TimeLimit
      const log: Array<string> = []
      const note = (text: string) => Effect.sync(() => log.push(text))
      const call = Effect.sleep(2000).pipe(
        Effect.andThen(note("late effect")),
        Effect.onInterrupt(() => Effect.andThen(Effect.sleep(300), note("finalizer")))
      )
      const fiber = yield* Effect.forkChild(within("1 second")(call).pipe(Effect.tapError((error) => note(error._tag))))
      yield* TestClock.adjust(1299)
      assert.deepEqual(log, [])
      yield* TestClock.adjust("1 hour")
      assert.deepEqual(log, ["finalizer", "TimeLimitExceeded"])
      yield* Fiber.await(fiber)
    }).pipe(provide)
  )

  it.effect("C46 arms no timer for a call that ends at once", () =>
    Effect.gen(function* () {
      const { within } = yield* TimeLimit.TimeLimit
      const wheel = yield* TimerWheel.TimerWheel
      assert.strictEqual(yield* within("1 second")(Effect.sync(() => 1)), 1)
      assert.isFalse(wheel.armed())
    }).pipe(provide)
  )

  it.effect("C11 a deadline counts all waiting, and stopping begins early enough to be over by then", () =>
    Effect.gen(function* () {
      const limits = yield* TimeLimit.TimeLimit
      const deadline = Deadline.after(limits.now(), "10 seconds")
      yield* Effect.forkChild(TestClock.adjust("4 seconds"))
      yield* Effect.sleep("4 seconds")
      assert.strictEqual(Deadline.remaining(deadline, limits.now()), 6000)
      const stopAt = Deadline.stopAt(deadline, "2 seconds", limits.now(), "1 hour")
      assert.strictEqual(stopAt, 8000)
      assert.strictEqual(Deadline.stopAt(deadline, "2 seconds", limits.now(), "1 second"), 5000)
      let deadAt = 0
      const call = Effect.never.pipe(
        Effect.onInterrupt(() =>
          Effect.andThen(
            Effect.sleep("2 seconds"),
            Effect.sync(() => {
              deadAt = limits.now()
            })
          )
        )
      )
      const fiber = yield* Effect.forkChild(limits.until(stopAt)(call))
      yield* TestClock.adjust("1 hour")
      assert.match(shown(yield* Fiber.await(fiber)), /^late/)
      assert.strictEqual(deadAt, deadline)
      assert.match(shown(yield* Effect.exit(limits.until(stopAt)(Effect.sync(() => assert.fail("started"))))), /^late/)
      assert.strictEqual(Deadline.remaining(Deadline.after(0, undefined), 1e9), Number.POSITIVE_INFINITY)
    }).pipe(provide)
  )

  it.effect("a leaf wait ends at its event, at its deadline, or by interruption, and takes its registration back", () =>
    Effect.gen(function* () {
      const limits = yield* TimeLimit.TimeLimit
      const wheel = yield* TimerWheel.TimerWheel
      const registered = new Set<(exit: Exit.Exit<number>) => void>()
      const wait = limits.awaitUntil<number>(limits.now() + 1000, (resume) => {
        registered.add(resume)
        return () => registered.delete(resume)
      })
      const first = yield* Effect.forkChild(wait, { startImmediately: true })
      for (const resume of registered) {
        resume(Exit.succeed(4))
        resume(Exit.succeed(5))
      }
      registered.clear()
      assert.strictEqual(yield* Fiber.join(first), 4)
      const second = yield* Effect.forkChild(wait, { startImmediately: true })
      const third = yield* Effect.forkChild(wait, { startImmediately: true })
      yield* Fiber.interrupt(third)
      assert.strictEqual(registered.size, 1)
      yield* TestClock.adjust(1000)
      assert.strictEqual(shown(yield* Fiber.await(second)), "late:1000 millis")
      assert.strictEqual(registered.size, 0)
      assert.strictEqual(wheel.size(), 0)
      assert.strictEqual(yield* limits.awaitUntil<number>(limits.now() + 10, (resume) => resume(Exit.succeed(1))), 1)
      assert.match(shown(yield* Effect.exit(limits.awaitUntil(limits.now(), () => assert.fail("registered")))), /^late/)
      assert.strictEqual(wheel.size(), 0)
    }).pipe(provide)
  )
})
