/** Commands about agents: start, stop, restart, remove, their circuits, their changes. */
import * as Effect from "effect/Effect"
import type { AgentInput } from "../../../src/AgentRuntime.ts"
import { ask, Editor } from "../Editor.ts"
import { Link } from "../Link.ts"
import { Programs, type Startable } from "../Programs.ts"
import { Settings } from "../Settings.ts"
import { confirm, folder, fresh, type Handler, pickAgent, said } from "./Handler.ts"
import { Refused } from "./Refused.ts"

/** The id, or the first of id-2, id-3 … that is free. */
const freeId = (id: string, taken: ReadonlyArray<string>): string => {
  if (!taken.includes(id)) return id
  for (let number = 2; ; number++) if (!taken.includes(`${id}-${number}`)) return `${id}-${number}`
}

/** Spawns it, with its place in the view as the sign that it is under way. */
const spawn = Effect.fnUntraced(function* (agent: AgentInput) {
  const editor = yield* Editor
  const link = yield* Link
  const { permissions } = yield* (yield* Settings).read
  const runtime = yield* link.runtime
  const context = yield* Effect.context<never>()
  yield* ask(() =>
    editor.window.withProgress({ location: { viewId: "nofx.agents" } }, () =>
      Effect.runPromiseWith(context)(Effect.exit(runtime.spawn({ permissions, ...agent })))
    )
  ).pipe(Effect.flatten)
  link.refresh()
})

const startAgent: Handler = () =>
  Effect.gen(function* () {
    const editor = yield* Editor
    const { t } = editor.l10n
    yield* folder
    const found = yield* (yield* Programs).found
    const items = [
      ...found.map((each) => ({
        label: each.title,
        description: each.how,
        detail: each.own ? t("from your settings") : "",
        each: each as Startable | undefined
      })),
      { label: t("Another command…"), description: t("any program that does a task"), detail: "", each: undefined }
    ]
    const picked = yield* ask(() =>
      editor.window.showQuickPick(items, {
        title: t("Start an agent"),
        placeHolder: t("Agents found on this machine and in your settings"),
        matchOnDescription: true
      })
    )
    if (picked === undefined) return
    const agent = picked.each?.agent ?? (yield* typedAgent)
    if (agent === undefined) return
    yield* ask(() => editor.commands.executeCommand("nofx.agents.focus"))
    // Only now is the host needed: whoever chooses nothing has started nothing.
    const { snapshot } = yield* fresh
    const taken = snapshot.agents.map(({ id }) => id)
    yield* spawn({ ...agent, id: freeId(agent.id, taken) })
  })

/** A command as somebody types it; quotes keep words together, as in a shell, and nothing else of a shell is done. */
const typedAgent = Effect.gen(function* () {
  const editor = yield* Editor
  const { t } = editor.l10n
  const typed = yield* ask(() =>
    editor.window.showInputBox({
      title: t("The agent's command"),
      prompt: t("Program and arguments. The prompt comes as JSON on standard input, or where {{task.prompt}} stands."),
      ignoreFocusOut: true
    })
  )
  const command = [...(typed ?? "").matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2] ?? match[3]!)
  const program = command[0]
  if (program === undefined) return undefined
  const name = program
    .split(/[/\\]/)
    .at(-1)!
    .replaceAll(/[^A-Za-z0-9._-]/g, "-")
    .replace(/^[^A-Za-z0-9]+/, "")
  return { id: name === "" ? "agent" : name, driver: "command", command, capabilities: ["code"] } satisfies AgentInput
})

const stopAgent: Handler = (argument) =>
  Effect.gen(function* () {
    const editor = yield* Editor
    const { t } = editor.l10n
    const agent = yield* pickAgent(argument, t("Stop an agent's task"), ({ task }) => task !== undefined)
    if (agent === undefined) return
    const { link, runtime, snapshot } = yield* fresh
    const task = snapshot.tasks.find(({ agentId, id, state }) => id === agent.task && agentId === agent.id && state === "running")
    if (task === undefined) return yield* new Refused({ detail: t("The agent {0} works on nothing now.", agent.id) })
    if (!(yield* confirm(t("Stop {0}?", agent.id), t("Its task {0} is cancelled. What it has changed so far stays.", task.id), t("Stop"))))
      return
    yield* runtime.cancel(task.key, "stopped in the editor")
    link.refresh()
  })

const stopAllAgents: Handler = () =>
  Effect.gen(function* () {
    const { t } = (yield* Editor).l10n
    const { link, runtime, snapshot } = yield* fresh
    const running = snapshot.tasks.filter(({ state }) => state === "running")
    const list = running.map(({ agentId, id }) => `${agentId ?? ""}: ${id}`).join("\n")
    const detail = `${t("The queue is paused and these tasks are cancelled:")}\n${list === "" ? t("none") : list}`
    if (!(yield* confirm(t("Stop all agents?"), detail, t("Stop All")))) return
    yield* runtime.pause
    yield* Effect.forEach(running, ({ key }) => Effect.ignore(runtime.cancel(key, "all agents were stopped in the editor")), {
      concurrency: "unbounded",
      discard: true
    })
    link.refresh()
  })

const restartAgent: Handler = (argument) =>
  Effect.gen(function* () {
    const { t } = (yield* Editor).l10n
    const agent = yield* pickAgent(argument, t("Restart an agent"))
    if (agent === undefined) return
    const { link, runtime } = yield* fresh
    yield* runtime.restart(agent.id)
    link.refresh()
  })

const removeAgent: Handler = (argument) =>
  Effect.gen(function* () {
    const { t } = (yield* Editor).l10n
    const agent = yield* pickAgent(argument, t("Remove an agent"))
    if (agent === undefined) return
    const detail =
      agent.task === undefined
        ? t("It is stopped and forgotten.")
        : t("It is stopped. Its task {0} is given back as far as that is safe.", agent.task)
    if (!(yield* confirm(t("Remove {0}?", agent.id), detail, t("Remove")))) return
    const { link, runtime } = yield* fresh
    yield* runtime.remove(agent.id)
    link.refresh()
  })

const resetBreaker: Handler = (argument) =>
  Effect.gen(function* () {
    const { t } = (yield* Editor).l10n
    const agent = yield* pickAgent(argument, t("Reset a circuit breaker"))
    if (agent === undefined) return
    const { link, runtime } = yield* fresh
    const { result } = yield* runtime.resetAgentCircuitBreaker(agent.id)
    yield* said(result === "Reset" ? t("the circuit of {0} is closed", agent.id) : t("the circuit of {0} was closed already", agent.id))
    link.refresh()
  })

const isolateBreaker: Handler = (argument) =>
  Effect.gen(function* () {
    const { t } = (yield* Editor).l10n
    const agent = yield* pickAgent(argument, t("Isolate an agent"))
    if (agent === undefined) return
    const { link, runtime } = yield* fresh
    yield* runtime.isolateAgentCircuitBreaker(agent.id, "isolated in the editor")
    yield* said(t("{0} gets no work until its circuit is reset", agent.id))
    link.refresh()
  })

export const handlers = { startAgent, stopAgent, stopAllAgents, restartAgent, removeAgent, resetBreaker, isolateBreaker }
