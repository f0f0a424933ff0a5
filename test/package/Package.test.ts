import { execFile } from "node:child_process"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import manifest from "../../package.json" with { type: "json" }

const root = join(import.meta.dirname, "../..")
const run = promisify(execFile)

describe("the packed package, installed somewhere else", () => {
  let directory: string
  const here = (program: string, ...args: ReadonlyArray<string>) => run(program, args, { cwd: directory })

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "nofx-package-"))
    await run("npm", ["run", "-s", "build"], { cwd: root })
    await run("npm", ["pack", "--pack-destination", directory], { cwd: join(root, "dist") })
    await writeFile(join(directory, "package.json"), JSON.stringify({ name: "consumer", private: true, type: "module" }))
    await here("npm", "install", "--no-audit", "--no-fund", "--fetch-retries=1", `./nofx-${manifest.version}.tgz`)
  })

  afterAll(() => rm(directory, { recursive: true }))

  it("brings the command and its version", async () => {
    const { stdout } = await here("npx", "nofx", "--version")
    assert.include(stdout, manifest.version)
  })

  it("validates a task file", async () => {
    const file = {
      agents: [{ id: "checks", driver: "command", command: ["true"] }],
      tasks: [{ id: "one", prompt: "Nothing", agent: "checks" }]
    }
    await writeFile(join(directory, "tasks.json"), JSON.stringify(file))
    await here("npx", "nofx", "validate", "tasks.json")
  })

  it("brings neither the development Node nor anything else that only development needs", async () => {
    const packed = JSON.parse(await readFile(join(directory, "node_modules/nofx/package.json"), "utf8"))
    assert.hasAllKeys(packed, ["name", "version", "description", "license", "type", "bin", "exports", "engines", "dependencies"])
    const { stdout } = await here("npm", "ls", "--all", "--parseable")
    assert.notMatch(stdout, /node_modules\/node-(linux|win|darwin)/)
  })

  it("has modules and types under the paths of the sources", async () => {
    await writeFile(
      join(directory, "use.ts"),
      'import * as Task from "nofx/task/Task"\nimport schema from "nofx/taskfile.schema.json" with { type: "json" }\nexport const uses: [typeof Task.Task, object] = [Task.Task, schema]\n'
    )
    const options = [
      "--module",
      "nodenext",
      "--target",
      "es2024",
      "--lib",
      "es2024,esnext.disposable,dom,dom.iterable",
      "--strict",
      "--outDir",
      "out",
      "use.ts"
    ]
    await here(join(root, "node_modules/.bin/tsc"), "--ignoreConfig", "--resolveJsonModule", "--types", "", ...options)
    await here("node", "out/use.js")
  })
})
