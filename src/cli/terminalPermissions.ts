/**
 * Permission requests on the terminal: one at a time, the oldest first, with what the agent wants and the answers that it offers.
 *
 * An answer is a number, or `r`; anything else asks again, and silence grants nothing. A request that ends otherwise (answered elsewhere,
 * its time over, its attempt stopped) makes room for the next.
 */
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import { AgentRuntime } from "../AgentRuntime.ts"
import type { PermissionView } from "../RuntimeStatus.ts"
import { Machine } from "./machine.ts"
import { brief, printable } from "./printable.ts"

/** Lines of a command or a diff that are shown. */
const shownLines = 30

/** What is asked, as lines. */
export const question = (asked: PermissionView): ReadonlyArray<string> => {
  const detail = printable(asked.detail).replace(/\n+$/, "").split("\n")
  const more = detail.length > shownLines ? [`    … ${detail.length - shownLines} more lines`] : []
  return [
    "",
    `Agent ${asked.agentId} (task ${asked.taskId}) asks to ${asked.kind}: ${brief(asked.title)}`,
    ...(asked.detail === "" ? [] : [...detail.slice(0, shownLines).map((line) => `    ${line}`), ...more]),
    ...asked.options.map((option, index) => `  ${index + 1}  ${brief(option.name)}`),
    "  r  reject",
    "Your answer, then Enter:"
  ]
}

/** The answer that a line gives; undefined when it gives none. */
export const answerOf = (asked: PermissionView, line: string): { readonly option: string | undefined } | undefined => {
  const said = line.trim().toLowerCase()
  if (said === "r") return { option: undefined }
  const option = /^[1-9]\d*$/.test(said) ? asked.options[Number(said) - 1] : undefined
  return option === undefined ? undefined : { option: option.id }
}

/** Can somebody be asked here? */
export const possible = (machine: Machine): boolean => machine.terminal !== undefined && machine.input !== undefined

/** Asks until the scope closes. `show` puts a question on the terminal; undefined takes the terminal back. */
export const attend = (show: (lines: ReadonlyArray<string> | undefined) => void): Effect.Effect<void, never, AgentRuntime | Scope.Scope> =>
  Effect.gen(function* () {
    const runtime = yield* AgentRuntime
    const { input } = yield* Machine
    if (input === undefined) return
    /** A typed line; undefined: look what waits. */
    const wakes = yield* Queue.unbounded<string | undefined>()
    yield* runtime.subscribe((event) => {
      if (event._tag === "PermissionRequested" || event._tag === "PermissionAnswered" || event._tag === "AttemptEnded")
        Queue.offerUnsafe(wakes, undefined)
    })
    let asked: PermissionView | undefined
    // Read only while something is asked: a program in the background that reads its terminal is stopped.
    let release: (() => void) | undefined
    const close = (): void => {
      release?.()
      release = undefined
      if (asked !== undefined) show(undefined)
      asked = undefined
    }
    yield* Effect.addFinalizer(() => Effect.sync(close))

    const look = Effect.gen(function* () {
      const { permissions } = yield* runtime.snapshot
      if (asked !== undefined && permissions.some((each) => each.requestId === asked?.requestId)) return
      close()
      asked = permissions[0]
      if (asked === undefined) return
      show(question(asked))
      release = input.onLine((line) => void Queue.offerUnsafe(wakes, line))
    })
    const typed = (line: string) =>
      Effect.suspend(() => {
        if (asked === undefined) return Effect.void
        const answer = answerOf(asked, line)
        if (answer === undefined) return Effect.sync(() => show([`A number from 1 to ${asked?.options.length}, or r:`]))
        // Whoever was faster has answered it.
        return Effect.ignore(runtime.answerPermission(asked.requestId, answer.option, "terminal"))
      })
    const turn = Effect.flatMap(Queue.take(wakes), (line) => (line === undefined ? look : Effect.andThen(typed(line), look)))
    yield* Effect.forkScoped(Effect.forever(turn))
  })
