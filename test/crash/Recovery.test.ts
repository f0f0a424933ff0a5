import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Effect, Fiber, Layer, Scope } from "effect"
import { TestClock } from "effect/testing"
import { AgentRuntime, type TaskInput } from "../../src/AgentRuntime.ts"
import type { RuntimeEvent } from "../../src/RuntimeEvent.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { type Store, StoreUnavailable } from "../../src/store/Store.ts"
import * as Scripted from "../support/runtime.ts"
import { makeWall, type Wall } from "../support/wall.ts"

const { afterStart, claim, driver, failure, succeedAfter } = Scripted

/** A runtime in a scope that nobody closes: as if its process were killed. `wall`: a machine whose wall clock can be set. */
const begin = (options: Scripted.Options & { readonly wall?: Wall }) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const build = Layer.buildWithScope(Layer.fresh(Scripted.layer(options)), scope)
    const context = yield* options.wall === undefined ? build : Effect.provideService(build, Clock.Clock, options.wall.clock)
    return Context.get(context, AgentRuntime)
  })

/** From now on nothing of the present owner is written any more. */
const kill = (disk: MemoryStore.Disk) => Effect.sync(() => disk.crashAfter(0, false))

const hour = 3_600_000
const minute = 60_000

const view = (runtime: AgentRuntime["Service"], id: string) => Effect.map(runtime.tasks, (tasks) => tasks.find((task) => task.id === id)!)

describe("recovery", () => {
  it.effect("C51 a start reaps before it writes anything, settles what ran, and only then starts new work", () =>
    Effect.gen(function* () {
      const disk = MemoryStore.makeDisk()
      const spawned: Scripted.Script = (attempt) =>
        Effect.andThen(attempt.open.intend, Effect.andThen(attempt.started(), Effect.as(Effect.sleep("1 hour"), claim())))
      const first = yield* begin({ disk, drivers: { fake: driver(spawned) } })
      yield* first.spawn({ id: "a", driver: "fake" })
      yield* first.submit({ id: "t", agent: "a", effect: "idempotent" })
      yield* TestClock.adjust("1 second")
      yield* kill(disk)
      const written = disk.commits()
      const reaped: Array<unknown> = []
      const second = yield* begin({
        disk,
        drivers: { fake: driver(succeedAfter("1 second")) },
        reap: (left) => Effect.sync(() => reaped.push([left.length, disk.commits()]))
      })
      yield* second.spawn({ id: "a", driver: "fake" })
      const end = yield* Effect.forkChild(second.await("t"))
      yield* TestClock.adjust("5 minutes")
      assert.deepInclude(yield* Fiber.join(end), { state: "succeeded", attempts: 2 })
      assert.deepStrictEqual(reaped, [[1, written]])
      const tags = (yield* disk.open().events(0, 1_000)).map((event) => event._tag)
      const after = tags.slice(tags.indexOf("AttemptStarted") + 1)
      assert.deepStrictEqual(
        after.filter((tag) => tag === "AttemptEnded" || tag === "RuntimeStarted" || tag === "AttemptAdmitted"),
        ["AttemptEnded", "RuntimeStarted", "AttemptAdmitted", "AttemptEnded"]
      )
    })
  )

  it.effect("C64 an outcome that was claimed is checked at the start, and its work is not done again", () =>
    Effect.gen(function* () {
      const disk = MemoryStore.makeDisk()
      let delivered = 0
      const drivers = { fake: driver(afterStart(Effect.sync(() => claim(`answer ${++delivered}`)))) }
      const first = yield* begin({ disk, drivers, check: Effect.never })
      yield* first.spawn({ id: "a", driver: "fake" })
      yield* first.submit({ id: "t", agent: "a", verify: ["x"] })
      yield* TestClock.adjust("1 second")
      yield* kill(disk)
      const steps: Array<string> = []
      const second = yield* begin({
        disk,
        drivers,
        check: Effect.sync(() => {
          steps.push(`check after ${delivered}`)
          return { _tag: "Passed", verified: true }
        })
      })
      assert.deepInclude(yield* second.await("t"), { state: "succeeded", verified: true, output: "answer 1" })
      assert.deepStrictEqual(steps, ["check after 1"])
      assert.strictEqual(delivered, 1)
    })
  )

  it.effect("C40 C64 a shutdown while a claimed outcome is checked leaves the check to the next start", () =>
    Effect.gen(function* () {
      const disk = MemoryStore.makeDisk()
      const drivers = { fake: driver(afterStart(Effect.succeed(claim()))) }
      const first = yield* begin({ disk, drivers, check: Effect.never })
      yield* first.spawn({ id: "a", driver: "fake" })
      yield* first.submit({ id: "t", agent: "a", verify: ["x"] })
      yield* TestClock.adjust("1 second")
      const [report] = yield* Effect.all([first.shutdown, first.shutdown], { concurrency: "unbounded" })
      assert.deepStrictEqual(report?.abandoned, ["t"])
      const second = yield* begin({ disk, drivers })
      assert.deepInclude(yield* second.await("t"), { state: "succeeded", attempts: 1 })
    })
  )

  it.effect("C54 an open circuit, a closed gate and a paused queue are the same after a restart", () =>
    Effect.gen(function* () {
      const disk = MemoryStore.makeDisk()
      const limited = failure({ _tag: "RateLimited", detail: "429", retryAfterMillis: 20 * minute })
      const wall = yield* makeWall
      const options = { disk, wall, drivers: { fake: driver(afterStart(Effect.fail(limited))) } }
      const first = yield* begin(options)
      yield* first.spawn({ id: "a", driver: "fake", account: "acc" })
      yield* first.submit({ id: "t", agent: "a", effect: "idempotent" })
      yield* TestClock.adjust("1 second")
      yield* first.isolateAgentCircuitBreaker("a", "by hand")
      yield* first.pause
      yield* TestClock.adjust("1 second")
      const before = yield* first.getReliabilityStatus
      yield* kill(disk)
      wall.jump(minute)
      const second = yield* begin(options)
      yield* second.spawn({ id: "a", driver: "fake", account: "acc" }).pipe(Effect.forkChild)
      yield* TestClock.adjust("1 second")
      const after = yield* second.getReliabilityStatus
      assert.strictEqual(after.phase, "paused")
      assert.deepStrictEqual(
        after.gates.map(({ account, state, until }) => ({ account, state, until })),
        before.gates.map(({ account, state, until }) => ({ account, state, until }))
      )
      assert.strictEqual((yield* second.getAgentCircuitBreakerStatus("a")).state, "isolated")
      assert.strictEqual((yield* view(second, "t")).attempts, 1)
    })
  )

  it.effect("a deadline counts neither the time in which nobody was awake nor a sleep", () =>
    Effect.gen(function* () {
      const disk = MemoryStore.makeDisk()
      const wall = yield* makeWall
      const options = { disk, wall, drivers: { fake: driver(succeedAfter("1 second")) } }
      const first = yield* begin(options)
      yield* first.submit({ id: "t", agent: "a", deadline: "10 minutes" })
      yield* TestClock.adjust("2 minutes")
      yield* first.submit({ id: "later", agent: "a" })
      yield* kill(disk)
      wall.jump(5 * hour)
      // Killed right after the first thing that it writes, and started again: what it was away is counted once.
      const dying = {
        open: () => {
          const store = disk.open()
          disk.crashAfter(1, true)
          return store
        }
      }
      yield* Effect.forkDetach(begin({ ...options, disk: dying }), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      const second = yield* begin(options)
      wall.jump(10 * minute)
      yield* TestClock.adjust("7 minutes")
      assert.strictEqual((yield* view(second, "t")).state, "queued")
      yield* TestClock.adjust("2 minutes")
      const end = yield* second.await("t")
      assert.strictEqual(end.state, "dead-lettered")
      assert.include(end.reason ?? "", "deadline")
    })
  )

  it.effect("a deadline counts the time in which the host was awake and nothing happened, and a sleep before a kill once", () =>
    Effect.gen(function* () {
      const disk = MemoryStore.makeDisk()
      const wall = yield* makeWall
      const options = { disk, wall, drivers: { fake: driver(succeedAfter("1 second")) } }
      const first = yield* begin(options)
      yield* first.submit({ id: "t", agent: "a", deadline: "20 minutes" })
      yield* TestClock.adjust("10 minutes")
      wall.jump(2 * hour)
      yield* TestClock.adjust("30 seconds")
      yield* kill(disk)
      wall.jump(5 * hour)
      const second = yield* begin(options)
      yield* TestClock.adjust("9 minutes")
      assert.strictEqual((yield* view(second, "t")).state, "queued")
      yield* kill(disk)
      const third = yield* begin(options)
      yield* TestClock.adjust("3 minutes")
      assert.strictEqual((yield* third.await("t")).state, "dead-lettered")
    })
  )

  it.effect("a task that comes, or begins, in the moment after a sleep or a step of the clock has the time that it was given", () =>
    Effect.gen(function* () {
      for (const jump of [2 * hour, -hour]) {
        const wall = yield* makeWall
        const runtime = yield* begin({ disk: MemoryStore.makeDisk(), wall, drivers: { fake: driver(succeedAfter("1 second")) } })
        yield* runtime.submit({ id: "before", agent: "a", deadline: "30 minutes" })
        wall.jump(jump)
        yield* runtime.submit({ id: "after", agent: "b", deadline: "30 minutes" })
        yield* Effect.forkChild(runtime.spawn({ id: "a", driver: "fake" }))
        yield* TestClock.adjust("29 minutes")
        assert.deepInclude(yield* view(runtime, "before"), { state: "succeeded", attempts: 1 })
        assert.strictEqual((yield* view(runtime, "after")).state, "queued")
        yield* TestClock.adjust("2 minutes")
        assert.strictEqual((yield* view(runtime, "after")).state, "dead-lettered")
      }
    })
  )

  it.effect("a clock that was set back by an hour freezes neither a retry nor a gate, while it runs and across a restart", () =>
    Effect.gen(function* () {
      for (const restarts of [false, true]) {
        const disk = MemoryStore.makeDisk()
        const wall = yield* makeWall
        let turns = 0
        const script = (fault: Parameters<typeof failure>[0]): Scripted.Script =>
          afterStart(Effect.suspend(() => (turns++ < 2 ? Effect.fail(failure(fault)) : Effect.succeed(claim()))))
        const options = {
          disk,
          wall,
          drivers: {
            retried: driver(script({ _tag: "Transient", detail: "reset" })),
            limited: driver(script({ _tag: "RateLimited", detail: "429", retryAfterMillis: 30_000 }))
          },
          config: { retry: { baseDelay: "20 seconds", jitter: "none" } }
        }
        const setUp = (runtime: AgentRuntime["Service"]) =>
          Effect.forEach(["retried", "limited"], (id) => Effect.forkChild(runtime.spawn({ id, driver: id, account: id })))
        const first = yield* begin(options)
        yield* setUp(first)
        for (const id of ["retried", "limited"]) yield* first.submit({ id, agent: id, effect: "idempotent" })
        yield* TestClock.adjust("5 seconds")
        let runtime = first
        if (restarts) yield* kill(disk)
        wall.jump(-hour)
        if (restarts) {
          runtime = yield* begin(options)
          yield* setUp(runtime)
        }
        const ends = yield* Effect.forkChild(Effect.forEach(["retried", "limited"], (id) => runtime.await(id)))
        yield* TestClock.adjust("10 minutes")
        const exit = ends.pollUnsafe()
        assert.deepStrictEqual(exit?._tag === "Success" ? exit.value.map((end) => end.state) : exit, ["succeeded", "succeeded"])
      }
    })
  )

  it.effect("C13 a clock that was set back since the last start opens no gate early at the next one", () =>
    Effect.gen(function* () {
      const disk = MemoryStore.makeDisk()
      const wall = yield* makeWall
      const limited = failure({ _tag: "RateLimited", detail: "429", retryAfterMillis: 10 * minute })
      const options = { disk, wall, drivers: { fake: driver(afterStart(Effect.andThen(Effect.sleep("1 second"), Effect.fail(limited)))) } }
      const first = yield* begin(options)
      yield* first.submit({ id: "t", agent: "a", effect: "idempotent", deadline: "1 day" })
      yield* kill(disk)
      // Its deadline moves with the time in which nobody was awake, which is written down.
      yield* TestClock.adjust("1 minute")
      const second = yield* begin(options)
      yield* TestClock.adjust("1 second")
      wall.jump(-hour)
      yield* second.spawn({ id: "a", driver: "fake", account: "acc" })
      yield* TestClock.adjust("5 seconds")
      const closed = (yield* second.getReliabilityStatus).gates
      yield* kill(disk)
      yield* TestClock.adjust("1 minute")
      const third = yield* begin(options)
      assert.deepStrictEqual((yield* third.getReliabilityStatus).gates, closed)
    })
  )

  it.effect("C54 a run on a terminal brings its own agents, whatever an earlier one had", () =>
    Effect.gen(function* () {
      const disk = MemoryStore.makeDisk()
      const drivers = { old: driver(() => Effect.never), fake: driver(succeedAfter("1 second")) }
      const first = yield* begin({ disk, drivers })
      yield* first.spawn({ id: "a", driver: "old" })
      yield* kill(disk)
      const second = yield* begin({ disk, drivers, environment: { waitsForClients: true, restoresAgents: false } })
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* second.agents, [])
      yield* second.spawn({ id: "a", driver: "fake" })
      const host = yield* begin({ disk, drivers, environment: { waitsForClients: true } })
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(
        (yield* host.agents).map((agent) => agent.id),
        ["a"]
      )
    })
  )

  it.effect("C61 what ended long ago is dropped, and what has not ended never", () =>
    Effect.gen(function* () {
      const disk = MemoryStore.makeDisk()
      const wall = yield* makeWall
      const options = { disk, wall, drivers: { fake: driver(succeedAfter("1 second")) }, config: { store: { keep: "30 days" } } }
      const first = yield* begin(options)
      yield* first.spawn({ id: "a", driver: "fake" })
      yield* first.submit({ id: "done", agent: "a" })
      yield* first.submit({ id: "open", agent: "nobody" })
      yield* TestClock.adjust("5 seconds")
      yield* kill(disk)
      wall.jump(31 * 24 * hour)
      yield* begin(options)
      yield* TestClock.adjust("1 second")
      const left = yield* disk.open().tasks({})
      assert.deepStrictEqual(
        left.map((task) => task.key),
        ["open"]
      )
    })
  )

  it.effect("C56 what belongs together is written together, and before what it leads to", () =>
    Effect.gen(function* () {
      const { open, state } = troubled(MemoryStore.makeDisk())
      const slow: Scripted.Script = (attempt) =>
        Effect.andThen(Effect.sleep("1 second"), Effect.andThen(attempt.started(), Effect.succeed(claim())))
      const runtime = yield* begin({ disk: { open }, drivers: { fake: driver(succeedAfter("1 second")), slow: driver(slow) } })
      for (const id of ["fake", "slow"]) yield* runtime.spawn({ id, driver: id })
      const written = (task: TaskInput) =>
        Effect.gen(function* () {
          const before = state.batches.length
          yield* runtime.submit(task)
          yield* TestClock.adjust("10 seconds")
          assert.strictEqual((yield* view(runtime, task.id)).state, "succeeded")
          return state.batches.slice(before).map((tags) => tags.join(" "))
        })
      const accepted = "PutTask AppendEvent"
      const begun = "AppendEvent PutTask AppendEvent"
      const ended = "AppendEvent PutTask AppendEvent AppendEvent"
      assert.deepStrictEqual(yield* written({ id: "plain", agent: "fake" }), [accepted, begun, ended])
      assert.deepStrictEqual(yield* written({ id: "checked", agent: "fake", verify: ["true"] }), [
        accepted,
        begun,
        "PutTask AppendEvent PutProcess",
        "DeleteProcess PutTask AppendEvent AppendEvent"
      ])
      // It is admitted long before it starts.
      assert.deepStrictEqual(yield* written({ id: "waits", agent: "slow" }), [
        accepted,
        "PutTask AppendEvent",
        "PutTask AppendEvent",
        ended
      ])
    })
  )

  it.effect("C56 nobody is told of an end before it is durable", () =>
    Effect.gen(function* () {
      const disk = MemoryStore.makeDisk()
      const runtime = yield* begin({ disk, drivers: { fake: driver(succeedAfter("1 second")) } })
      yield* runtime.spawn({ id: "a", driver: "fake" })
      const waiting = yield* Effect.forkChild(runtime.execute("a", { id: "t" }))
      yield* TestClock.adjust("500 millis")
      // What the agent claims, and what follows from it.
      disk.crashAfter(1, false)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* view(runtime, "t")).state, "succeeded")
      assert.isUndefined(waiting.pollUnsafe())
      const asked = yield* Effect.forkChild(runtime.await("t"))
      yield* TestClock.adjust("1 minute")
      assert.isUndefined(asked.pollUnsafe())
    })
  )
})

describe("what waits", () => {
  it.effect("C38 starts no more once the shutdown has begun, though its time comes", () =>
    Effect.gen(function* () {
      const disk = MemoryStore.makeDisk()
      let calls = 0
      const counted: Scripted.Script = (attempt, agent) => {
        calls++
        return succeedAfter("1 second")(attempt, agent)
      }
      const runtime = yield* begin({
        disk,
        drivers: { fake: driver(counted), slow: driver(succeedAfter("8 seconds")) },
        config: { rateLimit: { accounts: { acc: { name: "n", algorithm: "sliding-window", limit: 1, window: "5 seconds" } } } }
      })
      yield* runtime.spawn({ id: "a", driver: "fake", account: "acc" })
      yield* runtime.spawn({ id: "b", driver: "slow", account: "other" })
      yield* runtime.submit({ id: "slow", agent: "b" })
      for (const id of ["t1", "t2"]) yield* runtime.submit({ id, agent: "a" })
      yield* TestClock.adjust("2 seconds")
      const report = yield* Effect.forkChild(runtime.shutdown)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual((yield* Fiber.join(report)).abandoned, [])
      assert.strictEqual(calls, 1)
    })
  )

  it.effect("a task that is given back after its deadline does not wait for ever", () =>
    Effect.gen(function* () {
      const disk = MemoryStore.makeDisk()
      const stubborn = afterStart(Effect.as(Effect.uninterruptible(Effect.sleep("20 seconds")), claim()))
      const script: Scripted.Script = (attempt, agent) =>
        Effect.andThen(stubborn(attempt, agent), Effect.fail(failure({ _tag: "Transient", detail: "reset" })))
      const runtime = yield* begin({ disk, drivers: { fake: driver(script) } })
      yield* runtime.spawn({ id: "a", driver: "fake" })
      yield* runtime.submit({ id: "t", agent: "a", effect: "idempotent", deadline: "10 seconds" })
      yield* TestClock.adjust("9 seconds")
      yield* Effect.forkChild(runtime.remove("a"))
      yield* TestClock.adjust("1 minute")
      assert.deepInclude(yield* view(runtime, "t"), { state: "dead-lettered" })
    })
  )
})

/** A disk whose writes fail while it is in trouble. */
const troubled = (disk: MemoryStore.Disk) => {
  const state = { trouble: false, batches: [] as Array<ReadonlyArray<string>> }
  const open = (): Store["Service"] => {
    const store = disk.open()
    return {
      ...store,
      commit: (changes, epoch) =>
        Effect.suspend(() => {
          if (state.trouble) return Effect.fail(new StoreUnavailable({ operation: "commit", reason: "full", cause: "no space left" }))
          state.batches.push(changes.map((change) => change._tag))
          return store.commit(changes, epoch)
        })
    }
  }
  return { state, open }
}

describe("disk trouble", () => {
  it.effect(
    "C53 a full disk stops intake, visibly, and ends nothing; everything goes on afterwards, and nothing is written by halves",
    () =>
      Effect.gen(function* () {
        const { open, state } = troubled(MemoryStore.makeDisk())
        const bad = failure({ _tag: "InvalidRequest", detail: "no" })
        const runtime = yield* begin({
          disk: { open },
          drivers: {
            fake: driver(succeedAfter("10 seconds")),
            bad: driver(afterStart(Effect.andThen(Effect.sleep("10 seconds"), Effect.fail(bad))))
          }
        })
        const events: Array<RuntimeEvent> = []
        yield* runtime.subscribe((event) => void events.push(event))
        yield* runtime.spawn({ id: "a", driver: "fake" })
        yield* runtime.spawn({ id: "b", driver: "bad" })
        yield* runtime.submit({ id: "works", agent: "a" })
        yield* runtime.submit({ id: "fails", agent: "b" })
        yield* runtime.submit({ id: "waits", agent: "a" })
        yield* TestClock.adjust("5 seconds")
        state.trouble = true
        const written = state.batches.length
        yield* TestClock.adjust("5 minutes")
        assert.strictEqual((yield* Effect.flip(runtime.submit({ id: "late" })))._tag, "IntakeStopped")
        assert.isTrue(events.some((event) => event._tag === "IntakePaused"))
        assert.isFalse(events.some((event) => event._tag === "TaskSucceeded" || event._tag === "TaskDeadLettered"))
        state.trouble = false
        yield* TestClock.adjust("1 minute")
        assert.isTrue(state.batches[written]?.filter((tag) => tag === "PutTask").length === 2, "what waited is written together")
        const ends = yield* Effect.forEach(["works", "fails", "waits"], (id) => runtime.await(id))
        assert.deepStrictEqual(
          ends.map((end) => end.state),
          ["succeeded", "dead-lettered", "succeeded"]
        )
        assert.strictEqual((yield* runtime.submit({ id: "late" })).state, "queued")
      })
  )

  it.effect("C56 an owner that is fenced off ends its agents, tells nothing more, and shuts down", () =>
    Effect.gen(function* () {
      const disk = MemoryStore.makeDisk()
      let stopped = 0
      const script = afterStart(Effect.onInterrupt(Effect.never, () => Effect.sync(() => void stopped++)))
      const runtime = yield* begin({ disk, drivers: { fake: driver(script) } })
      yield* runtime.spawn({ id: "a", driver: "fake" })
      const waiting = yield* Effect.forkChild(runtime.execute("a", { id: "t", effect: "idempotent" }))
      yield* TestClock.adjust("1 second")
      const next = disk.open()
      const commits = disk.commits()
      const fenced = yield* Effect.forkChild(runtime.fenced)
      yield* Effect.forkChild(runtime.submit({ id: "late" }))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(fenced))._tag, "Fenced")
      assert.strictEqual(stopped, 1)
      assert.strictEqual(disk.commits(), commits)
      assert.strictEqual((yield* runtime.getReliabilityStatus).phase, "stopped")
      assert.isUndefined(waiting.pollUnsafe())
      assert.deepStrictEqual(
        (yield* next.tasks({})).map((task) => task.state),
        ["running"]
      )
    })
  )
})
