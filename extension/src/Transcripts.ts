/** Shows what agents did on a task, live, from the transcripts that the host writes: they are there whoever looked, and after a restart. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import type { TaskView } from "../../src/RuntimeStatus.ts"
import { Documents } from "./Documents.ts"
import { Editor, Log } from "./Editor.ts"
import { Later } from "./Later.ts"
import { Link, refreshMillis } from "./Link.ts"
import type { TranscriptReader } from "./seldom.ts"
import * as Text from "./TranscriptText.ts"

export class Transcripts extends Context.Service<
  Transcripts,
  {
    /** Opens the transcript of a task, by its key, and keeps it up to date while it is open. */
    readonly open: (key: string) => Effect.Effect<void>
  }
>()("nofx/extension/Transcripts") {}

const nameOf = (key: string): string => `transcripts/${key.replaceAll(/[^\w./-]/g, "-")}.log`

interface Open {
  readonly reader: TranscriptReader | undefined
  /** Of the task, as the text says it. */
  state: string
  text: string
  answer: string
}

export const layer = Layer.effect(
  Transcripts,
  Effect.gen(function* () {
    const editor = yield* Editor
    const link = yield* Link
    const documents = yield* Documents
    const log = yield* Log
    const { load } = yield* Later
    const open = new Map<string, Open>()
    const changed = new Set<string>()
    const some = yield* Latch.make(false)

    yield* Effect.acquireRelease(
      Effect.sync(() =>
        link.onEvent((event) => {
          if (!("taskId" in event) || event.taskId === undefined || !("batch" in event)) return
          const key = event.batch === "" ? event.taskId : `${event.batch}/${event.taskId}`
          if (!open.has(key)) return
          changed.add(key)
          some.openUnsafe()
        })
      ),
      (stop) => Effect.sync(stop)
    )

    yield* Effect.forkScoped(
      Stream.runForEach(link.changes, () =>
        Effect.sync(() => {
          for (const [key, { state }] of open) if ((taskOf(key)?.state ?? state) !== state) changed.add(key)
          if (changed.size > 0) some.openUnsafe()
        })
      )
    )

    const taskOf = (key: string): TaskView | undefined => link.view().snapshot?.tasks.find((task) => task.key === key)

    /** The document as it is now: reads what has come since the last time. */
    const textOf = Effect.fnUntraced(function* (task: TaskView, shown: Open) {
      shown.state = task.state
      shown.text = Text.append(shown.text, shown.reader?.next() ?? "")
      if (task.endedAt !== undefined && shown.answer === "") {
        const runtime = yield* Effect.option(link.runtime)
        if (runtime._tag === "Some") {
          const end = yield* Effect.exit(runtime.value.await(task.key))
          if (Exit.isSuccess(end)) shown.answer = end.value.output ?? ""
        }
      }
      return Text.document(task, shown.text, shown.answer, editor.l10n.t)
    })

    yield* Effect.forkScoped(
      Effect.forever(
        Effect.gen(function* () {
          yield* some.await
          // Longer than a refresh takes: the task's state is then as new as its text.
          yield* Effect.sleep(refreshMillis * 2)
          some.closeUnsafe()
          for (const key of [...changed]) {
            changed.delete(key)
            const task = taskOf(key)
            const shown = open.get(key)
            if (task === undefined || shown === undefined) continue
            if (documents.isOpen(nameOf(key))) documents.update(nameOf(key), yield* textOf(task, shown))
            else open.delete(key)
          }
        })
      )
    )

    return Transcripts.of({
      open: Effect.fnUntraced(function* (key) {
        const task = taskOf(key)
        if (task === undefined) return
        const { stateDirectory } = link.view()
        const reader =
          stateDirectory === undefined
            ? undefined
            : yield* Effect.promise(async () => (await load()).transcript(stateDirectory, { taskId: task.id, acceptedAt: task.acceptedAt }))
        if (reader === undefined) log.debug(`no transcripts are known for ${key}`)
        const shown: Open = { reader, state: task.state, text: "", answer: "" }
        open.set(key, shown)
        yield* documents.show(nameOf(key), yield* textOf(task, shown))
      })
    })
  })
)
