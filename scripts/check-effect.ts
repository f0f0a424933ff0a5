/**
 * The language service's Effect diagnostics (floating effects, missing `yield*`, clocks and timers past the runtime ...), warnings included.
 *
 * Its checker is one program per platform. Where that is not to be had, the check is left out and says so.
 */
import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"

const checker = `node_modules/@effect/tsgo-${process.platform}-${process.arch}`
if (existsSync(checker)) {
  const run = spawnSync(
    "effect-tsgo",
    ["diagnostics", "--project", "tsconfig.json", "--format", "text", "--severity", "error,warning", "--strict"],
    {
      stdio: "inherit",
      shell: process.platform === "win32"
    }
  )
  if (run.error !== undefined) throw run.error
  process.exitCode = run.status ?? 1
} else {
  console.warn(`SKIPPED: Effect diagnostics, since ${checker} is not installed.`)
}
