import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Scope } from "effect"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as SqliteStore from "../../src/store/SqliteStore.ts"
import { type DamageReport, Store } from "../../src/store/Store.ts"
import { ended, event, letter, task } from "../support/storeTasks.ts"
import { temporaryDirectory } from "../support/stateDirectory.ts"

const rows = 600

/** A database with `rows` tasks, events and dead letters. `unclean`: as a killed owner leaves it, with everything still in its log. */
const fill = (file: string, unclean = false) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const store = yield* Effect.provide(Store, yield* Layer.buildWithScope(SqliteStore.layerFile(file), scope))
    for (let n = 1; n <= rows; n += 20) {
      yield* store.commit(
        Array.from({ length: 20 }, (_, k) => n + k).flatMap((k) => [
          { _tag: "PutTask" as const, task: k % 2 === 0 ? task(`t${k}`, k) : ended(`t${k}`, k, k) },
          { _tag: "AppendEvent" as const, event: event(`t${k}`, k) },
          { _tag: "PutDeadLetter" as const, letter: letter(`d${k}`) }
        ]),
        store.epoch
      )
    }
    const copies = unclean ? ["", "-wal"].map((side) => [file + side, fs.readFileSync(file + side)] as const) : []
    yield* Scope.close(scope, Exit.void)
    for (const [name, bytes] of copies) fs.writeFileSync(name, bytes)
    return store.epoch
  })

/** Opens a store and answers what a runtime would see. */
const start = (file: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const store = yield* Effect.provide(Store, yield* Layer.build(SqliteStore.layerFile(file)))
      const loaded = yield* store.load
      const all = yield* store.tasks({ limit: 10_000 })
      yield* store.commit([{ _tag: "PutTask", task: task("after", 10_000) }], store.epoch)
      return { epoch: store.epoch, loaded, all, report: loaded.damage.at(-1) }
    })
  )

const page = 4_096
const noise = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, n) => (n * 131 + 7) % 251))

const overwrite = (file: string, at: number, bytes: Buffer): void => {
  const handle = fs.openSync(file, "r+")
  fs.writeSync(handle, bytes, 0, bytes.length, at)
  fs.closeSync(handle)
}

/** The report names what was found, and what it kept holds the damaged bytes. */
const told = (report: DamageReport | undefined, damaged: Buffer): DamageReport => {
  assert(report !== undefined && report.found.length > 0)
  assert.deepStrictEqual(fs.readFileSync(report.kept[0]!), damaged)
  return report
}

const recovered = (report: DamageReport, table: string): number => report.tables.find((one) => one.table === table)?.recovered ?? 0

describe("a damaged database", () => {
  it.effect("C27 with pages overwritten in the middle is kept, and everything else is recovered", () =>
    Effect.gen(function* () {
      const file = path.join(yield* temporaryDirectory, "nofx.db")
      const epoch = yield* fill(file)
      const pages = fs.statSync(file).size / page
      overwrite(file, Math.floor(pages / 2) * page, noise(3 * page))
      const damaged = fs.readFileSync(file)
      const now = yield* start(file)
      const report = told(now.report, damaged)
      assert(now.epoch > epoch)
      const total = ["tasks", "events", "dead_letters"].reduce((sum, table) => sum + recovered(report, table), 0)
      assert(total > 2 * rows && total < 3 * rows, `${total} rows`)
      for (const one of now.all)
        assert.deepStrictEqual(one, one.order % 2 === 0 ? task(one.key, one.order) : ended(one.key, one.order, one.order))
      const again = yield* start(file)
      assert.deepStrictEqual(again.loaded.damage, [report])
      assert(again.loaded.tasks.some((one) => one.key === "after"))
    })
  )

  it.effect("C27 that was cut off is kept, and what lies before the cut is recovered", () =>
    Effect.gen(function* () {
      const file = path.join(yield* temporaryDirectory, "nofx.db")
      yield* fill(file)
      fs.truncateSync(file, Math.floor(fs.statSync(file).size * 0.7))
      const damaged = fs.readFileSync(file)
      const now = yield* start(file)
      assert(recovered(told(now.report, damaged), "tasks") > 0)
    })
  )

  for (const [what, length] of [
    ["header", 100],
    ["first page", page]
  ] as const) {
    it.effect(`C27 with a garbage ${what} is kept, and its rows are recovered`, () =>
      Effect.gen(function* () {
        const file = path.join(yield* temporaryDirectory, "nofx.db")
        yield* fill(file)
        overwrite(file, 0, noise(length))
        const damaged = fs.readFileSync(file)
        const now = yield* start(file)
        const report = told(now.report, damaged)
        assert.deepStrictEqual(
          ["tasks", "events", "dead_letters"].map((table) => recovered(report, table)),
          [rows, rows, rows]
        )
        assert.strictEqual(now.loaded.tasks.length, rows / 2)
        assert.strictEqual(now.loaded.quarantined.length, 0)
      })
    )
  }

  it.effect("C27 that is empty, or no database at all, is kept and reported, and a fresh one takes its place", () =>
    Effect.gen(function* () {
      for (const damaged of [Buffer.alloc(0), noise(300), noise(10 * page)]) {
        const file = path.join(yield* temporaryDirectory, "nofx.db")
        fs.writeFileSync(file, damaged)
        const now = yield* start(file)
        told(now.report, damaged)
        assert.deepStrictEqual(now.all, [])
      }
    })
  )

  it.effect("C27 a log that was left by a killed owner is whole: nothing is reported and nothing is missing", () =>
    Effect.gen(function* () {
      const file = path.join(yield* temporaryDirectory, "nofx.db")
      yield* fill(file, true)
      assert(fs.statSync(`${file}-wal`).size > 10 * page)
      const now = yield* start(file)
      assert.deepStrictEqual([now.loaded.damage, now.all.length], [[], rows])
    })
  )

  for (const [what, damage] of [
    ["header", (log: string) => overwrite(log, 0, noise(32))],
    ["middle", (log: string) => overwrite(log, Math.floor(fs.statSync(log).size / 2), noise(2 * page))],
    ["last frame", (log: string) => overwrite(log, fs.statSync(log).size - page, noise(page))],
    ["end, cut off", (log: string) => fs.truncateSync(log, Math.floor(fs.statSync(log).size / 2 / page) * page + 1_000)]
  ] as const) {
    it.effect(`C27 a log with a damaged ${what} is kept and reported, and what SQLite can read of it is there`, () =>
      Effect.gen(function* () {
        const file = path.join(yield* temporaryDirectory, "nofx.db")
        yield* fill(file, true)
        const log = `${file}-wal`
        damage(log)
        const damaged = fs.readFileSync(log)
        const now = yield* start(file)
        assert(now.report !== undefined)
        assert.include(now.report.found.join(), "log")
        assert.deepStrictEqual(fs.readFileSync(now.report.kept.find((name) => name.endsWith("-wal"))!), damaged)
        assert(now.all.length < rows)
      })
    )
  }

  it.effect("C27 a read-only directory refuses the start with reason read-only or io, and changes nothing", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const file = path.join(directory, "nofx.db")
      yield* fill(file)
      fs.chmodSync(file, 0o444)
      fs.chmodSync(directory, 0o555)
      const before = fs.readFileSync(file)
      const { stdout } = childProcess.spawnSync(
        process.execPath,
        ["--disable-warning=ExperimentalWarning", path.join(import.meta.dirname, "../support/openStore.ts"), file],
        {
          encoding: "utf8",
          // Root may write anywhere: be nobody.
          ...(process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {})
        }
      )
      fs.chmodSync(directory, 0o700)
      assert.match(stdout, /^StoreUnavailable (read-only|io)$/m)
      assert.deepStrictEqual([fs.readdirSync(directory), fs.readFileSync(file)], [["nofx.db"], before])
    })
  )
})
