import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import * as TaskTemplate from "../../src/agent/TaskTemplate.ts"
import { taskSpec } from "../support/processes/Scenario.ts"

const values: TaskTemplate.Values = {
  task: taskSpec({
    id: "t1",
    prompt: 'Say "hi" {{task.id}} $(x)',
    priority: "high",
    input: { package: "core", list: [1, { a: true }], "a.b": "dotted", nothing: null, deep: { "x.y": { z: 7 } } }
  }),
  agentId: "checks-1",
  run: 2,
  attempt: 3
}
const expand = (template: string) => TaskTemplate.expand(template, values)

describe("TaskTemplate", () => {
  it("C48 puts in fields, nested input and JSON, once and verbatim", () => {
    const table: ReadonlyArray<readonly [string, string]> = [
      ["plain", "plain"],
      ["{{task.id}}-{{ task.attempt }}/{{task.run}}", "t1-3/2"],
      ["{{task.prompt}}", 'Say "hi" {{task.id}} $(x)'],
      ["--only={{task.input.package}}", "--only=core"],
      ["{{task.input.list.1}}", '{"a":true}'],
      ["{{task.input.list.1.a}}", "true"],
      ["{{task.input.a.b}}", "dotted"],
      ["{{task.input.deep.x.y.z}}", "7"],
      ["{{task.input.nothing}}", "null"],
      ["{{task.agent}} {{task.priority}} {{task.kind}} {{task.effect}}", "checks-1 high task unsafe"],
      ["{{.ID}} {{ other }} {{}} {task.id}", "{{.ID}} {{ other }} {{}} {task.id}"]
    ]
    for (const [template, expected] of table) assert.deepStrictEqual(expand(template), Result.succeed(expected), template)
    assert.deepStrictEqual(JSON.parse(Result.getOrThrow(expand("{{task.input}}"))), values.task.input)
  })

  it("C60 names what the task does not have, inherited properties included", () => {
    for (const name of [
      "task.input.missing",
      "task.input.constructor",
      "task.input.list.length.x",
      "task.toString",
      "task.input.package.0",
      "task."
    ]) {
      assert.deepStrictEqual(expand(`x {{${name}}} {{task.other}}`), Result.fail(name))
    }
    assert.deepStrictEqual(TaskTemplate.expandAll(["{{task.id}}", "{{task.no}}"], values), Result.fail("task.no"))
    assert.deepStrictEqual(TaskTemplate.expand("{{task.attempt}}", { task: values.task, agentId: "a" }), Result.fail("task.attempt"))
  })

  it.effect.prop("C60 a value is never read as a template", [Schema.String], ([prompt]) =>
    Effect.sync(() => {
      const task = { ...values.task, prompt }
      assert.deepStrictEqual(TaskTemplate.expand("<{{task.prompt}}>", { ...values, task }), Result.succeed(`<${prompt}>`))
    })
  )

  it("C48 gives programs the task as variables and as one line of JSON", () => {
    assert.deepInclude(TaskTemplate.variables(values), {
      NOFX_TASK_ID: "t1",
      NOFX_TASK_PROMPT: values.task.prompt,
      NOFX_TASK_RUN: "2",
      NOFX_TASK_ATTEMPT: "3",
      NOFX_TASK_AGENT: "checks-1",
      NOFX_TASK_PRIORITY: "high",
      NOFX_TASK_INPUT: JSON.stringify(values.task.input)
    })
    const long = { ...values, task: { ...values.task, prompt: "ä".repeat(TaskTemplate.maxVariableBytes / 2 + 1) } }
    assert.notProperty(TaskTemplate.variables(long), "NOFX_TASK_PROMPT")
    const line = TaskTemplate.json(long)
    assert.strictEqual(line.indexOf("\n"), line.length - 1)
    assert.strictEqual(JSON.parse(line).prompt, long.task.prompt)
  })
})
