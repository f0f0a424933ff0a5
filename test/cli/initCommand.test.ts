import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { initFile } from "../../src/cli/initFile.ts"
import { presets } from "../../src/agent/AgentPresets.ts"
import { options } from "../../src/cli/loadTaskFile.ts"
import * as TaskFile from "../../src/task/TaskFile.ts"
import { nofx } from "./commandLine.ts"

/** A directory with a file to write, and one with programs of these names, the only ones on the PATH. */
const machine = (...programs: ReadonlyArray<string>) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "nofx-init-"))),
      (path) => Effect.sync(() => rmSync(path, { recursive: true }))
    ),
    (path) => {
      mkdirSync(join(path, "bin"))
      for (const name of programs) writeFileSync(join(path, "bin", name), "#!/bin/sh\n", { mode: 0o755 })
      return { file: join(path, "nofx.yaml"), env: { PATH: join(path, "bin") } }
    }
  )

describe("nofx init", () => {
  it.effect("C58 without any agent on the machine it writes a file for the demo agent, which validates", () =>
    Effect.gen(function* () {
      const { env, file } = yield* machine()
      const { code, out } = yield* nofx(["init", file], { env })
      assert.strictEqual(code, 0)
      assert.include(out, "No agent was found on the PATH")
      const text = readFileSync(file, "utf8")
      const schema = /^# yaml-language-server: \$schema=(.*)\n/.exec(text)?.[1]
      assert.isTrue(existsSync(schema ?? ""))
      assert.strictEqual((yield* nofx(["validate", file], { env })).code, 0)
    })
  )

  it.effect("C58 writes an entry for each agent found, over ACP where its program is there, and validates", () =>
    Effect.gen(function* () {
      const { env, file } = yield* machine("claude", "codex", "codex-acp", "opencode")
      const { out } = yield* nofx(["init", file], { env })
      assert.include(out, "for Claude Code, Codex, opencode.")
      assert.strictEqual((yield* nofx(["validate", file], { env })).code, 0)
      const taskFile = Result.getOrThrow(TaskFile.decode(readFileSync(file, "utf8"), file, options))
      assert.deepEqual(
        taskFile.agents.map(({ account, driver, id, permissions, preset }) => [id, driver, preset, account, permissions]),
        [
          ["claude", "command", "claude", "anthropic", "ask"],
          ["codex", "acp", "codex", "openai", "ask"],
          ["opencode", "acp", "opencode", "opencode", "ask"]
        ]
      )
    })
  )

  it.effect("C58 refuses to overwrite a file without --force", () =>
    Effect.gen(function* () {
      const { env, file } = yield* machine()
      writeFileSync(file, "mine")
      assert.deepEqual(yield* nofx(["init", file], { env }), { code: 2, out: "", err: `${file} is there already; --force replaces it` })
      assert.strictEqual(readFileSync(file, "utf8"), "mine")
      assert.strictEqual((yield* nofx(["init", "--force", file], { env })).code, 0)
      assert.include(readFileSync(file, "utf8"), "agents:")
    })
  )

  it.effect("C60 says so when the file cannot be written", () =>
    Effect.gen(function* () {
      const { env, file } = yield* machine()
      const nowhere = join(file, "nofx.yaml")
      assert.deepEqual(yield* nofx(["init", nowhere], { env }), {
        code: 2,
        out: "",
        err: `${nowhere} cannot be written: there is no such directory`
      })
    })
  )

  for (const [name, preset] of Object.entries(presets)) {
    it(`C58 what it writes for ${preset.title} is valid, in each form`, () => {
      for (const [acp, oneShot] of [
        [true, true],
        [true, false],
        [false, true]
      ] as const) {
        if ((acp ? preset.acp : preset.oneShot) === undefined) continue
        const text = initFile([{ name, preset, acp, oneShot }], "./schema.json", ["node", "agent.ts"])
        const taskFile = Result.getOrThrow(TaskFile.decode(text, "nofx.yaml", options))
        assert.strictEqual(taskFile.agents[0]?.driver, acp ? "acp" : "command")
      }
    })
  }
})
