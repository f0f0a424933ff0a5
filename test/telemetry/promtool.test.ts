import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as Metrics from "../../src/telemetry/Metrics.ts"
import { onPath, requires } from "../support/requirement.ts"
import { isolated, run, runtimeLayer } from "./scriptedRun.ts"

const promtool = (args: ReadonlyArray<string>, input = "") => {
  const { status, stderr, stdout } = spawnSync("promtool", args, {
    input,
    encoding: "utf8",
    cwd: join(import.meta.dirname, "../../src/telemetry")
  })
  return { status, output: stdout + stderr }
}

requires("promtool", () => onPath("promtool"))("Prometheus", () => {
  it.live("C59 accepts the metrics of a run without a complaint", () =>
    isolated(
      Effect.gen(function* () {
        yield* run
        assert.deepStrictEqual(promtool(["check", "metrics"], yield* Metrics.prometheusText), { status: 0, output: "" })
      }).pipe(Effect.scoped, Effect.provide(Layer.provideMerge(Metrics.layer, runtimeLayer)))
    )
  )

  it("C59 accepts the alert rules, and they fire when they should and only then", () => {
    const { output, status } = promtool(["check", "rules", "alerts.yaml"])
    assert.strictEqual(status, 0, output)
    const tested = promtool(["test", "rules", "alerts.test.yaml"])
    assert.strictEqual(tested.status, 0, tested.output)
  })
})
