/** What the command line reads of the machine it runs on. */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import type { ProgramSearch } from "../task/TaskFilePrograms.ts"

const variable = (name: string): Config.Config<string> => Config.String(name).pipe(Config.withDefault(""))

/** How programs are found. Windows says `Path`, and has endings that make a program. */
export const programSearch: Effect.Effect<ProgramSearch> = Effect.gen(function* () {
  const path = (yield* variable("PATH")) || (yield* variable("Path"))
  const extensions = (yield* variable("PATHEXT")).split(";").filter((ending) => ending !== "")
  return { path, extensions }
}).pipe(Effect.orDie)
