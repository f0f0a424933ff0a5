import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Result, Schema } from "effect"
import * as TaskFile from "../../src/task/TaskFile.ts"
import { programsExist } from "../../src/task/TaskFilePrograms.ts"
import { maxProblems, TaskFileInvalid } from "../../src/task/TaskFileInvalid.ts"

const valid = `agents:
  - id: writer
    driver: acp
    command: [opencode, acp]
    account: anthropic
    capabilities: [code]
    cwd: sub
    env: { A: "1" }
  - id: checks
    driver: command
    command: [npm, test, --workspace, "{{task.input.package}}"]
    count: 2
tasks:
  - id: add-tests
    prompt: Add unit tests
    agent: writer
    capabilities: [code]
    priority: high
    effect: resumable
    verify: [npm, test]
    deadline: 30 minutes
    budget: { attempts: 3, time: 1 hour }
  - id: check-core
    agent: checks
    input: { package: core, deep: { list: [1, 2.5, true, null] } }
    dependsOn: [add-tests]
    effect: idempotent
config:
  bulkhead: { global: { permits: 8 } }
`

const configSchema = Schema.Struct({
  bulkhead: Schema.optionalKey(Schema.Struct({ global: Schema.Struct({ permits: Schema.Int.check(Schema.isGreaterThanOrEqualTo(1)) }) }))
})

const agent = "agents:\n  - {id: a, driver: command, command: [node]}\n"

const problemsOf = (text: string) => {
  const result = TaskFile.decode(text, "/repo/nofx.yaml", { configSchema })
  assert.isTrue(Result.isFailure(result), text)
  return Result.isFailure(result) ? result.failure : assert.fail()
}

const accepted = (text: string) => {
  const result = TaskFile.decode(text, "/repo/nofx.yaml", { configSchema })
  return Result.isSuccess(result) ? result.success : assert.fail(result.failure.message)
}

describe("TaskFile", () => {
  it("C58 decodes agents, tasks and config, with defaults, expansion and absolute directories", () => {
    const file = accepted(valid)
    assert.deepEqual(
      file.agents.map(({ id, cwd, capabilities }) => ({ id, cwd, capabilities })),
      [
        { id: "writer", cwd: "/repo/sub", capabilities: ["code"] },
        { id: "checks-1", cwd: "/repo", capabilities: ["agent:checks"] },
        { id: "checks-2", cwd: "/repo", capabilities: ["agent:checks"] }
      ]
    )
    assert.isFalse("count" in file.agents[1]!)
    assert.strictEqual(file.tasks[0]!.agent, "writer")
    assert.strictEqual(file.tasks[0]!.onDependencyFailed, "hold")
    assert.isFalse("agent" in file.tasks[1]!)
    assert.deepEqual(file.tasks[1]!.capabilities, ["agent:checks"])
    assert.deepEqual(file.config, { bulkhead: { global: { permits: 8 } } })
  })

  it("C58 a task may name one agent out of an expanded entry", () => {
    const file = accepted(valid.replace("agent: checks\n", "agent: checks-2\n"))
    assert.strictEqual(file.tasks[1]!.agent, "checks-2")
  })

  it("C58 JSON is read as well, with tabs, a $schema and a byte order mark", () => {
    const json = JSON.stringify(
      { $schema: "x", agents: [{ id: "a", driver: "command", command: ["node"] }], tasks: [{ id: "t" }] },
      null,
      "\t"
    )
    assert.strictEqual(accepted(`\uFEFF${json}`).tasks[0]!.id, "t")
  })

  it("C58 config may be absent or have everything commented out", () => {
    assert.deepEqual(accepted(`${agent}tasks: [{id: t}]\n`).config, {})
    assert.deepEqual(accepted(`${agent}tasks: [{id: t}]\nconfig:\n  # bulkhead: 1\n`).config, {})
  })

  it("C58 anchors and aliases are expanded", () => {
    const file = accepted(
      "agents:\n  - &a {id: a, driver: command, command: &c [node]}\n  - {id: b, driver: command, command: *c}\ntasks: [{id: t}]\n"
    )
    assert.deepEqual(file.agents[1]!.command, ["node"])
  })

  const refusals: ReadonlyArray<readonly [name: string, text: string, ...messages: ReadonlyArray<string>]> = [
    ["a syntax error", "agents: [1, 2\ntasks: {}\n", "/repo/nofx.yaml:2:"],
    [
      "a tab as indentation",
      "agents:\n\t- id: a\n",
      "/repo/nofx.yaml:2:1: found invalid YAML (Tabs are not allowed as indentation), expected YAML or JSON"
    ],
    ["several documents", "a: 1\n---\nb: 1\n", "found a second document, expected one"],
    ["an unknown tag", `${agent}tasks: [{id: !foo t}]\n`, "/repo/nofx.yaml:3:14: found invalid YAML (Unresolved tag: !foo)"],
    ["an empty file", "", "/repo/nofx.yaml: found an empty file, expected agents and tasks"],
    ["a file of comments", "# nothing\n", "found an empty file"],
    ["a list", "- 1\n", "/repo/nofx.yaml:1:1: found a list of 1, expected a map"],
    [
      "missing parts",
      "config: {}\n",
      "/repo/nofx.yaml:1:1: agents: found nothing, expected this field",
      "/repo/nofx.yaml:1:1: tasks: found nothing, expected this field"
    ],
    [
      "no agents",
      "agents: []\ntasks: [{id: t}]\n",
      "/repo/nofx.yaml:1:9: agents: found an empty list, expected a value with a length of at least 1"
    ],
    [
      "an unknown field with a near name",
      `${agent}tasks:\n  - id: t\n    promt: x\n`,
      '/repo/nofx.yaml:5:5: tasks[0].promt: found the unknown field "promt", expected a field that exists (did you mean "prompt"?)'
    ],
    [
      "an unknown field without one",
      `${agent}tasks: [{id: t}]\nzebra: 1\n`,
      '/repo/nofx.yaml:4:1: zebra: found the unknown field "zebra", expected one of $schema, agents, tasks, config'
    ],
    [
      "a duplicate key",
      `${agent}tasks:\n  - id: t\n    prompt: a\n    prompt: b\n`,
      '/repo/nofx.yaml:6:5: tasks[0].prompt: found the key "prompt" a second time, expected each key once'
    ],
    [
      "a key that is no text",
      `${agent}tasks: [{id: t, input: {1: x}}]\n`,
      "/repo/nofx.yaml:3:25: tasks[0].input: found the key 1, expected keys that are text (put it in quotes)"
    ],
    ["the key __proto__", `${agent}tasks: [{id: t, input: {__proto__: {x: 1}}}]\n`, 'found the key "__proto__"'],
    [
      "a duplicate agent id",
      `${agent}  - {id: a, driver: command, command: [node]}\ntasks: [{id: t}]\n`,
      '/repo/nofx.yaml:3:10: agents[1].id: found the id "a" a second time'
    ],
    [
      "an expanded id that is taken",
      "agents:\n  - {id: a, driver: command, command: [node], count: 2}\n  - {id: a-2, driver: command, command: [node]}\ntasks: [{id: t}]\n",
      '/repo/nofx.yaml:3:10: agents[1].id: found the id "a-2" a second time'
    ],
    [
      "a duplicate task id",
      `${agent}tasks:\n  - id: t\n  - id: t\n`,
      '/repo/nofx.yaml:5:9: tasks[1].id: found the id "t" a second time, expected ids that are unique among the tasks'
    ],
    [
      "a dependency on an unknown task",
      `${agent}tasks:\n  - id: build\n  - id: t\n    dependsOn: [buid]\n`,
      '/repo/nofx.yaml:6:17: tasks[1].dependsOn[0]: found the task "buid", expected one of the tasks of this file (did you mean "build"?)'
    ],
    ["a task that depends on itself", `${agent}tasks: [{id: t, dependsOn: [t]}]\n`, "found the cycle t → t"],
    [
      "a cycle of dependencies",
      `${agent}tasks:\n  - {id: a, dependsOn: [b]}\n  - {id: b, dependsOn: [c]}\n  - {id: c, dependsOn: [b]}\n`,
      "/repo/nofx.yaml:6:25: tasks[2].dependsOn[0]: found the cycle b → c → b, expected dependencies that end somewhere"
    ],
    [
      "an unknown agent",
      `${agent}tasks: [{id: t, agent: bob}]\n`,
      '/repo/nofx.yaml:3:24: tasks[0].agent: found the agent "bob", expected one of the agents of this file'
    ],
    [
      "a capability that nobody has",
      `${agent}tasks: [{id: t, capabilities: [code]}]\n`,
      '/repo/nofx.yaml:3:32: tasks[0].capabilities[0]: found the capability "code"'
    ],
    [
      "capabilities that no one agent has all of",
      "agents:\n  - {id: a, driver: command, command: [x], capabilities: [p]}\n  - {id: b, driver: command, command: [x], capabilities: [q]}\ntasks: [{id: t, capabilities: [p, q]}]\n",
      'tasks[0].capabilities: found "p", "q", expected capabilities that one agent has all of'
    ],
    [
      "a pinned agent that lacks a capability",
      "agents:\n  - {id: a, driver: command, command: [x], capabilities: [p]}\n  - {id: b, driver: command, command: [x]}\ntasks: [{id: t, agent: b, capabilities: [p]}]\n",
      'expected a capability of the agent "b"'
    ],
    [
      "a missing command",
      "agents: [{id: a, driver: command}]\ntasks: [{id: t}]\n",
      "/repo/nofx.yaml:1:10: agents[0].command: found nothing, expected a program and its arguments, or a preset"
    ],
    ["an empty command", "agents: [{id: a, driver: acp, command: []}]\ntasks: [{id: t}]\n", "agents[0].command: found an empty command"],
    [
      "an unknown driver",
      "agents: [{id: a, driver: comand, command: [x]}]\ntasks: [{id: t}]\n",
      '/repo/nofx.yaml:1:26: agents[0].driver: found "comand", expected one of acp, command (did you mean "command"?)'
    ],
    [
      "a negative limit",
      `${agent}tasks: [{id: t}]\nconfig:\n  bulkhead: {global: {permits: -1}}\n`,
      "/repo/nofx.yaml:5:32: config.bulkhead.global.permits: found -1, expected a value greater than or equal to 1"
    ],
    [
      "a negative budget",
      `${agent}tasks: [{id: t, budget: {attempts: -1}}]\n`,
      "/repo/nofx.yaml:3:36: tasks[0].budget.attempts: found -1, expected a value greater than or equal to 1"
    ],
    [
      "a negative deadline",
      `${agent}tasks: [{id: t, deadline: -5 minutes}]\n`,
      '/repo/nofx.yaml:3:27: tasks[0].deadline: found "-5 minutes", expected a duration longer than zero'
    ],
    [
      "what is no duration",
      `${agent}tasks: [{id: t, deadline: soon}]\n`,
      'tasks[0].deadline: found "soon", expected a duration like "90 seconds" or "30 minutes"'
    ],
    ["a wrong type", `${agent}tasks: [{id: t, prompt: [1]}]\n`, "/repo/nofx.yaml:3:25: tasks[0].prompt: found a list of 1, expected text"],
    [
      "a wrong word",
      `${agent}tasks: [{id: t, priority: urgent}]\n`,
      '/repo/nofx.yaml:3:27: tasks[0].priority: found "urgent", expected "high" | "medium" | "low"'
    ],
    [
      "a number that cannot be kept",
      `${agent}tasks: [{id: t, input: {n: 12345678901234567890}}]\n`,
      "tasks[0].input.n: found 12345678901234567890, expected a number that can be kept exactly"
    ],
    ["what is no number", `${agent}tasks: [{id: t, input: {n: .nan}}]\n`, "tasks[0].input.n: found .nan"],
    [
      "an anchor that contains itself",
      `${agent}tasks: [{id: t, input: &x {y: *x}}]\n`,
      "tasks[0].input.y: found *x, which contains itself"
    ],
    [
      "a few lines that stand for billions of values, with one message",
      `${agent}tasks: [{id: t, input: {a0: &a0 [x], ${Array.from({ length: 12 }, (_, n) => `a${n + 1}: &a${n + 1} [${Array(10).fill(`*a${n}`).join(", ")}]`).join(", ")}}}]\n`,
      "found more values than a task file may hold, expected at most 2000000"
    ],
    ["an alias of nothing", `${agent}tasks: [{id: t, prompt: *x}]\n`, "tasks[0].prompt: found *x, expected the name of an anchor above it"],
    [
      "too many agents of a kind",
      "agents: [{id: a, driver: command, command: [x], count: 1000000000}]\ntasks: [{id: t}]\n",
      "agents[0].count: found 1000000000"
    ]
  ]
  for (const [name, text, ...messages] of refusals) {
    it(`C58 refuses ${name}, with its place`, () => {
      const { message, problems } = problemsOf(text)
      for (const part of messages) assert.include(message, part)
      assert.lengthOf(problems, messages.length, message)
    })
  }

  it("C58 lists every problem in the order of the file, and counts those beyond the limit", () => {
    const { message, problems } = problemsOf("agents: [{id: 1, driver: 2}]\ntasks: [{id: t, agent: x}]\nconfig: 3\n")
    assert.deepEqual(
      problems.map(({ path }) => path),
      ["agents[0].id", "agents[0].driver", "tasks[0].agent", "config"]
    )
    assert.strictEqual(message.split("\n").length, 4)
    const many = problemsOf(`${agent}tasks:\n${Array.from({ length: 50 }, (_, index) => `  - {id: t${index}, agent: nobody}\n`).join("")}`)
    assert.lengthOf(many.problems, maxProblems)
    assert.strictEqual(many.more, 30)
    assert.include(many.message, "and 30 more problems")
  })

  it("C58 a check that speaks of several fields is told at the field it means", () => {
    const limits = Schema.Struct({
      least: Schema.Finite,
      most: Schema.Finite,
      rate: Schema.Finite.check(Schema.makeFilter((rate: number) => rate < 1 || "must be less than one"))
    })
    const checked = Schema.Struct({
      limits: limits.check(
        Schema.makeFilter(({ least, most }) => (least > most ? [{ path: ["most"], issue: `must be at least ${least}` }] : []))
      )
    })
    const read = (config: string) =>
      Result.mapError(
        TaskFile.decode(`${agent}tasks: [{id: t}]\nconfig: {limits: ${config}}\n`, "f", { configSchema: checked }),
        ({ message }) => message
      )
    assert.deepEqual(read("{least: 3, most: 2, rate: 0}"), Result.fail("f:4:35: config.limits.most: found 2, expected at least 3"))
    assert.deepEqual(read("{least: 3, most: 4, rate: 5}"), Result.fail("f:4:44: config.limits.rate: found 5, expected less than one"))
  })

  it("C25 values of an agent's environment appear in no message", () => {
    const { message } = problemsOf(
      "agents: [{id: a, driver: command, command: [x], env: {KEY: 8273645, LONG: 82736451234567890123, OTHER: [sesame]}}]\ntasks: [{id: t}]\n"
    )
    assert.notMatch(message, /8273645|sesame/)
    assert.include(message, "agents[0].env.KEY: found a number, expected text")
  })

  it("C60 a structure that is nested too deeply is refused, whoever notices it", () => {
    assert.include(
      problemsOf("[".repeat(100) + "]".repeat(100)).message,
      "found a structure that is nested too deeply, expected at most 64 levels"
    )
    assert.include(problemsOf("[".repeat(50_000)).message, "nofx.yaml:")
  })

  it("C60 a chain of 5,000 dependencies is no cycle, and closing it is found", () => {
    const tasks = Array.from({ length: 5_000 }, (_, index) => ({ id: `t${index}`, dependsOn: [`t${index + 1}`] }))
    const text = (last: object) => JSON.stringify({ agents: [{ id: "a", driver: "command", command: ["x"] }], tasks: [...tasks, last] })
    assert.lengthOf(accepted(text({ id: "t5000" })).tasks, 5_001)
    assert.include(problemsOf(text({ id: "t5000", dependsOn: ["t0"] })).message, "found the cycle t0 → t1 → t2")
  })

  it("C70 the digest is that of the content: spelling and defaults change nothing, any value does", () => {
    const digest = (text: string) => TaskFile.digest(accepted(text), { configSchema })
    assert.match(digest(valid), /^[0-9a-f]{64}$/)
    assert.strictEqual(digest(valid), digest(`# a comment\n${valid.replace("[npm, test]\n", "\n      - npm\n      - test\n")}`))
    assert.strictEqual(digest(valid), digest(valid.replace("30 minutes", "1800 seconds")))
    assert.strictEqual(
      digest(valid),
      digest(valid.replace("{ package: core, deep:", "{ deep:").replace("null] }", "null] }, package: core"))
    )
    assert.strictEqual(
      digest(valid),
      digest(valid.replace("    effect: idempotent", "    effect: idempotent\n    onDependencyFailed: hold"))
    )
    for (const [from, to] of [
      ["Add unit", "Add other"],
      ["permits: 8", "permits: 9"],
      ["2.5", "2.6"],
      ['A: "1"', 'A: "2"']
    ] as const) {
      assert.notStrictEqual(digest(valid), digest(valid.replace(from, to)))
    }
  })

  it("C60 what a file says can be written down and read again, and is the same", () => {
    const file = accepted(valid)
    const again = accepted(JSON.stringify(TaskFile.encode(file, { configSchema })))
    assert.deepEqual({ ...again, needs: [] }, { ...file, needs: [] })
    assert.strictEqual(TaskFile.digest(again, { configSchema }), TaskFile.digest(file, { configSchema }))
  })

  const pieces = [
    "\n",
    "  ",
    "\t",
    "- ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    '"',
    "'",
    "*a",
    "&a ",
    "!",
    "|",
    ">",
    "#",
    "%",
    "---\n",
    "id",
    "tasks",
    "-1",
    ".inf",
    "null",
    "\u0000",
    "\uD800",
    "é"
  ]
  const Mutation = Schema.Struct({
    at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: valid.length })),
    drop: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 12 })),
    piece: Schema.Literals(pieces)
  })
  it.effect.prop(
    "C60 a mutated file is accepted or refused with its problems, and never throws",
    [Schema.Array(Mutation).check(Schema.isMinLength(1), Schema.isMaxLength(6))],
    ([mutations]) =>
      Effect.sync(() => {
        const text = mutations.reduce((before, { at, drop, piece }) => before.slice(0, at) + piece + before.slice(at + drop), valid)
        const result = TaskFile.decode(text, "/repo/nofx.yaml", { configSchema })
        if (Result.isSuccess(result)) {
          const again = accepted(JSON.stringify(TaskFile.encode(result.success, { configSchema })))
          assert.deepEqual({ ...again, needs: [] }, { ...result.success, needs: [] })
        } else {
          assert.instanceOf(result.failure, TaskFileInvalid)
          assert.isAbove(result.failure.problems.length, 0)
          for (const problem of result.failure.problems) {
            if (problem.line !== undefined) assert.isAtMost(problem.line, text.split(/\r\n?|\n/).length + 1)
          }
        }
      }),
    { arbitrary: { runs: 300 } }
  )

  const Json: Schema.Codec<unknown> = Schema.Union([
    Schema.Null,
    Schema.String,
    Schema.Finite,
    Schema.Boolean,
    Schema.Array(Schema.suspend(() => Json)),
    Schema.Record(
      Schema.Literals(["id", "driver", "command", "agent", "count", "dependsOn", "budget"]),
      Schema.suspend(() => Json)
    )
  ])
  it.effect.prop(
    "C60 parts of any shape are accepted or refused with their problems, and never throw",
    [Json, Json, Json],
    ([agents, tasks, config]) =>
      Effect.sync(() => {
        const result = TaskFile.decode(JSON.stringify({ agents, tasks: [tasks], config }), "f.yaml", { configSchema })
        if (Result.isFailure(result)) assert.instanceOf(result.failure, TaskFileInvalid)
      }),
    { arbitrary: { runs: 200 } }
  )
})

describe("TaskFile on disk", () => {
  const refusal = (file: string) => Effect.map(Effect.flip(TaskFile.load(file)), ({ message }) => message)

  it.live("C58 says what is wrong with a file that cannot be read", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped()
      const file = (name: string, content: Uint8Array) => Effect.as(fs.writeFile(`${directory}/${name}`, content), `${directory}/${name}`)
      assert.strictEqual(yield* refusal(`${directory}/none`), `${directory}/none: found no such file, expected a file that can be read`)
      assert.include(yield* refusal(directory), "found a directory, expected a YAML or JSON file")
      assert.include(yield* refusal("/dev/null"), "found no regular file")
      assert.include(yield* refusal(yield* file("empty", new Uint8Array())), "found an empty file")
      assert.include(yield* refusal(yield* file("large", new Uint8Array(TaskFile.maxBytes + 1))), "expected at most 10485760")
      const latin1 = yield* file("latin1", new Uint8Array([97, 10, 98, 0xe4, 99]))
      assert.strictEqual(yield* refusal(latin1), `${latin1}:2:2: found bytes that are not UTF-8, expected a text file in UTF-8`)
      assert.include(yield* refusal(yield* file("binary", new Uint8Array([97, 0, 98]))), "not UTF-8")
      assert.include(yield* refusal(yield* file("utf16", new Uint8Array([0xff, 0xfe, 97, 0]))), "not UTF-8")
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.effect.prop(
    "C60 a file of random bytes is refused with a typed error, and never throws",
    [Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 })))],
    ([bytes]) =>
      Effect.gen(function* () {
        const fs = FileSystem.makeNoop({
          stat: () => Effect.succeed({ type: "File", size: BigInt(bytes.length) } as FileSystem.File.Info),
          readFile: () => Effect.succeed(new Uint8Array(bytes))
        })
        const error = yield* Effect.flip(Effect.provideService(TaskFile.load("f"), FileSystem.FileSystem, fs))
        assert.instanceOf(error, TaskFileInvalid)
      }),
    { arbitrary: { runs: 200 } }
  )

  it.live("C58 names programs and directories that are not on this machine, where the file names them", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped()
      yield* fs.makeDirectory(`${directory}/bin`)
      yield* fs.writeFileString(`${directory}/bin/tool`, "#!/bin/sh\n", { mode: 0o755 })
      yield* fs.writeFileString(`${directory}/bin/text`, "no program\n", { mode: 0o644 })
      const text = `agents:
  - {id: a, driver: command, command: [tool]}
  - {id: b, driver: command, command: [./bin/tool], count: 2}
  - {id: c, driver: command, command: [text]}
  - {id: d, driver: command, command: [codex-acp], cwd: gone}
  - {id: e, driver: command, command: [tool], env: {PATH: /nonexistent}}
  - {id: f, driver: command, command: ["{{task.input.tool}}"]}
tasks:
  - {id: t, verify: [absent]}
`
      yield* fs.writeFileString(`${directory}/nofx.yaml`, text)
      const file = yield* TaskFile.load(`${directory}/nofx.yaml`)
      const { message, problems } = yield* Effect.flip(programsExist(file, { path: `${directory}/bin`, extensions: [] }))
      assert.deepEqual(
        problems.map(({ path, line }) => [line, path]),
        [
          [4, "agents[2].command[0]"],
          [5, "agents[3].cwd"],
          [5, "agents[3].command[0]"],
          [6, "agents[4].command[0]"],
          [9, "tasks[0].verify[0]"]
        ]
      )
      assert.include(
        message,
        'nofx.yaml:9:22: tasks[0].verify[0]: found the program "absent", which is not there, expected a program that is installed and on the PATH'
      )
      assert.include(message, "on the PATH (npm install -g @agentclientprotocol/codex-acp)")
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )
})
