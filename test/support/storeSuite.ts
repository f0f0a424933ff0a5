/** What every layer of the store must do: one suite, run for memory and for SQLite. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, type Layer } from "effect"
import type { RuntimeEvent } from "../../src/RuntimeEvent.ts"
import { type BatchRecord, type Change, Store } from "../../src/store/Store.ts"
import type { Task } from "../../src/task/Task.ts"
import * as TaskLife from "../../src/task/TaskLife.ts"
import { agentSpec, batch, ended, event, letter, spec, task } from "./storeTasks.ts"

const put = (value: Task): Change => ({ _tag: "PutTask", task: value })
const append = (value: RuntimeEvent): Change => ({ _tag: "AppendEvent", event: value })

const commit = (...changes: ReadonlyArray<Change>) => Store.use((store) => store.commit(changes, store.epoch))
const keys = (tasks: ReadonlyArray<Task>): ReadonlyArray<string> => tasks.map((one) => one.key)

/** `fresh` makes an empty store for each test. */
export const suite = <E>(name: string, fresh: () => Layer.Layer<Store, E>): void => {
  describe(`the ${name} store`, () => {
    it.effect("C54 loads what was committed, task for task", () =>
      Effect.gen(function* () {
        const { load } = yield* Store
        const limited = task("limited", 2, {
          spec: spec("limited", { deadline: Duration.minutes(3), budget: { attempts: 2, time: Duration.hours(1) } })
        })
        const admitted = TaskLife.admitted(task("running", 1), { id: "a1", agentId: "writer", now: 5 })
        yield* commit(
          put(limited),
          put(admitted),
          put(ended("over", 3, 9)),
          { _tag: "PutAgent", agent: { spec: agentSpec("writer"), restarts: 2, at: 4 } },
          { _tag: "PutProcess", process: { marker: "m1", agentId: "writer", at: 4 } },
          { _tag: "PutPattern", pattern: { kind: "breaker", key: "agent:writer", state: { open: true, until: 7 } } },
          { _tag: "PutBatch", batch: batch("b1", 1) },
          { _tag: "PutBatch", batch: batch("b0", 0, 9) },
          { _tag: "PutDeadLetter", letter: letter("d1") },
          append(event("limited"))
        )
        const loaded = yield* load
        assert.deepStrictEqual(loaded.tasks, [admitted, limited])
        assert.deepStrictEqual(loaded.agents, [{ spec: agentSpec("writer"), restarts: 2, at: 4 }])
        assert.deepStrictEqual(loaded.processes, [{ marker: "m1", agentId: "writer", at: 4 }])
        assert.deepStrictEqual(loaded.patterns, [{ kind: "breaker", key: "agent:writer", state: { open: true, until: 7 } }])
        assert.deepStrictEqual(loaded.batches, [batch("b1", 1)])
        assert.deepStrictEqual(loaded.deadLetters, [letter("d1")])
        assert.deepStrictEqual([loaded.seq, loaded.order, loaded.quarantined, loaded.damage], [1, 3, [], []])
      }).pipe(Effect.provide(fresh()))
    )

    it.effect("C54 an empty store loads as nothing", () =>
      Effect.gen(function* () {
        const loaded = yield* Store.use((store) => store.load)
        assert.deepStrictEqual([loaded.tasks, loaded.agents, loaded.deadLetters, loaded.seq, loaded.order], [[], [], [], 0, 0])
      }).pipe(Effect.provide(fresh()))
    )

    it.effect("C54 a second write replaces the first, a deletion takes it away", () =>
      Effect.gen(function* () {
        const store = yield* Store
        yield* commit(
          { _tag: "PutPattern", pattern: { kind: "gate", key: "a", state: 1 } },
          { _tag: "PutPattern", pattern: { kind: "gate", key: "b", state: 1 } },
          { _tag: "PutProcess", process: { marker: "m", agentId: "x", at: 1 } },
          { _tag: "PutAgent", agent: { spec: agentSpec("x"), restarts: 0, at: 1 } },
          put(task("t", 1))
        )
        const moved = TaskLife.parked(task("t", 1), { for: "cooldown", detail: "429", notBefore: 99 })
        yield* commit(
          { _tag: "PutPattern", pattern: { kind: "gate", key: "a", state: 2 } },
          { _tag: "DeletePattern", kind: "gate", key: "b" },
          { _tag: "DeleteProcess", marker: "m" },
          { _tag: "DeleteAgent", agentId: "x" },
          put(moved)
        )
        const loaded = yield* store.load
        assert.deepStrictEqual(loaded.patterns, [{ kind: "gate", key: "a", state: 2 }])
        assert.deepStrictEqual([loaded.processes, loaded.agents], [[], []])
        assert.deepStrictEqual(loaded.tasks, [moved])
      }).pipe(Effect.provide(fresh()))
    )

    it.effect("C56 events get ascending seqs, which their commit returns, and are read back in order", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const first = yield* commit(append(event("a")), put(task("a", 1)), append(event("b")))
        const second = yield* commit(append(event("c")))
        assert.deepStrictEqual(
          [...first, ...second].map((one) => one.seq),
          [1, 2, 3]
        )
        assert.deepStrictEqual(yield* store.events(0, 10), [...first, ...second])
        assert.deepStrictEqual(yield* store.events(1, 1), first.slice(1))
        assert.deepStrictEqual(yield* store.events(3, 10), [])
      }).pipe(Effect.provide(fresh()))
    )

    it.effect("C56 commits that are asked for together become durable in that order", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const answers = yield* Effect.forEach(
          Array.from({ length: 50 }, (_, n) => n),
          (n) => commit(append(event(`t${n}`))),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(
          answers.flat().map((one) => one.seq),
          Array.from({ length: 50 }, (_, n) => n + 1)
        )
        const ids = (yield* store.events(0, 100)).map((one) => (one._tag === "TaskAccepted" ? one.taskId : ""))
        assert.deepStrictEqual(
          ids,
          Array.from({ length: 50 }, (_, n) => `t${n}`)
        )
      }).pipe(Effect.provide(fresh()))
    )

    it.effect("C56 a commit that was asked for is written even if the asking fiber is interrupted", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const fiber = yield* Effect.forkChild(commit(put(task("t", 1))), { startImmediately: true })
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(keys((yield* store.load).tasks), ["t"])
      }).pipe(Effect.provide(fresh()))
    )

    it.effect("C56 a commit under an older epoch is refused, and nothing of it is written", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const refused = yield* Effect.flip(store.commit([put(task("t", 1)), append(event("t"))], store.epoch - 1))
        assert(refused._tag === "Fenced")
        assert.deepStrictEqual([refused.epoch, refused.current], [store.epoch - 1, store.epoch])
        assert.deepStrictEqual([(yield* store.load).tasks, yield* store.events(0, 10)], [[], []])
      }).pipe(Effect.provide(fresh()))
    )

    it.effect("C54 tasks are found by key, and listed by order, state, batch and id, page by page", () =>
      Effect.gen(function* () {
        const store = yield* Store
        yield* commit(
          put(task("a", 1, {}, "b1")),
          put(ended("b", 2, 5, "b1")),
          put(task("c", 3, {}, "b1")),
          put(task("a", 4, {}, "b2")),
          put(task("single", 5)),
          put(ended("old", 6, 5))
        )
        assert.strictEqual((yield* store.task("b2/a"))?.order, 4)
        assert.strictEqual(yield* store.task("none"), undefined)
        assert.deepStrictEqual(keys(yield* store.tasks({})), ["b1/a", "b1/b", "b1/c", "b2/a", "single", "old"])
        assert.deepStrictEqual(keys(yield* store.tasks({ limit: 2 })), ["b1/a", "b1/b"])
        assert.deepStrictEqual(keys(yield* store.tasks({ limit: 2, after: "2" })), ["b1/c", "b2/a"])
        assert.deepStrictEqual(keys(yield* store.tasks({ states: ["cancelled"] })), ["b1/b", "old"])
        assert.deepStrictEqual(keys(yield* store.tasks({ states: ["cancelled", "queued"], after: "4" })), ["single", "old"])
        assert.deepStrictEqual(keys(yield* store.tasks({ states: [] })), [])
        assert.deepStrictEqual(keys(yield* store.tasks({ batch: "b1" })), ["b1/a", "b1/b", "b1/c"])
        assert.deepStrictEqual(keys(yield* store.tasks({ batch: "b1", states: ["queued"], after: "1" })), ["b1/c"])
        assert.deepStrictEqual(keys(yield* store.tasks({ batch: "" })), ["single", "old"])
        assert.deepStrictEqual(keys(yield* store.tasks({ id: "a" })), ["b1/a", "b2/a"])
        assert.deepStrictEqual(keys(yield* store.tasks({ id: "a", batch: "b2", states: ["queued"] })), ["b2/a"])
      }).pipe(Effect.provide(fresh()))
    )

    it.effect("C54 tasks are counted by state, those that ended too", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const none = { queued: 0, blocked: 0, running: 0, parked: 0, succeeded: 0, "dead-lettered": 0, cancelled: 0 }
        assert.deepStrictEqual(yield* store.counts, none)
        yield* commit(put(task("a", 1)), put(task("b", 2)), put(ended("c", 3, 10)), put(ended("d", 4, 10, "done")))
        yield* commit(put(ended("a", 1, 20)))
        assert.deepStrictEqual(yield* store.counts, { ...none, queued: 1, cancelled: 3 })
      }).pipe(Effect.provide(fresh()))
    )

    it.effect("C29 a dead letter moves to the archive and back, and a purge deletes it", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const ids = (archived: boolean, after?: string) =>
          Effect.map(store.deadLetters({ archived, limit: 2, ...(after === undefined ? {} : { after }) }), (found) =>
            found.map((one) => one.id)
          )
        yield* commit(...["d1", "d2", "d3", "d4"].map((id): Change => ({ _tag: "PutDeadLetter", letter: letter(id) })))
        assert.deepStrictEqual(
          [yield* ids(false), yield* ids(false, "d2")],
          [
            ["d1", "d2"],
            ["d3", "d4"]
          ]
        )
        const discarded = letter("d2", { status: "discarded", endedAt: 9 })
        yield* commit({ _tag: "ArchiveDeadLetter", letter: discarded })
        assert.deepStrictEqual([yield* ids(false), yield* ids(true)], [["d1", "d3"], ["d2"]])
        assert.deepStrictEqual(yield* store.deadLetter("d2"), discarded)
        assert.deepStrictEqual(
          (yield* store.load).deadLetters.map((one) => one.id),
          ["d1", "d3", "d4"]
        )
        yield* commit({ _tag: "PutDeadLetter", letter: letter("d2") }, { _tag: "PurgeDeadLetter", id: "d1" })
        assert.deepStrictEqual([yield* ids(false), yield* ids(true)], [["d2", "d3"], []])
        assert.strictEqual(yield* store.deadLetter("d1"), undefined)
      }).pipe(Effect.provide(fresh()))
    )

    it.effect("C70 batches are listed oldest first, page by page", () =>
      Effect.gen(function* () {
        const store = yield* Store
        yield* commit(...[batch("z", 1, 5), batch("a", 2), batch("m", 3)].map((one): Change => ({ _tag: "PutBatch", batch: one })))
        const ids = (found: ReadonlyArray<BatchRecord>) => found.map((one) => one.id)
        assert.deepStrictEqual(ids(yield* store.batches({})), ["z", "a", "m"])
        assert.deepStrictEqual(ids(yield* store.batches({ limit: 1, after: "z" })), ["a"])
      }).pipe(Effect.provide(fresh()))
    )

    it.effect("C61 retention drops what ended before, and keeps what an unfinished batch or a dead letter needs", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const dead = (id: string, order: number, letterId: string) => TaskLife.deadLettered(task(id, order), "failed", letterId, 10)
        yield* commit(
          { _tag: "PutBatch", batch: batch("open", 1) },
          { _tag: "PutBatch", batch: batch("done", 1, 10) },
          put(ended("x", 1, 10, "open")),
          put(ended("x", 2, 10, "done")),
          put(ended("old", 3, 10)),
          put(ended("new", 4, 30)),
          put(task("waiting", 5)),
          put(dead("kept", 6, "d1")),
          put(dead("purged", 7, "d2")),
          { _tag: "PutDeadLetter", letter: letter("d1") },
          append(event("old", 10)),
          append(event("new", 30))
        )
        yield* commit({ _tag: "Prune", before: 20 })
        assert.deepStrictEqual(keys(yield* store.tasks({})), ["open/x", "new", "waiting", "kept"])
        assert.deepStrictEqual(
          (yield* store.batches({})).map((one) => one.id),
          ["open"]
        )
        assert.deepStrictEqual(
          (yield* store.events(0, 10)).map((one) => one.seq),
          [2]
        )
        yield* commit({ _tag: "Prune", before: 1_000 })
        assert.strictEqual((yield* commit(append(event("next", 40))))[0]?.seq, 3, "seqs go on though every event was old")
      }).pipe(Effect.provide(fresh()))
    )
  })
}
