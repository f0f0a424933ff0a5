import { spawn } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, expect, it } from "vitest"
import { alive, Browser, demoAgent, hostProgram, inEditor, node, Vsc, type Window } from "./harness.ts"

inEditor("the host behind a window of a real VS Code", () => {
  const demo = { id: "demo", driver: "command", command: demoAgent, account: "demo", capabilities: ["code"] }
  let vsc: Vsc
  let browser: Browser
  let window: Window
  const living = async (): Promise<number> => {
    await expect.poll(() => vsc.hosts().filter(({ pid }) => alive(pid)).length).toBe(1)
    return vsc.hosts()[0]!.pid
  }

  beforeAll(async () => {
    vsc = new Vsc({ settings: { "nofx.agents": [demo] } }).install()
    ;[browser] = await Promise.all([Browser.start(), vsc.start()])
    window = await browser.window(vsc)
    await window.views()
    await window.command("NofX: Start Agent…")
    await window.choose("demo")
    await window.row(/Agent demo, Idle/).waitFor()
  })
  afterEach((context) => window.shotIfFailed(context))
  afterAll(async () => {
    await browser?.close()
    await vsc?.stop()
    await vsc?.remove()
  })

  it("C71 is replaced when it is of an earlier version and nothing runs; the next one goes on", async () => {
    const { directory, pid } = vsc.hosts()[0]!
    await window.command("NofX: Open Dashboard")
    await window.webview().getByRole("button", { name: "Agents: 1" }).waitFor()
    await window.command("NofX: Shut Down Gracefully")
    await window.dialog("Shut Down").click()
    await expect.poll(() => alive(pid)).toBe(false)
    // As an update leaves it: the host of before, in its own process.
    const { version } = JSON.parse(readFileSync(join(import.meta.dirname, "../../package.json"), "utf8")) as { version: string }
    const earlier = join(vsc.directory, "earlier-host.cjs")
    writeFileSync(earlier, readFileSync(hostProgram, "utf8").replaceAll(`"${version}"`, '"0.0.1"'))
    const environment = { PATH: process.env.PATH ?? "", HOME: vsc.home }
    const old = spawn(node, [earlier, directory], { env: environment, detached: true, stdio: "ignore" })
    old.unref()
    await expect.poll(() => vsc.hosts()[0]?.pid).toBe(old.pid)
    await window.webview().getByRole("button", { name: "Start Again" }).click()
    await expect.poll(() => alive(old.pid!)).toBe(false)
    await living()
    await window.addTask("demo", "write after.txt: replaced")
    await window.row(/Task write-after.*, Done/).waitFor()
  })

  it("C71 starts anew for other settings when the user wants it, without losing what it knows", async () => {
    const before = await living()
    vsc.settings({ "nofx.agents": [demo], "nofx.bulkhead.global.permits": 3 })
    const toast = window.toast("The new settings count when the NofX host starts anew")
    await toast.waitFor()
    await window.shot("settings-changed")
    await toast.getByRole("button", { name: "Restart When Idle" }).click()
    await expect.poll(() => alive(before)).toBe(false)
    await window.command("NofX: Open Dashboard")
    await window.webview().getByText("0 / 3").waitFor()
    await window.row(/Task write-after.*, Done/).waitFor()
    await window.command("NofX: Focus on Health View")
    await window.row(/^Health: Healthy/).waitFor()
    await window.shot("health")
  })

  it("C71 ends with the last window when the user has said so meanwhile", async () => {
    vsc.settings({ "nofx.agents": [demo], "nofx.bulkhead.global.permits": 3, "nofx.onEditorClose": "stop" })
    const pid = await living()
    await window.command("NofX: Show Log")
    await window.page.getByText("stop when the last window closes").first().waitFor()
    await window.close()
    await expect.poll(() => alive(pid), { timeout: 60_000 }).toBe(false)
  })
})
