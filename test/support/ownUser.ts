/** Each test file is a user of its own: what the user's runtimes share, and their state directories, are not those of the machine's user. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll } from "vitest"

const home = mkdtempSync(join(tmpdir(), "nofx-user-"))
process.env.XDG_STATE_HOME = home
afterAll(() => rmSync(home, { recursive: true, force: true }))
