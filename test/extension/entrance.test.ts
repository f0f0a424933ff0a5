import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type * as vscode from "vscode"
import { afterEach, assert, describe, it } from "vitest"
import { assertRegistered, type Options, start, type Started, until } from "./support/shell.ts"

const agent = { id: "a", driver: "command", command: ["true"], account: "mine" }
const token = { isCancellationRequested: false, onCancellationRequested: () => ({ dispose: () => {} }) }

describe("the entrance", () => {
  const cleanUp: Array<() => unknown> = []
  afterEach(async () => {
    for (const step of cleanUp.splice(0).reverse()) await step()
  })
  const open = async (options: Options = {}): Promise<Started> => {
    const shell = await start({ lazily: true, ...options, settings: { "nofx.agents": [agent], ...options.settings } })
    cleanUp.push(() => shell.shell.dispose())
    return shell
  }
  /** A state directory of a folder in which a host has run, or has not. */
  const stateDirectory = (used: boolean): string => {
    const directory = mkdtempSync(join(tmpdir(), "nofx-entrance-"))
    cleanUp.push(() => rmSync(directory, { recursive: true }))
    const state = join(directory, "state")
    if (used) {
      mkdirSync(state)
      writeFileSync(join(state, "host.json"), "{}")
    }
    return state
  }
  const placeKnown = (shell: Started, place: string) => until(() => shell.contextKeys.get("nofx:place") === place, `the place is ${place}`)
  /** The names of the rows of a view, as the editor asks for them when it is looked at. */
  const look = (shell: Started, view: string): Promise<ReadonlyArray<string>> => {
    shell.look(view)
    const { provider } = shell.trees.get(view)!
    const below = async (node?: unknown): Promise<ReadonlyArray<string>> => {
      const children = (await provider.getChildren(node)) ?? []
      const ids = children.map(async (child) => [(provider.getTreeItem(child) as vscode.TreeItem).id!, ...(await below(child))])
      return (await Promise.all(ids)).flat()
    }
    return below()
  }

  it("C42 registers what the manifest names, loads nothing else, and leaves nothing when it has ended", async () => {
    const shell = await open()
    assertRegistered(shell)
    await placeKnown(shell, "ready")
    assert.strictEqual(shell.loads(), 0)
    await Promise.all([shell.shell.dispose(), shell.shell.dispose()])
    assert.deepStrictEqual([...shell.live], [])
    await shell.commands.get("nofx.doctor")?.()
    assert.strictEqual(shell.loads(), 0)
  })

  it("C42 loads the shell once for the commands that come first, does them, and ends both", async () => {
    const shell = await open()
    shell.answers.push(() => "a")
    await Promise.all([shell.run("startAgent"), shell.run("openDashboard"), shell.run("showLog")])
    assert.strictEqual(shell.loads(), 1)
    assert.strictEqual(shell.panels.length, 1)
    assert.strictEqual(shell.wishes.length, 1)
    await shell.shell.dispose()
    assert.deepStrictEqual([...shell.live], [])
  })

  it("C42 loads the shell when a view is looked at, which then shows what there is", async () => {
    const shell = await open()
    let rows = await look(shell, "nofx.agents")
    assert.deepStrictEqual(rows, [])
    assert.strictEqual(shell.loads(), 1)
    shell.trees.get("nofx.agents")!.provider.onDidChangeTreeData!(async () => void (rows = await look(shell, "nofx.agents")))
    shell.answers.push(() => "a")
    await shell.run("startAgent")
    await until(() => rows.includes("agent:a"), "the agent is shown")
  })

  it("C71 goes on with work that a view was looked at for, although nothing is done when a window opens", async () => {
    const shell = await open({ hasState: true, settings: { "nofx.connectOnStartup": false, "nofx.stateDirectory": stateDirectory(true) } })
    await placeKnown(shell, "ready")
    assert.strictEqual(shell.loads(), 0)
    await look(shell, "nofx.tasks")
    await until(() => shell.wishes.length === 1, "the host is reached")
  })

  it("C71 looks for work when a window opens, and loads the shell only where there is some", async () => {
    const idle = await open({ settings: { "nofx.stateDirectory": stateDirectory(false) } })
    await placeKnown(idle, "ready")
    assert.strictEqual(idle.loads(), 0)
    const back = await open({ hasState: true, settings: { "nofx.stateDirectory": stateDirectory(true) } })
    await until(() => back.wishes.length === 1, "the host is reached")
    assert.strictEqual(back.loads(), 1)
  })

  it("C63 leaves out a setting that cannot be taken, as the shell does", async () => {
    const shell = await open({ settings: { "nofx.stateDirectory": 7, "nofx.connectOnStartup": "perhaps" } })
    await placeKnown(shell, "ready")
    assert.strictEqual(shell.loads(), 0)
  })

  it("C63 looks again when a folder comes in, and when it is trusted", async () => {
    const settings = { "nofx.stateDirectory": stateDirectory(true) }
    const shell = await open({ folder: undefined, trusted: false, hasState: true, settings })
    await placeKnown(shell, "noFolder")
    shell.addFolder("/project")
    await placeKnown(shell, "untrusted")
    assert.strictEqual(shell.loads(), 0)
    shell.grantTrust()
    await until(() => shell.wishes.length === 1, "the host is reached")
  })

  it("C63 answers tools, documents and a restored dashboard as the shell does", async () => {
    const shell = await open()
    const result = await shell.tools.get("nofx_list")!.invoke({ input: { what: "agents" }, toolInvocationToken: undefined }, token)
    assert.deepStrictEqual((result as unknown as { content: ReadonlyArray<{ value: string }> }).content[0]?.value, "[]")
    const prepared = await shell.tools.get("nofx_addTask")!.prepareInvocation!({ input: { prompt: "x" } }, token)
    assert.isDefined(prepared?.confirmationMessages)
    const uri = shell.editor.Uri.from({ scheme: "nofx", path: "/old.log" })
    assert.match(String(await shell.providers.get("nofx")!.provideTextDocumentContent(uri, token)), /earlier session/)
    const panel = shell.editor.window.createWebviewPanel("nofx.dashboard", "NofX", -1)
    await shell.serializers.get("nofx.dashboard")!.deserializeWebviewPanel(panel, undefined)
    assert.match(panel.webview.html, /default-src 'none'/)
    assert.strictEqual(shell.loads(), 1)
  })

  it("C63 says why the shell could not be loaded, and tries again at the next use", async () => {
    let broken: Error | undefined = new Error("a file is missing")
    const shell = await open({ unloadable: () => broken })
    await shell.run("showLog")
    assert.match(shell.questions.at(-1)!.text, /could not be loaded: a file is missing/)
    assert.deepStrictEqual(await look(shell, "nofx.agents"), [])
    const asked = { input: {}, toolInvocationToken: undefined }
    const failed = await Promise.resolve(shell.tools.get("nofx_status")!.invoke(asked, token)).catch((error: Error) => error.message)
    assert.strictEqual(failed, "NofX could not be loaded.")
    broken = undefined
    await shell.run("openDashboard")
    assert.strictEqual(shell.panels.length, 1)
  })

  it("C42 ends a shell that is still on its way", async () => {
    const shell = await open()
    const doing = shell.run("showLog")
    await shell.shell.dispose()
    await doing
    assert.strictEqual(shell.loads(), 1)
    assert.deepStrictEqual([...shell.live], [])
  })
})
