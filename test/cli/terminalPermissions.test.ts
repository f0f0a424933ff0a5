import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { AgentRuntime } from "../../src/AgentRuntime.ts"
import { Machine } from "../../src/cli/machine.ts"
import * as TerminalPermissions from "../../src/cli/terminalPermissions.ts"
import type { PermissionView } from "../../src/RuntimeStatus.ts"
import { claim, driver, layer, type Script } from "../support/runtime.ts"

const options = [
  { id: "yes", name: "Allow once", kind: "allow_once" },
  { id: "no", name: "Reject", kind: "reject_once" }
]
/** Asks, and says what it was answered. */
const asking: Script = (attempt) =>
  Effect.andThen(
    attempt.started(),
    Effect.map(attempt.permission({ title: `run ${attempt.task.id}`, kind: "execute", detail: "rm -r build\n", options }), (answer) =>
      claim(String(answer))
    )
  )

/** A terminal that a test types on, and sees. */
const terminal = () => {
  const shown: Array<string> = []
  const listeners = new Set<(line: string) => void>()
  const machine: Machine = {
    ...Machine.defaultValue(),
    terminal: { columns: () => 80, rows: () => 24, colours: false },
    input: {
      onLine: (listener) => {
        listeners.add(listener)
        return () => void listeners.delete(listener)
      }
    }
  }
  return {
    shown,
    machine,
    reads: () => listeners.size > 0,
    show: (lines: ReadonlyArray<string> | undefined) => void shown.push(lines === undefined ? "(over)" : lines.join("\n")),
    type: (line: string) => {
      for (const listener of [...listeners]) listener(line)
    }
  }
}

const withTerminal = <A, E>(
  body: (context: { readonly runtime: AgentRuntime["Service"]; readonly terminal: ReturnType<typeof terminal> }) => Effect.Effect<A, E>
) =>
  Effect.gen(function* () {
    const screen = terminal()
    const runtime = yield* AgentRuntime
    yield* TerminalPermissions.attend(screen.show).pipe(Effect.provideService(Machine, screen.machine))
    yield* runtime.spawn({ id: "w", driver: "test" })
    yield* runtime.spawn({ id: "v", driver: "test" })
    yield* Effect.ensuring(
      body({ runtime, terminal: screen }),
      Effect.all([runtime.shutdown, runtime.shutdown], { concurrency: "unbounded" })
    )
  }).pipe(
    Effect.scoped,
    Effect.provide(layer({ drivers: { test: driver(asking) }, environment: { waitsForClients: true } }).pipe(Layer.fresh))
  )

const soon = TestClock.adjust("10 millis")
const start = <A, E>(effect: Effect.Effect<A, E>) => Effect.tap(Effect.forkChild(effect, { startImmediately: true }), () => soon)

describe("terminal permissions", () => {
  it.effect("C69 a request shows what is wanted, and is answered by a number; nothing else grants anything", () =>
    withTerminal(({ runtime, terminal }) =>
      Effect.gen(function* () {
        assert.isFalse(terminal.reads())
        const fiber = yield* start(runtime.execute("w", { id: "t" }))
        assert.strictEqual(
          terminal.shown.at(-1),
          "\nAgent w (task t) asks to execute: run t\n    rm -r build\n  1  Allow once\n  2  Reject\n  r  reject\nYour answer, then Enter:"
        )
        for (const line of ["", "y", "0", "3", "1 2", "yes"]) {
          terminal.type(line)
          yield* soon
          assert.strictEqual(terminal.shown.at(-1), "A number from 1 to 2, or r:", line)
        }
        terminal.type(" 1 ")
        yield* soon
        assert.strictEqual((yield* Fiber.join(fiber)).output, "yes")
        assert.strictEqual(terminal.shown.at(-1), "(over)")
        assert.isFalse(terminal.reads())
      })
    )
  )

  it.effect("C69 requests come one after the other; the first answer wins, and its clocks stand still meanwhile", () =>
    withTerminal(({ runtime, terminal }) =>
      Effect.gen(function* () {
        const first = yield* start(runtime.execute("w", { id: "one", timeLimit: "1 minute" }))
        const second = yield* start(runtime.execute("v", { id: "two" }))
        yield* TestClock.adjust("5 minutes")
        assert.lengthOf(
          terminal.shown.filter((text) => text.includes("asks to")),
          1
        )
        const [waiting] = (yield* runtime.snapshot).permissions
        yield* runtime.answerPermission(waiting?.requestId ?? "", "no", "editor")
        yield* soon
        assert.strictEqual((yield* Fiber.join(first)).output, "no")
        assert.include(terminal.shown.at(-1), "(task two)")
        terminal.type("r")
        yield* soon
        assert.strictEqual((yield* Fiber.join(second)).output, "undefined")
      })
    )
  )

  it.effect("C69 a request whose attempt was stopped, or whose time is over, is asked no more", () =>
    withTerminal(({ runtime, terminal }) =>
      Effect.gen(function* () {
        const cancelled = yield* start(runtime.execute("w", { id: "one" }))
        yield* start(runtime.cancel("one"))
        yield* soon
        assert.strictEqual((yield* Fiber.join(cancelled)).state, "cancelled")
        assert.strictEqual(terminal.shown.at(-1), "(over)")
        const silent = yield* start(runtime.execute("v", { id: "two" }))
        yield* TestClock.adjust("11 minutes")
        assert.strictEqual((yield* Fiber.join(silent)).output, "undefined")
        assert.strictEqual(terminal.shown.at(-1), "(over)")
      })
    )
  )

  it("C69 what an agent says cannot write on the terminal by itself, and a long diff is cut", () => {
    const view: PermissionView = {
      requestId: "1",
      agentId: "w",
      taskId: "t",
      askedAt: 0,
      title: "edit \u001b[2Ja",
      kind: "edit",
      detail: Array.from({ length: 40 }, (_, n) => `line ${n} \u001b]0;x\u0007`).join("\n"),
      options
    }
    const text = TerminalPermissions.question(view).join("\n")
    assert.notInclude(text, "\u001b")
    assert.include(text, "… 10 more lines")
    assert.isFalse(TerminalPermissions.possible(Machine.defaultValue()))
  })
})
