/** The files of the demo's small repository: a library with gaps and bugs, and the tests that find them. */

const test = (name: string, ...lines: ReadonlyArray<string>): string =>
  [
    'import assert from "node:assert/strict"',
    'import { existsSync, readFileSync } from "node:fs"',
    'import { test } from "node:test"',
    "",
    'const read = (path) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8")',
    "const exists = (path) => existsSync(new URL(`../${path}`, import.meta.url))",
    "",
    `test(${JSON.stringify(name)}, async () => {`,
    ...lines.map((line) => `  ${line}`),
    "})",
    ""
  ].join("\n")

/** Content by path. */
export const demoFiles: Readonly<Record<string, string>> = {
  "package.json": `${JSON.stringify({ name: "demo-library", version: "1.0.0", private: true, type: "module", scripts: { test: "node --test" } }, undefined, 2)}\n`,
  "README.md": "# demo-library\n",
  "src/median.js": [
    "export const median = (numbers) => {",
    "  const sorted = numbers.toSorted((a, b) => a - b)",
    "  const middle = Math.floor(sorted.length / 2)",
    "  return sorted[middle]",
    "}",
    ""
  ].join("\n"),
  "src/words.js": 'export const wordCount = (text) => text.split(" ").length\n',
  "test/slugify.test.js": test(
    "slugify joins lower case words with dashes",
    'const { slugify } = await import("../src/slugify.js")',
    'assert.equal(slugify("  Hello, World 2 "), "hello-world-2")'
  ),
  "test/median.test.js": test(
    "median of odd and even lists",
    'const { median } = await import("../src/median.js")',
    "assert.equal(median([3, 1, 2]), 2)",
    "assert.equal(median([4, 1, 3, 2]), 2.5)"
  ),
  "test/duration.test.js": test(
    "parseDuration gives seconds",
    'const { parseDuration } = await import("../src/duration.js")',
    'assert.deepEqual(["5s", "5m", "2h"].map(parseDuration), [5, 300, 7200])'
  ),
  "test/words.test.js": test(
    "wordCount counts words, not spaces",
    'const { wordCount } = await import("../src/words.js")',
    'assert.equal(wordCount("  two   words "), 2)'
  ),
  "test/docs.test.js": test("the API is described", 'assert.match(read("docs/api.md"), /slugify[^]*median[^]*parseDuration[^]*wordCount/)'),
  "test/license.test.js": test("there is a licence", 'assert.match(read("LICENSE"), /MIT/)'),
  "test/readme.test.js": test("the README says how to run the tests", 'assert.match(read("README.md"), /node --test/)'),
  "test/announcements.test.js": test(
    "the release is announced exactly once",
    'assert.equal(read("announcements.log").match(/is out/g).length, 1)'
  ),
  "test/changelog.test.js": test("the changes are told", 'assert.match(read("CHANGELOG.md"), /1\\.1\\.0/)'),
  "test/translation.test.js": test("the README is translated", 'assert.ok(exists("README.de.md"))')
}
