/**
 * Installs the real agents, by their own lock file, and runs their tests: `npm run test:agents`, followed by what vitest is to be told.
 *
 * Without a registry there is nothing to run: locally that is said and passes, in CI it fails.
 *
 * After a change of `package.json` here: `npm install --package-lock-only --omit-lockfile-registry-resolved`, then
 * `node ../../scripts/complete-lock.ts`, both in this directory.
 */
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"

const here = import.meta.dirname
const lock = readFileSync(join(here, "package-lock.json"), "utf8")
const stamp = join(here, "node_modules", ".installed-lock.json")

const run = (program: string, args: ReadonlyArray<string>, cwd: string): boolean =>
  spawnSync(program, args, { cwd, stdio: "inherit", shell: process.platform === "win32" }).status === 0

if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== lock) {
  // No scripts of the agents: their programs come as they are.
  if (!run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], here)) {
    const why = "the real agents could not be installed"
    if (process.env["CI"] !== undefined && process.env["CI"] !== "") {
      console.error(`test:agents failed: ${why}`)
      process.exit(1)
    }
    console.warn(`test:agents SKIPPED: ${why}; nothing was tested`)
    process.exit(0)
  }
  writeFileSync(stamp, lock)
}
process.exit(run("npx", ["vitest", "run", "--project", "agents", ...process.argv.slice(2)], join(here, "..", "..")) ? 0 : 1)
