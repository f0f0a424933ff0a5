import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, afterEach, assert, beforeAll, describe, expect, it } from "vitest"
import { Browser, demoAgent, Vsc, type Window } from "./harness.ts"

const settings = {
  "nofx.agents": [{ id: "demo", driver: "command", command: demoAgent, account: "demo", capabilities: ["code"] }],
  "nofx.taskEffect": "idempotent"
}

describe("NofX in a real VS Code", () => {
  let vsc: Vsc
  let browser: Browser
  let window: Window

  beforeAll(async () => {
    vsc = new Vsc({ settings }).install()
    ;[browser] = await Promise.all([Browser.start(), vsc.start()])
    window = await browser.window(vsc)
  })
  afterEach(async (context) => {
    if (context.task.result?.state === "fail") await window.shot(`FAILED-${context.task.name.replaceAll(/\W+/g, "-").slice(0, 80)}`)
  })
  afterAll(async () => {
    await browser?.close()
    await vsc?.stop()
    await vsc?.remove()
  })

  it("C63 shows its views, and what to do where there is nothing yet", async () => {
    await window.views()
    await window.page.getByText("No agent works here yet.").waitFor()
    await window.shot("welcome")
  })

  it("C63 starts an agent from the list of those on the machine", async () => {
    await window.command("NofX: Start Agent…")
    await window.choose("demo")
    await window.row(/Agent demo, Idle/).waitFor()
    await window.status("NofX").waitFor()
    await window.shot("agent")
  })

  it("C63 runs a task on a real agent process, and shows the result and the file", async () => {
    await window.command("NofX: Add Task…")
    await window.type("write hello.txt: hello from an agent")
    await window
      .row(/Task write-hello.*Done/)
      .or(window.row(/Done: 1 task/))
      .first()
      .waitFor()
    await expect.poll(() => existsSync(join(vsc.folder, "hello.txt"))).toBe(true)
    assert.strictEqual(readFileSync(join(vsc.folder, "hello.txt"), "utf8"), "hello from an agent\n")
    await window.shot("task-done")
  })
})
