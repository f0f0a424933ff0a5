/** What the editor loads as its tests: runs all checks, and writes what came of each where the environment says. */
import { writeFileSync } from "node:fs"
import * as vscode from "vscode"
import { checks, type Given } from "./checks.ts"

export const run = async (): Promise<void> => {
  const { INSIDE_GIVEN, INSIDE_REPORT } = process.env
  const given: Given = JSON.parse(INSIDE_GIVEN!)
  /** Why it failed; null: it did not. */
  const report: Record<string, string | null> = {}
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check(vscode, given)
      report[name] = null
    } catch (error) {
      report[name] = error instanceof Error ? (error.stack ?? error.message) : String(error)
    }
  }
  writeFileSync(INSIDE_REPORT!, JSON.stringify(report))
}
