/** `npm run soak [-- --kills N --seed S]`: kills the real program at random moments, and checks that nothing is lost or done twice. */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { parseArgs } from "node:util"
import * as Harness from "./processes/Harness.ts"

const { values } = parseArgs({ options: { kills: { type: "string", default: "500" }, seed: { type: "string", default: "1" } } })
const kills = Number(values.kills)
const seed = Number(values.seed)
const directory = fs.mkdtempSync(path.join(os.tmpdir(), "nofx-soak-"))
console.log(`${kills} kills, seed ${seed}, in ${directory}`)
const began = performance.now()
const sum = await Harness.soak(Harness.layOut(directory), { kills, seed, say: console.log })
const seconds = Math.round((performance.now() - began) / 1_000)
console.log(
  `${sum.kills} kills in ${seconds} s: ${sum.batches} batches, ${sum.succeeded} tasks succeeded, ${sum.deadLettered} dead-lettered; nothing lost, nothing done twice, no process left`
)
fs.rmSync(directory, { recursive: true })
