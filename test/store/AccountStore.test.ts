import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Layer, Schema } from "effect"
import { DatabaseSync } from "node:sqlite"
import * as path from "node:path"
import * as AccountStore from "../../src/store/AccountStore.ts"
import { temporaryDirectory } from "../support/stateDirectory.ts"

const gate = (account: string, generation: number, until: number): AccountStore.AccountState => ({
  account,
  kind: "gate",
  generation,
  until,
  state: { closed: until > 0 }
})

const open = (directory: string) =>
  Effect.map(Layer.build(AccountStore.layer(directory)), (context) => Effect.provide(AccountStore.AccountStore, context)).pipe(
    Effect.flatten
  )

const suite = <E>(name: string, fresh: () => Layer.Layer<AccountStore.AccountStore, E>): void => {
  describe(`the ${name} account store`, () => {
    it.effect("C24 a gate is only extended within a generation, and replaced by a later generation", () =>
      Effect.gen(function* () {
        const store = yield* AccountStore.AccountStore
        const standing = (next: AccountStore.AccountState) => Effect.map(store.put(next), (record) => [record.generation, record.until])
        assert.deepStrictEqual(yield* standing(gate("a", 1, 100)), [1, 100])
        assert.deepStrictEqual(yield* standing(gate("a", 1, 50)), [1, 100])
        assert.deepStrictEqual(yield* standing(gate("a", 1, 200)), [1, 200])
        assert.deepStrictEqual(yield* standing(gate("a", 2, 0)), [2, 0])
        assert.deepStrictEqual(yield* standing(gate("a", 1, 900)), [2, 0])
        assert.deepStrictEqual(
          (yield* store.get("a")).map(({ version: _, ...rest }) => rest),
          [gate("a", 2, 0)]
        )
      }).pipe(Effect.provide(fresh()))
    )

    it.effect("C24 the version grows with each write that counts, and tells what changed since", () =>
      Effect.gen(function* () {
        const store = yield* AccountStore.AccountStore
        const start = yield* store.version
        yield* store.put(gate("a", 1, 1))
        yield* store.put(gate("b", 1, 1))
        const seen = yield* store.version
        yield* store.put(gate("b", 1, 1))
        assert.strictEqual(yield* store.version, seen)
        yield* store.put(gate("a", 1, 2))
        yield* store.put({ ...gate("a", 1, 2), kind: "limit" })
        assert(start < seen && seen < (yield* store.version))
        assert.deepStrictEqual(
          (yield* store.changesSince(seen)).map((record) => [record.account, record.kind, record.until]),
          [
            ["a", "gate", 2],
            ["a", "limit", 2]
          ]
        )
      }).pipe(Effect.provide(fresh()))
    )

    const Write = Schema.Struct({
      account: Schema.Literals(["a", "b"]),
      generation: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 })),
      until: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5 }))
    })
    it.effect.prop(
      "C24 whatever the order of the writes, the highest generation with its latest end stands",
      [Arbitrary.schema(Schema.Array(Write))],
      ([writes]) =>
        Effect.gen(function* () {
          const store = yield* AccountStore.AccountStore
          for (const write of writes) yield* store.put(gate(write.account, write.generation, write.until))
          for (const account of ["a", "b"]) {
            const best = writes
              .filter((write) => write.account === account)
              .sort((x, y) => y.generation - x.generation || y.until - x.until)[0]
            const [record] = yield* store.get(account)
            assert.deepStrictEqual([record?.generation, record?.until], [best?.generation, best?.until])
          }
        }).pipe(Effect.provide(fresh()), Effect.scoped)
    )
  })
}

suite("memory", () => AccountStore.layerMemory)
suite("SQLite", () => Layer.unwrap(Effect.map(temporaryDirectory, AccountStore.layer)))

describe("AccountStore", () => {
  it.effect("C24 what one host writes another sees, by its version, and none loses the other's", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const one = yield* open(directory)
      const two = yield* open(directory)
      const before = yield* two.version
      yield* one.put(gate("a", 1, 100))
      assert(before < (yield* two.version))
      assert.deepStrictEqual((yield* two.changesSince(before))[0]?.until, 100)
      yield* two.put(gate("a", 1, 50))
      yield* two.put(gate("b", 1, 7))
      assert.deepStrictEqual([(yield* one.get("a"))[0]?.until, (yield* one.get("b"))[0]?.until], [100, 7])
    })
  )

  it.effect("C24 a damaged row counts as none", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const store = yield* open(directory)
      yield* store.put(gate("a", 1, 100))
      const raw = new DatabaseSync(path.join(directory, AccountStore.fileName))
      raw.exec("UPDATE accounts SET state = 'no JSON'")
      raw.close()
      assert.deepStrictEqual(yield* store.get("a"), [])
      yield* store.put(gate("a", 1, 5))
      assert.strictEqual((yield* store.get("a"))[0]?.until, 5)
    })
  )
})
