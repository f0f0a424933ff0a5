/** Has something worked in a folder before? The entry asks this in every window, so it is answered without Effect, by a look at a few files. */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as StatePath from "../../src/store/StatePath.ts"

/** Any of these is in the state directory of a folder whose host has run. */
const traces = ["host.json", "owner.json", "host-settings.json"]

/** `stateDirectory` as the user set it. False also where the folder cannot be read: nothing is to be gone on with there. */
export const isIn = (directory: string, stateDirectory: string | undefined): boolean => {
  try {
    const state = StatePath.locate({ platform: process.platform, env: process.env, home: os.homedir() }, directory, stateDirectory)
    return traces.some((name) => fs.existsSync(path.join(state, name)))
  } catch {
    return false
  }
}
