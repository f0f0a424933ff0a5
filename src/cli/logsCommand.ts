/** `nofx logs TASK`: the transcripts of a task's attempts, oldest first; with `--follow` as they grow, to the task's end. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Transcript from "../agent/Transcript.ts"
import { TaskNotFound } from "../runtime/Input.ts"
import type { Store } from "../store/Store.ts"
import { type Attempt, isEnd, type Task } from "../task/Task.ts"
import { dateTime } from "./eventText.ts"
import { json, stateDir } from "./flags.ts"
import { Machine } from "./machine.ts"
import { brief, printable } from "./printable.ts"
import { view } from "./viewer.ts"

/** Nothing tells when the state of a task changes in another process: it is looked at this often while its transcript is silent. */
const lookEvery = "1 second"

export const logsCommand = Command.make(
  "logs",
  {
    task: Argument.String("TASK").pipe(Argument.withDescription("Id of the task, or its key: batch and id")),
    follow: Flag.Boolean("follow").pipe(
      Flag.withAlias("f"),
      Flag.withDescription("Go on until the task has ended"),
      Flag.withDefault(false)
    ),
    json: json.pipe(Flag.withDescription("Print one JSON entry a line")),
    stateDir
  },
  (input) =>
    view(Option.getOrUndefined(input.stateDir), ({ directory, store }) =>
      Effect.gen(function* () {
        const { write } = yield* Machine
        const readers = new Map<string, Transcript.Reader>()
        const format = input.json ? jsonLine : textOf
        const shows = newShow()
        for (;;) {
          const task = yield* find(store, input.task)
          for (const attempt of task.attempts) {
            const reader = readers.get(attempt.id) ?? Transcript.read(folder(directory, attempt), attempt.id)
            readers.set(attempt.id, reader)
            for (const entry of reader.next()) write(shows(format(entry, attempt), input.json))
          }
          if (!input.follow || isEnd(task.state)) {
            if (!input.json && task.attempts.length === 0) write(`${task.spec.id} has not begun: ${task.waiting?.detail ?? task.state}\n`)
            return
          }
          const last = task.attempts.at(-1)
          yield* last === undefined ? Effect.sleep(lookEvery) : Effect.raceFirst(changed(folder(directory, last)), Effect.sleep(lookEvery))
        }
      })
    )
).pipe(
  Command.withDescription(
    "Show what was said and done for a task: prompt, answers, tools, permissions, and what programs printed, attempt by attempt. With --follow to its end."
  )
)

const folder = (directory: string, attempt: Attempt): string => path.join(directory, "agents", attempt.agentId)

/** The task with this key, else the newest with this id. */
const find = Effect.fnUntraced(function* (store: Store["Service"], taskId: string) {
  const byKey = yield* store.task(taskId)
  if (byKey !== undefined) return byKey
  let newest: Task | undefined
  for (;;) {
    const page: ReadonlyArray<Task> = yield* store.tasks({
      id: taskId,
      limit: 100,
      ...(newest === undefined ? {} : { after: String(newest.order) })
    })
    newest = page.at(-1) ?? newest
    if (page.length < 100) break
  }
  return newest === undefined ? yield* new TaskNotFound({ taskId }) : newest
})

/** Completes when something in the directory changes. */
const changed = (directory: string): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    let watcher: fs.FSWatcher
    try {
      watcher = fs.watch(directory, () => resume(Effect.void))
      watcher.on("error", () => {})
    } catch {
      // It is not there yet, or cannot be watched: the slow look serves.
      return
    }
    return Effect.sync(() => watcher.close())
  })

const jsonLine = (entry: Transcript.Entry, attempt: Attempt): string =>
  JSON.stringify({ ...entry, agentId: attempt.agentId, run: attempt.run, attempt: attempt.attempt })

/** An entry for people. Running text comes as it is, everything else in lines of its own. */
const textOf = (entry: Transcript.Entry): string => {
  switch (entry._tag) {
    case "Began": {
      const prompt = entry.prompt === "" ? "" : `\n${indented("> ", entry.prompt)}`
      return `── ${entry.taskId}, run ${entry.run}, attempt ${entry.attempt} on ${entry.agentId}, ${dateTime(entry.at)}${prompt}\n`
    }
    case "Text":
    case "Stdout":
      return printable(entry.text)
    case "Thought":
      return `${indented("~ ", entry.text)}\n`
    case "Stderr":
      return `${indented("! ", entry.text)}\n`
    case "Tool":
      return `* ${entry.kind}: ${brief(entry.title)} (${entry.status})\n`
    case "Usage":
      return entry.tokens === undefined ? "" : `· ${entry.tokens} tokens\n`
    case "Waiting":
      return `· waits: ${brief(entry.detail)}\n`
    case "Permission":
      return `? ${entry.kind}: ${brief(entry.title)}: ${brief(entry.answer)}\n`
    case "Ended":
      return `── ${entry.outcome}: ${brief(entry.detail)}\n`
    case "Gap":
      return "── … what was too much was not kept …\n"
  }
}

const indented = (mark: string, text: string): string =>
  printable(text)
    .replace(/\n+$/, "")
    .split("\n")
    .map((line) => mark + line)
    .join("\n")

/** Puts what has lines of its own on a new line. */
const newShow = () => {
  let open = false
  return (text: string, whole: boolean): string => {
    if (whole) return `${text}\n`
    if (text === "") return ""
    const shown = open && /^[─*~!?·]/u.test(text) ? `\n${text}` : text
    open = !text.endsWith("\n")
    return shown
  }
}
