/**
 * Adds up the test reports in a directory: `N passed, N failed` on the last line, exit 1 if anything failed or nothing ran.
 *
 * The arguments after the directory name the suites whose command ended badly; one without a failure in its report counts as one.
 */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"

interface Report {
  readonly numPassedTests: number
  readonly testResults: ReadonlyArray<{
    readonly name: string
    readonly status: string
    readonly assertionResults: ReadonlyArray<{ readonly status: string; readonly fullName: string }>
  }>
}

const [directory = "", ...broken] = process.argv.slice(2)
let passed = 0
const failures: Array<string> = []
const told = new Set<string>()
for (const file of readdirSync(directory)) {
  const report: Report = JSON.parse(readFileSync(join(directory, file), "utf8"))
  const failed = report.testResults
    .filter((result) => result.status === "failed")
    .flatMap((result) => {
      const tests = result.assertionResults.filter((test) => test.status === "failed")
      return tests.length === 0 ? [result.name] : tests.map((test) => test.fullName)
    })
  passed += report.numPassedTests
  failures.push(...failed)
  if (failed.length > 0) told.add(file.replace(/\.json$/, ""))
}
failures.push(...broken.filter((suite) => !told.has(suite)).map((suite) => `the suite "${suite}" ended badly`))

for (const failure of failures) console.log(`FAILED ${failure}`)
console.log(`${passed} passed, ${failures.length} failed`)
process.exitCode = failures.length === 0 && passed > 0 ? 0 : 1
