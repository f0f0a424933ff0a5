/** What callers give, decoded: nothing of it is used before it fits its schema. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { PresetUnknown, resolvePreset } from "../agent/AgentPresets.ts"
import { AgentSpec } from "../agent/AgentSpec.ts"
import { Filter } from "../reliability/DeadLetterQueue.ts"
import { TaskSpec } from "../task/Task.ts"

/** What a caller gave does not fit the schema; nothing was done. */
export class InputInvalid extends Schema.TaggedError<InputInvalid>()("InputInvalid", { what: Schema.String, problem: Schema.String }) {
  override get message(): string {
    return `Invalid ${this.what}: ${this.problem}`
  }
}

/** No task has this id. */
export class TaskNotFound extends Schema.TaggedError<TaskNotFound>()("TaskNotFound", { taskId: Schema.String }) {
  override get message(): string {
    return `There is no task "${this.taskId}"`
  }
}

const options = { onExcessProperty: "error", errors: "all" } as const

const decoded = <A, E extends { readonly message: string }>(what: string, effect: Effect.Effect<A, E>): Effect.Effect<A, InputInvalid> =>
  Effect.mapError(effect, (error) => new InputInvalid({ what, problem: error.message }))

const decodeAgentSpec = Schema.decodeUnknownEffect(AgentSpec, options)
const decodeFilter = Schema.decodeUnknownEffect(Filter, options)
const decodeTaskSpec = Schema.decodeUnknownEffect(TaskSpec, options)

const { fields } = TaskSpec
/** With nothing left out that has a default: looking for what is left out is a third of what decoding costs. */
const FilledTaskSpec = Schema.Struct({
  ...fields,
  kind: fields.kind.to,
  prompt: fields.prompt.to,
  input: fields.input.to,
  capabilities: fields.capabilities.to,
  priority: fields.priority.to,
  effect: fields.effect.to,
  dependsOn: fields.dependsOn.to,
  onDependencyFailed: fields.onDependencyFailed.to
})
const decodeFilledTaskSpec = Schema.decodeUnknownExit(FilledTaskSpec)
const { id: _, ...defaults } = Schema.decodeSync(TaskSpec)({ id: "any" })
const known: ReadonlySet<string> = new Set(Object.keys(fields))

/** Has it only known fields, all its own, at every depth? The budget is the only field with fields of its own. */
const isPlain = (input: unknown): input is object =>
  typeof input === "object" &&
  input !== null &&
  Object.getPrototypeOf(input) === Object.prototype &&
  !("budget" in input) &&
  Object.keys(input).every((key) => known.has(key)) &&
  Object.getOwnPropertySymbols(input).length === 0

/** A preset is filled in here, so that its account is known from the start. */
export const agent = (input: unknown): Effect.Effect<AgentSpec, InputInvalid> =>
  Effect.flatMap(decoded("agent", decodeAgentSpec(input)), (spec) => {
    const resolved = resolvePreset(spec)
    return resolved instanceof PresetUnknown
      ? Effect.fail(new InputInvalid({ what: "agent", problem: resolved.message }))
      : Effect.succeed(resolved)
  })
/** Of dead letters. A misspelt condition would be none, and would match everything. */
export const filter = (input: unknown): Effect.Effect<Filter, InputInvalid> => decoded("filter", decodeFilter(input))
/** Looks for all that is wrong only where something is: that costs more, and most tasks are right. */
export const task = (input: unknown): Effect.Effect<TaskSpec, InputInvalid> => {
  const filled = isPlain(input) ? decodeFilledTaskSpec({ ...defaults, ...input }) : undefined
  return filled?._tag === "Success" ? Effect.succeed(filled.value) : decoded("task", decodeTaskSpec(input))
}
