/** Does this machine have what a task file names: programs that can be run, directories that exist. */
import * as NodePath from "node:path"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { installOf } from "../agent/AgentPresets.ts"
import { formatPath, maxProblems, quote, TaskFileInvalid } from "./TaskFileInvalid.ts"
import type { Need, TaskFile } from "./TaskFile.ts"

/** How this machine finds programs. */
export interface ProgramSearch {
  /** The value of `PATH`. */
  readonly path: string
  /** Endings that make a file a program, from `PATHEXT`; on POSIX none, there the file's mode decides. */
  readonly extensions: ReadonlyArray<string>
}

/**
 * Fails with `TaskFileInvalid`, which names every program that is not found and every directory that does not exist, where the file names it.
 * To be asked before anything of the file is started. Programs whose name is a template are not looked for.
 */
export const programsExist = Effect.fnUntraced(function* (taskFile: TaskFile<unknown>, search: ProgramSearch) {
  const missing: Array<Need> = []
  const known = new Map<string, boolean>()
  for (const need of taskFile.needs) {
    const key = JSON.stringify([need.kind, need.name, need.searchPath, need.kind === "program" && isBare(need.name) ? "" : need.cwd])
    const found = known.get(key) ?? (yield* exists(need, search))
    known.set(key, found)
    if (!found) missing.push(need)
  }
  if (missing.length === 0) return
  const problems = missing.slice(0, maxProblems).map((need) => ({
    ...need.position,
    path: formatPath(need.path),
    found:
      need.kind === "program"
        ? `the program ${quote(need.name)}, which is not there`
        : `the directory ${quote(need.name)}, which is not there`,
    expected:
      need.kind === "directory"
        ? "a directory that exists"
        : isBare(need.name)
          ? `a program that is installed and on the PATH${installation(need.name)}`
          : "a program that exists and may be run"
  }))
  return yield* new TaskFileInvalid({ file: taskFile.name, problems, more: missing.length - problems.length })
})

/** The file that a program's name stands for, or undefined when there is none that may be run. */
export const findProgram = Effect.fnUntraced(function* (name: string, cwd: string, search: ProgramSearch) {
  const directories = isBare(name) ? search.path.split(NodePath.delimiter).map((directory) => NodePath.resolve(cwd, directory)) : [cwd]
  const endings = search.extensions.length === 0 ? [""] : ["", ...search.extensions]
  for (const directory of directories) {
    for (const ending of endings) {
      const file = NodePath.resolve(directory, `${name}${ending}`)
      if (yield* isProgram(file, search)) return file
    }
  }
  return undefined
})

const installation = (program: string): string => {
  const command = installOf(program)
  return command === undefined ? "" : ` (${command})`
}

/** A name without a directory: the system looks for it along the `PATH`. */
const isBare = (name: string): boolean => !/[/\\]/.test(name)

const exists = Effect.fnUntraced(function* (need: Need, search: ProgramSearch) {
  const fs = yield* FileSystem.FileSystem
  if (need.kind === "directory") {
    const info = yield* Effect.option(fs.stat(need.name))
    return info._tag === "Some" && info.value.type === "Directory"
  }
  const found = yield* findProgram(need.name, need.cwd, { ...search, path: need.searchPath ?? search.path })
  return found !== undefined
})

const isProgram = Effect.fnUntraced(function* (file: string, search: ProgramSearch) {
  const fs = yield* FileSystem.FileSystem
  const info = yield* Effect.option(fs.stat(file))
  if (info._tag === "None" || info.value.type !== "File") return false
  if (search.extensions.length > 0) return search.extensions.some((ending) => file.toLowerCase().endsWith(ending.toLowerCase()))
  return (info.value.mode & 0o111) !== 0
})
