/**
 * An agent that misbehaves on demand, on the protocol's own SDK. Its prompt is its script: a JSON array of steps, each an array of a name
 * and its values. What it is told before a prompt, its environment says (`SCRIPT`, a JSON object, see `Setup`).
 */
import { spawn } from "node:child_process"
import { appendFileSync, closeSync, writeSync } from "node:fs"
import { Readable, Writable } from "node:stream"
import * as acp from "@agentclientprotocol/sdk"

interface Setup {
  /** How it starts. */
  readonly start?: "crash" | "silent" | "usage" | "auth" | "version" | "garbage" | "loginText"
  /** What it advertises. */
  readonly capabilities?: acp.AgentCapabilities
  /** How `session/new` is answered. */
  readonly session?: "auth" | "silent" | "crash"
  /** How `session/load` and `session/resume` are answered. */
  readonly load?: "refuse" | "replay"
  readonly modes?: acp.SessionModeState
  /** Where it writes down what it was asked. */
  readonly log?: string
  /** Ignores SIGTERM and `session/cancel`. */
  readonly stubborn?: boolean
}

const setup = JSON.parse(process.env.SCRIPT ?? "{}") as Setup
const note = (what: string): void => {
  if (setup.log !== undefined) appendFileSync(setup.log, `${what}\n`)
}
const forever = (): Promise<never> => {
  setInterval(() => {}, 60_000)
  return new Promise(() => {})
}
if (setup.stubborn) process.on("SIGTERM", () => note("SIGTERM"))
note(`started ${process.pid}`)
if (setup.start === "crash") process.exit(3)
if (setup.start === "usage") {
  process.stdout.write("Usage: agent [options]\n")
  process.exit(1)
}
if (setup.start === "loginText") {
  process.stderr.write("Error: Not logged in. Please log in first.\n")
  process.exit(1)
}
if (setup.start === "silent") await forever()
if (setup.start === "garbage") process.stdout.write("Loading model weights... 100%\nwelcome!\n")

const cancelled = new Map<string, AbortController>()

const play = async (
  steps: ReadonlyArray<ReadonlyArray<unknown>>,
  sessionId: string,
  client: acp.AgentContext,
  signal: AbortSignal
): Promise<acp.PromptResponse> => {
  const update = (body: unknown): Promise<void> =>
    client.notify(acp.methods.client.session.update, { sessionId, update: body as acp.SessionUpdate })
  const say = (text: string): Promise<void> => update({ sessionUpdate: "agent_message_chunk", content: { type: "text", text } })
  for (const [name, ...values] of steps) {
    // The script's author knows what each step takes.
    const [first, second] = values as unknown as readonly [never, never]
    switch (name) {
      case "say":
        await say(first)
        break
      case "update":
        await update(first)
        break
      case "tool":
        await update({
          sessionUpdate: "tool_call",
          toolCallId: `call-${first}-${second}`,
          title: `a tool of kind ${first}`,
          kind: first,
          status: second
        })
        break
      case "fail":
        throw new acp.RequestError(first, second, values[2])
      case "stderr":
        process.stderr.write(`${first}\n`)
        break
      case "crash":
        process.kill(process.pid, first ?? "SIGKILL")
        await forever()
        break
      case "exit":
        process.exit(first)
        break
      case "garbage":
        writeSync(1, "this is no message\n".repeat(first))
        break
      case "half":
        writeSync(1, `{"jsonrpc":"2.0","id":1,"resu`)
        process.exit(1)
        break
      case "line":
        process.stdout.write("x".repeat(first))
        break
      case "mute":
        closeSync(1)
        await forever()
        break
      case "flood":
        for (let index = 0; index < first; index++) await say("All work and no play. ")
        break
      case "silence":
        note("silence")
        await new Promise<void>((resolve) => {
          setInterval(() => {}, 60_000)
          if (!setup.stubborn) signal.addEventListener("abort", () => resolve())
        })
        break
      case "grandchild": {
        const child = spawn("/bin/sh", ["-c", "sleep 600 & exec sleep 600"], { detached: true, stdio: "ignore" })
        child.unref()
        note(`grandchild ${child.pid}`)
        break
      }
      case "permission": {
        const answer = await client.request(acp.methods.client.session.requestPermission, {
          sessionId,
          toolCall: {
            toolCallId: `asked-${first}`,
            title: `may I ${first}`,
            kind: first,
            status: "pending",
            rawInput: { command: "make it so" }
          },
          options: [
            { optionId: "yes", name: "Allow", kind: "allow_once" },
            { optionId: "always", name: "Always", kind: "allow_always" },
            { optionId: "no", name: "Reject", kind: "reject_once" }
          ]
        })
        await say(`permission: ${answer.outcome.outcome === "selected" ? answer.outcome.optionId : answer.outcome.outcome}. `)
        break
      }
      case "read":
      case "write":
      case "terminal": {
        const done =
          name === "read"
            ? client.request(acp.methods.client.fs.readTextFile, { sessionId, path: first }).then(({ content }) => content)
            : name === "write"
              ? client.request(acp.methods.client.fs.writeTextFile, { sessionId, path: first, content: second }).then(() => "written")
              : client
                  .createTerminal({ sessionId, command: first, ...(second === undefined ? {} : { args: second }), outputByteLimit: 100 })
                  .then(async (terminal) => {
                    const exit = await terminal.waitForExit()
                    const { output, truncated } = await terminal.currentOutput()
                    return `exit ${exit.exitCode} truncated ${truncated} output ${output}`
                  })
        await say(
          await done.then(
            (text) => `${name}: ${text}\n`,
            (error: acp.RequestError) => `${name}: refused ${error.code}\n`
          )
        )
        break
      }
      case "background":
        await client.createTerminal({ sessionId, command: "/bin/sleep", args: ["600"] })
        break
      case "stop":
        return { stopReason: first, ...(second === undefined ? {} : { _meta: second }) }
      default:
        throw new Error(`no step ${String(name)}`)
    }
    if (signal.aborted) return { stopReason: "cancelled" }
  }
  return { stopReason: "end_turn" }
}

const { agent: names } = acp.methods
const app = acp
  .agent({ name: "scripted" })
  .onRequest(names.initialize, ({ params }) => {
    note(`initialize ${JSON.stringify(params.clientCapabilities ?? null)}`)
    if (setup.start === "auth") throw acp.RequestError.authRequired()
    return {
      protocolVersion: setup.start === "version" ? 99 : acp.PROTOCOL_VERSION,
      agentCapabilities: setup.capabilities ?? {},
      authMethods: []
    }
  })
  .onRequest(names.session.new, async ({ params }) => {
    note(`new ${params.cwd}`)
    if (setup.session === "auth") throw acp.RequestError.authRequired()
    if (setup.session === "silent") await forever()
    if (setup.session === "crash") process.exit(4)
    return { sessionId: "session-1", ...(setup.modes === undefined ? {} : { modes: setup.modes }) }
  })
  .onRequest(names.session.setMode, ({ params }) => {
    note(`mode ${params.modeId}`)
    return {}
  })
  .onRequest(names.session.load, async ({ client, params }) => {
    note(`load ${params.sessionId}`)
    if (setup.load === "refuse") throw acp.RequestError.resourceNotFound(params.sessionId)
    const old = {
      sessionUpdate: "tool_call" as const,
      toolCallId: "old",
      title: "old",
      kind: "edit" as const,
      status: "completed" as const
    }
    await client.notify(acp.methods.client.session.update, { sessionId: params.sessionId, update: old })
    await client.notify(acp.methods.client.session.update, {
      sessionId: params.sessionId,
      update: { sessionUpdate: "agent_message_chunk", content: { type: "text", text: "history " } }
    })
    return {}
  })
  .onRequest(names.session.resume, ({ params }) => {
    note(`resume ${params.sessionId}`)
    if (setup.load === "refuse") throw acp.RequestError.resourceNotFound(params.sessionId)
    return {}
  })
  .onRequest(names.session.close, ({ params }) => {
    note(`close ${params.sessionId}`)
    return {}
  })
  .onNotification(names.session.cancel, ({ params }) => {
    note(`cancel ${params.sessionId}`)
    cancelled.get(params.sessionId)?.abort()
  })
  .onRequest(names.session.prompt, async ({ client, params }) => {
    const text = params.prompt.map((block) => (block.type === "text" ? block.text : "")).join("")
    note("prompt")
    const abort = new AbortController()
    cancelled.set(params.sessionId, abort)
    const answer = await play(JSON.parse(text) as ReadonlyArray<ReadonlyArray<unknown>>, params.sessionId, client, abort.signal)
    note(`answered ${answer.stopReason}`)
    return answer
  })

const connection = app.connect(
  acp.ndJsonStream(
    Writable.toWeb(process.stdout) as WritableStream<Uint8Array>,
    Readable.toWeb(process.stdin) as ReadableStream<Uint8Array>
  )
)
void connection.closed.then(() => {
  note("closed")
  if (!setup.stubborn) process.exit(0)
})
