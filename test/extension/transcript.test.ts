import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, assert, beforeEach, describe, it } from "vitest"
import { transcript } from "../../extension/src/seldom.ts"
import * as Transcript from "../../src/agent/Transcript.ts"

describe("the transcript of a task", () => {
  let directory: string
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "nofx-transcript-"))
  })
  afterEach(() => rmSync(directory, { recursive: true, force: true }))

  const attempt = (agentId: string, taskId: string, number: number, at: number): Transcript.Writer => {
    const folder = join(directory, "agents", agentId)
    mkdirSync(folder, { recursive: true })
    const attemptId = `${taskId}-${at}`
    const writer = Transcript.open({ directory: folder, attemptId, maxBytes: 1_000_000, redact: (entry) => entry })
    writer.write({ _tag: "Began", at, taskId, agentId, run: 1, attempt: number, attemptId, prompt: "do it" })
    return writer
  }

  it("is of its attempts alone, on whatever agent, in their order, and goes on as they do", () => {
    attempt("a", "other", 1, 1_000).close()
    attempt("a", "mine", 1, 500).close()
    const first = attempt("b", "mine", 1, 1_001)
    first.write({ _tag: "Text", at: 1_002, text: "half " })
    const reader = transcript(directory, { taskId: "mine", acceptedAt: 1_000 })
    const before = reader.next()
    assert.match(before, /attempt 1 on b[\s\S]*> do it[\s\S]*half/)
    assert.notMatch(before, /on a/)
    first.write({ _tag: "Text", at: 1_003, text: "done" })
    first.close()
    attempt("a", "mine", 2, 1_004).close()
    const after = reader.next()
    assert.match(after, /^done[\s\S]*attempt 2 on a/)
    assert.strictEqual(reader.next(), "")
  })

  it("is empty where nothing was written", () => {
    assert.strictEqual(transcript(join(directory, "nowhere"), { taskId: "mine", acceptedAt: 0 }).next(), "")
  })
})
