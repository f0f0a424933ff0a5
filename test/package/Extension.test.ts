import { execFile } from "node:child_process"
import { readFile } from "node:fs/promises"
import { builtinModules } from "node:module"
import { join } from "node:path"
import { promisify } from "node:util"
import { build } from "esbuild"
import { assert, beforeAll, describe, it } from "vitest"

const root = join(import.meta.dirname, "../..")
const kilobyte = 1_000

/** What every window loads, and what it loads when it is needed. */
const inEditor = ["extension.cjs", "shell.cjs", "seldom.cjs"] as const
/** Budgets of what the VSIX carries, minified, in kilobytes. The entry and the shell have 400 together; the page has the chart library in it. */
const budgets = { "extension.cjs": 10, "shell.cjs": 390, "seldom.cjs": 400, "host.cjs": 1_500, "dashboard.js": 80 }

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
    for (const name of inEditor) {
      const asked = [...texts.get(name)!.matchAll(/\brequire\("([^"]+)"\)/g)].map((match) => match[1]!)
      const foreign = asked.filter((module) => !module.startsWith("node:") && !builtinModules.includes(module))
      assert.deepStrictEqual([...new Set(foreign)], name === "extension.cjs" ? ["vscode"] : [], name)
    }
  })

  it("C42 the entry brings along nothing of Effect: what every window loads are a few modules of our own", async () => {
    const { metafile } = await build({
      entryPoints: [join(root, "extension/src/extension.ts")],
      bundle: true,
      platform: "node",
      external: ["vscode"],
      write: false,
      metafile: true,
      absWorkingDir: root
    })
    const loaded = Object.keys(metafile.inputs)
    assert.include(loaded, "extension/src/StandIns.ts")
    assert.deepStrictEqual(
      loaded.filter((file) => !/^(?:extension\/src|src\/store)\//.test(file)),
      []
    )
  })

  it("C42 the part inside the extension host neither listens for signals nor ends the process", () => {
    for (const name of inEditor) {
      assert.notMatch(texts.get(name)!, /\bprocess\.(?:exit|abort)\(|\bprocess\.(?:on|once)\("SIG/, name)
    }
  })
})
