/**
 * Measures NofX against its peers: `npm run bench -- [--smoke] [--json FILE] [SUITE ...]`.
 *
 * `--smoke` only shows that everything runs; its figures mean nothing. Suites are named by their files.
 */
import { writeFileSync } from "node:fs"
import { cpus } from "node:os"
import { parseArgs } from "node:util"
import * as breaker from "./breaker.ts"
import * as limits from "./limits.ts"
import { type Cost, type Effort, measure } from "./Measure.ts"
import { type Judged, judge, type Suite } from "./Suite.ts"
import * as pipe from "./pipe.ts"
import * as redis from "./redis.ts"
import * as runtime from "./runtime.ts"
import * as store from "./store.ts"
import * as time from "./time.ts"

const suites: Record<string, () => Promise<Suite>> = {
  pipe: pipe.suite,
  breaker: breaker.suite,
  limits: limits.suite,
  redis: redis.suite,
  time: time.suite,
  runtime: runtime.suite,
  store: store.suite
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { smoke: { type: "boolean", default: false }, json: { type: "string" } }
})
const effort: Effort = values.smoke ? { rounds: 1, roundMillis: 1 } : { rounds: 9, roundMillis: 100 }
const chosen = positionals.length === 0 ? Object.keys(suites) : positionals

const number = (value: number | undefined): string =>
  value === undefined ? "-" : value.toLocaleString("en-US", { maximumFractionDigits: 0 })
const machine = `Node ${process.versions.node}, ${cpus().length} x ${cpus()[0]?.model ?? "unknown processor"}`
console.log(`${machine}${values.smoke ? "; a smoke run, the figures mean nothing" : ""}`)

const results: Array<{ readonly suite: string; readonly costs: ReadonlyArray<Cost>; readonly claims: ReadonlyArray<Judged> }> = []
for (const name of chosen) {
  const suite = await suites[name]?.()
  if (suite === undefined) throw new Error(`no suite is called "${name}"; there are ${Object.keys(suites).join(", ")}`)
  const costs = await measure(suite.cases, values.smoke ? effort : (suite.effort ?? effort))
  const figures = (await suite.figures?.(values.smoke)) ?? []
  const claims = values.smoke ? [] : [...suite.claims.map((claim) => judge(claim, costs)), ...figures]
  await suite.close()
  results.push({ suite: suite.name, costs, claims })

  console.log(
    `\n${suite.name.padEnd(52)}${"ns a call".padStart(12)}${"(least".padStart(12)}${"greatest)".padStart(12)}${"bytes".padStart(10)}`
  )
  for (const { bytes, greatest, least, name: label, nanos } of costs) {
    console.log(
      `  ${label.padEnd(50)}${number(nanos).padStart(12)}${number(least).padStart(12)}${number(greatest).padStart(12)}${number(bytes).padStart(10)}`
    )
  }
  for (const { claim, measured, met } of claims) console.log(`  ${met ? "met    " : "NOT MET"} ${claim}: ${measured}`)
}

if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify({ machine, smoke: values.smoke, results }, null, 2)}\n`)
