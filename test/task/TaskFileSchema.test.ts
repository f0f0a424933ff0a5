import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { RuntimeConfig } from "../../src/RuntimeConfig.ts"
import { schemaFile, schemaText } from "../../src/task/TaskFileSchema.ts"

interface Node {
  readonly description?: string
  readonly type?: string
  readonly properties?: Readonly<Record<string, Node>>
  readonly items?: Node
  readonly additionalProperties?: unknown
}

const schema: Node = JSON.parse(schemaText(RuntimeConfig))

describe("TaskFileSchema", () => {
  it("C58 the published JSON Schema is the one of the code (else: node scripts/task-file-schema.ts)", () => {
    assert.deepEqual(JSON.parse(readFileSync(schemaFile, "utf8")), schema)
  })

  it("C58 describes every field, and refuses unknown ones as the decoder does", () => {
    const { agents, tasks, config } = schema.properties ?? {}
    for (const node of [schema, agents?.items, tasks?.items]) assert.strictEqual(node?.additionalProperties, false)
    for (const fields of [agents?.items?.properties, tasks?.items?.properties, { agents, tasks, config }]) {
      for (const [name, field] of Object.entries(fields ?? {})) assert.isString(field?.description, name)
    }
  })

  it("C58 a field that has a default is left out, never null", () => {
    assert.notInclude(schemaText(RuntimeConfig), '"null"')
    assert.strictEqual(schema.properties?.["tasks"]?.items?.properties?.["prompt"]?.type, "string")
  })
})
