/**
 * What the user's settings say, as the runtime understands it. Pure.
 *
 * A setting `nofx.retry.maxAttempts` is the part `retry.maxAttempts` of `RuntimeConfig`, in its words. Only what somebody has set is passed
 * on; a value that cannot be taken is reported by its name and left out, so that one slip does not cost the rest.
 */
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import { AgentSpec, PermissionMode } from "../../src/agent/AgentSpec.ts"
import type { AgentInput } from "../../src/AgentRuntime.ts"
import { presets } from "../../src/agent/AgentPresets.ts"
import { EffectClass } from "../../src/task/Task.ts"
import { type Input, RuntimeConfig } from "../../src/RuntimeConfig.ts"
import { pathOf } from "./Place.ts"

/** A setting as the editor knows it. */
export interface Source {
  /** What somebody set; undefined: nobody did. */
  readonly given: (key: string) => unknown
  /** As `given`, from the user's own settings only, never from a folder's. */
  readonly givenByUser: (key: string) => unknown
}

export interface Read {
  readonly config: Input
  /** Agents of the user's own. */
  readonly agents: ReadonlyArray<AgentInput>
  readonly permissions: PermissionMode
  /** Of tasks that are typed in the editor. */
  readonly taskEffect: EffectClass
  readonly onEditorClose: "finish" | "pause" | "stop"
  readonly notifications: "attention" | "all" | "none"
  readonly nodePath: string | undefined
  readonly stateDirectory: string | undefined
  /** One sentence for each value that was left out, beginning with the setting's name. */
  readonly problems: ReadonlyArray<string>
  /** Settings of the predecessor that were used. */
  readonly predecessor: ReadonlyArray<string>
}

/** The settings that belong to a part of RuntimeConfig, without their prefix. */
export const runtimeKeys = (contributed: ReadonlyArray<string>): ReadonlyArray<string> =>
  contributed
    .filter((key) => key.startsWith("nofx.") && Object.hasOwn(RuntimeConfig.fields, key.split(".")[1]!) && key.split(".").length > 2)
    .map((key) => key.slice("nofx.".length))

const decodeConfig = Schema.decodeUnknownExit(RuntimeConfig, { onExcessProperty: "error", errors: "all" })
const decodeAgent = Schema.decodeUnknownExit(AgentSpec, { onExcessProperty: "error", errors: "all" })

/** A copy of the tree with the value put at the path. */
const put = (tree: Readonly<Record<string, unknown>>, path: ReadonlyArray<string>, value: unknown): Record<string, unknown> => {
  const [first, ...rest] = path
  const below = tree[first!]
  return { ...tree, [first!]: rest.length === 0 ? value : put((below ?? {}) as Record<string, unknown>, rest, value) }
}

const oneLine = (exit: Exit.Failure<unknown, Schema.SchemaError>): string => {
  const reason = exit.cause.reasons[0]
  const text = reason?._tag === "Fail" ? reason.error.message : String(reason)
  return text.replaceAll(/\s*\n\s*/g, ", ")
}

export const read = (source: Source, contributed: ReadonlyArray<string>): Read => {
  const problems: Array<string> = []
  const predecessor: Array<string> = []
  const older = (key: string): unknown => {
    const value = source.givenByUser(key)
    if (value !== undefined && value !== null && value !== "") predecessor.push(`nofx.${key}`)
    return value
  }

  let config: Record<string, unknown> = {}
  const take = (name: string, path: ReadonlyArray<string>, value: unknown): void => {
    // Without its address the rest of Redis is nothing.
    const alone = decodeConfig(put(path[0] === "redis" ? { redis: config.redis } : {}, path, value))
    if (Exit.isFailure(alone)) return void problems.push(`nofx.${name}: ${oneLine(alone)}`)
    // Alone it may be right and still contradict another one, as a longest wait below the shortest.
    const together = put(config, path, value)
    const all = decodeConfig(together)
    if (Exit.isFailure(all)) problems.push(`nofx.${name}: ${oneLine(all)}`)
    else config = together
  }
  const keys = runtimeKeys(contributed)
  const permits = older("maxAgents")
  if (permits !== undefined && source.given("bulkhead.global.permits") === undefined) {
    take("maxAgents", ["bulkhead", "global", "permits"], permits)
  }
  for (const key of keys) {
    const value = source.given(key)
    if (value === undefined || value === null || (key.startsWith("redis.") && !("redis" in config) && key !== "redis.url")) continue
    take(key, key.split("."), value)
  }

  const agents: Array<AgentInput> = []
  const own = source.given("agents")
  for (const [index, entry] of (Array.isArray(own) ? own : []).entries()) {
    const decoded = decodeAgent(entry)
    if (Exit.isFailure(decoded)) problems.push(`nofx.agents[${index}]: ${oneLine(decoded)}`)
    else agents.push(entry as AgentInput)
  }
  const former = predecessorAgent(older("aiProvider"), older("aiPath"))
  if (former !== undefined && !agents.some(({ id }) => id === former.id)) agents.push(former)

  const choice = <A extends string>(key: string, values: ReadonlyArray<A>, byDefault: A): A => {
    const value = source.given(key)
    if (value === undefined) return byDefault
    if (values.includes(value as A)) return value as A
    problems.push(`nofx.${key}: expected one of ${values.join(", ")}`)
    return byDefault
  }
  const path = (key: string): string | undefined => pathOf(source.givenByUser(key))

  return {
    config: config as Input,
    agents,
    permissions: choice("permissions", PermissionMode.literals, "ask"),
    taskEffect: choice("taskEffect", EffectClass.literals, "unsafe"),
    onEditorClose: choice("onEditorClose", ["finish", "pause", "stop"], "finish"),
    notifications: choice("notifications", ["attention", "all", "none"], "attention"),
    nodePath: path("nodePath"),
    stateDirectory: path("stateDirectory"),
    problems,
    predecessor
  }
}

/**
 * The agent that the predecessor was set up for, as one that can be started here: its one-shot mode, with the program at its path. It asks for
 * permissions as every agent does; flags that let it do everything were the predecessor's own, and are not carried over.
 */
const predecessorAgent = (provider: unknown, path: unknown): AgentInput | undefined => {
  const name = typeof provider === "string" && provider !== "" ? provider : undefined
  const program = typeof path === "string" && path !== "" ? path : undefined
  if (name === undefined && program === undefined) return undefined
  const known = Object.hasOwn(presets, name ?? "claude") ? (name ?? "claude") : undefined
  const launch = known === undefined ? undefined : (presets[known]?.oneShot ?? undefined)
  if (known === undefined || launch === undefined) {
    const preset = known === undefined ? undefined : presets[known]
    if (preset?.acp !== undefined && program === undefined) return { id: known!, driver: "acp", preset: known! }
    return program === undefined
      ? undefined
      : { id: (name ?? "agent").replaceAll(/[^A-Za-z0-9._-]/g, "-"), driver: "command", command: [program, "{{task.prompt}}"] }
  }
  return program === undefined
    ? { id: known, driver: "command", preset: known }
    : { id: known, driver: "command", preset: known, command: [program, ...launch.command.slice(1)], stdin: "none" }
}
