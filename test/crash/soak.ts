/**
 * `npm run soak [-- --kills N --seed S]`: kills the real program at random moments, and checks that nothing is lost or done twice.
 *
 * With `--every-commit` it dies instead at each of its commits to the store once, right before it and right after it.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { parseArgs } from "node:util"
import * as Harness from "./processes/Harness.ts"

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "500" },
    seed: { type: "string", default: "1" },
    "every-commit": { type: "boolean", default: false }
  }
})
const directory = fs.mkdtempSync(path.join(os.tmpdir(), "nofx-soak-"))
const began = performance.now()
const seconds = (): number => Math.round((performance.now() - began) / 1_000)

if (values["every-commit"]) {
  console.log(`a death at every commit, in ${directory}`)
  let deaths = 0
  for (const before of [true, false]) {
    for (let commit = 1; ; commit++) {
      const own = path.join(directory, `${commit}-${before ? "before" : "after"}`)
      fs.mkdirSync(own)
      if (!(await Harness.diesAt(Harness.layOut(own), commit, before))) break
      fs.rmSync(own, { recursive: true })
      if (++deaths % 10 === 0) console.log(`${deaths} deaths`)
    }
  }
  console.log(`${deaths} deaths in ${seconds()} s: nothing lost, nothing done twice, no process left`)
} else {
  const kills = Number(values.kills)
  const seed = Number(values.seed)
  console.log(`${kills} kills, seed ${seed}, in ${directory}`)
  const sum = await Harness.soak(Harness.layOut(directory), { kills, seed, say: console.log })
  console.log(
    `${sum.kills} kills in ${seconds()} s: ${sum.batches} batches, ${sum.succeeded} tasks succeeded, ${sum.deadLettered} dead-lettered; nothing lost, nothing done twice, no process left`
  )
}
fs.rmSync(directory, { recursive: true })
