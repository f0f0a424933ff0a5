import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { names } from "../../src/simulation/Ablation.ts"
import { nofx } from "./commandLine.ts"

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "nofx-simulate-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

const short = ["simulate", "--days", "0.25", "--agents", "2"]

describe("nofx simulate", () => {
  it.effect("C62 prints the result as one JSON document, with the figures that programs rely on", () =>
    Effect.gen(function* () {
      const { code, err, out } = yield* nofx([...short, "--seed", "3", "--profile", "stormy", "--json"])
      assert.deepEqual([code, err], [0, ""])
      const result = JSON.parse(out)
      for (const key of [
        "accepted",
        "succeeded",
        "deadLettered",
        "cancelled",
        "lost",
        "duplicated",
        "wrongEnds",
        "availability",
        "availabilityLower95",
        "runtimeAvailability"
      ])
        assert.isNumber(result[key], key)
      assert.deepEqual([result.seed, result.days, result.agents, result.complete], [3, 0.25, 2, true])
      assert.match(result.eventLogSha256, /^[0-9a-f]{64}$/)
      assert.notProperty(result, "samples")
      const again = yield* nofx([...short, "--seed", "3", "--profile", "stormy", "--json"])
      assert.strictEqual(again.out, out)
    })
  )

  it.effect("C62 compares every pattern, and writes a report that needs nothing else", () =>
    Effect.gen(function* () {
      const file = join(yield* directory, "report.html")
      const args = ["simulate", "--days", "0.05", "--agents", "1", "--compare", "--html", file]
      const { code, out } = yield* nofx(args)
      assert.strictEqual(code, 0, out)
      for (const name of names) {
        assert.match(out, new RegExp(`^without ${name} `, "m"))
        assert.match(out, new RegExp(`^without ${name}: (worse in .+|nothing that is measured here is worse)$`, "m"))
      }
      const html = readFileSync(file, "utf8")
      assert.match(html, /^<!doctype html>/)
      assert.match(html, /<svg /)
      assert.match(html, /without cooldown/)
      assert.notMatch(html, /src=|href=|@import|url\(/)
    })
  )

  it.effect("C62 a terminal sees the virtual date, and a signal ends it with what there is", () =>
    Effect.gen(function* () {
      const written: Array<string> = []
      let signal: ((count: number) => void) | undefined
      const { code, out } = yield* nofx(["simulate", "--days", "300", "--agents", "2"], {
        machine: {
          terminal: { columns: () => 70, rows: () => 20, colours: true },
          write: (text) => {
            written.push(text)
            if (written.length === 3) signal?.(1)
          },
          onSignal: (listener) => {
            signal = listener
            return () => {}
          }
        }
      })
      assert.strictEqual(code, 130)
      assert.match(written[0] ?? "", /#?\.+ 2026-01-01 {2}[\d,]+ tasks/)
      assert.match(out, /Possible tasks that succeeded in time/)
    })
  )

  it.effect("C58 refuses a profile that is not valid with line and path, and a pattern that is none, with exit code 2", () =>
    Effect.gen(function* () {
      const file = join(yield* directory, "mine.yaml")
      writeFileSync(file, "extends: calm\nworkload:\n  pinned: lots\n")
      const profile = yield* nofx([...short, "--profile", file])
      assert.strictEqual(profile.code, 2)
      assert.match(profile.err, /mine\.yaml:3:\d+: workload\.pinned: found "lots"/)
      const missing = yield* nofx([...short, "--profile", "sunny"])
      assert.strictEqual(missing.code, 2)
      assert.match(missing.err, /calm, typical, stormy, hostile/)
      assert.strictEqual((yield* nofx([...short, "--without", "luck"])).code, 2)
      const report = yield* nofx(["simulate", "--days", "3000", "--html", join(yield* directory, "no", "report.html")])
      assert.strictEqual(report.code, 2)
      assert.match(report.err, /report\.html cannot be written: there is no such directory/)
    })
  )
})
