/** Prints the hash of a simulation's event log: for a test that runs it in a process of its own. Arguments: seed, days, agents. */
import * as Effect from "effect/Effect"
import * as Simulation from "../../src/simulation/Simulation.ts"

const [seed = 1, days = 1, agents = 4] = process.argv.slice(2).map(Number)
const result = await Effect.runPromise(Simulation.run({ profile: "stormy", seed, days, agents }))
process.stdout.write(result.eventLogSha256)
