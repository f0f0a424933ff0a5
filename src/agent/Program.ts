/** Finds a program before anything is started, so that a missing one is told apart from one that failed. */
import * as Effect from "effect/Effect"
import { constants } from "node:fs"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { installOf } from "./AgentPresets.ts"
import type { Fault } from "./Fault.ts"

export type SpawnFailed = Extract<Fault, { readonly _tag: "SpawnFailed" }>

export const spawnFailed = (reason: string, detail: string): SpawnFailed => ({ _tag: "SpawnFailed", reason, detail })

/** Windows programs that only its command interpreter can run, from a string that nobody can quote safely. */
const scripts = /\.(cmd|bat)$/i

/**
 * The absolute path of a program, looked up as `execvp` does: in the `PATH` of its own environment, or from its working directory when its
 * name holds a slash.
 *
 * Fails, before anything was started, with reason `cwd` (the directory is missing), `not-found`, `not-executable`, or `script` (a
 * Windows batch file).
 */
export const resolve = Effect.fnUntraced(function* (
  program: string,
  cwd: string,
  env: Readonly<Record<string, string>>,
  platform: NodeJS.Platform
): Effect.fn.Return<string, SpawnFailed> {
  const isDirectory = yield* Effect.promise(() =>
    fs.stat(cwd).then(
      (stat) => stat.isDirectory(),
      () => false
    )
  )
  if (!isDirectory) return yield* Effect.fail(spawnFailed("cwd", `The working directory ${cwd} does not exist`))
  const windows = platform === "win32"
  const names = windows ? candidates(program, variable(env, "PATHEXT") ?? ".COM;.EXE;.BAT;.CMD") : [program]
  const direct = program.includes("/") || (windows && program.includes("\\"))
  const search = direct ? [""] : (variable(env, "PATH") ?? "").split(windows ? ";" : ":")
  let denied: string | undefined
  for (const folder of program === "" ? [] : search) {
    for (const name of names) {
      const file = path.resolve(cwd, folder, name)
      const found = yield* Effect.promise(() => look(file, windows))
      if (found === "ok") {
        if (!windows || !scripts.test(file)) return file
        return yield* Effect.fail(
          spawnFailed("script", `${program} is a batch file (${file}); name the program behind it, for example node and its script`)
        )
      }
      if (found === "denied") denied ??= file
    }
  }
  if (denied !== undefined) return yield* Effect.fail(spawnFailed("not-executable", `${denied} is not an executable file`))
  const where = direct ? `in ${cwd}` : "in PATH"
  const install = installOf(program)
  const remedy = install === undefined ? "" : `; it comes with ${install}`
  return yield* Effect.fail(spawnFailed("not-found", `The program "${program}" was not found ${where}${remedy}`))
})

const variable = (env: Readonly<Record<string, string>>, name: string): string | undefined =>
  env[name] ?? Object.entries(env).find(([key]) => key.toUpperCase() === name)?.[1]

const candidates = (program: string, extensions: string): ReadonlyArray<string> =>
  path.win32.extname(program) === "" ? extensions.split(";").map((extension) => program + extension.toLowerCase()) : [program]

const look = async (file: string, windows: boolean): Promise<"ok" | "denied" | "missing"> => {
  try {
    if (!(await fs.stat(file)).isFile()) return "denied"
    if (!windows) await fs.access(file, constants.X_OK)
    return "ok"
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EACCES" ? "denied" : "missing"
  }
}
