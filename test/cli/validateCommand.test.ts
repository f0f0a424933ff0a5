import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { nofx } from "./commandLine.ts"

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "nofx-validate-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

const env = { PATH: dirname(process.execPath) }

const good = `agents:
  - {id: a, driver: command, command: [node], count: 2, account: x}
tasks: [{id: t, agent: a}]
`

describe("nofx validate", () => {
  it.effect("C58 says what a valid file holds", () =>
    Effect.gen(function* () {
      const file = join(yield* directory, "nofx.yaml")
      writeFileSync(file, good)
      assert.deepEqual(yield* nofx(["validate", file], { env }), {
        code: 0,
        out: `${file} is valid: 2 agents on 1 account, 1 task`,
        err: ""
      })
      const { out } = yield* nofx(["validate", file, "--json"], { env })
      const { digest, ...rest } = JSON.parse(out)
      assert.deepEqual(rest, { _tag: "TaskFileValid", file, agents: 2, accounts: 1, tasks: 1 })
      assert.match(digest, /^[0-9a-f]{64}$/)
    })
  )

  it.effect("C58 refuses a file with all its problems and exit code 2", () =>
    Effect.gen(function* () {
      const file = join(yield* directory, "nofx.yaml")
      writeFileSync(file, good.replace("agent: a", "agent: b, promt: x"))
      const { code, err, out } = yield* nofx(["validate", file], { env })
      assert.deepEqual([code, out], [2, ""])
      assert.deepEqual(err.split("\n"), [
        `${file}:3:24: tasks[0].agent: found the agent "b", expected one of the agents of this file (did you mean "a"?)`,
        `${file}:3:27: tasks[0].promt: found the unknown field "promt", expected a field that exists (did you mean "prompt"?)`
      ])
    })
  )

  it.effect("C58 with --json the problems are data, on standard output", () =>
    Effect.gen(function* () {
      const file = join(yield* directory, "nofx.yaml")
      writeFileSync(file, good.replace("agent: a", "agent: nobody"))
      const { code, err, out } = yield* nofx(["validate", file, "--json"], { env })
      assert.deepEqual([code, err], [2, ""])
      const expected = "one of the agents of this file"
      const problem = { line: 3, column: 24, path: "tasks[0].agent", found: 'the agent "nobody"', expected }
      assert.deepEqual(JSON.parse(out), { _tag: "TaskFileInvalid", file, problems: [problem], more: 0 })
    })
  )

  it.effect("C58 a program that is not on this machine is a problem of the file", () =>
    Effect.gen(function* () {
      const file = join(yield* directory, "nofx.yaml")
      writeFileSync(file, good)
      const { code, err } = yield* nofx(["validate", file], { env: { PATH: "/nonexistent" } })
      assert.strictEqual(code, 2)
      assert.include(err, `${file}:2:40: agents[0].command[0]: found the program "node", which is not there`)
    })
  )

  it.effect("C58 a preset must exist for the driver, and its program on this machine", () =>
    Effect.gen(function* () {
      const file = join(yield* directory, "nofx.yaml")
      const refusal = (preset: string, driver: string) => {
        writeFileSync(file, `agents: [{id: a, driver: ${driver}, preset: ${preset}}]\ntasks: [{id: t}]\n`)
        return Effect.map(nofx(["validate", file], { env }), ({ err }) => err)
      }
      assert.match(
        yield* refusal("cluade", "command"),
        /1:43: agents\[0\]\.preset: found the preset "cluade", expected .* \(did you mean "claude"\?\)$/
      )
      assert.match(yield* refusal("devin", "command"), /agents\[0\]\.preset: found the preset "devin", expected for driver command one of/)
      assert.match(yield* refusal("codex", "acp"), /agents\[0\]\.preset: found the program "codex-acp", which is not there/)
    })
  )
})
