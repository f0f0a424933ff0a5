/**
 * Looks for a world in which the runtime breaks a promise: many seeds, random profiles, random configuration, on every processor.
 *
 *     npm run fuzz:sim -- [SEEDS] [FIRST] [DAYS]
 *
 * A world that breaks one is made as small as it can be, written to a file, and told as the command that shows it again. Default: 200 seeds from 1,
 * 7 days each. Interrupted, it can go on: it says with which seed.
 */
import { writeFileSync } from "node:fs"
import { availableParallelism, tmpdir } from "node:os"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Fuzz from "../test/simulation/fuzz.ts"

const [seeds = 200, first = 1, days = 7] = process.argv.slice(2).map(Number)
if (![seeds, first].every(Number.isInteger) || seeds < 1 || !(days > 0)) {
  console.error("usage: npm run fuzz:sim -- [SEEDS] [FIRST] [DAYS], all numbers")
  process.exit(2)
}

const worlds = Array.from({ length: seeds }, (_, index) => Fuzz.generate(first + index, days))
const step = Math.max(1, Math.min(100, Math.floor(seeds / 10)))
let told = 0
let broken: { readonly world: Fuzz.Case; readonly found: ReadonlyArray<string> } | undefined
console.log(`${seeds} worlds of ${days} days, seeds ${first} to ${first + seeds - 1}, ${availableParallelism()} at once`)

const program = Effect.gen(function* () {
  yield* Fuzz.search(worlds, availableParallelism(), {
    onBroken: (world, found) => {
      broken = { world, found }
    },
    onDone: (done) => {
      if (done < told + step && done < seeds) return
      if (done === told) return
      told = done
      console.log(`${done} of ${seeds} worlds are sound${done < seeds ? `; the next seed is ${first + done}` : ""}`)
    }
  })
  if (broken === undefined) return
  const { found, world } = broken
  console.log(`seed ${world.seed} breaks ${found.length} promises:\n  ${found.slice(0, 5).join("\n  ")}\nmaking it smaller ...`)
  const small = yield* Fuzz.shrink(world)
  const file = path.join(tmpdir(), `nofx-fuzz-${world.seed}.yaml`)
  writeFileSync(file, `${JSON.stringify(small.profile, null, 2)}\n`)
  console.log(`  ${(yield* Fuzz.broken(small)).slice(0, 5).join("\n  ")}\n${Fuzz.commandLine(small, file)}`)
  process.exitCode = 1
})

await Effect.runPromise(program)
