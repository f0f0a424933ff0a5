/**
 * Looks for a world in which the runtime breaks a promise: many seeds, random profiles, random configuration.
 *
 *     npm run fuzz:sim -- [SEEDS] [FIRST] [DAYS]
 *
 * A world that breaks one is made as small as it can be, written to a file, and told as the command that shows it again. Default: 200 seeds from 1,
 * 7 days each.
 */
import { writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Fuzz from "../test/simulation/fuzz.ts"

const [seeds = 200, first = 1, days = 7] = process.argv.slice(2).map(Number)

const program = Effect.gen(function* () {
  for (let seed = first; seed < first + seeds; seed++) {
    const world = Fuzz.generate(seed, days)
    const found = yield* Fuzz.broken(world)
    if (found.length === 0) {
      if ((seed - first + 1) % 10 === 0) console.log(`${seed - first + 1} of ${seeds} worlds are sound`)
      continue
    }
    console.log(`seed ${seed} breaks ${found.length} promises:\n  ${found.slice(0, 5).join("\n  ")}\nmaking it smaller ...`)
    const small = yield* Fuzz.shrink(world)
    const file = path.join(tmpdir(), `nofx-fuzz-${seed}.yaml`)
    writeFileSync(file, `${JSON.stringify(small.profile, null, 2)}\n`)
    console.log(`  ${(yield* Fuzz.broken(small)).slice(0, 5).join("\n  ")}\n${Fuzz.commandLine(small, file)}`)
    process.exitCode = 1
    return
  }
})

await Effect.runPromise(program)
