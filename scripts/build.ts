/**
 * Builds the package that is published into `dist/`: one JavaScript module and one declaration for each module of `src/`, under the same
 * paths, with a manifest of its own (the development Node and everything else that only development needs stay out of it).
 */
import { spawnSync } from "node:child_process"
import { chmodSync, cpSync, rmSync, writeFileSync } from "node:fs"
import manifest from "../package.json" with { type: "json" }

rmSync("dist", { recursive: true, force: true })
const compiled = spawnSync("tsc", ["--project", "tsconfig.build.json"], { stdio: "inherit", shell: process.platform === "win32" })
if (compiled.status !== 0) process.exit(1)

cpSync("src", "dist", { recursive: true, filter: (path) => !path.endsWith(".ts") })
for (const file of ["README.md", "LICENSE", "CHANGELOG.md"]) cpSync(file, `dist/${file}`)

const program = manifest.bin.nofx.replace(/^\.\/src\/(.*)\.ts$/, "$1.js")
chmodSync(`dist/${program}`, 0o755)

const { name, version, description, license, type, engines, dependencies } = manifest
const published = {
  name,
  version,
  description,
  license,
  type,
  bin: { nofx: program },
  exports: {
    "./package.json": "./package.json",
    "./taskfile.schema.json": "./task/taskfile.schema.json",
    "./*": { types: "./*.d.ts", default: "./*.js" }
  },
  engines,
  dependencies
}
writeFileSync("dist/package.json", `${JSON.stringify(published, null, 2)}\n`)
