import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Shutdown from "../../src/reliability/Shutdown.ts"
import { finalizerAllowance, phaseAllowance, phases } from "../../src/reliability/ShutdownBudget.ts"

const setup = Effect.fnUntraced(function* (settings: Partial<typeof Shutdown.defaults> = {}) {
  const shutdown = yield* Shutdown.make({ ...Shutdown.defaults, ...settings })
  const events: Array<Shutdown.ShutdownEvent> = []
  shutdown.onEvent((event) => void events.push(event))
  return { shutdown, events }
})

const run = (shutdown: Shutdown.Shutdown["Service"]) => Effect.forkChild(shutdown.run(), { startImmediately: true })

const Shares = Schema.Array(Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))).check(
  Schema.isMinLength(6),
  Schema.isMaxLength(6)
)
const Use = Schema.Array(Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))).check(
  Schema.isMinLength(6),
  Schema.isMaxLength(6)
)

describe("Shutdown", () => {
  it.effect("C38 phase n + 1 starts after n ended, and within a phase the last registered goes first", () =>
    Effect.gen(function* () {
      const { events, shutdown } = yield* setup()
      const log: Array<string> = []
      for (const phase of phases.toReversed()) {
        for (const n of [1, 2]) {
          const finalizer = Effect.andThen(
            Effect.sleep("100 millis"),
            Effect.sync(() => log.push(`${phase} ${n}`))
          )
          yield* shutdown.register(phase, `${phase} ${n}`, Effect.asVoid(finalizer))
        }
      }
      const fiber = yield* run(shutdown)
      yield* TestClock.adjust("2 seconds")
      const report = yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        log,
        phases.flatMap((phase) => [`${phase} 2`, `${phase} 1`])
      )
      assert.deepStrictEqual(
        events
          .filter((event) => event._tag === "ShutdownPhaseStarted" || event._tag === "ShutdownPhaseEnded")
          .map((event) => [event._tag, event.phase, event.at]),
        phases.flatMap((phase, index) => [
          ["ShutdownPhaseStarted", phase, index * 200],
          ["ShutdownPhaseEnded", phase, index * 200 + 200]
        ])
      )
      assert.strictEqual(report.durationMillis, 1200)
      assert.isTrue(report.phases.every((phase) => phase.outcome === "completed"))
      const json = Schema.fromJsonString(Shutdown.ShutdownReport)
      assert.deepStrictEqual(yield* Schema.decodeEffect(json)(yield* Schema.encodeEffect(json)(report)), report)
    })
  )

  it.effect.prop(
    "C39 whatever phases use, each later one keeps its share, and all of them together stay in the budget",
    [Shares, Use],
    ([given, use]) =>
      Effect.sync(() => {
        const shares = Object.fromEntries(phases.map((phase, index) => [phase, given[index]!])) as { [P in Shutdown.Phase]: number }
        const sum = given.reduce((a, b) => a + b, 0)
        let remaining = 1000
        for (const [index, phase] of phases.entries()) {
          const allowance = phaseAllowance(phase, remaining, 1000, shares)
          const guaranteed = (shares[phase] / Math.max(1, sum)) * 1000
          assert.isAtLeast(allowance + 1e-6, guaranteed, phase)
          assert.isAtMost(allowance, remaining)
          remaining -= allowance * use[index]!
        }
        assert.isAtLeast(remaining, -1e-6)
      }),
    { arbitrary: { runs: 300 } }
  )

  it.effect.prop(
    "C39 finalizers that all hang each get a turn and stay in their phase's time",
    [Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 50 })), Schema.Finite.check(Schema.isBetween({ minimum: 1, maximum: 2000 }))],
    ([count, limit]) =>
      Effect.sync(() => {
        let remaining = 1000
        for (let behind = count - 1; behind >= 0; behind--) {
          const allowance = finalizerAllowance(remaining, 1000, behind, limit)
          assert.isAbove(allowance, 0)
          remaining -= allowance
        }
        assert.isAtLeast(remaining, -1e-6)
      }),
    { arbitrary: { runs: 300 } }
  )

  it.effect("C39 a finalizer that hangs and cannot be interrupted is bounded by its own time, and the others run", () =>
    Effect.gen(function* () {
      const { shutdown } = yield* setup()
      let ran = false
      yield* shutdown.register(
        "save-state",
        "save",
        Effect.sync(() => void (ran = true))
      )
      yield* shutdown.register("save-state", "hung", Effect.uninterruptible(Effect.never), { timeLimit: "2 seconds" })
      const fiber = yield* run(shutdown)
      yield* TestClock.adjust("2 seconds")
      const report = yield* Fiber.join(fiber)
      assert.isTrue(ran)
      assert.strictEqual(report.durationMillis, 2000)
      const phase = report.phases.find((each) => each.phase === "save-state")!
      assert.deepStrictEqual(
        phase.finalizers.map((each) => [each.name, each.outcome, each.durationMillis]),
        [
          ["hung", "timed-out", 2000],
          ["save", "completed", 0]
        ]
      )
      assert.include(phase.finalizers[0]!.detail, "left behind")
      assert.strictEqual(phase.outcome, "incomplete")
    })
  )

  it.effect("C39 when every finalizer of every phase hangs, the whole ends within the budget and agents still get their turn", () =>
    Effect.gen(function* () {
      const { shutdown } = yield* setup({ budget: Shutdown.defaults.budget })
      const started = new Map<string, number>()
      for (const phase of phases) {
        for (const n of [1, 2, 3]) {
          const name = `${phase} ${n}`
          yield* shutdown.register(
            phase,
            name,
            (controls) =>
              Effect.suspend(() => {
                started.set(name, Duration.toMillis(controls.limit))
                return Effect.uninterruptible(Effect.never)
              }),
            { timeLimit: "1 hour" }
          )
        }
      }
      const fiber = yield* run(shutdown)
      yield* TestClock.adjust("30 seconds")
      const report = fiber.pollUnsafe()
      assert.isTrue(report !== undefined && Exit.isSuccess(report))
      assert.strictEqual(started.size, 18)
      for (const [name, limit] of started) assert.isAbove(limit, 0, name)
      const agents = (yield* Fiber.join(fiber)).phases.find((each) => each.phase === "stop-agents")!
      assert.isAtLeast(agents.durationMillis, 5999)
    })
  )

  it.effect("C41 the report has each finalizer's real outcome and what was abandoned", () =>
    Effect.gen(function* () {
      const { shutdown } = yield* setup()
      yield* shutdown.register("drain", "fails", Effect.fail("disk full"))
      yield* shutdown.register("drain", "dies", Effect.die(new Error("bug")))
      yield* shutdown.register("drain", "leaves", Effect.succeed(["task-1", "task-2"]))
      yield* shutdown.register(
        "drain",
        "tells and hangs",
        ({ abandon }) =>
          Effect.andThen(
            Effect.sync(() => abandon(["task-3"])),
            Effect.never
          ),
        { timeLimit: "1 second" }
      )
      yield* shutdown.register("drain", "throws", () => {
        throw new Error("at once")
      })
      const fiber = yield* run(shutdown)
      yield* TestClock.adjust("1 second")
      const report = yield* Fiber.join(fiber)
      assert.deepStrictEqual(report.abandoned, ["task-3", "task-1", "task-2"])
      assert.deepStrictEqual(
        report.phases[1]!.finalizers.map((each) => [each.name, each.outcome, each.detail]),
        [
          ["throws", "failed", "Error: at once"],
          ["tells and hangs", "timed-out", "it had not ended after 900ms"],
          ["leaves", "completed", undefined],
          ["dies", "failed", "Error: bug"],
          ["fails", "failed", "disk full"]
        ]
      )
      assert.deepStrictEqual(shutdown.report(), report)
    })
  )

  it.effect("C41 a second request cuts the drain short, runs nothing twice, and gets the same report", () =>
    Effect.gen(function* () {
      const { events, shutdown } = yield* setup()
      let agents = 0
      yield* shutdown.register(
        "stop-agents",
        "agents",
        Effect.sync(() => void agents++)
      )
      yield* shutdown.register("drain", "deaf", Effect.never)
      yield* shutdown.register("drain", "polite", ({ hurried }) => Effect.as(hurried, ["task-9"]))
      const first = yield* run(shutdown)
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(shutdown.status().phase, "drain")
      const second = yield* run(shutdown)
      const third = yield* run(shutdown)
      yield* TestClock.adjust("1 second")
      const reports = yield* Fiber.joinAll([first, second, third])
      assert.strictEqual(reports[0], reports[1])
      assert.strictEqual(reports[1], reports[2])
      assert.strictEqual(agents, 1)
      assert.isTrue(reports[0]!.hurried)
      assert.strictEqual(reports[0]!.durationMillis, 4000)
      assert.deepStrictEqual(
        reports[0]!.phases[1]!.finalizers.map((each) => [each.name, each.outcome, each.abandoned]),
        [
          ["polite", "completed", ["task-9"]],
          ["deaf", "cut-short", []]
        ]
      )
      assert.strictEqual(events.filter((event) => event._tag === "ShutdownHurried").length, 1)
      assert.strictEqual(yield* shutdown.run(), reports[0])
    })
  )

  it.effect("C41 it goes on when whoever asked for it is interrupted", () =>
    Effect.gen(function* () {
      const { shutdown } = yield* setup()
      let done = false
      yield* shutdown.register(
        "clean-up",
        "last",
        Effect.andThen(
          Effect.sleep("1 second"),
          Effect.sync(() => void (done = true))
        )
      )
      const fiber = yield* run(shutdown)
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("1 second")
      assert.isTrue(done)
      assert.strictEqual(shutdown.status().state, "stopped")
    })
  )

  it.effect("C43 status and events tell the phase and the remaining work", () =>
    Effect.gen(function* () {
      const { events, shutdown } = yield* setup()
      assert.deepStrictEqual(shutdown.status(), { state: "running", phase: undefined, remaining: 0, hurried: false })
      yield* shutdown.register("drain", "tasks", ({ progress }) =>
        Effect.forEach(
          [3, 2, 2, 1],
          (n) =>
            Effect.andThen(
              Effect.sync(() => progress(n)),
              Effect.sleep("1 second")
            ),
          { discard: true }
        )
      )
      const fiber = yield* run(shutdown)
      yield* TestClock.adjust("1500 millis")
      assert.deepStrictEqual(shutdown.status(), { state: "shutting-down", phase: "drain", remaining: 2, hurried: false })
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        events.filter((event) => event._tag === "ShutdownProgress").map((event) => event.remaining),
        [3, 2, 1]
      )
      assert.deepStrictEqual(shutdown.status(), { state: "stopped", phase: undefined, remaining: 0, hurried: false })
      assert.strictEqual(events.at(-1)!._tag, "ShutdownFinished")
    })
  )

  it.effect("C38 closing its scope runs it once; what was registered in a scope that closed before is not run", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const other = yield* Scope.make()
      const log: Array<string> = []
      const note = (text: string) => Effect.sync(() => void log.push(text))
      const shutdown = yield* Scope.provide(Shutdown.make(Shutdown.defaults), scope)
      yield* Scope.provide(shutdown.register("clean-up", "own", note("own")), scope)
      yield* Scope.provide(shutdown.register("clean-up", "other", note("other")), other)
      yield* Scope.close(other, Exit.void)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(log, ["own"])
      assert.isFalse(shutdown.report()!.hurried)
    })
  )

  it.effect("C38 a layer that asked for it runs the shutdown before its own resources go", () =>
    Effect.gen(function* () {
      const { shutdown } = yield* setup()
      const scope = yield* Scope.make()
      const log: Array<string> = []
      yield* Scope.addFinalizer(
        scope,
        Effect.sync(() => void log.push("resource closed"))
      )
      yield* Scope.provide(
        shutdown.register(
          "stop-agents",
          "agents",
          Effect.sync(() => void log.push("agents stopped"))
        ),
        scope
      )
      yield* Scope.provide(shutdown.runOnClose, scope)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(log, ["agents stopped", "resource closed"])
    })
  )

  it.effect("C38 what is registered while its phase runs is still run, and after it at once", () =>
    Effect.gen(function* () {
      const { shutdown } = yield* setup()
      const log: Array<string> = []
      const note = (text: string) => Effect.sync(() => void log.push(text))
      const scope = yield* Effect.scope
      yield* shutdown.register(
        "stop-agents",
        "first",
        shutdown
          .register("stop-agents", "late", note("late"))
          .pipe(Effect.andThen(shutdown.register("drain", "too late", note("too late"))), Effect.provideService(Scope.Scope, scope))
      )
      yield* shutdown.run()
      yield* shutdown.register("clean-up", "after all", note("after all"))
      assert.deepStrictEqual(log, ["too late", "late", "after all"])
    })
  )
})
