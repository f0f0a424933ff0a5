/** Packages that a single suite needs: installed by a lock file of its own, when it is run for the first time. */
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"

/** Runs a program where its output is seen. Answers whether it ended well. */
export const run = (program: string, args: ReadonlyArray<string>, cwd: string): boolean =>
  spawnSync(program, args, { cwd, stdio: "inherit", shell: process.platform === "win32" }).status === 0

/**
 * Installs what the lock file in this directory names, without the packages' scripts. Where that cannot be done there is nothing to test:
 * locally this is said and passes, in CI it fails.
 */
export const install = (directory: string, suite: string, what: string): void => {
  const lock = readFileSync(join(directory, "package-lock.json"), "utf8")
  const stamp = join(directory, "node_modules", ".installed-lock.json")
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === lock) return
  if (!run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], directory)) {
    const why = `${what} could not be installed`
    if (process.env["CI"] !== undefined && process.env["CI"] !== "") {
      console.error(`${suite} failed: ${why}`)
      process.exit(1)
    }
    console.warn(`${suite} SKIPPED: ${why}; nothing was tested`)
    process.exit(0)
  }
  writeFileSync(stamp, lock)
}
