import { execFile } from "node:child_process"
import { readFile } from "node:fs/promises"
import { builtinModules } from "node:module"
import { join } from "node:path"
import { promisify } from "node:util"
import { assert, beforeAll, describe, it } from "vitest"

const root = join(import.meta.dirname, "../..")
const kilobyte = 1_000

/** Budgets of what the VSIX carries, minified. What is loaded at activation comes first; the page has the chart library in it. */
const budgets = { "extension.cjs": 400, "seldom.cjs": 400, "host.cjs": 1_500, "dashboard.js": 80 }

describe("the bundles of the editor's extension", () => {
  const texts = new Map<string, string>()

  beforeAll(async () => {
    await promisify(execFile)(process.execPath, ["scripts/bundle-extension.ts"], { cwd: root })
    for (const name of Object.keys(budgets)) texts.set(name, await readFile(join(root, "extension/dist", name), "utf8"))
  })

  for (const [name, budget] of Object.entries(budgets)) {
    it(`C63 ${name} keeps to its budget`, () => {
      assert.isAtMost(Buffer.byteLength(texts.get(name)!), budget * kilobyte)
    })
  }

  it("C63 are whole: they ask for nothing but the editor and what comes with Node", () => {
    for (const name of ["extension.cjs", "seldom.cjs"]) {
      const asked = [...texts.get(name)!.matchAll(/\brequire\("([^"]+)"\)/g)].map((match) => match[1]!)
      const foreign = asked.filter((module) => !module.startsWith("node:") && !builtinModules.includes(module))
      assert.deepStrictEqual([...new Set(foreign)], name === "extension.cjs" ? ["vscode"] : [], name)
    }
  })

  it("C42 the part inside the extension host neither listens for signals nor ends the process", () => {
    for (const name of ["extension.cjs", "seldom.cjs"]) {
      assert.notMatch(texts.get(name)!, /\bprocess\.(?:exit|abort)\(|\bprocess\.(?:on|once)\("SIG/, name)
    }
  })
})
