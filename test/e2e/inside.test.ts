import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { build } from "esbuild"
import { afterAll, assert, beforeAll, it } from "vitest"
import { Browser, demoAgent, inEditor, Vsc } from "./harness.ts"
import { checks, type Given } from "./inside/checks.ts"

inEditor("inside the extension host of a real VS Code", () => {
  const scratch = mkdtempSync(join(tmpdir(), "nofx-inside-"))
  let vsc: Vsc
  let browser: Browser
  let report: Readonly<Record<string, string | null>>

  beforeAll(async () => {
    const program = join(scratch, "run.cjs")
    const reportFile = join(scratch, "report.json")
    await build({
      entryPoints: [join(import.meta.dirname, "inside/run.ts")],
      bundle: true,
      platform: "node",
      format: "cjs",
      target: "node22",
      external: ["vscode"],
      outfile: program
    })
    const env: Record<string, string> = { INSIDE_REPORT: reportFile }
    vsc = new Vsc({ env })
    const given: Given = { folder: vsc.folder, home: vsc.home, agent: demoAgent, turns: 600 }
    env["INSIDE_GIVEN"] = JSON.stringify(given)
    ;[browser] = await Promise.all([Browser.start(), vsc.start("--enable-smoke-test-driver")])
    await browser.testWindow(vsc, program)
    report = JSON.parse(readFileSync(reportFile, "utf8"))
  })
  afterAll(async () => {
    await browser?.close()
    await vsc?.stop()
    await vsc?.remove()
    rmSync(scratch, { recursive: true, force: true })
  })

  for (const name of Object.keys(checks)) it(name, () => assert.isNull(report[name]))
})
