import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import * as BoundedOutput from "../../src/agent/BoundedOutput.ts"
import { directory } from "../support/processes/Scenario.ts"

const small = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum }))

describe("BoundedOutput", () => {
  it.effect.prop(
    "keeps the beginning and the end of any output, and says how much is missing",
    [Schema.Array(small(30)), small(25), small(12)],
    ([sizes, maxBytes, tailBytes]) =>
      Effect.gen(function* () {
        const file = join(yield* directory, "out")
        const output = BoundedOutput.make({ file, maxBytes, tailBytes })
        let whole = ""
        for (const size of sizes) {
          const chunk = Array.from({ length: size }, (_, index) => String.fromCharCode(97 + ((whole.length + index) % 26))).join("")
          output.write(Buffer.from(chunk))
          whole += chunk
        }
        assert.strictEqual(output.tail(), whole.slice(Math.max(0, whole.length - tailBytes)))
        assert.strictEqual(output.bytes(), whole.length)
        output.close()
        const head = Math.ceil(maxBytes / 2)
        const expected =
          whole.length <= maxBytes
            ? whole
            : `${whole.slice(0, head)}\n[${whole.length - maxBytes} bytes left out]\n${whole.slice(whole.length - (maxBytes - head))}`
        assert.strictEqual(readFileSync(file, "utf8"), expected)
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 150 } }
  )

  it.effect.prop(
    "C25 takes secrets out of the file, however a line comes in pieces, and keeps what is no text",
    [Schema.Array(small(9)), Schema.Boolean],
    ([sizes, ended]) =>
      Effect.gen(function* () {
        const file = join(yield* directory, "out")
        const redact = (text: string): string => text.replaceAll("SECRET", "[redacted]")
        const output = BoundedOutput.make({ file, maxBytes: 1_000, tailBytes: 100, redact })
        const odd = Buffer.from([0xff, 0xfe, 0x0a])
        const whole = Buffer.concat([Buffer.from("a SECRET\n"), odd, Buffer.from(`said SECRET and SECRET${ended ? "\n" : ""}`)])
        let at = 0
        for (const size of [...sizes, whole.length]) {
          output.write(whole.subarray(at, at + size))
          at = Math.min(whole.length, at + size)
        }
        output.close()
        const expected = Buffer.concat([
          Buffer.from("a [redacted]\n"),
          odd,
          Buffer.from(`said [redacted] and [redacted]${ended ? "\n" : ""}`)
        ])
        // Lines that came together are decoded together: an odd byte then shows as such.
        const written = readFileSync(file)
        assert.notInclude(written.toString("latin1"), "SECRET")
        assert.strictEqual(written.toString("utf8"), expected.toString("utf8"))
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 50 } }
  )

  it.effect.prop(
    "C25 takes secrets out of a line that is too long to wait for its end, wherever it is cut",
    [Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 70_000 })))],
    ([sizes]) =>
      Effect.gen(function* () {
        const file = join(yield* directory, "out")
        const secret = `SECRET${"s".repeat(500)}`
        const output = BoundedOutput.make({ file, maxBytes: 10_000_000, tailBytes: 100, redact: (text) => text.replaceAll(secret, "é") })
        const whole = Buffer.from(`${"ü".repeat(300)}${secret}`.repeat(300))
        let at = 0
        while (at < whole.length) {
          for (const size of [...sizes, 65_536]) {
            output.write(whole.subarray(at, at + size))
            at = Math.min(whole.length, at + size)
          }
        }
        output.close()
        assert.strictEqual(readFileSync(file, "utf8"), `${"ü".repeat(300)}é`.repeat(300))
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 20 } }
  )

  it.effect("leaves out a character that was cut at the beginning of the tail", () =>
    Effect.sync(() => {
      const output = BoundedOutput.make({ maxBytes: 100, tailBytes: 5 })
      output.write(Buffer.from("ä€€b"))
      assert.strictEqual(output.tail(), "€b")
    })
  )

  it.effect("makes files that only their owner can read, and goes on without them when they cannot be written", () =>
    Effect.gen(function* () {
      const file = join(yield* directory, "out")
      const output = BoundedOutput.make({ file, maxBytes: 100, tailBytes: 100 })
      assert.strictEqual(statSync(file).mode & 0o777, 0o600)
      output.close()
      output.write(Buffer.from("after"))
      assert.strictEqual(output.tail(), "after")
      assert.strictEqual(readFileSync(file, "utf8"), "")
      assert.throws(() => BoundedOutput.make({ file: join(file, "below"), maxBytes: 1, tailBytes: 1 }))
    }).pipe(Effect.scoped)
  )
})
