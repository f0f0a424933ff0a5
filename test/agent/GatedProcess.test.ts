import { assert, describe, it, vi } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { spawn } from "node:child_process"
import { join } from "node:path"
import * as GatedProcess from "../../src/agent/GatedProcess.ts"
import * as ProcessTree from "../../src/agent/ProcessTree.ts"
import * as Program from "../../src/agent/Program.ts"
import { alive, directory, eventually, fixture, inheritEnv, node, openContext, pidsIn } from "../support/processes/Scenario.ts"

// Real processes on a machine that may be busy with others: each wait is for a condition.
vi.setConfig({ testTimeout: 30_000 })

const options = (argv: ReadonlyArray<string>, over: Partial<GatedProcess.Options> = {}): GatedProcess.Options => ({
  argv,
  cwd: "/",
  env: inheritEnv,
  stdin: "none",
  context: openContext("/"),
  stop: { graceMillis: 200 },
  ...over
})

/** Runs a program to its end. */
const complete = (argv: ReadonlyArray<string>, over: Partial<GatedProcess.Options> = {}) =>
  Effect.scoped(
    Effect.gen(function* () {
      const running = yield* GatedProcess.spawn(options(argv, over))
      yield* running.go
      const exit = yield* running.exit
      yield* running.drained
      return { exit, out: running.stdout.tail(), err: running.stderr.tail(), pid: running.identity.pid, running }
    })
  )

describe.skipIf(process.platform === "win32")("GatedProcess", () => {
  it.live("C51 is written down before its program starts, keeps its identity after, and says when it is gone", () =>
    Effect.gen(function* () {
      const file = join(yield* directory, "ran")
      const context = openContext("/")
      const scope = yield* Effect.acquireRelease(Scope.make(), (made) => Scope.close(made, Exit.void))
      const running = yield* Scope.provide(
        GatedProcess.spawn(options(["/bin/sh", "-c", `echo $$ > ${file}; exec sleep 1000`], { context })),
        scope
      )
      const { pid } = running.identity
      assert.deepStrictEqual(context.log, ["intend", `register ${pid}`])
      assert.isTrue(alive(pid))
      assert.isFalse(existsSync(file))
      yield* running.go
      yield* running.go
      assert.deepStrictEqual(yield* pidsIn(file, 1), [pid])
      const trees = yield* ProcessTree.ProcessTrees
      assert.deepStrictEqual(yield* trees.identify(pid), running.identity)
      yield* Scope.close(scope, Exit.void)
      assert.isFalse(alive(pid))
      assert.deepStrictEqual(context.log, ["intend", `register ${pid}`, "gone"])
      assert.deepStrictEqual(yield* running.exit, { code: null, signal: "SIGTERM", ours: true })
    }).pipe(Effect.provide(ProcessTree.layer))
  )

  it.live("C46 a process that never got its go leaves no trace", () =>
    Effect.gen(function* () {
      const file = join(yield* directory, "ran")
      const context = openContext("/")
      yield* Effect.scoped(GatedProcess.spawn(options(["/bin/sh", "-c", `echo ran > ${file}`], { context })))
      assert.strictEqual(context.log.at(-1), "gone")
      assert.isFalse(existsSync(file))

      // Interrupted while it is being registered.
      const stuck = { ...openContext("/"), register: () => Effect.never }
      let pid = 0
      const registering = {
        ...stuck,
        register: (identity: { pid: number }) =>
          Effect.andThen(
            Effect.sync(() => (pid = identity.pid)),
            Effect.never
          )
      }
      const fiber = yield* Effect.forkChild(
        Effect.scoped(GatedProcess.spawn(options(["/bin/sh", "-c", `echo ran > ${file}`], { context: registering })))
      )
      yield* eventually("a pid", () => pid > 0)
      yield* Fiber.interrupt(fiber)
      assert.isFalse(alive(pid))
      assert.isFalse(existsSync(file))
    }).pipe(Effect.provide(ProcessTree.layer))
  )

  it.live("C51 the gate leaves when the runtime dies before go", () =>
    Effect.gen(function* () {
      const path = yield* directory
      const [file, pids] = [join(path, "ran"), join(path, "pids")]
      const owner = spawn(node, [fixture("owner.ts"), pids, "/bin/sh", "-c", `echo ran > ${file}`], {
        stdio: ["ignore", "ignore", "inherit"]
      })
      const [pid = 0] = yield* pidsIn(pids, 1)
      assert.isTrue(alive(pid))
      owner.kill("SIGKILL")
      yield* eventually("the gate is gone", () => !alive(pid))
      assert.isFalse(existsSync(file))
    })
  )

  it.live("C48 arguments and variables arrive as they are", () =>
    Effect.gen(function* () {
      const odd = [
        "",
        " ",
        "a b",
        "'",
        '"',
        "$(touch /tmp/nofx-never)",
        "`id`",
        "a\nb",
        "\\",
        "*",
        "-n",
        "--",
        "ä€😀",
        "%s",
        ";",
        "#x",
        "\t"
      ]
      const argv = [node, "-e", "process.stdout.write(JSON.stringify([process.argv.slice(1), process.env, process.cwd()]))", "x", ...odd]
      const env = { ...inheritEnv, PLAIN: "a\n$(b)'\"", "odd.name-with(parens)": "kept", empty: "" }
      const cwd = yield* directory
      const { exit, out } = yield* complete(argv, { env, cwd, context: { ...openContext("/"), marker: "m 1" } })
      assert.deepStrictEqual(exit, { code: 0, signal: null, ours: false })
      const [seen, variables, where] = JSON.parse(out)
      assert.deepStrictEqual(seen, ["x", ...odd])
      assert.deepInclude(variables, { ...env, NOFX_RUN: "m 1", PWD: cwd })
      assert.deepStrictEqual(
        Object.keys(variables).filter((name) => !(name in env) && !["NOFX_RUN", "PWD", "OLDPWD", "_", "SHLVL"].includes(name)),
        []
      )
      assert.strictEqual(where, cwd)
    }).pipe(Effect.scoped, Effect.provide(ProcessTree.layer))
  )

  it.live("C48 a program that cannot be started fails before go, saying why", () =>
    Effect.gen(function* () {
      const path = yield* directory
      writeFileSync(join(path, "plain"), "no program")
      writeFileSync(join(path, "local"), "#!/bin/sh\necho local\n")
      chmodSync(join(path, "local"), 0o755)
      mkdirSync(join(path, "folder"))
      const reasonOf = (argv: ReadonlyArray<string>, over: Partial<GatedProcess.Options> = {}) => {
        const context = openContext("/")
        return complete(argv, { cwd: path, context, ...over }).pipe(
          Effect.flip,
          Effect.map((fault) => {
            assert.strictEqual(fault._tag, "SpawnFailed")
            assert.deepStrictEqual(
              context.log.filter((entry) => entry !== "intend" && entry !== "gone"),
              []
            )
            return `${fault.reason}: ${fault.detail.replaceAll(path, "DIR")}`
          })
        )
      }
      assert.strictEqual(yield* reasonOf(["no-such-program-here"]), 'not-found: The program "no-such-program-here" was not found in PATH')
      assert.include(yield* reasonOf(["codex-acp"]), "npm install -g @agentclientprotocol/codex-acp")
      assert.strictEqual(yield* reasonOf(["./missing"]), 'not-found: The program "./missing" was not found in DIR')
      assert.strictEqual(yield* reasonOf(["./plain"]), "not-executable: DIR/plain is not an executable file")
      assert.strictEqual(yield* reasonOf(["./folder"]), "not-executable: DIR/folder is not an executable file")
      assert.strictEqual(yield* reasonOf([""]), 'not-found: The program "" was not found in PATH')
      assert.strictEqual(yield* reasonOf(["sh"], { cwd: join(path, "gone") }), "cwd: The working directory DIR/gone does not exist")
      assert.match(yield* reasonOf(["sh", "x".repeat(200_000)]), /^too-big: sh could not be started/)
      assert.strictEqual((yield* complete(["./local"], { cwd: path })).out, "local\n")
      assert.strictEqual((yield* complete(["local"], { cwd: path, env: { PATH: `/nowhere:.` } })).out, "local\n")
    }).pipe(Effect.scoped, Effect.provide(ProcessTree.layer))
  )

  it.live("C48 a program whose interpreter is missing is known not to have run; one that ends with 127 has run", () =>
    Effect.gen(function* () {
      const path = yield* directory
      writeFileSync(join(path, "broken"), "#!/no/such/interpreter\n")
      chmodSync(join(path, "broken"), 0o755)
      const broken = yield* complete(["./broken"], { cwd: path })
      assert.match(GatedProcess.execFailure(broken.exit, broken.running) ?? "", /not found|No such file|required file/)
      const failing = yield* complete(["sh", "-c", "no-such-command-here"])
      assert.strictEqual(failing.exit.code, 127)
      assert.isUndefined(GatedProcess.execFailure(failing.exit, failing.running))
    }).pipe(Effect.scoped, Effect.provide(ProcessTree.layer))
  )

  it.live("C48 batch files are refused on Windows, and extensions are looked for", () =>
    Effect.gen(function* () {
      const path = yield* directory
      for (const name of ["agent.exe", "shim.cmd"]) writeFileSync(join(path, name), "")
      const env = { Path: path, PATHEXT: ".EXE;.CMD" }
      assert.strictEqual(yield* Program.resolve(`${path}/agent`, path, env, "win32"), join(path, "agent.exe"))
      assert.strictEqual((yield* Effect.flip(Program.resolve(`${path}/shim`, path, env, "win32"))).reason, "script")
    }).pipe(Effect.scoped)
  )

  it.live("C61 a flood of output stays within its bounds, in memory and on disk", () =>
    Effect.gen(function* () {
      const path = yield* directory
      const stdoutFile = join(path, "out")
      let seen = 0
      const { out, running } = yield* complete(["sh", "-c", "yes 'line of output' | head -c 30000000; echo; echo end"], {
        stdoutFile,
        maxBytes: 100_000,
        tailBytes: 1_000,
        onStdout: (chunk) => void (seen += chunk.length)
      })
      assert.strictEqual(running.stdout.bytes(), 30_000_005)
      assert.strictEqual(seen, 30_000_005)
      assert.strictEqual(out.length, 1_000)
      assert.isTrue(out.endsWith("\nend\n"))
      assert.isBelow(statSync(stdoutFile).size, 100_100)
      const kept = readFileSync(stdoutFile, "utf8")
      assert.isTrue(kept.startsWith("line of output\nline of output\n"))
      assert.isTrue(kept.endsWith("\nend\n"))
      assert.include(kept, "[29900005 bytes left out]")
    }).pipe(Effect.scoped, Effect.provide(ProcessTree.layer))
  )

  it.live("C48 a program that never reads its input, or leaves while it is written, ends as it would", () =>
    Effect.gen(function* () {
      const text = "x".repeat(4_000_000)
      assert.deepStrictEqual((yield* complete(["true"], { stdin: { text } })).exit, { code: 0, signal: null, ours: false })
      assert.deepStrictEqual((yield* complete(["sh", "-c", "head -c 10 >&2; exit 3"], { stdin: { text } })).exit.code, 3)
      assert.strictEqual((yield* complete(["wc", "-c"], { stdin: { text } })).out.trim(), "4000000")
      assert.strictEqual((yield* complete(["wc", "-c"], { stdin: "none" })).out.trim(), "0")
    }).pipe(Effect.provide(ProcessTree.layer))
  )

  it.live("C48 input that is kept open takes what is written until it is ended, and refuses it after the process left", () =>
    Effect.gen(function* () {
      const running = yield* GatedProcess.spawn(options(["sh", "-c", "cat; exit 4"], { stdin: "open" }))
      yield* running.go
      assert.isTrue(yield* running.write("one\n"))
      assert.isTrue(yield* running.write(Buffer.from("two\n")))
      yield* running.endInput
      assert.strictEqual((yield* running.exit).code, 4)
      yield* running.drained
      assert.strictEqual(running.stdout.tail(), "one\ntwo\n")
      assert.isFalse(yield* running.write("three\n"))

      const deaf = yield* GatedProcess.spawn(options(["sleep", "1000"], { stdin: "open" }))
      yield* deaf.go
      const writing = yield* Effect.forkChild(deaf.write("x".repeat(4_000_000)), { startImmediately: true })
      yield* deaf.stop
      assert.isFalse(yield* Fiber.join(writing))
    }).pipe(Effect.scoped, Effect.provide(ProcessTree.layer))
  )

  it.live("C49 the end of a process is noticed within a second, although what it left holds its output open", () =>
    Effect.gen(function* () {
      const file = join(yield* directory, "pids")
      const running = yield* GatedProcess.spawn(options([node, fixture("deserter.mjs"), file, "leave"]))
      yield* running.go
      const [tool = 0] = yield* pidsIn(file, 1)
      const exit = yield* Effect.timeoutOption(running.exit, "20 seconds")
      assert.strictEqual(exit._tag, "Some")
      yield* running.drained
      assert.strictEqual(running.stdout.tail(), "left\n")
      assert.isTrue(alive(tool))

      const victim = yield* GatedProcess.spawn(options(["sleep", "1000"]))
      yield* victim.go
      const killedAt = performance.now()
      process.kill(victim.identity.pid, "SIGKILL")
      assert.deepStrictEqual(yield* victim.exit, { code: null, signal: "SIGKILL", ours: false })
      assert.isBelow(performance.now() - killedAt, 1_000)
      yield* running.stop
      assert.isFalse(alive(tool))
    }).pipe(Effect.scoped, Effect.provide(ProcessTree.layer))
  )

  it.live("C48 what was printed before the end is read after it", () =>
    Effect.gen(function* () {
      const running = yield* GatedProcess.spawn(options(["echo", "late"]))
      running.pipes.stdout.pause()
      yield* running.go
      assert.strictEqual((yield* running.exit).code, 0)
      assert.strictEqual(running.stdout.tail(), "")
      running.pipes.stdout.resume()
      yield* running.drained
      assert.strictEqual(running.stdout.tail(), "late\n")
    }).pipe(Effect.scoped, Effect.provide(ProcessTree.layer))
  )

  it.live("C61 a pipe that a stranger still holds is closed with the scope", () =>
    Effect.gen(function* () {
      const file = join(yield* directory, "pids")
      const { pipes, tool } = yield* Effect.scoped(
        Effect.gen(function* () {
          const running = yield* GatedProcess.spawn(options([node, fixture("deserter.mjs"), file, "orphan", "bare"]))
          yield* running.go
          const [pid = 0] = yield* pidsIn(file, 1)
          return { pipes: running.pipes, tool: pid }
        })
      )
      // Neither a parent nor the marker leads to it: only a look in between could have found it.
      if (alive(tool)) process.kill(tool, "SIGKILL")
      assert.isTrue(pipes.stdout.destroyed)
    }).pipe(Effect.scoped, Effect.provide(ProcessTree.layer))
  )

  it.live(
    "C61 200 processes leave no descriptor and no process behind",
    () =>
      Effect.gen(function* () {
        const path = yield* directory
        const cycle = complete(["true"], { stdoutFile: join(path, "out"), stdin: { text: "hello" } })
        yield* cycle
        const descriptors = () => readdirSync("/proc/self/fd").length
        const handles = () => process.getActiveResourcesInfo().filter((name) => /Pipe|Process|TCP/.test(name)).length
        const before = { descriptors: descriptors(), handles: handles() }
        const pids = yield* Effect.forEach(Array.from({ length: 200 }), () => Effect.map(cycle, ({ pid }) => pid), { concurrency: 4 })
        yield* eventually("every descriptor is closed", () => descriptors() <= before.descriptors && handles() <= before.handles)
        assert.deepStrictEqual(pids.filter(alive), [])
      }).pipe(Effect.scoped, Effect.provide(ProcessTree.layer)),
    60_000
  )
})
