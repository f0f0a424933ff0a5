/** What the command line knows of the machine and the terminal it runs on. Set once, by the entry point. */
import * as os from "node:os"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { Place } from "../store/StateDirectory.ts"
import type { ProgramSearch } from "../task/TaskFilePrograms.ts"

export interface Machine {
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  readonly platform: NodeJS.Platform
  /** The Node that runs this program. */
  readonly node: string
  /** How this program was called, for the commands that it tells the user to type. */
  readonly invocation: string
  /** Processors that this program may use. Count, at least 1. */
  readonly processors: number
  /** Standard output, when it is a terminal. */
  readonly terminal: { readonly columns: () => number; readonly rows: () => number; readonly colours: boolean } | undefined
  readonly write: (text: string) => void
  /** Standard input, when it is a terminal: calls back with each line that is typed. Returns how to stop reading. */
  readonly input: { readonly onLine: (listener: (line: string) => void) => () => void } | undefined
  /**
   * Calls back for each signal that asks the program to end, with how many there were, instead of interrupting it. Returns how to stop listening.
   */
  readonly onSignal: (listener: (count: number) => void) => () => void
}

export const Machine = Context.Reference<Machine>("nofx/cli/Machine", {
  defaultValue: () => ({
    env: {},
    cwd: ".",
    platform: "linux",
    node: "node",
    invocation: "nofx",
    processors: 1,
    terminal: undefined,
    write: () => {},
    input: undefined,
    onSignal: () => () => {}
  })
})

/** How programs are found. Windows says `Path`, and has endings that make a program. */
export const programSearch: Effect.Effect<ProgramSearch> = Effect.map(Machine, ({ env }) => ({
  path: env["PATH"] ?? env["Path"] ?? "",
  extensions: (env["PATHEXT"] ?? "").split(";").filter((ending) => ending !== "")
}))

/** Where state directories are looked for. */
export const place: Effect.Effect<Place> = Effect.map(Machine, ({ env, platform }) => ({
  platform,
  env,
  home: env["HOME"] ?? os.homedir()
}))
