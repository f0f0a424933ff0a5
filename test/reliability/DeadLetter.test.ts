import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Schema } from "effect"
import * as Letter from "../../src/reliability/DeadLetter.ts"

const { defaults } = Letter
const at = (now: number, random = 0) => ({ now, random, id: `id-${now}` })
const failure = (more: Partial<Letter.Failure> = {}): Letter.Failure => ({
  kind: "task",
  subject: "b/t",
  reason: "provider is down",
  cause: "Outage",
  automatic: true,
  payload: { n: 1 },
  ...more
})

const Step = Schema.Struct({
  what: Schema.Literals(["fail", "failByHand", "redrive", "release", "unknown", "discard", "expire", "resolve", "restore", "reload"]),
  wait: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10_000_000 })),
  random: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 0.999 }))
})

const reload = (letter: Letter.DeadLetter): Letter.DeadLetter =>
  Schema.decodeUnknownSync(Letter.DeadLetter)(JSON.parse(JSON.stringify(letter)))

describe("DeadLetter", () => {
  it.effect.prop(
    "C26 one record for life: its id stays, failures and redrives count what happened, and only a pending automatic letter has a due time",
    [Schema.Array(Step).check(Schema.isMaxLength(40))],
    ([steps]) =>
      Effect.sync(() => {
        let now = 1_000_000
        let letter = Letter.failed(undefined, failure(), at(now), defaults)
        const { createdAt, id } = letter
        let failures = 1
        let redrives = 0
        for (const { random, wait, what } of steps) {
          now += wait
          const isOpen = letter.status === "pending" || letter.status === "redriving"
          switch (what) {
            case "fail":
            case "failByHand":
              if (!isOpen) continue
              letter = Letter.failed(letter, failure({ automatic: what === "fail" }), at(now, random), defaults)
              failures++
              break
            case "redrive":
              if (letter.status !== "pending") continue
              letter = Letter.redriven(letter)
              redrives++
              break
            case "release":
            case "unknown":
              if (letter.status !== "redriving") continue
              letter = what === "release" ? Letter.released(letter, now, random, defaults) : Letter.releasedUnknown(letter)
              break
            case "discard":
            case "expire":
              if (letter.status !== "pending") continue
              letter = (what === "discard" ? Letter.discarded : Letter.expired)(letter, now)
              break
            case "resolve":
              if (!isOpen) continue
              letter = Letter.resolved(letter, now)
              break
            case "restore":
              if (letter.status !== "discarded" && letter.status !== "expired") continue
              letter = Letter.restored(letter, now, random, defaults)
              break
            case "reload":
              assert.deepStrictEqual(reload(letter), letter)
          }
          assert.deepStrictEqual([letter.id, letter.createdAt, letter.failures, letter.redrives], [id, createdAt, failures, redrives])
          assert.strictEqual(letter.endedAt !== undefined, ["resolved", "discarded", "expired"].includes(letter.status))
          if (letter.redriveAt !== undefined) {
            assert.isTrue(letter.status === "pending" && letter.automatic && letter.redrives < defaults.maxRedrives)
            assert.isFalse(Letter.isDue(letter, letter.redriveAt - 1))
            assert.isTrue(Letter.isDue(letter, letter.redriveAt))
          }
        }
      }),
    { arbitrary: { runs: 400 } }
  )

  it.effect("C28 due times follow the formula: exponential by redrives, capped, less the jitter, never before the provider's hint", () =>
    Effect.sync(() => {
      const options = { ...defaults, redriveJitter: 0 }
      let letter = Letter.failed(undefined, failure(), at(0), options)
      const waits: Array<number> = []
      for (let n = 0; n < 9; n++) {
        waits.push((letter.redriveAt! - letter.failedAt) / 60_000)
        letter = reload(Letter.failed(Letter.redriven(letter), failure(), at(letter.redriveAt!), options))
      }
      assert.deepStrictEqual(waits, [5, 10, 20, 40, 80, 160, 320, 360, 360])
      assert.strictEqual(Letter.failed(undefined, failure(), at(0, 0.5), defaults).redriveAt, 5 * 60_000 * 0.85)
      assert.strictEqual(Letter.failed(undefined, failure({ notBefore: 9_000_000 }), at(0), options).redriveAt, 9_000_000)
      assert.strictEqual(Letter.failed(undefined, failure({ notBefore: 5 }), at(0), options).redriveAt, 5 * 60_000)
    })
  )

  it.effect.prop(
    "C28 a wait lies between the full one less its jitter and the full one",
    [
      Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2000 })),
      Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 0.9999 }))
    ],
    ([redrives, random]) =>
      Effect.sync(() => {
        const full = Math.min(6 * 3_600_000, 300_000 * 2 ** redrives)
        const delay = Letter.redriveDelay(redrives, random, defaults)
        assert.isAtMost(delay, full)
        assert.isAtLeast(delay, full * 0.7)
      })
  )

  it.effect("C29 a letter expires by its age, or when it fails after its last automatic redrive", () =>
    Effect.sync(() => {
      const month = Duration.toMillis(defaults.maxAge)
      const young = Letter.failed(undefined, failure({ automatic: false }), at(1000), defaults)
      assert.strictEqual(Letter.expiresAt(young, defaults), 1000 + month)
      const spent = Letter.failed({ ...young, redrives: 10 }, failure(), at(2000), defaults)
      assert.strictEqual(Letter.expiresAt(spent, defaults), 2000)
      assert.isUndefined(spent.redriveAt)
      const byHand = Letter.failed({ ...young, redrives: 10 }, failure({ automatic: false }), at(2000), defaults)
      assert.strictEqual(Letter.expiresAt(byHand, defaults), 2000 + month)
      const back = Letter.restored(Letter.expired(spent, 3000), 5000, 0, defaults)
      assert.deepStrictEqual([back.automatic, Letter.expiresAt(back, defaults)], [false, 5000 + month])
      assert.isUndefined(Letter.expiresAt(Letter.redriven(young), defaults))
    })
  )

  it.effect("C30 the undo of a discard gives the letter back as it was, waiting anew", () =>
    Effect.sync(() => {
      const letter = Letter.failed(undefined, failure(), at(0), defaults)
      const { redriveAt, restoredAt, ...back } = Letter.restored(Letter.discarded(letter, 10), 20, 0, defaults)
      const { redriveAt: _, ...before } = letter
      assert.deepStrictEqual(back, before)
      assert.deepStrictEqual([redriveAt, restoredAt], [20 + 300_000, 20])
    })
  )
})
