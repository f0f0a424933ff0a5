import { execFile } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit } from "effect"
import { Command } from "effect/cli"
import { ExitWith, exitCodeOf, lastWords } from "../../src/cli/exitCodes.ts"
import { TaskFileExists, TaskFileNotWritten } from "../../src/cli/initCommand.ts"
import type { Subcommand } from "../../src/cli/subcommands.ts"
import { subcommands } from "../../src/cli/subcommands.ts"
import { version } from "../../src/version.ts"
import { TaskFileInvalid } from "../../src/task/TaskFileInvalid.ts"
import { nofx } from "./commandLine.ts"

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))

/** The program as a process. */
const program = (...args: ReadonlyArray<string>) =>
  Effect.callback<{ readonly code: number; readonly out: string; readonly err: string }>((resume) => {
    execFile(process.execPath, ["--disable-warning=ExperimentalWarning", main, ...args], (error, out, err) =>
      resume(Effect.succeed({ code: typeof error?.code === "number" ? error.code : error === null ? 0 : -1, out, err }))
    )
  })

/** Subcommands that note that they were loaded. */
const spied = (
  loaded: Array<string>,
  ...rows: ReadonlyArray<readonly [name: string, body: Effect.Effect<void, unknown>]>
): ReadonlyArray<Subcommand> =>
  rows.map(([name, body]) => ({
    name,
    description: `About ${name}.`,
    load: () => {
      loaded.push(name)
      return Promise.resolve(Command.make(name, {}, () => body))
    }
  }))

describe("Cli", () => {
  it.effect("C58 help lists every subcommand and loads none", () =>
    Effect.gen(function* () {
      const loaded: Array<string> = []
      const { code, out } = yield* nofx(["--help"], { subcommands: spied(loaded, ["one", Effect.void], ["two", Effect.void]) })
      assert.strictEqual(code, 0)
      assert.match(out, /one +About one\.\n +two +About two\./)
      assert.deepEqual(loaded, [])
    })
  )

  it.effect("C58 a subcommand is loaded when it is called, alone", () =>
    Effect.gen(function* () {
      const loaded: Array<string> = []
      const rows = spied(loaded, ["one", Effect.void], ["two", Effect.void])
      assert.strictEqual((yield* nofx(["two"], { subcommands: rows })).code, 0)
      assert.deepEqual(loaded, ["two"])
      assert.include((yield* nofx(["help", "one"], { subcommands: rows })).out, "nofx one")
      assert.deepEqual(loaded, ["two", "one"])
    })
  )

  it.effect("C58 without arguments it shows the help", () =>
    Effect.gen(function* () {
      const { code, out } = yield* nofx([])
      assert.strictEqual(code, 0)
      assert.include(out, "SUBCOMMANDS")
    })
  )

  for (const [args, ...parts] of [
    [["valdate"], 'Unknown subcommand "valdate"', "validate", 'Run "nofx --help" for usage.'],
    [["validate"], "Missing required argument: FILE", 'Run "nofx validate --help" for usage.'],
    [["init", "--frce"], "--frce", "--force", 'Run "nofx init --help" for usage.'],
    [["run", "f.yaml", "--max-agents", "0"], '--max-agents: "0". Expected a value greater than or equal to 1'],
    [["--nonsense"], "--nonsense", 'Run "nofx --help" for usage.'],
    [["init", "a", "b"], 'Run "nofx init --help" for usage.']
  ] as const) {
    it.effect(`C58 wrong usage is told with a hint and exit code 2: ${args.join(" ")}`, () =>
      Effect.gen(function* () {
        const { code, err, out } = yield* nofx(args)
        assert.strictEqual(code, 2)
        assert.strictEqual(out, "")
        for (const part of parts) assert.include(err, part)
      })
    )
  }

  it.effect("C58 each subcommand loads under its own name, and has a description of its own", () =>
    Effect.gen(function* () {
      for (const { description, load, name } of subcommands) {
        const command = yield* Effect.promise(load)
        assert.strictEqual(command.name, name)
        assert.isAbove(description.length, 10)
      }
    })
  )

  it("C58 the version is the manifest's", () => {
    const manifest: { version: string } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"))
    assert.strictEqual(version, manifest.version)
  })

  it("C60 every way to end has its exit code", () => {
    const invalid = new TaskFileInvalid({ file: "f", problems: [], more: 0 })
    const rows: ReadonlyArray<readonly [Exit.Exit<unknown, unknown>, number]> = [
      [Exit.void, 0],
      [Exit.fail(new ExitWith({ code: 1 })), 1],
      [Exit.fail(invalid), 2],
      [Exit.fail(new TaskFileExists({ file: "f" })), 2],
      [Exit.fail(new TaskFileNotWritten({ file: "f", reason: "", cause: undefined })), 2],
      [Exit.fail({ _tag: "Fenced" }), 3],
      [Exit.fail("anything else"), 70],
      [Exit.die(new Error("bug")), 70],
      // A defect wins over the failure it happened beside.
      [Exit.failCause(Cause.combine(Cause.fail(invalid), Cause.die(new Error("bug")))), 70],
      [Exit.interrupt(1), 130]
    ]
    for (const [exit, code] of rows) assert.strictEqual(exitCodeOf(exit), code)
  })

  it("C60 a defect is told in one line without its stack, and with it on request", () => {
    const exit = Exit.die(new Error("something\nin lines"))
    assert.strictEqual(
      lastWords(exit, false),
      "nofx: internal error: something\nThis is a defect of nofx. For details run it again with NOFX_DEBUG=1."
    )
    assert.match(lastWords(exit, true) ?? "", /at .*Cli\.test\.ts/)
  })

  it("C60 an error is told in its own words, once, and cannot command the terminal", () => {
    assert.strictEqual(
      lastWords(Exit.fail(new TaskFileExists({ file: "a\u001b[31mred\n\tb" })), false),
      "a\\x1b[31mred\n\tb is there already; --force replaces it"
    )
    for (const exit of [Exit.void, Exit.interrupt(1), Exit.fail(new ExitWith({ code: 1 }))]) assert.isUndefined(lastWords(exit, false))
  })

  it.live("C58 the program ends with these codes, prints answers on one stream and complaints on the other", () =>
    Effect.gen(function* () {
      assert.deepEqual(yield* program("--version"), { code: 0, out: `${version}\n`, err: "" })
      const refused = yield* program("validate", "/nonexistent/nofx.yaml")
      assert.deepEqual(refused, { code: 2, out: "", err: "/nonexistent/nofx.yaml: found no such file, expected a file that can be read\n" })
      assert.strictEqual((yield* program("runn")).code, 2)
      const directory = mkdtempSync(join(tmpdir(), "nofx-cli-"))
      yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(directory, { recursive: true })))
      const file = join(directory, "nofx.yaml")
      // Found only when the environment reaches the subcommand.
      writeFileSync(file, "agents: [{id: a, driver: command, command: [sh]}]\ntasks: [{id: t}]\n")
      assert.deepEqual(yield* program("validate", file), { code: 0, out: `${file} is valid: 1 agent on 1 account, 1 task\n`, err: "" })
    })
  )
})
