import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { delimiter, dirname, join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"

/** A boundary rule as biome.json switches it on: where it holds, and the plugin that states it. */
interface Boundary {
  readonly includes: ReadonlyArray<string>
  readonly plugins: readonly [string]
}

interface Report {
  readonly rule: string
  readonly path: string
}

const root = join(import.meta.dirname, "../..")
const config: { readonly overrides: ReadonlyArray<Partial<Boundary>> } = JSON.parse(await readFile(join(root, "biome.json"), "utf8"))
const boundaries = config.overrides.filter((override): override is Boundary => override.plugins !== undefined)
const ruleOf = (boundary: Boundary): string => boundary.plugins[0].replace(/^.*\/|\.grit$/g, "")
const exceptionsOf = (boundary: Boundary): ReadonlyArray<string> =>
  boundary.includes.flatMap((glob) => (/^![^*]+$/.test(glob) ? [glob.slice(1)] : []))

/** Lints a directory under these boundaries and answers what they report. */
const lint = async (directory: string, overrides: ReadonlyArray<Boundary>): Promise<ReadonlyArray<Report>> => {
  await cp(join(root, "lint"), join(directory, "lint"), { recursive: true })
  await writeFile(join(directory, "biome.json"), JSON.stringify({ overrides, linter: { rules: { preset: "none" } } }))
  const output = await new Promise<string>((resolve) => {
    const env = { ...process.env, PATH: `${join(root, "node_modules/.bin")}${delimiter}${process.env.PATH}` }
    const options = { cwd: directory, env, maxBuffer: 1 << 26 }
    execFile("biome", ["lint", "--reporter=json", "--max-diagnostics=none", "."], options, (_error, stdout) => resolve(stdout))
  })
  const { diagnostics }: { diagnostics: ReadonlyArray<{ message: string; location: { path: string } }> } = JSON.parse(output)
  return diagnostics.map((diagnostic) => {
    const rule = /\(lint\/([a-z-]+)\.grit\)/.exec(diagnostic.message)?.[1]
    if (rule === undefined) throw new Error(`not a boundary rule's report: ${diagnostic.message}`)
    return { rule, path: diagnostic.location.path }
  })
}

/** A file that a rule must report, or must let pass. */
const cases: ReadonlyArray<readonly [rule: string, path: string, code: string, reported: boolean]> = [
  ["clock", "src/task/A.ts", "export const at = Date.now()", true],
  ["clock", "src/task/A.ts", "export const at = new Date()", true],
  ["clock", "src/task/A.ts", "export const at = [1].map(Date.now)", true],
  ["clock", "src/task/A.ts", "export const at = (millis: number) => new Date(millis).toISOString()", false],
  ["clock", "src/task/A.ts", "setTimeout(() => {}, 1)", true],
  ["clock", "src/task/A.ts", "setInterval(() => {}, 1)", true],
  ["clock", "src/task/A.ts", "export const later = setImmediate", true],
  ["clock", "src/task/A.ts", 'import { setTimeout as wait } from "node:timers/promises"\nexport { wait }', true],
  ["clock", "src/task/A.ts", "export const at = performance.now()", true],
  ["clock", "src/task/A.ts", "export const chance = Math.random()", true],
  ["clock", "src/task/A.ts", "export const id = crypto.randomUUID()", true],
  ["clock", "src/task/A.ts", "// Date.now() and setTimeout() are not used\nexport const half = Math.floor(1 / 2)", false],
  ["clock", "src/task/A.ts", "export const waits = resetTimeouts()", false],
  ["clock", "test/A.ts", "export const at = Date.now()", false],
  ["process-globals", "src/task/A.ts", "export const home = process.env.HOME", true],
  ["process-globals", "src/task/A.ts", 'process.on("SIGTERM", () => {})', true],
  ["process-globals", "src/task/A.ts", "export const end = () => process.exit(1)", true],
  ["process-globals", "src/task/A.ts", 'console.log("hello")', true],
  ["process-globals", "src/task/A.ts", 'import { env } from "node:process"\nexport { env }', true],
  ["process-globals", "src/task/A.ts", 'export const watch = (process: ChildProcess) => process.once("exit", () => {})', false],
  ["process-globals", "src/task/A.ts", "export const start = (process: ChildProcess) => process.spawn(globals, process.env)", true],
  ["process-globals", "src/task/A.ts", "export const pid = (process: { readonly pid: number }) => process.pid", false],
  ["process-globals", "src/task/A.ts", "export const version = process.version", false],
  ["process-globals", "src/cli/main.ts", "process.exitCode = 1", false],
  ["editor-host", "extension/src/A.ts", "process.exit(0)", true],
  ["editor-host", "extension/src/A.ts", 'process.once("exit", () => {})', true],
  ["editor-host", "extension/src/A.ts", "export const system = process.platform", false],
  ["vscode", "extension/src/A.ts", 'import * as vscode from "vscode"\nexport { vscode }', true],
  ["vscode", "extension/src/A.ts", 'import { type Uri } from "vscode"\nexport type { Uri }', true],
  ["vscode", "extension/src/A.ts", 'export const load = () => import("vscode")', true],
  ["vscode", "extension/src/A.ts", '/** Why. */\nimport type * as vscode from "vscode"\nexport type { vscode }', false],
  ["vscode", "extension/src/A.ts", 'import type { Uri } from "vscode"\nexport type { Uri }', false],
  ["vscode", "extension/src/VsCode.ts", 'import * as vscode from "vscode"\nexport { vscode }', false],
  ["vscode", "src/task/A.ts", 'import * as vscode from "vscode"\nexport { vscode }', true],
  ["retry", "src/agent/A.ts", "export const again = Effect.retry(call, { times: 3 })", true],
  ["retry", "src/agent/A.ts", "export const again = call.pipe(Effect.retry({ times: 3 }))", true],
  ["retry", "src/agent/A.ts", "export const policy = Retry.make({ times: 3 })", false],
  ["unstable-effect", "src/agent/A.ts", 'import * as ChildProcess from "effect/process/ChildProcess"\nexport { ChildProcess }', true],
  ["unstable-effect", "src/agent/A.ts", 'import * as Redis from "effect/persistence/Redis"\nexport { Redis }', true],
  ["unstable-effect", "src/agent/A.ts", 'export const load = () => import("effect/sql/SqlClient")', true],
  ["unstable-effect", "src/agent/A.ts", 'export * from "effect/cluster/Entity"', true],
  ["unstable-effect", "src/agent/A.ts", 'import * as Effect from "effect/Effect"\nexport { Effect }', false],
  ["barrels", "src/agent/A.ts", 'import { Effect } from "effect"\nexport { Effect }', true],
  ["barrels", "src/agent/A.ts", 'import type { Effect } from "effect"\nexport type { Effect }', true],
  ["barrels", "src/agent/A.ts", 'import { TestClock } from "effect/testing"\nexport { TestClock }', true],
  ["barrels", "extension/src/A.ts", 'import { NodeServices } from "@effect/platform-node"\nexport { NodeServices }', true],
  ["barrels", "src/agent/A.ts", 'import * as TestClock from "effect/testing/TestClock"\nexport { TestClock }', false],
  ["barrels", "src/agent/A.ts", 'import * as NodeServices from "@effect/platform-node/NodeServices"\nexport { NodeServices }', false],
  ["reliability-layer", "src/reliability/A.ts", 'import { Fault } from "../agent/Fault.ts"\nexport { Fault }', true],
  ["reliability-layer", "src/reliability/A.ts", 'import * as Runtime from "../AgentRuntime.ts"\nexport { Runtime }', true],
  ["reliability-layer", "src/reliability/A.ts", 'import { readFileSync } from "node:fs"\nexport { readFileSync }', true],
  ["reliability-layer", "src/reliability/A.ts", 'export const load = () => import("../task/Task.ts")', true],
  [
    "reliability-layer",
    "src/reliability/A.ts",
    'import * as Monotonic from "../Monotonic.ts"\nimport * as Retry from "./Retry.ts"\nexport { Monotonic, Retry }',
    false
  ],
  ["reliability-layer", "src/agent/A.ts", 'import { readFileSync } from "node:fs"\nexport { readFileSync }', false],
  ["task-layer", "src/task/A.ts", 'import * as Host from "../host/Host.ts"\nexport { Host }', true],
  ["task-layer", "src/task/A.ts", 'import * as Runtime from "../AgentRuntime.ts"\nexport { Runtime }', true],
  ["task-layer", "src/task/A.ts", 'import { Fault } from "../agent/Fault.ts"\nexport { Fault }', false],
  ["program-layer", "src/host/A.ts", 'import * as Table from "../cli/Table.ts"\nexport { Table }', true],
  ["program-layer", "src/A.ts", 'import * as Agent from "./demo/agent.ts"\nexport { Agent }', true],
  ["program-layer", "extension/src/A.ts", 'import * as Table from "../../src/cli/Table.ts"\nexport { Table }', true],
  ["program-layer", "src/cli/A.ts", 'import * as Demo from "../demo/Demo.ts"\nexport { Demo }', false],
  ["program-layer", "src/host/A.ts", 'import { Task } from "../task/Task.ts"\nexport { Task }', false],
  ["node-sqlite", "src/store/A.ts", 'import { DatabaseSync } from "node:sqlite"\nexport { DatabaseSync }', true],
  ["node-sqlite", "src/store/A.ts", 'export const load = () => import("node:sqlite")', true],
  ["node-sqlite", "src/store/Sqlite.ts", 'import { DatabaseSync } from "node:sqlite"\nexport { DatabaseSync }', false],
  ["child-process", "src/cli/A.ts", 'import { spawn } from "node:child_process"\nexport { spawn }', true],
  ["child-process", "src/cli/A.ts", 'import { spawn } from "child_process"\nexport { spawn }', true],
  ["child-process", "src/cli/A.ts", 'import { createServer } from "node:http"\nexport { createServer }', false]
]

describe("boundary rules", () => {
  // Cases about one particular file keep its name; the others get one of their own, so that all are linted in one go.
  const named = new Set(boundaries.flatMap(exceptionsOf))
  const paths = cases.map(([, path], index) => (named.has(path) ? path : path.replace(/[^/]+$/, `${index}.ts`)))
  let directory: string
  let reports: ReadonlyArray<Report>

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "nofx-lint-"))
    for (const [index, path] of paths.entries()) {
      await mkdir(dirname(join(directory, path)), { recursive: true })
      await writeFile(join(directory, path), `${cases[index]?.[2]}\n`)
    }
    reports = await lint(directory, boundaries)
  })

  afterAll(() => rm(directory, { recursive: true }))

  for (const [index, [rule, path, code, reported]] of cases.entries()) {
    it(`${rule} ${reported ? "reports" : "lets pass"} ${JSON.stringify(code)} in ${path}`, () => {
      assert.strictEqual(
        reports.some((report) => report.rule === rule && report.path === paths[index]),
        reported
      )
    })
  }

  it("each have a case that they report and one that they let pass", () => {
    const shown = cases.map(([rule, , , reported]) => `${rule} ${reported}`)
    assert.includeMembers(
      shown,
      boundaries.flatMap((boundary) => [`${ruleOf(boundary)} true`, `${ruleOf(boundary)} false`])
    )
  })
})

describe("exceptions to the boundary rules", () => {
  it("name files that are there and need them", async () => {
    // A folder that is yet to be built has its exceptions already.
    const exceptions = boundaries.flatMap((boundary) =>
      exceptionsOf(boundary)
        .filter((path) => existsSync(join(root, dirname(path))))
        .map((path) => ({ rule: ruleOf(boundary), path }))
    )
    const directory = await mkdtemp(join(tmpdir(), "nofx-lint-"))
    try {
      for (const { path } of exceptions) await cp(join(root, path), join(directory, path))
      const everywhere = boundaries.map((boundary) => ({
        ...boundary,
        includes: boundary.includes.filter((glob) => !exceptionsOf(boundary).includes(glob.slice(1)))
      }))
      const reports = await lint(directory, everywhere)
      assert.includeDeepMembers([...reports], exceptions)
    } finally {
      await rm(directory, { recursive: true })
    }
  })
})
