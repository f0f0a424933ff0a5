/** Many dead letters whose redrive was asked for while nobody worked: what the next processes make of it, wherever they die. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Exit, Layer, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import { AgentRuntime, type TaskInput } from "../../src/AgentRuntime.ts"
import { isAsked } from "../../src/reliability/DeadLetter.ts"
import * as Redrives from "../../src/runtime/Redrives.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { TaskSpec } from "../../src/task/Task.ts"
import * as Scripted from "../support/runtime.ts"

const { afterStart, claim, driver, failure } = Scripted

/** What runs of a task came to, in order. */
interface World {
  mended: boolean
  readonly log: Array<{ readonly task: string; readonly did: "started" | "failed" | "succeeded" }>
}

const decode = Schema.decodeSync(TaskSpec)
const five: ReadonlyArray<TaskInput> = ["a", "b", "c", "d", "e"].map((id) => ({ id, effect: "idempotent" }))
/** `next` is a dead letter before what it waits for is one. */
const waiting: ReadonlyArray<TaskInput> = [
  { id: "next", effect: "idempotent", dependsOn: ["first"], deadline: "2 seconds" },
  { id: "first", effect: "idempotent" }
]
const batch = (tasks: ReadonlyArray<TaskInput>, id = "batch") => ({
  id,
  file: `/${id}.yaml`,
  digest: "1",
  tasks: tasks.map((task) => decode(task))
})

/** Fails for good, until it is mended. */
const script =
  (world: World): Scripted.Script =>
  (attempt, agent) => {
    const task = attempt.task.id
    const log = (did: World["log"][number]["did"]) => Effect.sync(() => void world.log.push({ task, did }))
    const work = Effect.gen(function* () {
      yield* log("started")
      yield* Effect.sleep(task === "first" ? "3 seconds" : "1 second")
      yield* log(world.mended ? "succeeded" : "failed")
      return world.mended ? claim() : yield* Effect.fail(failure({ _tag: "InvalidRequest", detail: "no" }))
    })
    return afterStart(work)(attempt, agent)
  }

/** A process: the runtime in a scope that nobody closes. It dies at its n-th commit. */
const begin = (disk: MemoryStore.Disk, world: World, crash?: { readonly after: number; readonly applied: boolean }) =>
  Effect.gen(function* () {
    const open = () => {
      const store = disk.open()
      if (crash !== undefined) disk.crashAfter(crash.after, crash.applied)
      return store
    }
    const layer = Scripted.layer({ disk: { open }, drivers: { fake: driver(script(world)) } })
    return Context.get(yield* Layer.buildWithScope(Layer.fresh(layer), yield* Scope.make()), AgentRuntime)
  })

/** What `nofx run` does with a batch that is there. Answers how it ended, if it was open. */
const run = Effect.fnUntraced(function* (runtime: AgentRuntime["Service"], id = "batch") {
  const unfinished = yield* runtime.unfinishedBatches(`/${id}.yaml`)
  for (const agent of ["one", "two", "three"])
    yield* Effect.forkChild(runtime.spawn({ id: agent, driver: "fake" }), { startImmediately: true })
  return unfinished.length === 0 ? undefined : yield* runtime.awaitBatch(id)
})

/** Does it and lets time pass; undefined when it does not end, as when its process has died. */
const over = Effect.fnUntraced(function* <A, E>(work: Effect.Effect<A, E>) {
  const fiber = yield* Effect.forkDetach(work)
  yield* TestClock.adjust("2 minutes")
  const exit = fiber.pollUnsafe()
  if (exit === undefined) return undefined
  assert(Exit.isSuccess(exit), String(exit))
  return exit.value
})

/** A disk on which every task of the batch is a dead letter, and each redrive is asked for. */
const asked = Effect.fnUntraced(function* (disk: MemoryStore.Disk, world: World, tasks: ReadonlyArray<TaskInput> = five) {
  const runtime = yield* begin(disk, world)
  yield* runtime.submitBatch(batch(tasks))
  yield* over(run(runtime))
  const store = disk.open()
  const letters = yield* Redrives.ask(store, yield* store.deadLetters({}), 0)
  assert.lengthOf(letters, tasks.length)
  world.log.length = 0
})

const started = ({ log }: World): ReadonlyArray<string> => log.filter(({ did }) => did === "started").map(({ task }) => task)

/** Tasks that were begun before the first one had succeeded. */
const beforeSuccess = ({ log }: World): ReadonlySet<string> => {
  const success = log.findIndex(({ did }) => did === "succeeded")
  return new Set(log.slice(0, success === -1 ? log.length : success).map(({ task }) => task))
}

const left = Effect.fnUntraced(function* (disk: MemoryStore.Disk) {
  const store = disk.open()
  const letters = yield* store.deadLetters({})
  const batches = yield* store.batches({})
  const open = batches.filter(({ finishedAt }) => finishedAt === undefined).length
  return { letters, waiting: letters.filter(isAsked).length, open }
})

/** Dies at its n-th commit and is started again until the batch is over. Answers false when it was over before. */
const survives = Effect.fnUntraced(function* (n: number, applied: boolean, mended: boolean) {
  const disk = MemoryStore.makeDisk()
  const world: World = { mended: false, log: [] }
  yield* asked(disk, world)
  world.mended = mended
  const runs = (crash?: { readonly after: number; readonly applied: boolean }) =>
    over(Effect.flatMap(begin(disk, world, crash), (runtime) => run(runtime)))
  const died = (yield* runs({ after: n, applied })) === undefined
  if (died) yield* runs()
  const { letters, open, waiting } = yield* left(disk)
  assert.deepStrictEqual([open, waiting], [0, 0], "it comes to its end")
  if (mended) {
    assert.strictEqual(beforeSuccess(world).size, 1, "one goes first, and the same one after the crash")
    assert.deepStrictEqual([...new Set(started(world))].sort(), ["a", "b", "c", "d", "e"])
    assert.deepStrictEqual(letters, [])
  } else {
    // That it failed may be written, and not yet that the others are left: then one more is tried.
    assert.isAtMost(new Set(started(world)).size, died ? 2 : 1)
    assert.deepStrictEqual([...new Set(letters.map(({ status }) => status)), letters.length], ["pending", 5])
  }
  return died
})

/** On a clock of its own: what is left of runtimes that have died costs nothing. */
const alone = <A, E>(n: number, effect: Effect.Effect<A, E>) =>
  effect.pipe(
    Effect.provide(TestClock.layer(), { local: true }),
    Effect.catchDefect((defect) => Effect.die(new Error(`commit ${n}: ${String(defect)}`, { cause: defect })))
  )

describe("redrives that were asked for", () => {
  for (const mended of [false, true]) {
    for (const applied of [false, true]) {
      it.effect(
        `C27 C28 a run that dies ${applied ? "right after" : "before"} any of its commits is taken up: ${
          mended ? "the same one goes first, then all the others" : "what failed again holds the others back"
        }`,
        () =>
          Effect.gen(function* () {
            let n = 1
            while (yield* alone(n, survives(n, applied, mended))) n++
            assert.isAbove(n, mended ? 20 : 10)
          })
      )
    }
  }

  it.effect("C28 what follows from the end of the first one is written after it", () =>
    Effect.gen(function* () {
      for (const mended of [false, true]) {
        const disk = MemoryStore.makeDisk()
        const world: World = { mended: false, log: [] }
        yield* asked(disk, world)
        world.mended = mended
        const runtime = yield* begin(disk, world)
        const since = (yield* runtime.snapshot).seq
        yield* over(run(runtime))
        const tags = (yield* disk.open().events(since, 1_000)).map(({ _tag }) => _tag)
        const steps = tags.filter(
          (tag) => tag === "TaskSucceeded" || tag === "TaskDeadLettered" || tag === "DeadLetterReleased" || tag === "DeadLetterRedriven"
        )
        assert.deepStrictEqual(
          steps.slice(0, 3),
          mended
            ? ["DeadLetterRedriven", "TaskSucceeded", "DeadLetterRedriven"]
            : ["DeadLetterRedriven", "TaskDeadLettered", "DeadLetterReleased"]
        )
      }
    })
  )

  it.effect("C28 they wait for somebody who works: a runtime without agents begins with none", () =>
    Effect.gen(function* () {
      const disk = MemoryStore.makeDisk()
      const world: World = { mended: true, log: [] }
      yield* asked(disk, { ...world, mended: false })
      const idle = yield* begin(disk, world)
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(
        (yield* idle.getDLQMessages).map(({ redrives, status }) => [redrives, status]),
        Array.from({ length: 5 }, () => [0, "pending"])
      )
      assert.include(yield* over(Effect.flatMap(begin(disk, world), (runtime) => run(runtime))), { succeeded: 5 })
      assert.lengthOf(started(world), 5)
    })
  )

  it.effect("C28 C55 one that would wait for another one is not the one that goes first", () =>
    Effect.gen(function* () {
      const disk = MemoryStore.makeDisk()
      const world: World = { mended: false, log: [] }
      yield* asked(disk, world, waiting)
      world.mended = true
      const runtime = yield* begin(disk, world)
      assert.include(yield* over(run(runtime)), { succeeded: 2 })
      assert.strictEqual(started(world)[0], "first")
      assert.strictEqual((yield* left(disk)).open, 0)
    })
  )

  it.effect("C28 one that was retried by itself meanwhile is the one that goes first; what is held keeps no run from its end", () =>
    Effect.gen(function* () {
      const disk = MemoryStore.makeDisk()
      const world: World = { mended: false, log: [] }
      yield* asked(disk, world)
      const second = yield* begin(disk, world)
      const letters = yield* second.getDLQMessages
      yield* second.retryDLQMessage(letters[4]!.id)
      assert.include(yield* over(run(second)), { deadLettered: 5 })
      assert.deepStrictEqual(started(world), [letters[4]!.subject.replace("batch/", "")])

      const held = MemoryStore.makeDisk()
      yield* asked(held, world, waiting)
      const third = yield* begin(held, world)
      const [next, first] = yield* third.getDLQMessages
      yield* third.retryDLQMessage(next!.id)
      yield* third.discardDLQMessage(first!.id)
      const [took, end] = (yield* over(Effect.timed(run(third))))!
      assert.include(end, { deadLettered: 1, left: 1 })
      assert.strictEqual(Duration.toMillis(took), 0, "it does not wait for the deadline")
    })
  )

  it.effect("C28 C31 letters that are answered without a run of their tasks let the batch end as well", () =>
    Effect.gen(function* () {
      const disk = MemoryStore.makeDisk()
      const world: World = { mended: false, log: [] }
      yield* asked(disk, world)
      const runtime = yield* begin(disk, world)
      yield* runtime.registerDLQProcessor("task", () => Effect.delay(Effect.succeed({ _tag: "Resolved" }), "1 second"))
      assert.include(yield* over(run(runtime)), { deadLettered: 5 })
      assert.deepInclude(yield* left(disk), { letters: [], waiting: 0, open: 0 })
      assert.deepStrictEqual(started(world), [])
    })
  )

  it.effect("C28 each batch has one of its own that goes first, and another file's run leaves them where they are", () =>
    Effect.gen(function* () {
      const disk = MemoryStore.makeDisk()
      const world: World = { mended: false, log: [] }
      const pinned = five.map((task) => ({ ...task, agent: "owner" }))
      const first = yield* begin(disk, world)
      yield* Effect.forkDetach(first.spawn({ id: "owner", driver: "fake" }))
      yield* first.submitBatch(batch(pinned))
      yield* over(run(first))
      yield* first.submitBatch(batch([{ id: "other", effect: "idempotent" }], "others"))
      yield* over(run(first, "others"))
      const store = disk.open()
      yield* Redrives.ask(store, yield* store.deadLetters({}), 0)
      world.log.length = 0
      world.mended = true
      const second = yield* begin(disk, world)
      assert.include(yield* over(run(second, "others")), { succeeded: 1 })
      assert.deepStrictEqual(started(world), ["other"])
      const third = yield* begin(disk, world)
      yield* Effect.forkDetach(third.spawn({ id: "owner", driver: "fake" }))
      assert.include(yield* over(run(third)), { succeeded: 5 })
      assert.deepInclude(yield* left(disk), { letters: [], waiting: 0, open: 0 })
    })
  )
})
