import { Effect, Stream } from "effect"
import { afterEach, assert, describe, it } from "vitest"
import { watchedMillis } from "../../extension/src/Link.ts"
import manifest from "../../extension/package.json" with { type: "json" }
import * as Runtime from "../support/runtime.ts"
import { HostUnavailable } from "../../extension/src/Hosts.ts"
import { assertRegistered, connected, type Options, start, type Started, until } from "./support/shell.ts"

const agent = { id: "a", driver: "command", command: ["true"], account: "mine" }
const outage = { _tag: "Crashed", detail: "it died", exitCode: 3, signal: null } as const

describe("the shell", () => {
  const running: Array<Started> = []
  const open = async (options: Options = {}): Promise<Started> => {
    const shell = await start({ settings: { "nofx.agents": [agent], "nofx.taskEffect": "idempotent" }, ...options })
    running.push(shell)
    return shell
  }
  afterEach(async () => {
    for (const { shell } of running.splice(0)) await shell.dispose()
  })
  const choose = (label: string) => () => label
  const startAgent = async (shell: Started): Promise<void> => {
    shell.answers.push(choose("a"))
    await shell.run("startAgent")
    shell.look("nofx.agents")
    await until(() => shell.rows("nofx.agents").some(({ item }) => item.id === "agent:a"), "the agent is shown")
  }
  const addTask = async (shell: Started, prompt: string): Promise<void> => {
    shell.answers.push(choose(prompt))
    await shell.run("addTask")
    shell.look("nofx.tasks")
  }
  const row = (shell: Started, view: string, spoken: RegExp) =>
    shell.rows(view).find(({ item }) => spoken.test(item.accessibilityInformation?.label ?? ""))

  it("C42 registers what the manifest names, starts nothing, and leaves nothing when it has ended", async () => {
    const shell = await open()
    assertRegistered(shell)
    assert.deepStrictEqual(shell.wishes, [])
    const signals = process.eventNames().map((name) => [name, process.listenerCount(name)])
    await Promise.all([shell.shell.dispose(), shell.shell.dispose()])
    assert.deepStrictEqual([...shell.live], [])
    assert.deepStrictEqual(
      process.eventNames().map((name) => [name, process.listenerCount(name)]),
      signals
    )
  })

  it("C42 ends within its time although a question is open", async () => {
    const shell = await open()
    await startAgent(shell)
    const asked = shell.run("addTask")
    await shell.shell.dispose()
    await asked
    assert.deepStrictEqual([...shell.live], [])
  })

  it("C63 gives a task to the agent of a row, and asks which one where the editor lost the row", async () => {
    const shell = await open()
    await startAgent(shell)
    const [agentRow] = shell.rows("nofx.agents").filter(({ item }) => item.id === "agent:a")
    shell.answers.push(({ text }) => (/for a$/.test(text) ? "from the row" : "not asked for the agent"))
    await shell.run("addTaskForAgent", agentRow!.node)
    shell.answers.push(choose("a"), ({ text }) => (/for a$/.test(text) ? "without a row" : "not asked for the agent"))
    await shell.run("addTaskForAgent", undefined)
    shell.look("nofx.tasks")
    for (const id of [/Task from-the-row.*Done/, /Task without-a-row.*Done/])
      await until(() => row(shell, "nofx.tasks", id) !== undefined, "both are done")
  })

  it("C63 starts an agent, runs a task and shows its end", async () => {
    const shell = await open()
    await startAgent(shell)
    await addTask(shell, "do it")
    await until(() => row(shell, "nofx.tasks", /Task do-it.*Done/) !== undefined, "the task is done")
    assert.strictEqual(shell.wishes.length, 1)
    assert.isTrue(shell.status.shown)
    assert.match(shell.status.spoken, /NofX, healthy/)
  })

  it("C18 shows that a task waits for a rate limit, and how long, and runs it not before", async () => {
    const shell = await open({ config: { rateLimit: { execute: { limit: 1, window: "1 hour" } } } })
    await startAgent(shell)
    await addTask(shell, "first")
    await until(() => row(shell, "nofx.tasks", /Task first.*Done/) !== undefined, "the first is done")
    await addTask(shell, "second")
    await until(() => row(shell, "nofx.tasks", /Task second.*Waiting.*in (?:1 h|5\d min|60 min)/) !== undefined, "the second waits")
    assert.strictEqual((await Effect.runPromise(shell.runtime().getRetryMetrics)).attempts, 1)
  })

  it("C63 works in a folder that comes in while it starts", async () => {
    const shell = await open({ folderComesLate: true })
    await until(() => shell.contextKeys.get("nofx:place") === "ready", "the folder is known")
  })

  it("C71 reaches work that is there when a window opens, and starts nothing where there is none", async () => {
    const fresh = await open()
    fresh.look("nofx.agents")
    const back = await open({ hasState: true })
    await until(() => back.wishes.length === 1, "the host is reached")
    assert.deepStrictEqual(fresh.wishes, [])
    assert.strictEqual(back.wishes[0]?.onEditorClose, "finish")
  })

  it("C63 does nothing in a folder that is not trusted, whatever is called, until it is", async () => {
    const shell = await open({ trusted: false, hasState: true })
    for (const { command } of manifest.contributes.commands) {
      if (/doctor|showLog|Settings|Walkthrough|showMore|selectFolder|Selection|Dashboard|copyDiagnostics/.test(command)) continue
      await shell.run(command.slice("nofx.".length))
    }
    assert.deepStrictEqual(shell.wishes, [])
    assert.isTrue(shell.questions.some(({ text }) => /not trusted/.test(text)))
    await until(() => shell.contextKeys.get("nofx:place") === "untrusted", "the views know it")
    shell.grantTrust()
    await until(() => shell.wishes.length === 1, "the host is reached")
  })

  it("C63 says why the host could not be started, and tries again when asked to", async () => {
    let broken: Error | undefined = new Error("there is no Node")
    const shell = await open({ broken: () => broken })
    await shell.run("connect")
    await until(() => shell.contextKeys.get("nofx:link") === "failed", "it failed")
    broken = undefined
    await shell.run("connect")
    await until(() => shell.contextKeys.get("nofx:connected") === true, "it is connected")
  })

  it("C71 says when the link is interrupted, and never shows what was as what is", async () => {
    const shell = await open()
    await startAgent(shell)
    await shell.become({ _tag: "Reconnecting", detail: "the host was killed" })
    await until(() => /reconnecting: the host was killed/.test(shell.status.spoken), "it is said")
    assert.strictEqual(shell.contextKeys.get("nofx:connected"), false)
    await shell.become(connected())
    await until(() => shell.contextKeys.get("nofx:connected") === true, "it is back")
  })

  it("C71 has a host of an earlier version replaced when no task runs, and says so; one of a later version is left alone", async () => {
    const shell = await open({ skew: { host: "0.0.9", own: "0.1.0", older: true } })
    await shell.run("connect")
    await until(() => shell.told.includes("retire"), "it is to be replaced")
    shell.look("nofx.health")
    await until(() => row(shell, "nofx.health", /Host: .*starts anew/) !== undefined, "it is shown")
    await shell.become(connected())
    await until(() => row(shell, "nofx.health", /Host: .*starts anew/) === undefined, "it was replaced")

    const later = await open({ skew: { host: "0.2.0", own: "0.1.0", older: false } })
    await later.run("connect")
    await until(() => later.questions.some(({ text }) => /newer version 0\.2\.0/.test(text)), "it is told")
    assert.deepStrictEqual(later.told, [])
  })

  it("C71 waits for a host that it cannot speak with to end, and reaches the next one by itself", async () => {
    let broken: Error | undefined = new HostUnavailable({
      directory: "/project",
      detail: "a host of version 0.0.1 still runs",
      passes: true
    })
    const shell = await open({ broken: () => broken })
    await shell.run("connect")
    await until(() => shell.contextKeys.get("nofx:link") === "failed", "it is said")
    broken = undefined
    await until(() => shell.contextKeys.get("nofx:connected") === true, "it is reached")
  })

  it("C71 tells the host at once what it can be told, and offers to start it anew for other settings", async () => {
    const shell = await open()
    await startAgent(shell)
    shell.setting("nofx.onEditorClose", "pause")
    await until(() => shell.told.includes("pause"), "the host knows")
    assert.isFalse(shell.questions.some(({ text }) => /new settings/.test(text)))
    shell.answers.push(choose("Restart When Idle"))
    shell.setting("nofx.retry.maxAttempts", 7)
    await until(() => shell.told.includes("retire"), "it is started anew")
    await shell.become(connected())
    shell.setting("nofx.retry.maxAttempts", 7)
    assert.strictEqual(shell.questions.filter(({ text }) => /new settings/.test(text)).length, 1)
  })

  it("C43 leaves a runtime shut down that another window has shut down, until somebody wants it", async () => {
    const shell = await open({ hasState: true })
    await startAgent(shell)
    await Effect.runPromise(shell.runtime().shutdown)
    await shell.become({ _tag: "Reconnecting", detail: "the connection ended" })
    await until(() => shell.contextKeys.get("nofx:link") === "stopped", "it is shown")
    const wishes = shell.wishes.length
    shell.look("nofx.tasks")
    shell.look("nofx.agents")
    assert.strictEqual(shell.wishes.length, wishes)
    await shell.become(connected())
    await shell.run("connect")
    assert.strictEqual(shell.wishes.length, wishes + 1)
  })

  it("C69 asks with the command shown, grants what is chosen, and nothing when the question is closed", async () => {
    const granted: Array<string | undefined> = []
    const asking: Runtime.Script = (attempt) =>
      Effect.gen(function* () {
        yield* attempt.started()
        const options = [
          { id: "yes", name: "Allow", kind: "allow_once" },
          { id: "no", name: "Reject", kind: "reject_once" }
        ]
        granted.push(yield* attempt.permission({ title: "run a command", kind: "execute", detail: "rm -r build", options }))
        return Runtime.claim()
      })
    const shell = await open({ drivers: { command: Runtime.driver(asking) } })
    await startAgent(shell)
    await addTask(shell, "clean up")
    await until(() => shell.questions.some(({ text }) => /rm -r build/.test(text)), "it is asked")
    await until(() => row(shell, "nofx.agents", /Agent a, Needs you/) !== undefined, "the agent needs somebody")
    assert.deepStrictEqual(granted, [])
    shell.answers.push(choose("Allow"))
    await shell.run("answerPermission", row(shell, "nofx.agents", /Agent a, Needs you/)!.node)
    await until(() => granted.length === 1, "it is answered")
    assert.deepStrictEqual(granted, ["yes"])
    assert.isTrue(shell.shown.some(({ text }) => text === "rm -r build"))
  })

  it("C30 shows, discards, brings back, retries, restores and purges a dead letter", async () => {
    let fails = true
    const script = Runtime.afterStart(
      Effect.suspend(() => (fails ? Effect.fail(Runtime.failure(outage)) : Effect.succeed(Runtime.claim())))
    )
    const shell = await open({ drivers: { command: Runtime.driver(script) }, config: { retry: { maxAttempts: 1 } } })
    await startAgent(shell)
    await addTask(shell, "break")
    shell.look("nofx.deadLetters")
    const letter = () => row(shell, "nofx.deadLetters", /Dead letter break/)
    await until(() => letter() !== undefined, "the letter is there")
    await until(() => shell.trees.get("nofx.deadLetters")!.view.badge?.value === 1, "the badge counts it")
    await shell.run("openDeadLetter", letter()!.node)
    assert.match(shell.shown.at(-1)!.text, /"cause": "Crashed"/)
    shell.answers.push(choose("Undo"))
    await shell.run("discardDeadLetter", letter()!.node)
    await until(() => letter() !== undefined, "it is back")
    // Discarded and not taken back at once, it is restored from the archive.
    await shell.run("discardDeadLetter", letter()!.node)
    await until(() => letter() === undefined, "it is gone")
    await shell.run("purgeDeadLetters")
    assert.match(shell.questions.at(-1)!.text, /for ever/)
    shell.answers.push(({ choices }) => choices[0])
    await shell.run("restoreDeadLetter")
    await until(() => letter() !== undefined, "it is restored")
    fails = false
    await shell.run("retryDeadLetter", letter()!.node)
    await until(() => letter() === undefined, "it is resolved")
    await until(() => row(shell, "nofx.tasks", /Task break.*Done/) !== undefined, "its task is done")
    const lines = () => Effect.runPromise(Stream.runCollect(shell.runtime().exportDLQ))
    assert.strictEqual((await lines()).length, 1)
    shell.answers.push(choose("The whole archive"), choose("Delete"))
    await shell.run("purgeDeadLetters")
    assert.deepStrictEqual(await lines(), [])
  })

  it("C57 shows a held circuit within a second, and resets it", async () => {
    const shell = await open()
    await startAgent(shell)
    assert.isAtMost(watchedMillis, 1_000)
    await Effect.runPromise(shell.runtime().isolateAgentCircuitBreaker("a"))
    await until(() => row(shell, "nofx.agents", /Agent a,.*isolated/) !== undefined, "it is shown")
    assert.match(row(shell, "nofx.agents", /Agent a/)!.item.contextValue!, /\.circuit\.isolated/)
    await shell.run("resetBreaker", row(shell, "nofx.agents", /Agent a/)!.node)
    await until(() => row(shell, "nofx.agents", /Agent a,.*isolated/) === undefined, "it is reset")
  })

  it("pauses and resumes the queue, and says so in its condition keys", async () => {
    const shell = await open()
    await startAgent(shell)
    await shell.run("pauseQueue")
    await until(() => shell.contextKeys.get("nofx:queuePaused") === true, "it is paused")
    await shell.run("resumeQueue")
    await until(() => shell.contextKeys.get("nofx:queuePaused") === false, "it goes on")
  })

  it("C63 without a repository shows the folder's changes, and says that there is nothing to merge", async () => {
    const shell = await open()
    await startAgent(shell)
    const node = row(shell, "nofx.agents", /Agent a/)!.node
    await shell.run("compareChanges", node)
    assert.isTrue(shell.executed.some(([name]) => name === "workbench.view.scm"))
    await shell.run("mergeWorktree", node)
    assert.match(shell.questions.at(-1)!.text, /repository|no worktree/)
  })

  it("does not do what cannot be taken back before it was confirmed", async () => {
    const shell = await open()
    await startAgent(shell)
    await shell.run("removeAgent", row(shell, "nofx.agents", /Agent a/)!.node)
    await shell.run("shutdown")
    assert.strictEqual((await Effect.runPromise(shell.runtime().agents)).length, 1)
    shell.answers.push(choose("Remove"))
    await shell.run("removeAgent", row(shell, "nofx.agents", /Agent a/)!.node)
    await until(() => shell.rows("nofx.agents").length === 0, "it is gone")
  })

  it("C43 shuts down with its phases shown, and leaves the runtime then", async () => {
    const shell = await open()
    await startAgent(shell)
    shell.answers.push(choose("Shut Down"))
    await shell.run("shutdown")
    assert.isTrue(shell.said.some((text) => /shut down/.test(text)))
    await until(() => shell.contextKeys.get("nofx:connected") === false, "it has left")
  })

  it("refreshes a view only when its rows differ", async () => {
    const shell = await open()
    await startAgent(shell)
    shell.look("nofx.health")
    const { refreshes } = shell.trees.get("nofx.agents")!
    for (let turn = 0; turn < 3; turn++) await shell.run("runHealthCheck")
    assert.strictEqual(shell.trees.get("nofx.agents")!.refreshes, refreshes)
  })

  it("C57 sends the dashboard whole and bounded messages, and runs from it only what is allowed", async () => {
    const shell = await open()
    await startAgent(shell)
    await shell.run("openDashboard")
    const panel = shell.panels[0]!
    panel.receive.fire({ command: "ready" })
    await until(() => panel.messages.length > 0, "it is sent")
    assert.strictEqual(panel.messages.at(-1)?.["agents"], 1)
    assert.match(panel.html(), /default-src 'none'/)
    assert.notMatch(panel.html(), /unsafe-inline/)
    const before = shell.executed.length
    panel.receive.fire({ command: "workbench.action.terminal.sendSequence" })
    assert.strictEqual(shell.executed.length, before)
  })

  it("lets language models look, and has what they do confirmed by the user", async () => {
    const shell = await open()
    await startAgent(shell)
    const call = async (name: string, input: object) => {
      const token = { isCancellationRequested: false, onCancellationRequested: () => ({ dispose: () => {} }) }
      const result = await shell.tools.get(name)!.invoke({ input, toolInvocationToken: undefined }, token)
      return String((result as unknown as { content: ReadonlyArray<{ value: string }> }).content[0]?.value)
    }
    assert.match(await call("nofx_list", { what: "agents" }), /"id":"a"/)
    assert.match(await call("nofx_status", {}), /"healthy"/)
    for (const name of ["nofx_addTask", "nofx_retryDeadLetter"]) {
      const prepared = await shell.tools.get(name)!.prepareInvocation!({ input: { prompt: "x", id: "y" } }, undefined as never)
      assert.isDefined(prepared?.confirmationMessages, name)
    }
    assert.match(await call("nofx_addTask", { prompt: "from a model" }), /from-a-model/)
    assert.match(await call("nofx_retryDeadLetter", { id: "none" }), /Gone/)
  })

  it("copies diagnostics without secrets", async () => {
    const shell = await open({ settings: { "nofx.agents": [{ ...agent, env: { API_TOKEN: "very-secret-value" } }] } })
    await startAgent(shell)
    await shell.run("copyDiagnostics")
    const text = shell.said.find((each) => each.startsWith("{"))!
    assert.notInclude(text, "very-secret-value")
    assert.include(text, '"snapshot"')
  })
})
