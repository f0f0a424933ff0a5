import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Scope } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as ProcessSystem from "../../src/agent/ProcessSystem.ts"
import * as Ownership from "../../src/store/Ownership.ts"
import * as SqliteStore from "../../src/store/SqliteStore.ts"
import { Store } from "../../src/store/Store.ts"
import { spawnOwner } from "../support/spawnOwner.ts"
import { temporaryDirectory } from "../support/stateDirectory.ts"

const processes = ProcessSystem.make()
const options = (directory: string): Ownership.Options => ({ directory, kind: "host", version: "1", processes })

/** Takes the directory and gives it back. */
const takeOnce = (directory: string) => Effect.scoped(Effect.map(Ownership.acquire(options(directory)), (owner) => owner.epoch))

/** Real processes on a busy machine. In milliseconds. */
const bound = 60_000

describe("Ownership", () => {
  it.live(
    "C56 a second process is refused at once by the owner's name, and gets it the moment the owner is dead",
    () =>
      Effect.gen(function* () {
        const directory = yield* temporaryDirectory
        const first = yield* spawnOwner(directory)
        const [owned] = yield* first.lines(1)
        const second = yield* spawnOwner(directory)
        const [refused] = yield* second.lines(1)
        assert.deepStrictEqual([refused?.pid, refused?.alive], [first.pid, true])
        assert.include(refused?.refused, directory)
        assert.include(refused?.refused, String(first.pid))
        first.signal("SIGKILL")
        yield* first.ended
        assert.strictEqual(yield* takeOnce(directory), owned!.owned! + 1)
      }),
    bound
  )

  it.live(
    "C56 of several that start at once exactly one owns the directory",
    () =>
      Effect.gen(function* () {
        const directory = yield* temporaryDirectory
        const all = yield* Effect.all(Array.from({ length: 4 }, () => spawnOwner(directory)))
        const first = yield* Effect.forEach(all, (one) => Effect.map(one.lines(1), (said) => said[0]), { concurrency: "unbounded" })
        assert.strictEqual(first.filter((said) => said?.owned !== undefined).length, 1)
        assert.strictEqual(first.filter((said) => said?.refused !== undefined).length, 3)
      }),
    bound
  )

  it.live(
    "C56 who cannot open the database gives the directory back, and leaves no trace of an ownership",
    () =>
      Effect.gen(function* () {
        const directory = yield* temporaryDirectory
        fs.mkdirSync(path.join(directory, "nofx.db"))
        assert.strictEqual((yield* Effect.flip(takeOnce(directory)))._tag, "StoreUnavailable")
        assert.strictEqual(yield* Ownership.look(directory, processes), undefined)
        fs.rmdirSync(path.join(directory, "nofx.db"))
        assert.strictEqual(yield* takeOnce(directory), 1)
      }),
    bound
  )

  it.live(
    "C27 a write-ahead log that is gone after the owner was killed is reported",
    () =>
      Effect.gen(function* () {
        const directory = yield* temporaryDirectory
        const owner = yield* spawnOwner(directory, "commit")
        yield* owner.lines(30)
        owner.signal("SIGKILL")
        yield* owner.ended
        fs.rmSync(path.join(directory, "nofx.db-wal"))
        const next = yield* Ownership.acquire(options(directory))
        assert.include(next.database.damage?.found.join(), "log is gone")
        assert(next.epoch > 1)
      }),
    bound
  )

  it.live(
    "C56 a suspended owner is still the owner",
    () =>
      Effect.gen(function* () {
        const directory = yield* temporaryDirectory
        const owner = yield* spawnOwner(directory)
        yield* owner.lines(1)
        owner.signal("SIGSTOP")
        const refused = yield* Effect.flip(takeOnce(directory))
        assert(refused._tag === "OwnedByAnother" && refused.owner?.pid === owner.pid && refused.alive)
        owner.signal("SIGCONT")
      }),
    bound
  )

  it.live(
    "C56 the same process cannot own it twice, and can again after it gave it back",
    () =>
      Effect.gen(function* () {
        const directory = yield* temporaryDirectory
        const scope = yield* Scope.make()
        const owner = yield* Scope.provide(Ownership.acquire(options(directory)), scope)
        assert.strictEqual((yield* Effect.flip(takeOnce(directory)))._tag, "OwnedByAnother")
        assert.deepStrictEqual(yield* Ownership.look(directory, processes), { owner: owner.info, alive: true })
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(yield* Ownership.look(directory, processes), undefined)
        assert.strictEqual(yield* takeOnce(directory), owner.epoch + 1)
      }),
    bound
  )

  it.live(
    "C51 a forced takeover ends the registered process trees first, then the suspended owner, and owns the directory",
    () =>
      Effect.gen(function* () {
        const directory = yield* temporaryDirectory
        const process = { marker: "m", agentId: "writer", at: 1 }
        yield* Effect.scoped(
          Effect.gen(function* () {
            const owner = yield* Ownership.acquire(options(directory))
            const store = yield* SqliteStore.make(owner.database.connection, owner.epoch)
            yield* store.commit([{ _tag: "PutProcess", process }], owner.epoch)
          })
        )
        const former = yield* spawnOwner(directory)
        const [owned] = yield* former.lines(1)
        former.signal("SIGSTOP")
        const steps: Array<unknown> = []
        const owner = yield* Ownership.forceTakeover({
          ...options(directory),
          endTrees: (left, of) =>
            Effect.map(processes.find(of.pid), (row) => {
              steps.push(left, of.pid, row !== undefined && !row.dead)
            })
        })
        assert.deepStrictEqual(steps, [[process], former.pid, true])
        assert.strictEqual(owner.epoch, owned!.owned! + 1)
        yield* former.ended
      }),
    bound
  )

  it.live(
    "C51 a forced takeover kills nobody when the owner's pid belongs to another process by now",
    () =>
      Effect.gen(function* () {
        const directory = yield* temporaryDirectory
        const former = yield* spawnOwner(directory)
        yield* former.lines(1)
        const file = path.join(directory, "owner.json")
        const info = JSON.parse(fs.readFileSync(file, "utf8"))
        fs.writeFileSync(file, JSON.stringify({ ...info, startTime: "1" }))
        const refused = yield* Effect.flip(Ownership.forceTakeover({ ...options(directory), endTrees: () => Effect.die("asked to kill") }))
        assert(refused._tag === "OwnedByAnother" && !refused.alive)
        assert.strictEqual((yield* processes.find(former.pid))?.dead, false)
      }),
    bound
  )

  it.live(
    "C56 an owner whose state was claimed by another is fenced off at its next commit",
    () =>
      Effect.gen(function* () {
        const directory = yield* temporaryDirectory
        const former = yield* spawnOwner(directory, "commit")
        yield* former.lines(20)
        const store = yield* Effect.provide(Store, yield* Layer.build(SqliteStore.layerFile(path.join(directory, "nofx.db"))))
        yield* former.ended
        const acknowledged = former.said.flatMap((line) => line.acknowledged ?? [])
        assert.strictEqual(former.said.at(-1)?.fenced, true)
        assert.strictEqual((yield* store.load).order, acknowledged.at(-1))
      }),
    bound
  )

  it.live(
    "C27 of ten owners killed while they commit, each acknowledged commit is there, once, with its event",
    () =>
      Effect.gen(function* () {
        const directory = yield* temporaryDirectory
        const acknowledged: Array<number> = []
        for (let round = 1; round <= 10; round++) {
          const owner = yield* spawnOwner(directory, "commit")
          yield* owner.lines(1 + 13 * round)
          owner.signal("SIGKILL")
          yield* owner.ended
          acknowledged.push(...owner.said.flatMap((line) => line.acknowledged ?? []))
        }
        const owner = yield* Ownership.acquire(options(directory))
        const store = yield* SqliteStore.make(owner.database.connection, owner.epoch)
        const loaded = yield* store.load
        assert.strictEqual(owner.epoch, 11)
        assert.deepStrictEqual([loaded.damage, loaded.quarantined], [[], []])
        const orders = loaded.tasks.map((one) => one.order)
        const there = new Set(orders)
        assert.strictEqual(there.size, orders.length)
        assert.deepStrictEqual(
          acknowledged.filter((n) => !there.has(n)),
          []
        )
        // At most the one commit of each round that was written and not yet acknowledged.
        assert(orders.length - acknowledged.length <= 10)
        assert.strictEqual(loaded.seq, orders.length)
      }),
    bound
  )
})
