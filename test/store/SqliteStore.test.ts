import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Exit, Layer, Schema, Scope } from "effect"
import { DatabaseSync } from "node:sqlite"
import * as fs from "node:fs"
import * as path from "node:path"
import { encodeTask } from "../../src/store/Codec.ts"
import * as Database from "../../src/store/Database.ts"
import * as SqliteStore from "../../src/store/SqliteStore.ts"
import { type Change, Store } from "../../src/store/Store.ts"
import { Task } from "../../src/task/Task.ts"
import * as TaskLife from "../../src/task/TaskLife.ts"
import { suite } from "../support/storeSuite.ts"
import { agentSpec, event, letter, spec as taskSpec, task } from "../support/storeTasks.ts"
import { temporaryDirectory } from "../support/stateDirectory.ts"

const fresh = (): Layer.Layer<Store, Database.OpenError> =>
  Layer.unwrap(Effect.map(temporaryDirectory, (directory) => SqliteStore.layerFile(path.join(directory, "nofx.db"))))

suite("SQLite", fresh)

const put = (value: Task): Change => ({ _tag: "PutTask", task: value })

/** A store on a file, with its own scope: closing it is a clean end. */
const openStore = (file: string) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const context = yield* Layer.buildWithScope(SqliteStore.layerFile(file), scope)
    yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
    return { store: yield* Effect.provide(Store, context), close: Scope.close(scope, Exit.void) }
  })

describe("SqliteStore", () => {
  it.effect("C54 is the same after a clean end", () =>
    Effect.gen(function* () {
      const file = path.join(yield* temporaryDirectory, "nofx.db")
      const first = yield* openStore(file)
      yield* first.store.commit(
        [put(task("a", 1)), { _tag: "PutDeadLetter", letter: letter("d") }, { _tag: "AppendEvent", event: event("a") }],
        first.store.epoch
      )
      yield* first.close
      const second = yield* openStore(file)
      const loaded = yield* second.store.load
      assert.deepStrictEqual([loaded.tasks, loaded.deadLetters, loaded.seq, loaded.damage], [[task("a", 1)], [letter("d")], 1, []])
      assert.strictEqual(second.store.epoch, first.store.epoch + 1)
    })
  )

  it.effect("C56 a former owner's commit is refused once another has claimed the state, and nothing of it is written", () =>
    Effect.gen(function* () {
      const file = path.join(yield* temporaryDirectory, "nofx.db")
      const { store: former } = yield* openStore(file)
      const { store: owner } = yield* openStore(file)
      const refused = yield* Effect.flip(former.commit([put(task("a", 1))], former.epoch))
      assert(refused._tag === "Fenced" && refused.current === owner.epoch)
      yield* owner.commit([put(task("b", 2))], owner.epoch)
      assert.deepStrictEqual((yield* owner.load).tasks, [task("b", 2)])
    })
  )

  it.effect("C56 of the commits that share a transaction one that fails is rolled back alone", () =>
    Effect.gen(function* () {
      const file = path.join(yield* temporaryDirectory, "nofx.db")
      const { store } = yield* openStore(file)
      const raw = new DatabaseSync(file)
      raw.exec("CREATE TRIGGER refuse BEFORE INSERT ON dead_letters BEGIN SELECT raise(ABORT, 'refused'); END")
      raw.close()
      const exits = yield* Effect.forEach(
        [[put(task("a", 1))], [put(task("b", 2)), { _tag: "PutDeadLetter", letter: letter("d") }], [put(task("c", 3))]] as ReadonlyArray<
          ReadonlyArray<Change>
        >,
        (changes) => Effect.exit(store.commit(changes, store.epoch)),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(exits.map(Exit.isSuccess), [true, false, true])
      assert.deepStrictEqual(
        (yield* store.load).tasks.map((one) => one.key),
        ["a", "c"]
      )
    })
  )

  it.effect("C56 a full disk refuses the commit with reason full, writes nothing of it, and the store goes on when there is room", () =>
    Effect.gen(function* () {
      const file = path.join(yield* temporaryDirectory, "nofx.db")
      const scope = yield* Scope.make()
      const { connection } = yield* Scope.provide(Database.open(file), scope)
      const store = yield* Scope.provide(
        Effect.flatMap(Database.claimEpoch(connection), (epoch) => SqliteStore.make(connection, epoch)),
        scope
      )
      yield* store.commit([put(task("small", 1))], store.epoch)
      const pages = Number(connection.prepare("PRAGMA page_count").get()?.["page_count"])
      connection.exec(`PRAGMA max_page_count = ${pages + 2}`)
      const big = task("big", 2, { reason: "x".repeat(50_000) })
      const together = yield* Effect.forEach([big, task("beside", 3)], (one) => Effect.exit(store.commit([put(one)], store.epoch)), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(together.map(Exit.isSuccess), [false, true])
      const refused = yield* Effect.flip(store.commit([{ _tag: "AppendEvent", event: event("big") }, put(big)], store.epoch))
      assert(refused._tag === "StoreUnavailable" && refused.reason === "full")
      assert.deepStrictEqual([(yield* store.load).tasks.map((one) => one.key), (yield* store.load).seq], [["small", "beside"], 0])
      connection.exec("PRAGMA max_page_count = 1000000")
      yield* store.commit([put(big)], store.epoch)
      assert.strictEqual((yield* store.task("big"))?.order, 2)
      yield* Scope.close(scope, Exit.void)
    })
  )

  it.effect("C27 a row that does not decode is quarantined with the reason, kept, and shown at each load", () =>
    Effect.gen(function* () {
      const file = path.join(yield* temporaryDirectory, "nofx.db")
      const first = yield* openStore(file)
      yield* first.store.commit(
        [1, 2, 3, 4].map((n) => put(task(`t${n}`, n))),
        first.store.epoch
      )
      yield* first.store.commit(
        [
          { _tag: "PutDeadLetter", letter: letter("d1") },
          { _tag: "AppendEvent", event: event("t1") },
          { _tag: "AppendEvent", event: event("t2") }
        ],
        first.store.epoch
      )
      yield* first.close
      const raw = new DatabaseSync(file)
      raw.exec(`UPDATE tasks SET body = '{"key": 1}' WHERE key = 't2'; UPDATE tasks SET body = 'no JSON' WHERE key = 't3'`)
      raw.exec(
        "UPDATE tasks SET key = 'wrong' WHERE key = 't4'; UPDATE dead_letters SET body = '[]'; UPDATE events SET body = '{' WHERE seq = 1"
      )
      raw.close()
      const second = yield* openStore(file)
      assert.deepStrictEqual(
        (yield* second.store.events(0, 1)).map((one) => one.seq),
        [2]
      )
      const loaded = yield* second.store.load
      assert.deepStrictEqual([loaded.tasks.map((one) => one.key), loaded.deadLetters], [["t1"], []])
      assert.deepStrictEqual(loaded.quarantined.map((row) => `${row.table} ${row.key}`).sort(), [
        "dead_letters d1",
        "events 1",
        "tasks t2",
        "tasks t3",
        "tasks wrong"
      ])
      assert.include(loaded.quarantined.find((row) => row.key === "t3")?.reason, "JSON")
      assert.strictEqual(loaded.quarantined.find((row) => row.key === "t3")?.body, "no JSON")
      assert.strictEqual((yield* second.store.load).quarantined.length, 5)
    })
  )

  it.effect("C27 what is left of a start that was killed while it made the database is no damage", () =>
    Effect.gen(function* () {
      const file = path.join(yield* temporaryDirectory, "nofx.db")
      fs.writeFileSync(`${file}.new`, "half")
      const { store } = yield* openStore(file)
      assert.deepStrictEqual((yield* store.load).damage, [])
      assert(!fs.existsSync(`${file}.new`))
    })
  )

  it.effect("C60 what is no JSON is the caller's bug, not the disk's, and harms no commit beside it", () =>
    Effect.gen(function* () {
      const { store } = yield* openStore(path.join(yield* temporaryDirectory, "nofx.db"))
      const cycle: Record<string, unknown> = {}
      cycle["self"] = cycle
      const exits = yield* Effect.forEach(
        [put(task("a", 1)), { _tag: "PutDeadLetter", letter: letter("d", { payload: cycle }) } as const],
        (change) => Effect.exit(store.commit([change], store.epoch)),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        exits.map((exit) => Exit.isFailure(exit) && exit.cause.reasons.map((reason) => reason._tag)),
        [false, ["Die"]]
      )
      assert.strictEqual((yield* store.load).tasks.length, 1)
    })
  )

  it.effect("C54 a database of a newer version is refused by name and left as it is", () =>
    Effect.gen(function* () {
      const file = path.join(yield* temporaryDirectory, "nofx.db")
      yield* (yield* openStore(file)).close
      const raw = new DatabaseSync(file)
      raw.exec("PRAGMA user_version = 99")
      raw.close()
      const before = fs.readFileSync(file)
      const refused = yield* Effect.flip(openStore(file))
      assert(refused._tag === "SchemaTooNew")
      assert.include(refused.message, file)
      assert.deepStrictEqual(fs.readFileSync(file), before)
    })
  )

  it.effect("C25 what looks like a secret is sealed on the disk, comes back as it was, and is set aside without the key", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const file = path.join(directory, "nofx.db")
      const secret = "sk-ant-canary-0001-canary"
      const spec = {
        ...taskSpec("t"),
        prompt: `use ${secret}`,
        verify: ["check", "--password", "canary-0005"],
        input: { token: "canary-0002", "nofx.sealed": "no" }
      }
      const secretive = TaskLife.accept(spec, { batch: "", order: 1, now: 1 })
      const odd = TaskLife.accept({ ...taskSpec("odd"), prompt: "sealed:1:is no secret" }, { batch: "", order: 2, now: 1 })
      const agent = {
        spec: {
          ...agentSpec("a"),
          command: ["run", "--token", "canary-0003", secret, "plain"],
          env: { A_KEY: "canary-0004", PLAIN: "seen" }
        },
        restarts: 0,
        at: 1
      }
      const on = <A, E>(work: (store: Store["Service"]) => Effect.Effect<A, E>) =>
        Effect.provide(Effect.flatMap(Store, work), SqliteStore.layerFile(file))
      const loaded = on((store) => store.load)
      yield* on((store) => store.commit([put(secretive), put(odd), { _tag: "PutAgent", agent }], store.epoch))

      const { agents, tasks } = yield* loaded
      assert.deepStrictEqual([tasks, agents], [[secretive, odd], [agent]])
      // Written again as it was read.
      yield* on((store) => store.commit([put(TaskLife.parked(tasks[0]!, { for: "retry", detail: "later" }))], store.epoch))
      assert.deepStrictEqual((yield* loaded).tasks[0]?.spec, spec)
      for (const name of fs.readdirSync(directory)) {
        assert.notMatch(fs.readFileSync(path.join(directory, name), "latin1"), /canary/, name)
      }
      assert.include(fs.readFileSync(file, "latin1"), "seen", "the rest can be read")
      assert.strictEqual(fs.statSync(path.join(directory, "nofx.key")).mode & 0o777, 0o600)

      fs.rmSync(path.join(directory, "nofx.key"))
      const without = yield* loaded
      assert.deepStrictEqual([without.tasks, without.agents], [[], []])
      assert.sameMembers(
        without.quarantined.map(({ key, table }) => `${table} ${key}`),
        ["tasks t", "tasks odd", `agents ${agent.spec.id}`]
      )
      assert.include(without.quarantined[0]!.reason, "nofx.key")
    }).pipe(Effect.scoped)
  )

  it.effect("C54 a viewer reads while another owns the state, and cannot write", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const { store } = yield* openStore(path.join(directory, "nofx.db"))
      yield* store.commit([put(task("a", 1))], store.epoch)
      const viewer = yield* Effect.provide(Store, yield* Layer.build(SqliteStore.layerViewer(directory)))
      assert.deepStrictEqual((yield* viewer.load).tasks, [task("a", 1)])
      const refused = yield* Effect.flip(viewer.commit([put(task("b", 2))], viewer.epoch))
      assert(refused._tag === "StoreUnavailable" && refused.reason === "read-only")
      yield* store.commit([put(task("c", 3))], store.epoch)
      assert.strictEqual((yield* viewer.tasks({})).length, 2)
    })
  )

  it.effect.prop("C60 the fast encoding of a task is the schema's", [Arbitrary.schema(Task)], ([value]) =>
    Effect.gen(function* () {
      const encoded = yield* Schema.encodeEffect(Schema.toCodecJson(Task))(value)
      assert.deepStrictEqual(JSON.parse(encodeTask(value)), JSON.parse(JSON.stringify(encoded)))
    })
  )
})
