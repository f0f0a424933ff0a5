import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { assert, describe, it } from "vitest"

const readme = fs.readFileSync("README.md", "utf8")

describe("the README's examples", () => {
  for (const [name, lines] of [
    ["services", 25],
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

  it("names only scripts and commands that there are", () => {
    const { scripts } = JSON.parse(fs.readFileSync("package.json", "utf8")) as { scripts: Record<string, string> }
    for (const [, script] of readme.matchAll(/npm run (?:-s )?([a-z:]+)/g)) assert.property(scripts, script!)
  })
})
