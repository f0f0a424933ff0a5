/** What the manifest's `when` clauses go by. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { afterStart, ask, Editor, onEvent } from "./Editor.ts"
import { Link } from "./Link.ts"
import { Programs } from "./Programs.ts"
import { waiting } from "./trees/DeadLettersTree.ts"
import type { View } from "./View.ts"

/** The keys, without their prefix, as this view has them. */
export const keysOf = (view: View) => ({
  place: view.place._tag,
  link: view.link,
  connected: view.link === "connected",
  hasAgents: (view.snapshot?.agents.length ?? 0) > 0,
  hasTasks: (view.snapshot?.tasks.length ?? 0) > 0,
  hasDeadLetters: view.snapshot !== undefined && waiting(view.snapshot).length > 0,
  queuePaused: view.snapshot?.status.phase === "paused",
  asked: (view.snapshot?.permissions.length ?? 0) > 0
})

export const layer = Layer.effectDiscard(
  Effect.gen(function* () {
    const editor = yield* Editor
    const link = yield* Link
    const programs = yield* Programs
    const known = new Map<string, unknown>()
    const put = (key: string, value: unknown): Effect.Effect<unknown> => {
      if (known.get(key) === value) return Effect.void
      known.set(key, value)
      return ask(() => editor.commands.executeCommand("setContext", `nofx:${key}`, value))
    }
    const putAll = (view: View) => Effect.forEach(Object.entries(keysOf(view)), ([key, value]) => put(key, value), { discard: true })
    const lookForAgents = Effect.flatMap(programs.found, (found) => put("agentFound", found.length > 0 ? "yes" : "no"))

    yield* onEvent(editor.workspace.onDidChangeConfiguration, (change) => {
      if (change.affectsConfiguration("nofx.agents")) Effect.runFork(Effect.ignore(lookForAgents))
    })
    yield* Effect.forkScoped(Stream.runForEach(link.changes, putAll))
    yield* Effect.forkScoped(afterStart(lookForAgents))
  })
)
