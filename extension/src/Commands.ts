/** Every command that the manifest contributes, and what a failure of one says to the user. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as agents from "./commands/agents.ts"
import * as changes from "./commands/changes.ts"
import * as deadLetters from "./commands/deadLetters.ts"
import type { Handler, Services } from "./commands/Handler.ts"
import * as runtime from "./commands/runtime.ts"
import * as taskFiles from "./commands/taskFiles.ts"
import * as tasks from "./commands/tasks.ts"
import { Editor, hold, Log } from "./Editor.ts"
import { failureText, isSurprise } from "./Failures.ts"

/** By their names without the prefix `nofx.`. */
export const handlers: Readonly<Record<string, (...given: Parameters<Handler>) => Effect.Effect<unknown, unknown, Services>>> = {
  ...agents.handlers,
  ...changes.handlers,
  ...deadLetters.handlers,
  ...runtime.handlers,
  ...taskFiles.handlers,
  ...tasks.handlers
}

export const layer = Layer.effectDiscard(
  Effect.gen(function* () {
    const editor = yield* Editor
    const log = yield* Log
    const fork = yield* FiberSet.makeRuntime<Services>()

    /** What a user sees of a failure: its sentence, and where the rest is. Being cancelled says nothing. */
    const tell = (name: string, cause: Cause.Cause<unknown>): void => {
      const text = isSurprise(cause) ? editor.l10n.t("Something went wrong in NofX.") : failureText(cause)
      if (text === undefined) return
      log.error(`${name}: ${Cause.pretty(cause)}`)
      const show = editor.l10n.t("Show Log")
      void editor.window.showErrorMessage(text, show).then((chosen) => chosen === show && log.show())
    }

    for (const [name, handler] of Object.entries(handlers)) {
      yield* hold(() =>
        editor.commands.registerCommand(`nofx.${name}`, async (argument: unknown, selected: unknown) => {
          const exit = await Effect.runPromise(Fiber.await(fork(handler(argument, selected))))
          if (Exit.isFailure(exit)) tell(name, exit.cause)
        })
      )
    }
  })
)
