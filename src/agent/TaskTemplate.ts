/**
 * How a task reaches a program: `{{task.…}}` in its arguments, `NOFX_TASK_*` in its environment, JSON on its standard input.
 *
 * A value is put in once and verbatim: what it holds is neither expanded again nor seen by a shell.
 */
import * as Result from "effect/Result"
import type { TaskSpec } from "../task/Task.ts"

/** What templates and variables speak of. */
export interface Values {
  readonly task: TaskSpec
  readonly agentId: string
  /** Of the attempt; absent in a task's own check. */
  readonly run?: number
  readonly attempt?: number
}

/** Longest value that goes into the environment, in bytes: Linux refuses variables of 128 kB. Longer ones are on standard input. */
export const maxVariableBytes = 100_000

/** The task as programs see it. */
const view = ({ agentId, attempt, run, task }: Values): Readonly<Record<string, unknown>> => ({
  id: task.id,
  kind: task.kind,
  prompt: task.prompt,
  input: task.input,
  priority: task.priority,
  effect: task.effect,
  agent: agentId,
  ...(run === undefined ? {} : { run }),
  ...(attempt === undefined ? {} : { attempt })
})

const asText = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value))

const own = (value: unknown, key: string): unknown =>
  typeof value === "object" && value !== null && Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined

const pattern = /\{\{\s*task\.([^{}]*?)\s*\}\}/g

/**
 * Puts a task's values into one argument: `{{task.id}}`, `prompt`, `kind`, `priority`, `effect`, `agent`, `run`, `attempt`, `input`, and
 * `{{task.input.some.path}}`. What is not text becomes JSON. Other braces stay as they are.
 *
 * Fails with the first name that has no value.
 */
export const expand = (template: string, values: Values): Result.Result<string, string> => {
  const fields = view(values)
  let missing: string | undefined
  const text = template.replace(pattern, (_whole, path: string) => {
    // A key may itself hold dots: the longest one wins.
    const value = path.startsWith("input.") ? lookUp(fields.input, path.slice("input.".length)) : own(fields, path)
    if (value !== undefined) return asText(value)
    missing ??= `task.${path}`
    return ""
  })
  return missing === undefined ? Result.succeed(text) : Result.fail(missing)
}

/** Puts a task's values into every argument; fails with the first name that has no value. */
export const expandAll = (templates: ReadonlyArray<string>, values: Values): Result.Result<ReadonlyArray<string>, string> => {
  const expanded: Array<string> = []
  for (const template of templates) {
    const result = expand(template, values)
    if (Result.isFailure(result)) return Result.fail(result.failure)
    expanded.push(result.success)
  }
  return Result.succeed(expanded)
}

const lookUp = (value: unknown, path: string): unknown => {
  const whole = own(value, path)
  if (whole !== undefined) return whole
  for (let dot = path.lastIndexOf("."); dot > 0; dot = path.lastIndexOf(".", dot - 1)) {
    const inner = own(value, path.slice(0, dot))
    const found = inner === undefined ? undefined : lookUp(inner, path.slice(dot + 1))
    if (found !== undefined) return found
  }
  return undefined
}

/**
 * `NOFX_TASK_ID`, `_KIND`, `_PROMPT`, `_INPUT` (JSON), `_PRIORITY`, `_EFFECT`, `_AGENT`, and of an attempt `_RUN` and `_ATTEMPT`.
 * A value over `maxVariableBytes` is left out.
 */
export const variables = (values: Values): Record<string, string> =>
  Object.fromEntries(
    Object.entries(view(values))
      .map(([name, value]) => [`NOFX_TASK_${name.toUpperCase()}`, asText(value)] as const)
      .filter(([, value]) => Buffer.byteLength(value) <= maxVariableBytes)
  )

/** The task as one line of JSON. */
export const json = (values: Values): string => `${JSON.stringify(view(values))}\n`
