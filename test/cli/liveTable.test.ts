import { stripVTControlCharacters } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { colours, erase, plain, render } from "../../src/cli/liveTable.ts"
import type { Snapshot } from "../../src/RuntimeStatus.ts"

const task = (id: string, state: string, more: object) => ({ id, state, attempts: 1, acceptedAt: 0, ...more })

/** What the table looks at. */
const snapshot = {
  agents: [
    { id: "writer", state: "working", task: "translate-the-whole-manual-to-german", stateSince: 5_000, detail: "" },
    { id: "reviewer-with-a-long-name", state: "waiting", stateSince: 9_000, detail: "permission: may it write README.md?" },
    { id: "idle", state: "idle", stateSince: 0, detail: "" }
  ],
  tasks: [
    task("translate-the-whole-manual-to-german", "running", { attempts: 2 }),
    task("publish", "blocked", { attempts: 0, waiting: { for: "dependency", detail: "waits for translate-the-whole-manual-to-german" } }),
    ...Array.from({ length: 30 }, (_, n) => task(`t${n}`, "queued", { waiting: { for: "agent", detail: "every agent is busy" } })),
    task("done", "succeeded", {})
  ],
  status: { tasks: { queued: 30, blocked: 1, running: 1, parked: 0, succeeded: 1, "dead-lettered": 1, cancelled: 0 } }
} as unknown as Snapshot

const shown = (columns: number, rows: number, style = plain) => render(snapshot, { now: 65_000, startedAt: 0, columns, rows, style })

const visible = (line: string): number => [...stripVTControlCharacters(line)].length

describe("the live table", () => {
  it("C43 shows agent, task, state, attempt, elapsed time and what is waited for, then the sums", () => {
    assert.deepStrictEqual(shown(110, 9), [
      "AGENT               TASK                      STATE    TRY  ELAPSED  WAITING FOR",
      "writer              translate-the-whole-man…  working  2    1m",
      "reviewer-with-a-l…                            waiting       56s      permission: may it write README.md?",
      "idle                                          idle",
      "                    publish                   blocked       1m 5s    dependency: waits for translate-the-whol…",
      "… and 30 more",
      "1 succeeded · 1 dead-lettered · 1 running · 31 waiting · 1m 5s"
    ])
  })

  it("C43 fits any terminal, and leaves a row for the cursor", () => {
    for (let columns = 1; columns <= 200; columns++) {
      for (const rows of [2, 5, 12, 60]) {
        const lines = shown(columns, rows, colours)
        assert.isAtMost(lines.length, rows - 1)
        // The first of the sums is never cut.
        const [sums, ...others] = lines.toReversed().map(visible)
        assert.isAtMost(Math.max(0, ...others), columns, `${columns} columns`)
        assert.isAtMost(sums!, Math.max(columns, "1 succeeded".length))
      }
    }
  })

  it("C43 is taken off a terminal that became narrower, row by row, wherever the cursor is in its line", () => {
    const lines = ["x".repeat(40), colours.red("y".repeat(41)), ""]
    assert.strictEqual(erase(lines, 80), "\r\u001b[3A\u001b[0J")
    assert.strictEqual(erase(lines, 20), "\r\u001b[6A\u001b[0J")
    assert.strictEqual(erase([], 20), "")
  })
})
