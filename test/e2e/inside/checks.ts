/**
 * What is looked at from inside a real extension host, with the editor's own API. Each check is named as a test, and runs in this order.
 *
 * Only types of the editor are imported: the test that reports on them knows their names without an editor.
 */
import * as assert from "node:assert/strict"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type * as vscode from "vscode"
import manifest from "../../../extension/package.json" with { type: "json" }

/** What the window was opened with. */
export interface Given {
  readonly folder: string
  readonly home: string
  /** A command that does a task offline. */
  readonly agent: ReadonlyArray<string>
  /** Ends the wait for something: the bound of a poll. */
  readonly turns: number
}

const { contributes } = manifest
const extensionOf = (editor: typeof vscode) => {
  const found = editor.extensions.getExtension(`${manifest.publisher}.${manifest.name}`)
  assert.ok(found, "the extension is not installed")
  return found
}

const callTool = async (editor: typeof vscode, name: string, input: object): Promise<unknown> => {
  const { content } = await editor.lm.invokeTool(name, { input, toolInvocationToken: undefined })
  return JSON.parse((content[0] as vscode.LanguageModelTextPart).value)
}

const until = async <A>(given: Given, what: () => Thenable<A | undefined> | A | undefined, label: string): Promise<A> => {
  for (let turn = 0; turn < given.turns; turn++) {
    const found = await what()
    if (found !== undefined) return found
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error(`never: ${label}`)
}

/**
 * How long a step of activation took, by the marks that the editor sets. What it shows to users is longer: it counts in the extensions that are
 * loaded from the same event before ours.
 */
const millisOf = (step: string): number => {
  const { MonacoPerformanceMarks: marks } = globalThis as {
    readonly MonacoPerformanceMarks?: { readonly getMarks: () => ReadonlyArray<{ readonly name: string; readonly startTime: number }> }
  }
  const at = (when: string): number | undefined =>
    marks?.getMarks().find(({ name }) => name === `code/extHost/${when}${step}/${manifest.publisher}.${manifest.name}`)?.startTime
  return (at("did") ?? Number.NaN) - (at("will") ?? Number.NaN)
}

const shown = (editor: typeof vscode, given: Given, text: RegExp): Promise<vscode.TextDocument> =>
  until(given, () => editor.workspace.textDocuments.find((each) => each.uri.scheme === "nofx" && text.test(each.getText())), String(text))

export const checks: Readonly<Record<string, (editor: typeof vscode, given: Given) => Promise<void>>> = {
  "C42 is activated without listening for signals, and starts nothing": async (editor, given) => {
    const signals = ["SIGTERM", "SIGINT", "SIGHUP", "uncaughtException"] as const
    const before = signals.map((name) => process.listenerCount(name))
    const extension = extensionOf(editor)
    const { heapUsed } = process.memoryUsage()
    await extension.activate()
    console.log(`nofx: heap after activation ${process.memoryUsage().heapUsed - heapUsed} bytes more`)
    console.log(
      `nofx: ${millisOf("LoadExtensionCode")} ms to load the entry and ${millisOf("ActivateExtension")} ms to run it, by themselves`
    )
    const called = performance.now()
    await editor.commands.executeCommand("nofx.showMore")
    console.log(`nofx: ${Math.round(performance.now() - called)} ms for the first command, which loads the shell`)
    assert.equal(extension.isActive, true)
    assert.deepEqual(
      signals.map((name) => process.listenerCount(name)),
      before
    )
    assert.equal(existsSync(join(given.home, ".local/state/nofx")), false)
  },

  "C63 registers every command and every tool that the manifest contributes": async (editor) => {
    const registered = await editor.commands.getCommands(true)
    for (const { command } of contributes.commands) assert.ok(registered.includes(command), command)
    for (const { id } of contributes.views.nofx) assert.ok(registered.includes(`${id}.focus`), id)
    const tools = editor.lm.tools.map(({ name }) => name)
    for (const { name } of contributes.languageModelTools) assert.ok(tools.includes(name), name)
  },

  "C58 has its settings with their defaults, and keeps those that name programs out of reach of a folder": async (editor) => {
    const settings = editor.workspace.getConfiguration()
    for (const [key, property] of Object.entries(contributes.configuration.properties)) {
      assert.deepEqual(settings.inspect(key)?.defaultValue, property.default, key)
    }
    await assert.rejects(async () => await settings.update("nofx.nodePath", "/tmp/evil", editor.ConfigurationTarget.Workspace))
  },

  "C63 runs a task file on a real agent process": async (editor, given) => {
    const file = join(given.folder, "nofx.json")
    const agents = [{ id: "demo", driver: "command", command: given.agent, account: "demo" }]
    writeFileSync(file, JSON.stringify({ agents, tasks: [{ id: "inside", agent: "demo", prompt: "write inside.txt: from inside" }] }))
    await editor.commands.executeCommand("nofx.runTaskFile", editor.Uri.file(file))
    await until(
      given,
      async () => {
        const tasks = (await callTool(editor, "nofx_list", { what: "tasks" })) as ReadonlyArray<{ id: string; state: string }>
        return tasks.find(({ id, state }) => id === "inside" && state === "succeeded")
      },
      "the task has succeeded"
    )
    assert.equal(readFileSync(join(given.folder, "inside.txt"), "utf8"), "from inside\n")
  },

  "C57 answers tools with what the runtime says": async (editor) => {
    const status = (await callTool(editor, "nofx_status", {})) as { health: { status: string }; tasks: { succeeded: number } }
    assert.equal(status.health.status, "healthy")
    assert.equal(status.tasks.succeeded, 1)
    const agents = (await callTool(editor, "nofx_list", { what: "agents" })) as ReadonlyArray<{ id: string }>
    assert.deepEqual(
      agents.map(({ id }) => id),
      ["demo"]
    )
    assert.deepEqual(await callTool(editor, "nofx_list", { what: "deadLetters" }), [])
  },

  "C68 opens a task's transcript as a document that cannot be changed": async (editor, given) => {
    await editor.commands.executeCommand("nofx.openTranscript", { subject: { _tag: "task", key: await keyOf(editor), taskId: "inside" } })
    const document = await shown(editor, given, /^inside +succeeded[\s\S]*Done: 1 step/)
    assert.equal(document.isDirty, false)
  },

  "C57 opens the dashboard once": async (editor, given) => {
    const panels = () =>
      editor.window.tabGroups.all
        .flatMap(({ tabs }) => tabs)
        .filter(({ input }) => input instanceof editor.TabInputWebview && input.viewType.endsWith("nofx.dashboard"))
    await editor.commands.executeCommand("nofx.openDashboard")
    await until(given, () => (panels().length > 0 ? true : undefined), "the dashboard is there")
    await editor.commands.executeCommand("nofx.openDashboard")
    assert.equal(panels().length, 1)
  },

  "C25 copies diagnostics without secrets": async (editor, given) => {
    const secret = "sk-ant-REDACTED"
    const agents = [{ id: "own", driver: "command", command: given.agent, env: { ANTHROPIC_API_KEY: secret } }]
    await editor.workspace.getConfiguration("nofx").update("agents", agents, editor.ConfigurationTarget.Workspace)
    await editor.commands.executeCommand("nofx.copyDiagnostics")
    const text = await editor.env.clipboard.readText()
    assert.match(text, /"snapshot"/)
    assert.equal(text.includes(secret), false)
    await editor.workspace.getConfiguration("nofx").update("agents", undefined, editor.ConfigurationTarget.Workspace)
  },

  "C36 says in the doctor's report what it found": async (editor, given) => {
    await editor.commands.executeCommand("nofx.doctor")
    const text = (await shown(editor, given, /NofX doctor/)).getText()
    assert.match(text, /Process \d+/)
    assert.ok(text.includes(given.folder))
  },

  "C63 refuses what is not there any more with a sentence, and does not throw": async (editor) => {
    await editor.commands.executeCommand("nofx.restartAgent", { subject: { _tag: "agent", agentId: "nobody" } })
    await editor.commands.executeCommand("nofx.openDeadLetter", { subject: { _tag: "letter", deadLetterId: "none" } })
  }
}

const keyOf = async (editor: typeof vscode): Promise<string> => {
  const tasks = (await callTool(editor, "nofx_list", { what: "tasks" })) as ReadonlyArray<{ id: string; key: string }>
  return tasks.find(({ id }) => id === "inside")!.key
}
