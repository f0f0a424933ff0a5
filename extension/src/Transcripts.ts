/** Keeps the last of what agents did while this window looked, and shows it live. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import type { TaskEnd } from "../../src/AgentRuntime.ts"
import type { TaskView } from "../../src/RuntimeStatus.ts"
import { isEnd } from "../../src/task/Task.ts"
import { keyOf } from "../../src/task/TaskLife.ts"
import { Documents } from "./Documents.ts"
import { ask, Editor } from "./Editor.ts"
import { Link, refreshMillis } from "./Link.ts"
import * as Text from "./TranscriptText.ts"

export class Transcripts extends Context.Service<
  Transcripts,
  {
    /** Opens the transcript of a task, by its key, and keeps it up to date while it is open. */
    readonly open: (key: string) => Effect.Effect<void>
  }
>()("nofx/extension/Transcripts") {}

const nameOf = (key: string): string => `transcripts/${key.replaceAll(/[^\w./-]/g, "-")}.log`

export const layer = Layer.effect(
  Transcripts,
  Effect.gen(function* () {
    const editor = yield* Editor
    const link = yield* Link
    const documents = yield* Documents
    const kept = new Map<string, Text.Transcript>()
    const outputs = new Map<string, string>()
    const changed = new Set<string>()
    const some = yield* Latch.make(false)

    yield* Effect.acquireRelease(
      Effect.sync(() =>
        link.onEvent((event) => {
          if (!("taskId" in event) || event.taskId === undefined || !("batch" in event)) return
          const key = keyOf(event.batch, event.taskId)
          const before = kept.get(key) ?? Text.empty
          const after = Text.add(before, event)
          if (after === before) return
          kept.delete(key)
          kept.set(key, after)
          for (const oldest of kept.keys()) {
            if (kept.size <= Text.keptTasks) break
            kept.delete(oldest)
          }
          if (!documents.isOpen(nameOf(key))) return
          changed.add(key)
          some.openUnsafe()
        })
      ),
      (stop) => Effect.sync(stop)
    )

    const taskOf = (key: string): TaskView | undefined => link.view().snapshot?.tasks.find((task) => task.key === key)
    const textOf = (task: TaskView): string => Text.document(task, kept.get(task.key) ?? Text.empty, outputs.get(task.key), editor.l10n.t)

    yield* Effect.forkScoped(
      Effect.forever(
        Effect.gen(function* () {
          yield* some.await
          // Longer than a refresh takes: the task's state is then as new as its text.
          yield* Effect.sleep(refreshMillis * 2)
          some.closeUnsafe()
          for (const key of changed) {
            const task = taskOf(key)
            if (task !== undefined) documents.update(nameOf(key), textOf(task))
          }
          changed.clear()
        })
      )
    )

    /** What it answered; where the whole output lies in a file of its own, that. */
    const answer = (task: TaskView) =>
      Effect.gen(function* () {
        if (!isEnd(task.state)) return
        const runtime = yield* link.runtime
        const end = yield* Effect.exit(runtime.await(task.key))
        if (Exit.isFailure(end)) return
        outputs.set(task.key, yield* outputOf(end.value))
      })

    const outputOf = (end: TaskEnd): Effect.Effect<string> =>
      Effect.suspend(() => {
        const short = end.output ?? ""
        if (end.outputFile === undefined) return Effect.succeed(short)
        const file = editor.Uri.file(end.outputFile)
        return ask(() => editor.workspace.fs.readFile(file)).pipe(
          Effect.map((bytes) => new TextDecoder().decode(bytes.subarray(-Text.keptCharacters))),
          Effect.catchCause(() => Effect.succeed(short))
        )
      })

    return Transcripts.of({
      open: Effect.fnUntraced(function* (key) {
        const task = taskOf(key)
        if (task === undefined) return
        yield* Effect.ignore(answer(task))
        yield* documents.show(nameOf(key), textOf(task))
        outputs.delete(key)
      })
    })
  })
)
