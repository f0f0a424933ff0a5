import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Exit, Fiber, Scope } from "effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as ProcessTree from "../../src/agent/ProcessTree.ts"
import type { SideEffects } from "../../src/task/Task.ts"
import { alive, attempt, make, noted } from "../support/acp/Harness.ts"

const settings = { timeout: 30_000 }

describe.concurrent("AcpDriver", () => {
  const live = (name: string, body: () => Effect.Effect<void, unknown, Scope.Scope | ProcessTree.ProcessTrees>) =>
    it.live(name, () => Effect.provide(Effect.scoped(body()), ProcessTree.layer), settings)

  live("C48 a turn streams its updates, claims its end, and leaves its whole answer in a file", () =>
    Effect.gen(function* () {
      const harness = yield* make
      const session = yield* harness.open({ capabilities: { sessionCapabilities: { close: {} } } })
      const context = attempt(harness, [
        ["say", "Hello "],
        ["tool", "read", "completed"],
        ["update", { sessionUpdate: "agent_thought_chunk", content: { type: "text", text: "hm" } }],
        ["update", { sessionUpdate: "something_new", x: 1 }],
        ["update", { sessionUpdate: "usage_update", used: 321, size: 1000 }],
        ["say", "world."]
      ])
      const claim = yield* session.run(context)
      assert.deepInclude(claim, {
        stop: "end_turn",
        output: "Hello world.",
        sessionId: "session-1",
        sideEffects: "none",
        usage: { tokens: 321, toolCalls: 1 }
      })
      assert.strictEqual(yield* Effect.promise(() => fs.readFile(claim.outputFile ?? "", "utf8")), "Hello world.")
      assert.deepStrictEqual(
        context.seen.map((progress) => progress._tag),
        ["Text", "Tool", "Thought", "Output", "Usage", "Text"]
      )
      assert.deepStrictEqual(context.startedWith, ["session-1"])
      assert.deepStrictEqual(harness.context.events, ["intend", "register"])
      const again = yield* session.run(attempt(harness, [["say", "second"]]))
      assert.strictEqual(again.output, "second")
      const log = harness.log()
      assert.deepStrictEqual(
        log.map((line) => line.split(" ")[0]),
        ["started", "initialize", "new", "prompt", "answered", "close", "new", "prompt", "answered", "close"]
      )
      assert.include(log[1], "sessionFailure")
    })
  )

  live("C48 files are offered through the client, except to an agent that fails where they are", () =>
    Effect.gen(function* () {
      for (const [spec, offered] of [
        [{}, true],
        [{ preset: "gemini" }, false]
      ] as const) {
        const harness = yield* make
        yield* harness.open({}, spec)
        assert.include(harness.log()[1], `"fs":{"readTextFile":${offered},"writeTextFile":${offered}}`)
      }
    })
  )

  live("C51 closing the scope ends the agent at the end of its input, and says that it is gone", () =>
    Effect.gen(function* () {
      const harness = yield* make
      const scope = yield* Scope.make()
      const session = yield* Effect.provideService(harness.open(), Scope.Scope, scope)
      const pid = session.process?.pid ?? 0
      assert.isTrue(alive(pid))
      yield* Scope.close(scope, Exit.void)
      assert.isFalse(alive(pid))
      assert.include(harness.log(), "closed")
      assert.deepStrictEqual(harness.context.events, ["intend", "register", "gone"])
    })
  )

  const starts: ReadonlyArray<readonly [string, object, object, object]> = [
    ["crashes before it answers", { start: "crash" }, { _tag: "SpawnFailed", reason: "exit" }, {}],
    ["prints its usage and leaves", { start: "usage" }, { _tag: "SpawnFailed", reason: "exit" }, {}],
    ["says that nobody is logged in", { start: "loginText" }, { _tag: "AuthRequired" }, {}],
    ["asks for a login in the handshake", { start: "auth" }, { _tag: "AuthRequired" }, {}],
    ["speaks another version", { start: "version" }, { _tag: "ProtocolViolation", rule: "acp/version" }, {}],
    ["never answers", { start: "silent" }, { _tag: "SpawnFailed", reason: "initialize" }, { handshakeMillis: 500, farewellMillis: 100 }]
  ]
  for (const [what, setup, fault, options] of starts) {
    live(`C48 a program that ${what} is not opened, and leaves no process`, () =>
      Effect.gen(function* () {
        const harness = yield* make
        const failure = yield* Effect.flip(Effect.scoped(harness.open(setup, {}, options)))
        assert.deepInclude(failure, fault)
        for (const { pid } of harness.context.registered) assert.isFalse(alive(pid))
        assert.deepStrictEqual(harness.context.events, ["intend", "register", "gone"])
      })
    )
  }

  live("C48 a missing program and an unknown preset fail before anything is started", () =>
    Effect.gen(function* () {
      const harness = yield* make
      assert.deepInclude(yield* Effect.flip(harness.open({}, { command: ["no-such-agent-anywhere"] })), {
        _tag: "SpawnFailed",
        reason: "not-found"
      })
      assert.deepInclude(yield* Effect.flip(harness.open({}, { command: [], preset: "nobody" })), { _tag: "SpawnFailed", reason: "preset" })
      assert.deepInclude(yield* Effect.flip(harness.open({}, { command: [] })), { _tag: "SpawnFailed", reason: "not-found" })
      assert.deepStrictEqual(harness.context.registered, [])
    })
  )

  live("C48 lines that are no messages are skipped, before the handshake and in a turn", () =>
    Effect.gen(function* () {
      const harness = yield* make
      const session = yield* harness.open({ start: "garbage" })
      const claim = yield* session.run(
        attempt(harness, [
          ["garbage", 50],
          ["say", "fine"],
          ["garbage", 1]
        ])
      )
      assert.strictEqual(claim.output, "fine")
    })
  )

  interface Case {
    readonly what: string
    readonly steps: ReadonlyArray<ReadonlyArray<unknown>>
    readonly fault: object
    readonly sideEffects?: SideEffects
    readonly setup?: object
    readonly spec?: object
    /** The agent is gone after it, for this reason. */
    readonly gone?: string
  }
  const rate = "exceeded retry limit, last status: 429 Too Many Requests"
  const turns: ReadonlyArray<Case> = [
    {
      what: "is killed in a turn",
      steps: [
        ["say", "x"],
        ["crash", "SIGKILL"]
      ],
      fault: { _tag: "Crashed", signal: "SIGKILL" },
      gone: "Crashed"
    },
    {
      what: "is killed while it runs a tool",
      steps: [
        ["tool", "execute", "in_progress"],
        ["crash", "SIGSEGV"]
      ],
      fault: { _tag: "Crashed", signal: "SIGSEGV" },
      sideEffects: "seen",
      gone: "Crashed"
    },
    {
      what: "is killed while a tool says pending",
      steps: [
        ["tool", "execute", "pending"],
        ["crash", "SIGKILL"]
      ],
      fault: { _tag: "Crashed" },
      sideEffects: "unknown",
      gone: "Crashed"
    },
    { what: "leaves with code 0 and without an answer", steps: [["exit", 0]], fault: { _tag: "Crashed", exitCode: 0 }, gone: "Crashed" },
    { what: "leaves after half a line", steps: [["half"]], fault: { _tag: "Crashed", exitCode: 1 }, gone: "Crashed" },
    {
      what: "prints nothing but garbage",
      steps: [["garbage", 500], ["silence"]],
      fault: { _tag: "ProtocolViolation", rule: "acp/wire" },
      gone: "ProtocolViolation"
    },
    {
      what: "prints an endless line",
      steps: [["line", 17 * 1024 * 1024], ["silence"]],
      fault: { _tag: "ProtocolViolation", rule: "acp/wire" },
      gone: "ProtocolViolation"
    },
    {
      what: "closes its output and lives on",
      steps: [["mute"]],
      fault: { _tag: "ProtocolViolation", rule: "acp/mute" },
      gone: "ProtocolViolation"
    },
    { what: "ends a turn without doing or saying anything", steps: [], fault: { _tag: "FalseSuccess" } },
    {
      what: "hides a 429 in the answer of a finished turn",
      steps: [["say", `${rate}\n\n`]],
      fault: { _tag: "RateLimited" },
      spec: { preset: "codex" }
    },
    {
      what: "hides a 429 behind a tool",
      steps: [
        ["tool", "edit", "completed"],
        ["say", `${rate}\n\n`]
      ],
      fault: { _tag: "RateLimited" },
      sideEffects: "seen",
      spec: { preset: "codex" }
    },
    {
      what: "reports its failure in an update only",
      steps: [
        [
          "update",
          {
            sessionUpdate: "session_info_update",
            _meta: { codex: { error: { codexErrorInfo: { responseTooManyFailedAttempts: { httpStatusCode: 429 } }, willRetry: false } } }
          }
        ],
        ["update", { sessionUpdate: "session_info_update", _meta: { codex: { threadStatus: { type: "systemError" } } } }],
        ["say", "sorry"]
      ],
      fault: { _tag: "RateLimited" }
    },
    {
      what: "reports its failure in the result's metadata",
      steps: [
        ["say", "sorry"],
        [
          "stop",
          "end_turn",
          { jetbrains: { air: { sessionFailure: { category: "access", severity: "error", title: "Log in", actions: ["login"] } } } }
        ]
      ],
      fault: { _tag: "AuthRequired" }
    },
    {
      what: "is over its usage window",
      steps: [
        [
          "update",
          {
            sessionUpdate: "usage_update",
            used: 1,
            size: 2,
            _meta: { "_claude/rateLimit": { status: "rejected", resetsAt: 4_000_000_000, rateLimitType: "five_hour" } }
          }
        ],
        ["fail", -32603, "Internal error: limit", { errorKind: "rate_limit" }]
      ],
      fault: { _tag: "QuotaExhausted" }
    },
    {
      what: "answers 429 as a status",
      steps: [["fail", 429, "Resource has been exhausted (e.g. check quota).\nSuggested retry after 600s."]],
      fault: { _tag: "RateLimited", retryAfterMillis: 600_000 }
    },
    {
      what: "answers 429 as a kind",
      steps: [["fail", -32603, "Internal error", { errorKind: "rate_limit", retryAfterMs: 2_000 }]],
      fault: { _tag: "RateLimited", retryAfterMillis: 2_000 }
    },
    {
      what: "answers 429 in its details",
      steps: [["fail", -32603, "Internal error", { details: "429 Too Many Requests" }]],
      fault: { _tag: "RateLimited" }
    },
    {
      what: "answers 429 in words",
      steps: [["fail", -32603, "Internal error: Rate limit reached for model", { errorName: "APIError" }]],
      fault: { _tag: "RateLimited" }
    },
    {
      what: "answers that it is overloaded",
      steps: [["fail", -32603, "Internal error: API Error: 529 Overloaded."]],
      fault: { _tag: "Overloaded" }
    },
    { what: "asks for a login in a turn", steps: [["fail", -32000, "Authentication required"]], fault: { _tag: "AuthRequired" } },
    {
      what: "declines",
      steps: [
        ["say", "no"],
        ["stop", "refusal"]
      ],
      fault: { _tag: "Refused" }
    },
    { what: "fails for no known reason", steps: [["fail", -32603, "Internal error"]], fault: { _tag: "Unknown" } }
  ]
  for (const { fault, gone, setup, sideEffects = "none", spec, steps, what } of turns) {
    live(`C12 C48 C64 an agent that ${what} does not succeed, and its fault says why`, () =>
      Effect.gen(function* () {
        const harness = yield* make
        const session = yield* harness.open(setup, spec, { farewellMillis: 300 })
        const failure = yield* Effect.flip(session.run(attempt(harness, steps)))
        assert.deepInclude(failure.fault, fault)
        assert.deepInclude(failure, { started: true, sideEffects, sessionId: "session-1" })
        if (gone === undefined) {
          assert.isTrue(alive(session.process?.pid ?? 0))
          assert.strictEqual((yield* session.run(attempt(harness, [["say", "still here"]]))).output, "still here")
        } else {
          assert.strictEqual((yield* session.exited)._tag as string, gone)
          const next = yield* Effect.flip(session.run(attempt(harness, [["say", "x"]])))
          assert.deepInclude(next, { started: false, sideEffects: "none" })
        }
      })
    )
  }

  live("C66 a flood of updates is bounded in memory and complete in the figures", () =>
    Effect.gen(function* () {
      const harness = yield* make
      const session = yield* harness.open({}, {}, { maxOutputBytes: 10_000 })
      const context = attempt(harness, [["flood", 5_000]])
      const claim = yield* session.run(context)
      assert.isAtMost(claim.output.length, 16_384)
      assert.strictEqual(context.seen.length, 5_000)
      assert.isBelow((yield* Effect.promise(() => fs.stat(claim.outputFile ?? ""))).size, 11_000)
    })
  )

  live("C65 an attempt that could not begin a session says that nothing was delivered", () =>
    Effect.gen(function* () {
      const harness = yield* make
      const session = yield* harness.open({ session: "auth" })
      const context = attempt(harness, [["say", "x"]])
      const failure = yield* Effect.flip(session.run(context))
      assert.deepInclude(failure.fault, { _tag: "AuthRequired" })
      assert.deepInclude(failure, { started: false, sideEffects: "none" })
      assert.deepStrictEqual(context.startedWith, [])
      assert.notInclude([...harness.log()], "prompt")
    })
  )

  live("C65 nothing is delivered when the attempt is interrupted while its start is committed", () =>
    Effect.gen(function* () {
      const harness = yield* make
      const session = yield* harness.open()
      const reached = yield* Deferred.make<void>()
      const context = attempt(harness, [["say", "x"]], {
        started: () => Effect.andThen(Deferred.succeed(reached, undefined), Effect.never)
      })
      const fiber = yield* Effect.forkChild(session.run(context))
      yield* Deferred.await(reached)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual((yield* session.run(attempt(harness, [["say", "next"]]))).output, "next")
      assert.lengthOf(
        harness.log().filter((line) => line === "prompt"),
        1
      )
    })
  )

  live("C50 an agent that does not answer session/new is given up, ended, and blamed by name", () =>
    Effect.gen(function* () {
      const harness = yield* make
      const session = yield* harness.open({ session: "silent" }, {}, { handshakeMillis: 5_000, farewellMillis: 100 })
      const failure = yield* Effect.flip(session.run(attempt(harness, [["say", "x"]])))
      assert.deepInclude(failure.fault, { _tag: "Stalled" })
      assert.isFalse(failure.started)
      assert.strictEqual((yield* session.exited)._tag, "Stalled")
      assert.isFalse(alive(session.process?.pid ?? 0))
    })
  )

  live("C49 an agent that dies between attempts is noticed within a second", () =>
    Effect.gen(function* () {
      const harness = yield* make
      const session = yield* harness.open()
      process.kill(session.process?.pid ?? 0, "SIGKILL")
      const fault = yield* Effect.timeout(session.exited, 1_000)
      assert.deepInclude(fault, { _tag: "Crashed", signal: "SIGKILL" })
    })
  )

  live("C46 interrupting an attempt cancels it by the protocol, then ends the tree with every grandchild", () =>
    Effect.gen(function* () {
      const harness = yield* make
      const session = yield* harness.open({ capabilities: { sessionCapabilities: { close: {} } } })
      const fiber = yield* Effect.forkChild(session.run(attempt(harness, [["grandchild"], ["background"], ["silence"]])))
      const grandchild = Number((yield* noted(harness, "grandchild")).split(" ")[1])
      yield* noted(harness, "silence")
      assert.isTrue(alive(grandchild))
      yield* Fiber.interrupt(fiber)
      assert.isFalse(alive(grandchild))
      assert.isFalse(alive(session.process?.pid ?? 0))
      const trees = yield* ProcessTree.ProcessTrees
      const left = yield* trees.sweep([], new Set([`${ProcessTree.markerVariable}=${harness.context.marker}`]))
      assert.deepStrictEqual(left, { terminated: 0, killed: 0, survivors: [] })
      assert.deepStrictEqual(harness.log().slice(-4), ["cancel session-1", "answered cancelled", "close session-1", "closed"])
      assert.strictEqual((yield* session.exited)._tag, "Cancelled")
    })
  )

  live("C46 an agent that ignores cancel, end of input and SIGTERM is dead when the interruption is over", () =>
    Effect.gen(function* () {
      const harness = yield* make
      const session = yield* harness.open({ stubborn: true }, {}, { cancelMillis: 200, farewellMillis: 200, graceMillis: 1_000 })
      const fiber = yield* Effect.forkChild(session.run(attempt(harness, [["silence"]])))
      yield* noted(harness, "silence")
      yield* Fiber.interrupt(fiber)
      assert.isFalse(alive(session.process?.pid ?? 0))
      assert.includeMembers([...harness.log()], ["cancel session-1", "SIGTERM"])
    })
  )

  live("C69 a permission that nobody answers grants nothing, and is withdrawn with the attempt", () =>
    Effect.gen(function* () {
      const harness = yield* make
      const session = yield* harness.open({}, { permissions: "ask" })
      const asked = yield* Deferred.make<void>()
      const context = attempt(harness, [["permission", "execute"], ["silence"]], {
        permission: () => Effect.andThen(Deferred.succeed(asked, undefined), Effect.never)
      })
      const fiber = yield* Effect.forkChild(session.run(context))
      yield* Deferred.await(asked)
      yield* Fiber.interrupt(fiber)
      assert.include(context.seen.map((progress) => (progress._tag === "Text" ? progress.text : "")).join(""), "permission: cancelled")
    })
  )

  const permissions: ReadonlyArray<readonly [string, string, string | undefined, number, string]> = [
    ["ask", "execute", "always", 1, "always"],
    ["ask", "edit", undefined, 1, "no"],
    ["ask", "edit", "not offered", 1, "no"],
    ["edits", "edit", "no", 0, "yes"],
    ["edits", "execute", "yes", 1, "yes"],
    ["all", "execute", "no", 0, "yes"],
    ["reject", "edit", "yes", 0, "no"]
  ]
  for (const [mode, kind, answer, count, expected] of permissions) {
    live(`C69 in mode ${mode}, ${kind} answered with ${answer} becomes "${expected}"`, () =>
      Effect.gen(function* () {
        const harness = yield* make
        const session = yield* harness.open({}, { permissions: mode })
        const requests: Array<string> = []
        const context = attempt(harness, [["permission", kind]], {
          permission: (request) =>
            Effect.sync(() => {
              requests.push(`${request.kind} ${request.detail}`)
              return answer
            })
        })
        const claim = yield* session.run(context)
        assert.strictEqual(claim.output, `permission: ${expected}. `)
        assert.deepStrictEqual(requests, count === 0 ? [] : [`${kind} make it so`])
      })
    )
  }

  live("C58 an agent that begins in a mode that grants by itself is put into one that asks", () =>
    Effect.gen(function* () {
      const modes = { currentModeId: "auto", availableModes: ["default", "acceptEdits", "auto"].map((id) => ({ id, name: id })) }
      for (const [permissions, expected] of [
        ["ask", ["mode default"]],
        ["edits", ["mode acceptEdits"]],
        ["all", []]
      ] as const) {
        const harness = yield* make
        const session = yield* harness.open({ modes }, { permissions })
        yield* session.run(attempt(harness, [["say", "x"]]))
        assert.deepStrictEqual(
          harness.log().filter((line) => line.startsWith("mode")),
          [...expected]
        )
      }
    })
  )

  live("C49 a session is resumed or loaded as the agent can, and its history is no work of this attempt", () =>
    Effect.gen(function* () {
      const loads = yield* make
      const loaded = yield* loads.open({ capabilities: { loadSession: true } })
      assert.isTrue(loaded.resumable)
      const context = attempt(loads, [["say", "on"]], { resume: "old-session" })
      const claim = yield* loaded.run(context)
      assert.deepInclude(claim, { output: "on", sessionId: "old-session", sideEffects: "none" })
      assert.lengthOf(context.seen, 1)
      assert.include(loads.log(), "load old-session")

      const resumes = yield* make
      const resumed = yield* resumes.open({ capabilities: { loadSession: true, sessionCapabilities: { resume: {} } } })
      yield* resumed.run(attempt(resumes, [["say", "on"]], { resume: "old-session" }))
      assert.include(resumes.log(), "resume old-session")

      const refuses = yield* make
      const refused = yield* refuses.open({ capabilities: { loadSession: true }, load: "refuse" })
      const failure = yield* Effect.flip(refused.run(attempt(refuses, [["say", "on"]], { resume: "old-session" })))
      assert.deepInclude(failure, { started: false, sideEffects: "none", sessionLost: true })
      assert.strictEqual(failure.fault._tag, "InvalidRequest")
      assert.isFalse((yield* (yield* make).open()).resumable)
    })
  )

  live("C49 a session of gemini is loaded only when the minute is over in which it may have been made", () =>
    Effect.gen(function* () {
      const harness = yield* make
      const session = yield* harness.open({ capabilities: { loadSession: true } }, { preset: "gemini" })
      const clock = yield* Clock.Clock
      // The minute ends soon.
      const shift = 59_700 - (clock.currentTimeMillisUnsafe() % 60_000)
      const late: Clock.Clock = Object.assign(Object.create(clock), {
        currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + shift,
        currentTimeMillis: Effect.sync(() => clock.currentTimeMillisUnsafe() + shift)
      })
      let loadedAt = 0
      const context = attempt(harness, [["say", "on"]], {
        resume: "old-session",
        started: () => Effect.sync(() => void (loadedAt = late.currentTimeMillisUnsafe()))
      })
      yield* Effect.provideService(session.run(context), Clock.Clock, late)
      const [waiting] = context.seen
      assert(waiting?._tag === "Waiting" && waiting.untilMillis !== undefined)
      assert.strictEqual(waiting.untilMillis % 60_000, 0)
      assert.isAtLeast(loadedAt, waiting.untilMillis)
      assert.include(harness.log(), "load old-session")
    })
  )

  live("C48 files are served inside the working directory only, wherever links lead, and writing counts as a side effect", () =>
    Effect.gen(function* () {
      const harness = yield* make
      const outside = path.join(path.dirname(harness.cwd), "secret.txt")
      yield* Effect.promise(async () => {
        await fs.writeFile(outside, "secret")
        await fs.writeFile(path.join(harness.cwd, "inside.txt"), "one\ntwo\n")
        await fs.symlink(outside, path.join(harness.cwd, "link.txt"))
        await fs.symlink(path.dirname(harness.cwd), path.join(harness.cwd, "folder"))
        await fs.symlink(path.join(path.dirname(harness.cwd), "fresh.txt"), path.join(harness.cwd, "dangling.txt"))
      })
      const at = (name: string) => path.join(harness.cwd, name)
      const session = yield* harness.open()
      const reading = yield* session.run(
        attempt(harness, [
          ["read", at("inside.txt")],
          ["read", at("link.txt")],
          ["read", outside],
          ["read", at("folder/secret.txt")],
          ["read", at("../secret.txt")],
          ["read", at("none.txt")]
        ])
      )
      assert.strictEqual(
        reading.output,
        "read: one\ntwo\n\nread: refused -32602\nread: refused -32602\nread: refused -32602\nread: refused -32602\nread: refused -32002\n"
      )
      assert.strictEqual(reading.sideEffects, "none")
      const writing = yield* session.run(
        attempt(harness, [
          ["write", at("new/deep.txt"), "made"],
          ["write", at("link.txt"), "x"],
          ["write", at("folder/new.txt"), "x"],
          ["write", at("dangling.txt"), "x"],
          ["write", outside, "x"]
        ])
      )
      assert.strictEqual(
        writing.output,
        `write: written\n${"write: refused -32602\n".repeat(2)}write: refused -32002\nwrite: refused -32602\n`
      )
      assert.strictEqual(writing.sideEffects, "seen")
      assert.strictEqual(yield* Effect.promise(() => fs.readFile(outside, "utf8")), "secret")
      assert.strictEqual(yield* Effect.promise(() => fs.readFile(at("new/deep.txt"), "utf8")), "made")
      assert.deepStrictEqual(yield* Effect.promise(() => fs.readdir(path.dirname(harness.cwd))), ["agent", "log", "secret.txt", "work"])
    })
  )

  live("C48 terminals run in the working directory, are bounded, and count as a side effect", () =>
    Effect.gen(function* () {
      const harness = yield* make
      const session = yield* harness.open()
      const claim = yield* session.run(
        attempt(harness, [
          ["terminal", "echo hello; pwd"],
          ["terminal", "/bin/sh", ["-c", "yes | head -c 5000; exit 3"]],
          ["terminal", "no-such-program"]
        ])
      )
      assert.include(claim.output, `exit 0 truncated false output hello\n${harness.cwd}`)
      assert.include(claim.output, "exit 3 truncated true")
      assert.include(claim.output, "terminal: refused -32603")
      assert.isBelow(claim.output.length, 600)
      assert.strictEqual(claim.sideEffects, "seen")
    })
  )

  live("C51 a terminal that the agent forgot ends with the attempt, and the agent lives on", () =>
    Effect.gen(function* () {
      const harness = yield* make
      const session = yield* harness.open()
      yield* session.run(attempt(harness, [["background"], ["say", "left it running"]]))
      const trees = yield* ProcessTree.ProcessTrees
      const left = yield* trees.sweep([], new Set([`NOFX_TERMINAL=${harness.context.marker}.terminal-1`]))
      assert.deepStrictEqual(left, { terminated: 0, killed: 0, survivors: [] })
      assert.isTrue(alive(session.process?.pid ?? 0))
    })
  )

  live("C50 the activity of a working agent can be measured", () =>
    Effect.gen(function* () {
      const harness = yield* make
      const session = yield* harness.open()
      const before = yield* session.activity
      assert.isAtLeast(before.processes, 1)
      const work = session.run(attempt(harness, [["write", path.join(harness.cwd, "x"), "y"]]))
      yield* work
      assert.notStrictEqual((yield* session.activity).files, before.files)
      // The kernel counts processor time in ticks, and may have seen the agent in none of them yet.
      while ((yield* session.activity).cpuMillis === 0) yield* Effect.andThen(work, Effect.sleep("20 millis"))
    })
  )
})
