import { readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { catalogue, markdown, prometheusName } from "../../src/telemetry/catalogue.ts"
import * as Metrics from "../../src/telemetry/Metrics.ts"
import { expected, isolated, run, runtimeLayer } from "./scriptedRun.ts"

const telemetry = join(import.meta.dirname, "../../src/telemetry")
const files = ["dashboard.json", "alerts.yaml"]

/** Samples by name and labels. */
const samples = (text: string): Map<string, number> =>
  new Map(
    text
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))])
  )

describe("metrics", () => {
  it.live("C59 each number equals what a scripted run did", () =>
    isolated(
      Effect.gen(function* () {
        const { events, runtime } = yield* run
        const found = samples(yield* Metrics.prometheusText)
        const values = Object.fromEntries(Object.keys(expected).map((name) => [name, found.get(name)]))
        assert.deepStrictEqual(values, { ...expected })
        const seconds = events.reduce((sum, event) => sum + (event._tag === "AttemptEnded" ? event.durationMillis / 1000 : 0), 0)
        let summed = 0
        for (const [name, value] of found) if (name.startsWith("gen_ai_client_operation_duration_seconds_sum")) summed += value
        assert.approximately(summed, seconds, 1e-6)
        const status = yield* runtime.getReliabilityStatus
        assert.strictEqual(status.deadLetters.size, found.get("nofx_dead_letters"))
      }).pipe(Effect.scoped, Effect.provide(Layer.provideMerge(Metrics.layer, runtimeLayer)))
    )
  )

  it.live("C59 a closed layer leaves no series behind", () =>
    isolated(
      Effect.gen(function* () {
        yield* run.pipe(Effect.scoped, Effect.provide(Layer.provideMerge(Metrics.layer, runtimeLayer)))
        assert.strictEqual(yield* Metrics.prometheusText, "")
      })
    )
  )

  it("C59 the documented table is that of the code", () => {
    assert.strictEqual(readFileSync(join(telemetry, "METRICS.md"), "utf8"), markdown())
  })

  it("C59 the code exports what the table documents, with its attributes, and nothing else", () =>
    Effect.runPromise(
      isolated(
        Effect.gen(function* () {
          yield* run
          const names = new Map(Object.entries(catalogue).map(([name, { attributes }]) => [prometheusName(name), attributes]))
          for (const series of samples(yield* Metrics.prometheusText).keys()) {
            const [, name, labels = ""] = /^([a-z_]+?)(?:_bucket|_sum|_count)?(?:\{(.*)\})?$/.exec(series)!
            const attributes = names.get(name!)
            assert(attributes !== undefined, `${name} is not documented`)
            const allowed = [...attributes.map((each) => each.replaceAll(".", "_")), "le"]
            for (const [, label] of labels.matchAll(/([a-z_]+)="/g)) assert.include(allowed, label!)
          }
        }).pipe(Effect.scoped, Effect.provide(Layer.provideMerge(Metrics.layer, runtimeLayer)))
      )
    ))

  it("C59 the dashboard and the alert rules ask for metrics that there are", () => {
    const names = new Set(Object.keys(catalogue).map(prometheusName))
    for (const file of files) {
      const asked = [...readFileSync(join(telemetry, file), "utf8").matchAll(/\b(?:nofx|gen_ai)_[a-z_]+/g)].map(([name]) => name)
      const labels = new Set(Object.values(catalogue).flatMap(({ attributes }) => attributes.map((each) => each.replaceAll(".", "_"))))
      for (const name of asked) {
        if (!labels.has(name)) assert(names.has(name.replace(/_(?:bucket|sum|count)$/, "")), `${file} asks for ${name}`)
      }
      assert.isAbove(asked.length, 5)
    }
  })
})
