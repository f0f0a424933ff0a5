/**
 * Installs the real agents, by their own lock file, and runs their tests: `npm run test:agents`, followed by what vitest is to be told.
 *
 * After a change of `package.json` here: `npm install --package-lock-only --omit-lockfile-registry-resolved`, then
 * `node ../../scripts/complete-lock.ts`, both in this directory.
 */
import { join } from "node:path"
import * as OwnPackages from "../support/ownPackages.ts"

// No scripts of the agents: their programs come as they are.
OwnPackages.install(import.meta.dirname, "test:agents", "the real agents")
const root = join(import.meta.dirname, "..", "..")
process.exit(OwnPackages.run("npx", ["vitest", "run", "--project", "agents", ...process.argv.slice(2)], root) ? 0 : 1)
