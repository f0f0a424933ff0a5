import { assert, describe, it } from "@effect/vitest"
import * as DemoText from "../../src/cli/demoText.ts"
import { eventText, span } from "../../src/cli/eventText.ts"
import { plain } from "../../src/cli/liveTable.ts"
import { brief, commandText } from "../../src/cli/printable.ts"
import * as Table from "../../src/cli/table.ts"

describe("text for people", () => {
  it("C60 a value from elsewhere is one line, bounded, and cannot command the terminal", () => {
    assert.strictEqual(brief("\n  first:\nsecond"), "first")
    assert.strictEqual(brief("\u001b[31mred\u0007"), "\\x1b[31mred\\x07")
    assert.strictEqual([...brief("x".repeat(1_000))].length, 160)
    const detail = "The check ended with exit code 1:\n\u001b]0;owned\u0007"
    assert.strictEqual(
      eventText({ _tag: "TaskBlocked", at: 0, taskId: "t", batch: "", waiting: { for: "dependency", detail } }),
      "t: The check ended with exit code 1"
    )
  })

  it("C60 a span has its unit, however short it is", () => {
    assert.deepEqual([-1, 0, 49.6, 99, 149, 10_400, 3_600_000].map(span), ["0ms", "0ms", "50ms", "99ms", "100ms", "10s", "1h"])
  })

  it("C60 a table has one line a row, whatever the values hold, and fits the terminal", () => {
    assert.deepEqual(
      Table.lines(
        ["A", "LONGER"],
        [
          ["one\ntwo", "x"],
          ["ü", ""]
        ]
      ),
      ["A    LONGER", "one  x", "ü"]
    )
    assert.deepEqual(Table.lines(undefined, [["ab", "c".repeat(30)]], { columns: 10, indent: "  " }), ["  ab  ccc…"])
    assert.deepEqual(Table.lines(undefined, []), [])
  })

  it("C58 a command that the user is told can be pasted", () => {
    assert.strictEqual(
      commandText("nofx", ["run", "a b/it's.yaml", "--state-dir", "/x-1/y.z"]),
      "nofx run 'a b/it'\\''s.yaml' --state-dir /x-1/y.z"
    )
  })

  it("C30 the demo's report names the command that shows its dead letter, and what is not as it must be", () => {
    const lines = DemoText.lines(
      {
        asked: [{ taskId: "t", asked: "do it", end: "dead-lettered", verified: false, attempts: 2 }],
        wrong: [{ taskId: "t", attempt: 1, agentId: "a", fault: "Crashed", detail: "gone\nfor good", millis: 1_000 }],
        leftBehind: [],
        answers: [
          { part: "retry", count: 1, did: "did something that takes more words than fit into one line of a terminal this narrow" },
          { part: "verify", count: 0, did: "" }
        ],
        produced: [{ path: "f", change: "added", added: 5, removed: 0, lines: ["+ 1", "+ 2", "+ 3", "+ 4", "+ 5"] }],
        deadLetters: [{ id: "dl-1", subject: "t", cause: "Crashed", reason: "gone" }],
        processes: [],
        differs: ["t was to end succeeded, and is dead-lettered"]
      },
      { style: plain, columns: 60, repository: "/r", commands: { list: "LIST", show: (id) => `SHOW ${id}` } }
    )
    for (const line of [
      "  t  dead-lettered  2 attempts  do it",
      "  t  attempt 1 on a  after 1s  Crashed  gone",
      "  had nothing to do: verify",
      "  added f +5",
      "      … and 1 more lines",
      "  look at them:  LIST",
      "  or at one:     SHOW dl-1",
      "  t was to end succeeded, and is dead-lettered"
    ])
      assert.include(lines, line)
    assert.isTrue(lines.filter((line) => !line.startsWith("What")).every((line) => [...line].length <= 60))
  })
})
