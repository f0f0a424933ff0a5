import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, afterEach, assert, beforeAll, expect, it } from "vitest"
import { alive, Browser, demoAgent, inEditor, node, scriptedAgent, Vsc, type Window } from "./harness.ts"

/** Crashes as long as a file named `broken` is there. */
const fragile =
  "const fs = require('fs'); if (fs.existsSync('broken')) process.kill(process.pid, 'SIGSEGV'); else fs.writeFileSync('mended.txt', 'mended')"

inEditor("NofX in a real VS Code", () => {
  let vsc: Vsc
  let browser: Browser
  let window: Window
  const file = (name: string): string => join(vsc.folder, name)
  /** The pids of the scripted agent, in the order of its starts. */
  const starts = (): ReadonlyArray<number> =>
    existsSync(file("scripted.log"))
      ? [...readFileSync(file("scripted.log"), "utf8").matchAll(/started (\d+)/g)].map((match) => Number(match[1]))
      : []
  const runFile = async (name: string, content: object): Promise<void> => {
    writeFileSync(file(name), JSON.stringify(content))
    await window.command("NofX: Run Task File…")
    await window.choose(name)
  }
  const demo = { id: "demo", driver: "command", command: demoAgent, account: "demo", capabilities: ["code"] }

  beforeAll(async () => {
    vsc = new Vsc()
    vsc.settings({
      "nofx.agents": [
        demo,
        {
          id: "asker",
          driver: "acp",
          command: scriptedAgent,
          account: "scripted",
          env: { SCRIPT: JSON.stringify({ log: file("scripted.log") }) }
        },
        { id: "fragile", driver: "command", command: [node, "-e", fragile], account: "fragile" }
      ],
      "nofx.taskEffect": "idempotent",
      "nofx.retry.maxAttempts": 2,
      "nofx.retry.baseDelay": "100 millis",
      "nofx.circuitBreaker.consecutiveFailures": 2,
      "nofx.circuitBreaker.openTime": "8 minutes"
    })
    vsc.install()
    ;[browser] = await Promise.all([Browser.start(), vsc.start()])
    window = await browser.window(vsc)
  })
  afterEach(async (context) => {
    vsc.tellIfFailed(context)
    await window.shotIfFailed(context)
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

  it("C63 starts agents from the list of those on the machine", async () => {
    for (const name of ["demo", "asker", "fragile"]) {
      await window.command("NofX: Start Agent…")
      await window.choose(name)
      await window.row(new RegExp(`Agent ${name}, Idle`)).waitFor()
    }
    assert.strictEqual(vsc.hosts().length, 1)
  })

  it("C63 runs a task on a real agent process, and shows the result and the file", async () => {
    await window.addTask("demo", "write hello.txt: hello from an agent")
    await window.row(/Task write-hello.*, Done/).waitFor()
    assert.strictEqual(readFileSync(file("hello.txt"), "utf8"), "hello from an agent\n")
    await window.row(/Task write-hello.*, Done/).click()
    await expect.poll(() => window.text()).toMatch(/Done: 1 step/)
    await window.shot("task-done")
  })

  it("C69 asks in the editor what an agent asks for, shows the command, and grants what the user grants", async () => {
    await window.addTask("asker", JSON.stringify([["permission", "execute"]]))
    const question = window.toast("asker asks: may I execute")
    await question.waitFor()
    await expect.poll(() => question.innerText()).toMatch(/make it so/)
    await window.row(/Agent asker, Needs you/).waitFor()
    await window.shot("permission")
    await question.getByRole("button", { name: "Allow", exact: true }).click()
    await window.row(/Agent asker, Idle/).waitFor()
    await window.row(/Task permission-execute.*, Done/).click()
    await expect.poll(() => window.text()).toMatch(/may I execute: yes|permission: yes/)
  })

  it("C63 starts an agent again whose process was killed, and its task is done all the same", async () => {
    const before = starts()
    await window.addTask("asker", JSON.stringify([["permission", "edit"]]))
    await window.row(/Agent asker, Needs you/).waitFor()
    process.kill(before.at(-1)!, "SIGKILL")
    await expect.poll(() => starts().length, { timeout: 60_000 }).toBeGreaterThan(before.length)
    // The question of the attempt that died is gone; the next attempt asks again.
    await window.row(/Task permission-edit.*, Running,.*attempt 2/).waitFor()
    await window.row(/Agent asker, Needs you/).click()
    await window.choose("Allow")
    await window.row(/Task permission-edit.*, Done/).waitFor()
    await window.clear()
  })

  it("C30 C57 shows the open circuit of an agent that crashes, keeps its task, and lets the user set both right", async () => {
    writeFileSync(file("broken"), "")
    await window.addTask("fragile", "mend it")
    await window.row(/Dead letter mend-it/).waitFor()
    // One task counts once, however often it is tried: it takes another one.
    await window.addTask("fragile", "mend more")
    const agent = window.row(/Agent fragile,.*circuit open/)
    await agent.waitFor()
    await window.toast("The circuit of agent fragile is open").waitFor()
    await window.shot("circuit-open")
    await window.clear()

    await window.row(/Dead letter mend-it/).click()
    await expect.poll(() => window.text()).toMatch(/"cause": "Crashed"|SIGSEGV/)
    await window.shot("dead-letter")

    rmSync(file("broken"))
    await window.command("NofX: Reset Circuit Breaker")
    await window.choose("fragile")
    await agent.waitFor({ state: "detached" })
    await window.row(/Task mend-more.*, Done/).waitFor()
    // The row is selected: that is the one which is meant.
    await window.command("NofX: Retry Dead Letter")
    await window.row(/Task mend-it.*, Done/).waitFor()
    await window.row(/Dead letter mend-it/).waitFor({ state: "detached" })
    assert.strictEqual(readFileSync(file("mended.txt"), "utf8"), "mended")
  })

  it("C71 goes on with a task while the window is reloaded, and shows it afterwards", async () => {
    const prompt = "append reloaded.txt: begun\nsleep 6000\nappend reloaded.txt: ended"
    await runFile("nofx-reload.json", { agents: [demo], tasks: [{ id: "long", prompt, agent: "demo" }] })
    await window.row(/Task long, Running/).waitFor()
    await window.reload()
    await window.views()
    await window.row(/Task long, (?:Running|Done)/).waitFor()
    await window.row(/Task long, Done/).waitFor()
    assert.strictEqual(readFileSync(file("reloaded.txt"), "utf8"), "begun\nended\n")
    await window.shot("reloaded")
  })

  it("C71 goes on when the window is closed, and the next one shows what became of it", async () => {
    const prompt = "append closed.txt: begun\nsleep 5000\nappend closed.txt: ended"
    await runFile("nofx-close.json", { agents: [demo], tasks: [{ id: "alone", prompt, agent: "demo" }] })
    await window.row(/Task alone, Running/).waitFor()
    await window.close()
    await expect
      .poll(() => existsSync(file("closed.txt")) && readFileSync(file("closed.txt"), "utf8"), { timeout: 30_000 })
      .toBe("begun\nended\n")
    window = await browser.window(vsc)
    await window.views()
    await window.row(/Task alone, Done/).waitFor()
    await window.row(/Agent fragile, Idle/).waitFor()
  })

  it("C71 shows the same in two windows on one folder", async () => {
    const other = await browser.window(vsc)
    try {
      await other.views()
      await other.row(/Agent demo, Idle/).waitFor()
      await other.addTask("demo", "write two.txt: from the second window")
      await window.row(/Task write-two.*, Done/).waitFor()
      await other.row(/Task write-two.*, Done/).waitFor()
      assert.strictEqual(vsc.hosts().length, 1)
    } finally {
      await other.close()
    }
  })

  it("C71 starts a host again that was killed, and goes on with its work", async () => {
    const prompt = "append killed.txt: begun\nsleep 4000\nappend killed.txt: ended"
    await runFile("nofx-kill.json", { agents: [demo], tasks: [{ id: "survivor", prompt, agent: "demo", effect: "idempotent" }] })
    await window.row(/Task survivor, Running/).waitFor()
    const { pid } = vsc.hosts()[0]!
    process.kill(pid, "SIGKILL")
    await window.row(/Task survivor, Running,.*attempt 2/).waitFor()
    await window.row(/Task survivor, Done/).waitFor()
    assert.match(readFileSync(file("killed.txt"), "utf8"), /ended\n$/)
    assert.notStrictEqual(vsc.hosts()[0]?.pid, pid)
  })

  it("C43 shuts down in order, and no other window starts it again until somebody wants it", async () => {
    const other = await browser.window(vsc)
    try {
      await other.views()
      await other.row(/Agent demo, Idle/).waitFor()
      const { pid } = vsc.hosts()[0]!
      await window.command("NofX: Shut Down Gracefully")
      await window.dialog("Shut Down").click()
      for (const each of [window, other]) await each.page.getByText("NofX is shut down in this folder.").waitFor()
      await expect.poll(() => alive(pid)).toBe(false)
      await window.shot("shut-down")
      assert.deepStrictEqual(vsc.hosts(), [])
      await other.page.getByRole("button", { name: "Start Again" }).click()
      await other.row(/Agent demo, Idle/).waitFor()
    } finally {
      await other.close()
    }
    await window.page.getByRole("button", { name: "Start Again" }).click()
    await window.row(/Agent demo, Idle/).waitFor()
    assert.strictEqual(vsc.hosts().length, 1)
  })

  it("C57 shows in the dashboard what the runtime says, and shows it again after a reload", async () => {
    await window.command("NofX: Open Dashboard")
    const page = window.webview()
    await page.getByRole("heading", { name: "NofX" }).waitFor()
    await page.getByRole("button", { name: "Agents: 3" }).waitFor()
    await page.getByRole("img", { name: /^Tasks that ended, last hour: [1-9]\d* done/ }).waitFor()
    await page.getByRole("img", { name: /^Tasks that ended well, by hour: 100\.0 %/ }).waitFor()
    await page.getByRole("img", { name: "demo, idle" }).waitFor()
    assert.strictEqual(await page.locator("canvas").count(), 2)
    assert.notMatch(await page.locator("main").innerText(), /\[object|undefined|NaN/)
    await window.shot("dashboard-light")
    await window.reload()
    await page.getByRole("button", { name: "Agents: 3" }).waitFor()
    // What was done before is drawn again, and a card leads to its view.
    await page.getByRole("img", { name: /^Tasks that ended, last hour: [1-9]\d* done/ }).waitFor()
    await page.getByRole("button", { name: "Dead letters: 0" }).press("Enter")
  })

  it("C36 shows each health check with what it saw", async () => {
    await window.views()
    await window.command("NofX: Run Doctor")
    await expect.poll(() => window.text()).toMatch(/NofX doctor/)
    await window.shot("doctor")
  })

  it("C42 leaves the host alone when the editor ends, and nothing else of its own", async () => {
    const [host] = vsc.hosts()
    await browser.close()
    await vsc.stop()
    assert.isTrue(alive(host!.pid))
    assert.deepStrictEqual(browser.outside, [])
  })
})
