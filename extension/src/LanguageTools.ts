/** Tools for language models in the editor: two that look, two that do something and are confirmed by the user first. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as vscode from "vscode"
import { Editor, hold } from "./Editor.ts"
import { failureText } from "./Failures.ts"
import { Link } from "./Link.ts"
import { newTask } from "./NewTask.ts"
import { Settings } from "./Settings.ts"
import { waiting } from "./trees/DeadLettersTree.ts"
import { brief, type Translate } from "./View.ts"

interface Tool {
  readonly name: string
  /** What the user is asked first; none: nothing is changed. */
  readonly confirm?: (input: Readonly<Record<string, unknown>>, t: Translate) => { readonly title: string; readonly message: string }
  readonly run: (input: Readonly<Record<string, unknown>>) => Effect.Effect<unknown, unknown, Link | Settings>
}

/** Rows of one answer: a model's attention is not free. */
const listed = 100

const snapshot = Effect.gen(function* () {
  const link = yield* Link
  const runtime = yield* link.runtime
  return yield* runtime.snapshot
})

export const tools: ReadonlyArray<Tool> = [
  { name: "nofx_status", run: () => Effect.map(snapshot, ({ status }) => status) },
  {
    name: "nofx_list",
    run: ({ what }) =>
      Effect.map(snapshot, (found) => {
        if (what === "agents") return found.agents.slice(0, listed)
        if (what === "tasks") return found.tasks.slice(0, listed)
        return waiting(found)
          .slice(0, listed)
          .map(({ cause, failures, id, kind, reason, redrives, subject }) => ({ id, kind, subject, cause, reason, failures, redrives }))
      })
  },
  {
    name: "nofx_addTask",
    confirm: ({ agent, prompt }, t) => ({
      title: t("Add a task to NofX?"),
      message: `${typeof agent === "string" ? t("For agent {0}: ", agent) : ""}${brief(String(prompt), 500)}`
    }),
    run: (input) =>
      Effect.gen(function* () {
        const link = yield* Link
        const settings = yield* Settings
        const runtime = yield* link.runtime
        const { agent, priority, prompt } = input
        const task = yield* newTask(String(prompt), (yield* settings.read).taskEffect)
        return yield* runtime.submit({
          ...task,
          ...(typeof agent === "string" ? { agent } : {}),
          ...(priority === "high" || priority === "low" ? { priority } : {})
        })
      })
  },
  {
    name: "nofx_retryDeadLetter",
    confirm: ({ id }, t) => ({ title: t("Retry a dead letter?"), message: t("The task of dead letter {0} is run again.", String(id)) }),
    run: ({ id }) =>
      Effect.gen(function* () {
        const link = yield* Link
        const runtime = yield* link.runtime
        const { _tag, ...more } = yield* runtime.retryDLQMessage(String(id))
        return "reason" in more ? { result: _tag, reason: more.reason } : { result: _tag }
      })
  }
]

export const layer = Layer.effectDiscard(
  Effect.gen(function* () {
    const editor = yield* Editor
    // An editor without language models is one all the same.
    if (editor.lm?.registerTool === undefined) return
    const context = yield* Effect.context<Link | Settings>()
    const answer = (value: unknown) =>
      new editor.LanguageModelToolResult([new editor.LanguageModelTextPart(typeof value === "string" ? value : JSON.stringify(value))])
    for (const tool of tools) {
      yield* hold(() =>
        editor.lm.registerTool<Readonly<Record<string, unknown>>>(tool.name, {
          prepareInvocation: ({ input }) => {
            const confirmationMessages = tool.confirm?.(input, editor.l10n.t)
            return confirmationMessages === undefined ? {} : { confirmationMessages }
          },
          invoke: async ({ input }, token: vscode.CancellationToken) => {
            const stop = new AbortController()
            const listening = token.onCancellationRequested(() => stop.abort())
            const exit = await Effect.runPromiseExitWith(context)(tool.run(input), { signal: stop.signal })
            listening.dispose()
            return answer(Exit.isSuccess(exit) ? exit.value : `NofX: ${failureText(exit.cause) ?? "cancelled"}`)
          }
        })
      )
    }
  })
)
