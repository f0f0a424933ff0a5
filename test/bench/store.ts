/** Submissions that are on the disk when they are acknowledged, against bare SQLite with the same durability. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { AgentDrivers, Reaper, TaskCheck } from "../../src/agent/AgentDriver.ts"
import * as AgentRuntime from "../../src/AgentRuntime.ts"
import * as RuntimeConfig from "../../src/RuntimeConfig.ts"
import * as SqliteStore from "../../src/store/SqliteStore.ts"
import { type Change, Store } from "../../src/store/Store.ts"
import * as TaskLife from "../../src/task/TaskLife.ts"
import * as storeTasks from "../support/storeTasks.ts"
import { type Judged, ratio, type Suite } from "./Suite.ts"

const group = 64
const prompt = "Add unit tests for the parser, run them, and mend what they find. ".repeat(5)

/** The runtime over a store on the disk, and the store itself; nothing is dispatched. */
const layer = (file: string) =>
  AgentRuntime.layer({ ...RuntimeConfig.defaults, queue: { ...RuntimeConfig.defaults.queue, limit: 10_000_000 } }).pipe(
    Layer.provide([
      Layer.succeed(AgentDrivers, { get: () => undefined, names: [] }),
      Layer.succeed(TaskCheck, {
        baseline: () => Effect.succeed(undefined),
        check: () => Effect.succeed({ _tag: "Passed", verified: false })
      }),
      Layer.succeed(Reaper, { reap: () => Effect.succeed(0) })
    ]),
    Layer.provideMerge(SqliteStore.layerFile(file))
  )

/** How long the runtime takes to start over what has been left behind by earlier ones. */
const starting = async (smoke: boolean): Promise<ReadonlyArray<Judged>> => {
  const finished = smoke ? 1_000 : 100_000
  const letters = finished / 10
  const directory = mkdtempSync(join(tmpdir(), "nofx-bench-"))
  const file = join(directory, "left.db")
  await Effect.runPromise(
    Effect.gen(function* () {
      const store = yield* Store
      for (let from = 0; from < finished; from += 1_000) {
        yield* store.commit(
          Array.from({ length: 1_000 }, (_, n) => from + n).flatMap(
            (n): ReadonlyArray<Change> => [
              { _tag: "PutTask", task: storeTasks.ended(`task-${n}`, n + 1, 2_000) },
              { _tag: "AppendEvent", event: storeTasks.event(`task-${n}`, 1_000) },
              ...(n < letters
                ? [{ _tag: "PutDeadLetter" as const, letter: storeTasks.letter(`letter-${n}`, { automatic: false, failedAt: Date.now() }) }]
                : [])
            ]
          ),
          store.epoch
        )
      }
    }).pipe(Effect.provide(SqliteStore.layerFile(file)))
  )
  const before = performance.now()
  const runtime = ManagedRuntime.make(layer(file))
  await runtime.context()
  const millis = performance.now() - before
  await runtime.dispose()
  rmSync(directory, { recursive: true })
  return [
    {
      claim: "start-up with 100,000 finished tasks and 10,000 dead letters takes less than a second",
      measured: `${millis.toFixed(0)} ms (at most 1000)`,
      met: millis <= 1_000
    }
  ]
}

/** Submissions of a turn, before it is the other's. */
const turn = 8

/**
 * Both by turns, a few milliseconds each, and their sums against each other: what else uses the disk meanwhile slows down both alike, where
 * medians of longer rounds would tell more of the neighbours.
 */
const compared = async (ours: () => Promise<unknown>, theirs: () => void, turns: number): Promise<Judged> => {
  const spent = { ours: 0, theirs: 0 }
  for (let made = 0; made < turns; made++) {
    const before = performance.now()
    await ours()
    const between = performance.now()
    theirs()
    spent.ours += between - before
    spent.theirs += performance.now() - between
  }
  const share = spent.theirs / spent.ours
  return {
    claim: "acknowledged durable submissions: at least half as many as bare SQLite's, taking turns",
    measured: `${share.toFixed(2)} times as many (at least 0.5)`,
    met: share >= 0.5
  }
}

export const suite = async (): Promise<Suite> => {
  const directory = mkdtempSync(join(tmpdir(), "nofx-bench-"))
  const runtime = ManagedRuntime.make(layer(join(directory, "ours.db")))
  const context = await runtime.context()
  const service = Context.get(context, AgentRuntime.AgentRuntime)
  const store = Context.get(context, Store)
  await runtime.runPromise(service.pause)
  let submitted = 0
  const submit = Effect.suspend(() => service.submit({ id: `task-${submitted++}`, prompt }))
  const commit = Effect.suspend(() => {
    const id = `commit-${submitted++}`
    const task = TaskLife.accept({ ...storeTasks.spec(id), prompt }, { batch: "", order: submitted, now: submitted })
    return store.commit(
      [
        { _tag: "PutTask", task },
        { _tag: "AppendEvent", event: storeTasks.event(id, submitted) }
      ],
      store.epoch
    )
  })

  const bare = new DatabaseSync(join(directory, "bare.db"))
  bare.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE tasks (id TEXT PRIMARY KEY, body TEXT NOT NULL)")
  const insert = bare.prepare("INSERT INTO tasks (id, body) VALUES (?, ?)")
  let inserted = 0
  const insertOne = () => {
    const id = `task-${inserted++}`
    insert.run(id, JSON.stringify({ id, prompt }))
  }
  const insertGroup = (size: number) => {
    bare.exec("BEGIN IMMEDIATE")
    for (let made = 0; made < size; made++) insertOne()
    bare.exec("COMMIT")
  }

  const most = 20_000
  return {
    name: "durable submissions, wall time",
    cases: [
      {
        name: "submit: ours, one after the other",
        run: (calls) => runtime.runPromise(Effect.forEach(Array(calls).keys(), () => submit, { discard: true })),
        most,
        clock: "wall"
      },
      {
        name: "commit: the store alone, one after the other",
        run: (calls) => runtime.runPromise(Effect.forEach(Array(calls).keys(), () => commit, { discard: true })),
        most,
        clock: "wall"
      },
      {
        name: "submit: bare SQLite, one after the other",
        run: async (calls) => {
          for (let made = 0; made < calls; made++) insertOne()
        },
        most,
        clock: "wall"
      },
      {
        name: `submit: ours, ${group} at once`,
        run: (calls) => runtime.runPromise(Effect.forEach(Array(calls).keys(), () => submit, { discard: true, concurrency: group })),
        most,
        clock: "wall"
      },
      {
        name: `submit: bare SQLite, ${group} a transaction`,
        run: async (calls) => {
          for (let made = 0; made < calls; made += group) insertGroup(Math.min(group, calls - made))
        },
        most,
        clock: "wall"
      }
    ],
    claims: [
      ratio(
        `acknowledged durable submissions of ${group} at once: more than bare SQLite's one after the other`,
        `submit: ours, ${group} at once`,
        "submit: bare SQLite, one after the other",
        1
      )
    ],
    figures: async (smoke) => {
      const pairs = await compared(
        () => runtime.runPromise(Effect.forEach(Array(turn).keys(), () => submit, { discard: true })),
        () => {
          for (let made = 0; made < turn; made++) insertOne()
        },
        smoke ? 2 : 400
      )
      return [pairs, ...(await starting(smoke))]
    },
    close: async () => {
      await runtime.dispose()
      bare.close()
      rmSync(directory, { recursive: true })
    }
  }
}
