import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { Result } from "effect"
import { assert, describe, it } from "vitest"

import { RuntimeConfig } from "../../src/RuntimeConfig.ts"
import * as TaskFile from "../../src/task/TaskFile.ts"

const readme = fs.readFileSync("README.md", "utf8")

describe("the README's examples", () => {
  for (const [name, lines] of [
    ["services", 20],
    ["promises", 10]
  ] as const) {
    it(`shows ${name}.ts word for word, and it does what it says`, () => {
      const file = `test/examples/${name}.ts`
      const source = fs.readFileSync(file, "utf8").trim()
      assert.isTrue(readme.includes(`\`\`\`ts\n${source}\n\`\`\``), `README.md does not show ${file} as it is`)
      assert.isAtMost(source.split("\n").length, lines)
      assert.match(execFileSync(process.execPath, [file], { encoding: "utf8" }), /^succeeded v\d+\./)
    })
  }

  it("shows a task file that is valid", () => {
    for (const [, text] of readme.matchAll(/```yaml\n([\s\S]*?)```/g)) {
      const decoded = TaskFile.decode(text!, "nofx.yaml", { configSchema: RuntimeConfig })
      assert.isTrue(Result.isSuccess(decoded), Result.isFailure(decoded) ? decoded.failure.message : "")
    }
  })

  it("names only scripts and commands that there are", () => {
    const { scripts } = JSON.parse(fs.readFileSync("package.json", "utf8")) as { scripts: Record<string, string> }
    for (const [, script] of readme.matchAll(/npm run (?:-s )?([a-z0-9:]+)/g)) assert.property(scripts, script!)
  })
})
