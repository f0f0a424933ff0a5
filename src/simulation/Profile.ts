/** A profile: a workload and a fault model under one name. Four are built in; anybody can write one in YAML. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { RuntimeConfig } from "../RuntimeConfig.ts"
import { report } from "../task/SchemaProblems.ts"
import { makeProblems, TaskFileInvalid } from "../task/TaskFileInvalid.ts"
import * as YamlSource from "../task/YamlSource.ts"
import { FaultModel } from "./FaultModel.ts"
import { names, profiles, type Name } from "./profiles.ts"
import { Workload } from "./Workload.ts"

export const Profile = Schema.Struct({
  /** One sentence for people. */
  description: Schema.String.pipe(Schema.withDecodingDefault(Effect.succeed(""))),
  workload: Workload,
  faults: FaultModel,
  /** The runtime's configuration, as in a task file; a simulation may be given another one. */
  config: RuntimeConfig.pipe(Schema.withDecodingDefault(Effect.succeed({})))
})
export type Profile = typeof Profile.Type

/** A built-in profile. */
export const builtIn = (name: Name): Profile => decodeBuiltIn(profiles[name])

export const isName = (text: string): text is Name => Object.hasOwn(profiles, text)

/**
 * Decodes a profile's text; `file` is its name, for messages. What it does not say it has from the built-in profile that `extends` names; without
 * one, faults that it does not name do not happen. `null` takes a fault out. Fails with every problem, each with line and path.
 */
export const decode = (text: string, file: string): Result.Result<Profile, TaskFileInvalid> => {
  const source = YamlSource.read(text)
  const problems = makeProblems(file, source.locate)
  const content = source.value(problems)
  if (content === undefined) return Result.fail(problems.error())
  let value: unknown = content
  if (isMap(content) && "extends" in content) {
    const { extends: base, ...own } = content
    if (typeof base === "string" && isName(base)) value = merged(profiles[base], own)
    else problems.add(["extends"], () => ({ found: JSON.stringify(base), expected: names.join(" | ") }))
  }
  const decoded = Schema.decodeUnknownResult(Profile)(value, { errors: "all", onExcessProperty: "error" })
  if (Result.isFailure(decoded)) report(decoded.failure.issue, value, [], source.locateKey, problems)
  return Result.isFailure(decoded) || !problems.isEmpty() ? Result.fail(problems.error()) : Result.succeed(decoded.success)
}

/** Where a profile comes from: a built-in one by its name, or a file's name and text. */
export interface Source {
  readonly name: string
  readonly text: string | undefined
}

/** The source of a profile that is named, or lies in a file. Fails with `TaskFileInvalid` when there is no such thing. */
export const read = Effect.fnUntraced(function* (nameOrFile: string) {
  if (isName(nameOrFile)) return { name: nameOrFile, text: undefined } satisfies Source
  const fs = yield* FileSystem.FileSystem
  const text = yield* Effect.mapError(
    fs.readFileString(nameOrFile),
    () =>
      new TaskFileInvalid({
        file: nameOrFile,
        problems: [{ path: "", found: "no file that can be read", expected: `a profile in YAML, or one of ${names.join(", ")}` }],
        more: 0
      })
  )
  return { name: nameOrFile, text } satisfies Source
})

/** The profile of a source. Fails like `decode`. */
export const fromSource = ({ name, text }: Source): Result.Result<Profile, TaskFileInvalid> =>
  text === undefined && isName(name) ? Result.succeed(builtIn(name)) : decode(text ?? "", name)

/** A profile by name, or from a file. Fails with `TaskFileInvalid` for anything that is wrong with it. */
export const load = Effect.fnUntraced(function* (nameOrFile: string) {
  return yield* Effect.fromResult(fromSource(yield* read(nameOrFile)))
})

const decodeBuiltIn = Schema.decodeUnknownSync(Profile, { onExcessProperty: "error" })

const isMap = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value)

/** Maps are merged, everything else is replaced, null takes out. */
const merged = (base: unknown, over: unknown): unknown => {
  if (!isMap(base) || !isMap(over)) return over
  const result: Record<string, unknown> = { ...base }
  for (const [key, value] of Object.entries(over)) {
    if (value === null) delete result[key]
    else result[key] = Object.hasOwn(base, key) ? merged(base[key], value) : value
  }
  return result
}
