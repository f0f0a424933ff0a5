/**
 * The task file: agents, tasks and configuration, as a user writes them down in YAML or JSON.
 *
 * A file is accepted whole or refused whole, with every problem in it (at most `maxProblems` are listed), each with line, column and path.
 * Entries with a `count` are expanded, working directories made absolute. Whether the programs it names exist on this machine is another
 * question: `TaskFilePrograms`.
 */
import { createHash } from "node:crypto"
import * as NodePath from "node:path"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type * as PlatformError from "effect/PlatformError"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { AgentSpec } from "../agent/AgentSpec.ts"
import { report } from "./SchemaProblems.ts"
import { TaskSpec } from "./Task.ts"
import { check, expandedIds, type Known, kindCapability } from "./TaskFileCheck.ts"
import { makeProblems, type Position, type Problems, TaskFileInvalid, type ValuePath } from "./TaskFileInvalid.ts"
import { type AgentEntry, Content } from "./TaskFileSchema.ts"
import * as YamlSource from "./YamlSource.ts"

/** Files larger than this are refused unread. Bytes. */
export const maxBytes = 10 * 1024 * 1024

/** How to read a file. */
export interface Options<C = unknown> {
  /** Decodes `config`; a file without one gives it `{}`. Default: accepted as it is. */
  readonly configSchema?: Schema.Codec<C, unknown>
  /** Drivers that agents may name. Default `acp` and `command`. */
  readonly drivers?: ReadonlyArray<string>
  /** Presets that agents of a driver may name. Default: any name is accepted. */
  readonly presets?: (driver: string) => ReadonlyArray<string>
  /** Fills in what a preset stands for, to know which program it needs; the file's agents stay as they are written. Default: nothing. */
  readonly resolve?: (spec: AgentSpec) => AgentSpec
}

/** A program or directory that the file relies on, with the place that names it. */
export interface Need {
  readonly kind: "program" | "directory"
  readonly name: string
  /** Where a relative program is looked for. */
  readonly cwd: string
  /** The agent's own `PATH`, where its `env` sets one. */
  readonly searchPath: string | undefined
  readonly path: ValuePath
  readonly position: Position | undefined
}

/** A task file that was accepted. */
export interface TaskFile<C = unknown> {
  /** Absolute. */
  readonly file: string
  /** As it was given, for messages. */
  readonly name: string
  readonly agents: ReadonlyArray<AgentSpec>
  readonly tasks: ReadonlyArray<TaskSpec>
  readonly config: C
  readonly needs: ReadonlyArray<Need>
}

/** Decodes a file's text; `file` is its path, for messages and for what is relative to it. Fails with every problem; never throws. */
export const decode = <C = unknown>(text: string, file: string, options: Options<C> = {}): Result.Result<TaskFile<C>, TaskFileInvalid> => {
  const source = YamlSource.read(text)
  const problems = makeProblems(file, source.locate)
  const content = source.value(problems)
  if (content === undefined) return Result.fail(problems.error())
  if (content === null) {
    problems.add([], () => ({ found: "an empty file", expected: "agents and tasks" }))
    return Result.fail(problems.error())
  }
  const known: Known = { drivers: options.drivers ?? ["acp", "command"], presets: options.presets }
  const decoded = decodeWith(Content, content, [], source, problems)
  // `config:` with nothing under it, as when all of it is commented out, is no config.
  const config = decodeWith(
    options.configSchema ?? (Schema.Unknown as Schema.Codec<C, unknown>),
    fieldOf(content, "config") ?? {},
    ["config"],
    source,
    problems
  )
  check(content, known, problems)
  if (!problems.isEmpty() || Result.isFailure(decoded) || Result.isFailure(config)) return Result.fail(problems.error())
  return Result.succeed(expand(decoded.success, config.success, file, source, options.resolve ?? ((spec) => spec)))
}

/** Reads and decodes a file. Fails with `TaskFileInvalid` for anything that is wrong with it, the reading included. */
export const load = Effect.fnUntraced(function* <C = unknown>(file: string, options: Options<C> = {}) {
  const fs = yield* FileSystem.FileSystem
  const refuse = (found: string, expected: string, position?: Position) =>
    Effect.fail(new TaskFileInvalid({ file, problems: [{ ...position, path: "", found, expected }], more: 0 }))
  const unreadable = (error: PlatformError.PlatformError) => refuse(unreadableText(error), "a file that can be read")
  const info = yield* Effect.catch(fs.stat(file), unreadable)
  if (info.type !== "File") return yield* refuse(info.type === "Directory" ? "a directory" : "no regular file", "a YAML or JSON file")
  if (info.size > BigInt(maxBytes)) return yield* refuse(`${info.size} bytes`, `at most ${maxBytes}`)
  const bytes = yield* Effect.catch(fs.readFile(file), unreadable)
  const text = decodeUtf8(bytes)
  if (typeof text !== "string") return yield* refuse("bytes that are not UTF-8", "a text file in UTF-8", text)
  return yield* Effect.fromResult(decode(text, file, options))
})

/** What a decoded file says, as JSON: expanded, with every default; decoding it again gives the same. */
export const encode = <C = unknown>(
  taskFile: TaskFile<C>,
  options: Options<C> = {}
): { agents: unknown; tasks: unknown; config: unknown } => ({
  agents: Schema.encodeSync(Schema.Array(AgentSpec))(taskFile.agents),
  tasks: Schema.encodeSync(Schema.Array(TaskSpec))(taskFile.tasks),
  config: options.configSchema === undefined ? taskFile.config : Schema.encodeSync(options.configSchema)(taskFile.config)
})

/** SHA-256 of what a file says, hexadecimal: the same for another spelling of the same content, another for any change of it. */
export const digest = <C = unknown>(taskFile: TaskFile<C>, options: Options<C> = {}): string =>
  createHash("sha256")
    .update(canonical(encode(taskFile, options)))
    .digest("hex")

const fieldOf = (content: unknown, key: string): unknown =>
  typeof content === "object" && content !== null && Object.hasOwn(content, key) ? (content as Record<string, unknown>)[key] : undefined

/** JSON with its keys in order. */
const canonical = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null"
  const fields = Object.entries(value).filter(([, field]) => field !== undefined)
  return `{${fields
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, field]) => `${JSON.stringify(key)}:${canonical(field)}`)
    .join(",")}}`
}

const unreadableText = (error: PlatformError.PlatformError): string => {
  switch (error.reason._tag) {
    case "NotFound":
      return "no such file"
    case "PermissionDenied":
      return "a file that may not be read"
    default:
      return `a file that cannot be read (${error.reason._tag})`
  }
}

/** The text, or where it stops being UTF-8. */
const decodeUtf8 = (bytes: Uint8Array): string | Position => {
  const lenient = new TextDecoder("utf-8").decode(bytes)
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes)
    if (!text.includes("\0")) return text
  } catch {
    // The place is told below.
  }
  const before = lenient.slice(0, Math.max(0, lenient.search(/[\uFFFD\0]/))).split("\n")
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 }
}

const decodeWith = <A>(
  schema: Schema.Codec<A, unknown>,
  value: unknown,
  path: ValuePath,
  source: YamlSource.YamlSource,
  problems: Problems
): Result.Result<A, Schema.SchemaError> => {
  const decoded = Schema.decodeUnknownResult(schema)(value, { errors: "all", onExcessProperty: "error" })
  if (Result.isFailure(decoded)) report(decoded.failure.issue, value, path, source.locateKey, problems)
  return decoded
}

/** One agent for each of an entry's ids, absolute directories, and what the machine must have. */
const expand = <C>(
  content: typeof Content.Type,
  config: C,
  name: string,
  source: YamlSource.YamlSource,
  resolve: (spec: AgentSpec) => AgentSpec
): TaskFile<C> => {
  const file = NodePath.resolve(name)
  const home = NodePath.dirname(file)
  const needs: Array<Need> = []
  const need = (kind: Need["kind"], named: string | undefined, cwd: string, searchPath: string | undefined, path: ValuePath) => {
    // A template is filled in for each task; only then is it a program.
    if (named === undefined || named.includes("{{")) return
    needs.push({ kind, name: named, cwd, searchPath, path, position: source.locate(path) })
  }
  const directories = new Map<string, string>()
  const kinds = new Set<string>()
  const agents = content.agents.flatMap((entry: AgentEntry, index): ReadonlyArray<AgentSpec> => {
    const { count, ...spec } = entry
    const cwd = NodePath.resolve(home, spec.cwd ?? ".")
    need("directory", cwd, cwd, undefined, ["agents", index, spec.cwd === undefined ? "id" : "cwd"])
    need("program", resolve(spec).command[0], cwd, spec.env["PATH"], [
      "agents",
      index,
      ...(spec.command.length > 0 ? ["command", 0] : ["preset"])
    ])
    directories.set(spec.id, cwd)
    if (count === undefined) return [{ ...spec, cwd }]
    kinds.add(spec.id)
    return expandedIds(spec.id, count).map((id) => ({ ...spec, id, cwd, capabilities: [...spec.capabilities, kindCapability(entry.id)] }))
  })
  const tasks = content.tasks.map((task, index): TaskSpec => {
    need("program", task.verify?.[0], directories.get(task.agent ?? "") ?? home, undefined, ["tasks", index, "verify", 0])
    if (task.agent === undefined || !kinds.has(task.agent)) return task
    const { agent, ...rest } = task
    return { ...rest, capabilities: [...rest.capabilities, kindCapability(agent)] }
  })
  return { file, name, agents, tasks, config, needs }
}
