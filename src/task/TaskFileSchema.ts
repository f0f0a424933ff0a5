/** The shape of a task file, and its JSON Schema for editors. */
import { fileURLToPath } from "node:url"
import * as Schema from "effect/Schema"
import { AgentSpec } from "../agent/AgentSpec.ts"
import { TaskSpec } from "./Task.ts"

/** Agents that one entry may stand for. */
export const maxCount = 256

/** An entry of `agents`. */
export const AgentEntry = Schema.Struct({
  ...AgentSpec.fields,
  /** This many agents of the kind: `id-1` … `id-n`. 1 to 256. Default: one, under the id itself. */
  count: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: maxCount })))
})
export type AgentEntry = typeof AgentEntry.Type

/** What is decoded of the whole, apart from `config`, whose schema the caller gives. */
export const Content = Schema.Struct({
  /** For JSON files: where their schema lies. Not read. */
  $schema: Schema.optionalKey(Schema.String),
  agents: Schema.Array(AgentEntry).check(Schema.isMinLength(1)),
  tasks: Schema.Array(TaskSpec).check(Schema.isMinLength(1)),
  config: Schema.optionalKey(Schema.Unknown)
})

const descriptions: Readonly<Record<string, string>> = {
  agents: "The workers: at least one.",
  "agents.id": "Unique. Letters, digits, '.', '_' and '-'.",
  "agents.driver": "How to talk to it: acp (Agent Client Protocol) or command (one process for each task).",
  "agents.command":
    "Program and arguments, never a shell string. Arguments of command agents may hold {{task.prompt}}, {{task.input.NAME}} and the like.",
  "agents.preset": "A well-known agent, which fills in what is not given here.",
  "agents.account": "Whose quota a call spends; agents of one account share limits. Default: the command's name.",
  "agents.capabilities": "What tasks may ask for.",
  "agents.isolation": "Where it works: in a git worktree of its own, or in the directory as it is.",
  "agents.permissions": "How its permission requests are answered. Default ask.",
  "agents.cwd": "Working directory, relative to this file. Default: this file's directory.",
  "agents.env": "Added to the environment of its processes.",
  "agents.stdin": "What a command agent reads on standard input: the task as JSON (default), or nothing.",
  "agents.count": `This many agents of the kind, called ID-1, ID-2 and so on. 1 to ${maxCount}.`,
  tasks: "The work: at least one.",
  "tasks.id": "Unique. Letters, digits, '.', '_' and '-'.",
  "tasks.kind": "What kind of work it is; dead letters keep it. Default task.",
  "tasks.prompt": "What the agent is asked.",
  "tasks.input": "Values for templates and for the program that does the task.",
  "tasks.agent":
    "The one agent that is to do it (or any agent of the kind, where count is given). Without it any agent with the capabilities may.",
  "tasks.capabilities": "What the agent must be able to do.",
  "tasks.priority": "Default medium.",
  "tasks.effect": "idempotent: may run again. resumable: the session can go on. unsafe (default): must not run twice.",
  "tasks.verify": "The task's own check: program and arguments; exit code 0 means that it is really done.",
  "tasks.changes":
    "required: the working tree must differ from what it was before. Where another agent worked in it meanwhile, the result is not verified.",
  "tasks.dependsOn": "Tasks that must have succeeded before.",
  "tasks.onDependencyFailed": "What happens when one of them fails: hold (default) or cancel.",
  "tasks.deadline": "From acceptance to end, all waiting included, e.g. 30 minutes. Default: none.",
  "tasks.timeLimit": "Longest time of one attempt, e.g. 10 minutes. Default: the runtime's.",
  "tasks.budget": "Hard stops: attempts, tokens, time.",
  config: "Limits and policies. Everything has a default."
}

interface JsonObject {
  readonly [key: string]: Json
}
type Json = string | number | boolean | null | ReadonlyArray<Json> | JsonObject

const isObject = (json: Json | undefined): json is JsonObject => typeof json === "object" && json !== null && !Array.isArray(json)

/** As the decoder reads it: unknown fields are refused, and a field that has a default is left out, not null. */
const strict = (json: Json, path: ReadonlyArray<string>): Json => {
  if (Array.isArray(json)) return json.map((item) => strict(item, path))
  if (!isObject(json)) return json
  const choices = json["anyOf"]
  const left = Array.isArray(choices) ? choices.filter((choice) => !(isObject(choice) && choice["type"] === "null")) : []
  const [only] = left
  if (left.length === 1 && isObject(only)) {
    const rest = Object.fromEntries(Object.entries(json).filter(([key]) => key !== "anyOf"))
    return strict({ ...rest, ...only }, path)
  }
  const entries = Object.entries(json).map(([key, value]) => {
    if (key === "properties" && isObject(value)) return [key, strictFields(value, path)]
    if (key === "additionalProperties" && value === true && json["properties"] !== undefined) return [key, false]
    return [key, strict(key === "anyOf" ? left : value, path)]
  })
  return Object.fromEntries(entries)
}

const strictFields = (fields: JsonObject, path: ReadonlyArray<string>): Json =>
  Object.fromEntries(
    Object.entries(fields).map(([name, field]) => {
      const inner = [...path, name]
      const description = descriptions[inner.join(".")]
      const schema = strict(field, inner)
      return [name, description === undefined || !isObject(schema) ? schema : { description, ...schema }]
    })
  )

/** The JSON Schema (draft 2020-12) of a task file whose `config` has the given schema. */
export const jsonSchema = (config: Schema.Top): unknown => {
  const document = Schema.toJsonSchemaDocument(Schema.Struct({ ...Content.fields, config: Schema.optionalKey(config) }))
  const definitions = Object.keys(document.definitions).length === 0 ? {} : { $defs: document.definitions }
  const plain: Json = JSON.parse(JSON.stringify({ ...document.schema, ...definitions }))
  const schema = strict(plain, [])
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "NofX task file",
    ...(isObject(schema) ? schema : {})
  }
}

/** Where the published schema lies: in the repository and in the package, beside this module (`nofx/task/taskfile.schema.json`). */
export const schemaFile: string = fileURLToPath(new URL("./taskfile.schema.json", import.meta.url))

/** The content of `schemaFile`, `config` being the runtime's configuration. */
export const schemaText = (config: Schema.Top): string => `${JSON.stringify(jsonSchema(config), undefined, 2)}\n`
