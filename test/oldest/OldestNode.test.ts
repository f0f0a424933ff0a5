/** Runs on the oldest Node that is supported; the tests that run here with it are named in `vitest.config.ts`. */
import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { Effect } from "effect"
import * as Simulation from "../../src/simulation/Simulation.ts"

const root = join(import.meta.dirname, "../..")
const run = promisify(execFile)

describe("the oldest supported Node", () => {
  it("is the one that these tests run on", () => {
    const { engines } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { readonly engines: { readonly node: string } }
    assert.strictEqual(engines.node, `>=${process.versions.node}`)
  })

  it.live("C62 has the same event log as the Node that NofX is developed on", () =>
    Effect.gen(function* () {
      const { eventLogSha256 } = yield* Simulation.run({ profile: "stormy", seed: 7, days: 1, agents: 4 })
      const script = join(root, "test/simulation/logHash.ts")
      const other = yield* Effect.promise(() => run(join(root, "node_modules/.bin/node"), [script, "7", "1", "4"]))
      assert.strictEqual(other.stdout, eventLogSha256)
    })
  )

  it("tells users nothing of its own", async () => {
    const directory = mkdtempSync(join(tmpdir(), "nofx-oldest-"))
    try {
      const file = join(directory, "nofx.yaml")
      writeFileSync(file, "agents:\n  - {id: a, driver: command, command: ['true']}\ntasks:\n  - {id: t}\n")
      const { stderr, stdout } = await run(process.execPath, [
        join(root, "src/cli/main.ts"),
        "run",
        file,
        "--state-dir",
        join(directory, "state")
      ])
      assert.include(stdout, "1 succeeded")
      assert.strictEqual(stderr, "")
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  })
})
