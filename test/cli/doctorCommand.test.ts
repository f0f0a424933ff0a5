import { spawn } from "node:child_process"
import { chmodSync, mkdirSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ProcessSystem from "../../src/agent/ProcessSystem.ts"
import * as Ownership from "../../src/store/Ownership.ts"
import * as SqliteStore from "../../src/store/SqliteStore.ts"
import { temporaryDirectory } from "../support/stateDirectory.ts"
import { nofx } from "./commandLine.ts"

const fixture = Effect.gen(function* () {
  const base = yield* temporaryDirectory
  const [bin, home, state] = ["bin", "home", "state"].map((name) => path.join(base, name)) as [string, string, string]
  for (const directory of [bin, home]) mkdirSync(directory)
  mkdirSync(state, { mode: 0o700 })
  const program = (name: string, body: string) => {
    writeFileSync(path.join(bin, name), `#!/bin/sh\n${body}\n`)
    chmodSync(path.join(bin, name), 0o755)
  }
  program("git", "echo git version 2.99")
  const env = { PATH: bin, HOME: home, XDG_STATE_HOME: path.join(base, "xdg") }
  const doctor = (more: Record<string, string> = {}) =>
    Effect.map(nofx(["doctor", "--json", "--state-dir", state], { env: { ...env, ...more }, machine: { cwd: base } }), ({ code, out }) => {
      const { findings, ok } = JSON.parse(out) as { ok: boolean; findings: ReadonlyArray<Record<string, string>> }
      const find = (check: string) => findings.find((each) => each["check"]?.startsWith(check)) ?? {}
      return { code, ok, find }
    })
  return { base, bin, env, home, state, program, doctor }
})

/** Every process with this marker ends with the scope. */
const leftOver = (marker: string) =>
  Effect.acquireRelease(
    Effect.sync(() => spawn("/bin/sleep", ["600"], { env: { NOFX_RUN: marker }, stdio: "ignore" })),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )

describe("nofx doctor", () => {
  it.live("what is sound is said so, agents with their version and whether somebody has logged in", () =>
    Effect.gen(function* () {
      const { doctor, home, program } = yield* fixture
      const nothing = yield* doctor()
      assert.strictEqual(nothing.code, 0)
      assert.isTrue(nothing.ok)
      assert.deepInclude(nothing.find("agents"), { status: "note" })
      for (const check of ["node", "sqlite", "git", "state directory", "processes"])
        assert.strictEqual(nothing.find(check)["status"], "ok", check)
      program("claude", "echo 9.9.9 '(Claude Code)'")
      program("codex", "exit 3")
      program("goose", "echo goose 1")
      const without = yield* doctor({ OPENAI_API_KEY: "x" })
      assert.deepInclude(without.find("agent claude"), { status: "note" })
      assert.include(without.find("agent claude")["detail"], "9.9.9 (Claude Code), as command; no sign of a login")
      assert.include(without.find("agent claude")["remedy"], "log in")
      assert.include(without.find("agent codex")["detail"], "its version cannot be told, as command; login: OPENAI_API_KEY")
      assert.include(without.find("agent goose")["detail"], "as acp and command; whether it is logged in cannot be told offline")
      assert.include(without.find("agent claude")["remedy"], "npm install -g @agentclientprotocol/claude-agent-acp")
      program("gemini", "echo 0.61.0")
      const retrying = yield* doctor({ GEMINI_API_KEY: "x" })
      assert.include(retrying.find("agent gemini")["remedy"], 'put "general": { "maxAttempts": 1 } into ~/.gemini/settings.json')
      mkdirSync(path.join(home, ".gemini"))
      writeFileSync(path.join(home, ".gemini", "settings.json"), '{ "general": { "maxAttempts": 2 } }')
      assert.strictEqual((yield* doctor({ GEMINI_API_KEY: "x" })).find("agent gemini")["status"], "ok")
      mkdirSync(path.join(home, ".claude"))
      writeFileSync(path.join(home, ".claude", ".credentials.json"), "{}")
      assert.include((yield* doctor()).find("agent claude")["detail"], "login: ~/.claude/.credentials.json")
      assert.strictEqual(without.code, 0)
    })
  )

  it.live("what has to be done is told with its remedy, and exit code 1", () =>
    Effect.gen(function* () {
      const { base, doctor, env, state } = yield* fixture
      chmodSync(state, 0o755)
      const open = yield* doctor()
      assert.strictEqual(open.code, 1)
      assert.deepInclude(open.find("state directory"), { status: "action", remedy: `chmod 700 ${state}` })
      chmodSync(state, 0o700)
      const gitless = yield* doctor({ PATH: base })
      assert.strictEqual(gitless.code, 1)
      assert.strictEqual(gitless.find("git")["status"], "action")
      const text = yield* nofx(["doctor", "--state-dir", state], { env: { ...env, PATH: base }, machine: { cwd: base } })
      assert.match(text.out, /ACTION {2}git: .*\n +→ install git/)
    })
  )

  it.live("C51 processes that a runtime left behind are named, while it is gone; those of a living one are not", () =>
    Effect.gen(function* () {
      const { doctor, state } = yield* fixture
      const marker = `doctor-${path.basename(path.dirname(state))}`
      const child = yield* leftOver(marker)
      yield* leftOver("somebody-else")
      yield* Effect.scoped(
        Effect.gen(function* () {
          const owner = yield* Ownership.acquire({ directory: state, kind: "run", version: "1", processes: ProcessSystem.make() })
          const store = yield* SqliteStore.make(owner.database.connection, owner.epoch)
          yield* store.commit([{ _tag: "PutProcess", process: { marker, agentId: "a", at: 0 } }], owner.epoch)
          const living = yield* doctor()
          assert.include(living.find(`state ${state}`)["detail"], `in use by nofx run (pid ${process.pid})`)
          assert.strictEqual(living.code, 0)
        })
      )
      const dead = yield* doctor()
      assert.strictEqual(dead.code, 1)
      assert.deepInclude(dead.find("processes"), { status: "action", detail: `left over from a runtime that is gone: ${child.pid}` })
      child.kill("SIGKILL")
    })
  )
})
