/**
 * Installs the real agents and runs their tests: `node test/agents/run.ts`, which is `npm run agents`.
 *
 * Without a registry there is nothing to run: locally that is said and passes, in CI it fails.
 */
import { spawnSync } from "node:child_process"

const run = (program: string, args: ReadonlyArray<string>, cwd: string): boolean =>
  spawnSync(program, args, { cwd, stdio: "inherit", shell: process.platform === "win32" }).status === 0

const here = import.meta.dirname
// No scripts of the agents: their programs come as they are.
const installed = run("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], here)
if (!installed) {
  const why = "the real agents could not be installed"
  if (process.env["CI"] !== undefined && process.env["CI"] !== "") {
    console.error(`agents failed: ${why}`)
    process.exit(1)
  }
  console.warn(`agents SKIPPED: ${why}; nothing was tested`)
  process.exit(0)
}
process.exit(run("npx", ["vitest", "run", "--project", "agents", ...process.argv.slice(2)], `${here}/../..`) ? 0 : 1)
