import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { TestClock } from "effect/testing"
import { AgentRuntime } from "../../src/AgentRuntime.ts"
import type { RuntimeEvent } from "../../src/RuntimeEvent.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { isEnd, type Task } from "../../src/task/Task.ts"
import * as Scripted from "../support/runtime.ts"
import * as World from "./world.ts"

const config = {
  circuitBreaker: { consecutiveFailures: 1, openTime: "20 seconds", maxOpenTime: "1 minute" },
  retry: { maxAttempts: 6, baseDelay: "2 seconds" }
}

/** A process: the runtime in a scope that nobody closes. What is left of it when the next one begins does nothing any more: its disk is gone. */
const begin = (disk: MemoryStore.Disk, world: World.World, crash?: { readonly after: number; readonly applied: boolean }) =>
  Effect.gen(function* () {
    world.incarnation++
    const scope = yield* Scope.make()
    const layer = Scripted.layer({
      config,
      disk: {
        ...disk,
        open: () => {
          const store = disk.open()
          if (crash !== undefined) disk.crashAfter(crash.after, crash.applied)
          return store
        }
      },
      drivers: World.drivers(world),
      check: World.check(world),
      reap: World.reap(world, disk)
    })
    const building = yield* Effect.forkDetach(Layer.buildWithScope(Layer.fresh(layer), scope), { startImmediately: true })
    const runtime = Effect.map(Fiber.join(building), (context) => Context.get(context, AgentRuntime))
    const done = yield* Effect.forkDetach(
      Effect.flatMap(runtime, (it) => user(it, world)),
      { startImmediately: true }
    )
    return { done, runtime }
  })

/** What a user does, and does again with every new process until all is done. */
const user = Effect.fnUntraced(function* (runtime: AgentRuntime["Service"], world: World.World) {
  yield* runtime.pause
  yield* Effect.forEach(World.agents, (agent) => Effect.forkChild(runtime.spawn(agent)), { discard: true })
  for (const task of World.tasks) {
    yield* Effect.catchTag(Effect.asVoid(runtime.submit(task)), "TaskInvalid", () => Effect.void)
    world.acknowledged.add(task.id)
  }
  yield* runtime.resume
  const bad = yield* runtime.await("bad")
  if (bad.run === 1 && bad.state === "dead-lettered") {
    const [letter] = (yield* runtime.getDLQMessages).filter((each) => each.subject === "bad")
    if (letter?.status === "pending")
      yield* Effect.all(
        [1, 2].map(() => runtime.retryDLQMessage(letter.id)),
        { concurrency: "unbounded" }
      )
  }
  for (;;) {
    const open = (yield* runtime.tasks).filter((task) => !isEnd(task.state) && !task.waiting?.detail.startsWith("held:"))
    if (open.length === 0) return
    yield* Effect.sleep("1 second")
  }
})

/** Lets time pass until the user is done, or the disk has seen so many commits. */
const until = Effect.fnUntraced(function* (
  { done }: { readonly done: Fiber.Fiber<void, unknown> },
  disk: MemoryStore.Disk,
  commits: number
) {
  for (let second = 0; second < 600; second++) {
    const exit = done.pollUnsafe()
    if (exit !== undefined) {
      assert(Exit.isSuccess(exit), String(exit))
      return true
    }
    if (disk.commits() >= commits) return false
    yield* TestClock.adjust("500 millis")
  }
  return assert.fail("it does not come to its end")
})

const check = Effect.fnUntraced(function* (disk: MemoryStore.Disk, world: World.World, crashes: number) {
  const store = disk.open()
  const tasks = new Map((yield* store.tasks({ limit: 1_000 })).map((task) => [task.key, task]))
  const events = yield* store.events(0, 100_000)
  const letters = yield* store.deadLetters({ limit: 1_000 })
  const archive = yield* store.deadLetters({ limit: 1_000, archived: true })
  const state = (id: string): Task["state"] => tasks.get(id)!.state

  assert.sameMembers([...tasks.keys()], [...world.acknowledged])
  for (const task of tasks.values()) {
    const ends = events.filter((event) => ended(event) === task.key)
    const runs = ends.map((event) => (event as { readonly run: number }).run)
    assert.deepStrictEqual(runs, [...new Set(runs)], `${task.key}: each run ends once`)
    assert.strictEqual(runs.length, isEnd(task.state) ? task.run : task.run - 1, `${task.key}: every run but an open one has an end`)
    const delivered = world.deliveries.filter((each) => each.task === task.key)
    const started = events.filter((event) => event._tag === "AttemptStarted" && event.taskId === task.key)
    assert.isAtMost(delivered.length, started.length, `${task.key}: written before it was delivered`)
    if (task.spec.effect === "unsafe") assert.isAtMost(delivered.length, 1, `C65 ${task.key} is unsafe`)
    const perRun = task.attempts.map((attempt) => `${attempt.run}.${attempt.attempt}`)
    assert.deepStrictEqual(perRun, [...new Set(perRun)], `${task.key}: attempts are numbered once`)
    if (task.state !== "dead-lettered") continue
    const letter = letters.find((each) => each.subject === task.key)
    assert.strictEqual(letter?.id, task.deadLetterId)
    assert.strictEqual(letter?.status, "pending")
    assert.strictEqual((letter!.payload as { readonly attempts: ReadonlyArray<unknown> }).attempts.length, task.attempts.length)
  }
  assert.strictEqual(new Set([...letters, ...archive].map((letter) => letter.subject)).size, letters.length + archive.length, "C26")
  for (const id of ["flaky", "resumes", "limited", "opens", "bad"]) assert.strictEqual(state(id), "succeeded", id)
  assert.deepInclude(tasks.get("bad")!, { run: 2 })
  assert.deepStrictEqual(
    archive.filter((letter) => letter.subject === "bad").map((letter) => letter.status),
    ["resolved"]
  )
  assert.strictEqual(state("breaks"), "dead-lettered")
  assert.strictEqual(state("dropped"), "cancelled")
  assert.strictEqual(state("held"), "blocked")
  for (const id of ["once", "checked"]) {
    if (state(id) === "succeeded") continue
    assert.strictEqual(crashes > 0 && state(id), "dead-lettered")
    assert.include(tasks.get(id)!.reason ?? "", "outcome unknown")
  }
  assert.strictEqual(state("after"), state("once") === "succeeded" && state("checked") === "succeeded" ? "succeeded" : "blocked")
  assert.deepStrictEqual(world.processes.size, 0, "C51 no process is left")
  assert.isFalse((yield* store.load).processes.length > 0)
  return events
})

const ended = (event: RuntimeEvent): string | undefined =>
  event._tag === "TaskSucceeded" || event._tag === "TaskDeadLettered" || event._tag === "TaskCancelled" ? event.taskId : undefined

/** Of the last start that had something to settle: settled before it says that it has started, and nothing admitted meanwhile. */
const checkOrder = (events: ReadonlyArray<RuntimeEvent>): void => {
  const settled = events.findLastIndex(
    (event) => event._tag === "AttemptEnded" && event.fault?.detail.startsWith("the host ended") === true
  )
  if (settled === -1) return
  const started = events.findIndex((event, index) => index > settled && event._tag === "RuntimeStarted")
  assert.isAbove(started, settled, "C51 it starts after it has settled")
  assert.isFalse(
    events.slice(settled, started).some((event) => event._tag === "AttemptAdmitted"),
    "C51 nothing is admitted before"
  )
}

/** Dies at its n-th commit, perhaps once more in the middle of the recovery, and is started again. */
const survives = Effect.fnUntraced(function* (n: number, applied: boolean, again: number | undefined) {
  const disk = MemoryStore.makeDisk()
  const world = World.make()
  const first = yield* begin(disk, world, { after: n, applied })
  if (yield* until(first, disk, n)) return false
  const limit = again === undefined ? Number.POSITIVE_INFINITY : disk.commits() + again
  let last = yield* begin(disk, world, again === undefined ? undefined : { after: again, applied })
  if (!(yield* until(last, disk, limit))) last = yield* begin(disk, world)
  assert.isTrue(yield* until(last, disk, Number.POSITIVE_INFINITY))
  yield* TestClock.adjust("1 minute")
  const events = yield* check(disk, world, 1)
  checkOrder(events)
  return true
})

/** Is shut down, politely or in a hurry, after its n-th commit, and started again. Answers false when it has done by then. */
const shutDown = Effect.fnUntraced(function* (n: number, hurried: boolean) {
  const disk = MemoryStore.makeDisk()
  const world = World.make()
  const first = yield* begin(disk, world)
  if (yield* until(first, disk, n)) return false
  const { shutdown } = yield* first.runtime
  const asked = yield* Effect.forkDetach(Effect.all(hurried ? [shutdown, shutdown] : [shutdown], { concurrency: "unbounded" }))
  yield* TestClock.adjust("2 minutes")
  const [report] = yield* Fiber.join(asked)
  yield* Fiber.interrupt(first.done)
  if (!hurried) assert.deepStrictEqual(report?.abandoned, [], "C41 what ran was drained")
  assert.strictEqual(world.processes.size, 0, "C51 a shutdown leaves no process")
  const last = yield* begin(disk, world)
  assert.isTrue(yield* until(last, disk, Number.POSITIVE_INFINITY))
  yield* TestClock.adjust("1 minute")
  yield* check(disk, world, 1)
  return true
})

describe("crashes at every write", () => {
  it.effect("the scenario comes to its end without a crash", () =>
    Effect.gen(function* () {
      const disk = MemoryStore.makeDisk()
      const world = World.make()
      assert.isTrue(yield* until(yield* begin(disk, world), disk, Number.POSITIVE_INFINITY))
      yield* TestClock.adjust("1 minute")
      checkOrder(yield* check(disk, world, 0))
      assert.isAbove(disk.commits(), 60)
    })
  )

  for (const applied of [false, true]) {
    it.effect(
      `C27 C40 C51 C54 C56 C65 a runtime that dies ${applied ? "right after" : "before"} any of its commits is taken up by the next one, nothing lost or done twice`,
      () =>
        Effect.gen(function* () {
          let n = 1
          while (yield* alone(n, survives(n, applied, undefined))) n++
          assert.isAbove(n, 60)
        }),
      120_000
    )
  }

  for (const hurried of [false, true]) {
    it.effect(
      `C38 C40 C41 a shutdown${hurried ? ", asked for twice," : ""} at any moment loses nothing: the next start goes on`,
      () =>
        Effect.gen(function* () {
          let n = hurried ? 1 : 2
          while (yield* alone(n, shutDown(n, hurried))) n += 2
          assert.isAbove(n, 60)
        }),
      120_000
    )
  }

  it.effect(
    "C27 C56 C65 a runtime that dies while it takes up the work of another is taken up as well",
    () =>
      Effect.gen(function* () {
        for (let n = 20; n < 120; n += 7) {
          for (let again = 1; again < 8; again++) yield* alone(n, survives(n, again % 2 === 0, again))
        }
      }),
    120_000
  )
})

/** On a clock of its own: what is left of runtimes that have died costs nothing. */
const alone = <A, E>(n: number, effect: Effect.Effect<A, E>) =>
  effect.pipe(
    Effect.provide(TestClock.layer(), { local: true }),
    Effect.catchDefect((defect) => Effect.die(new Error(`commit ${n}: ${String(defect)}`, { cause: defect })))
  )
