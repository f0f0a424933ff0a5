/** `nofx cancel TASK`: ends a task that has not ended. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { isEnd } from "../task/Task.ts"
import { json, stateDir } from "./flags.ts"
import { OperationRefused } from "./OperationRefused.ts"
import { operate, tell } from "./operate.ts"
import { findTask } from "./tasksCommand.ts"
import { view } from "./viewer.ts"

export const cancelCommand = Command.make(
  "cancel",
  { task: Argument.String("TASK").pipe(Argument.withDescription("Id of the task")), json, stateDir },
  Effect.fnUntraced(function* (input) {
    const place = Option.getOrUndefined(input.stateDir)
    const { key } = yield* view(place, ({ store }) => findTask(store, input.task))
    // The start of a runtime may have ended it: what was interrupted is settled first.
    const before = yield* operate(place, (runtime) =>
      Effect.gen(function* () {
        const task = (yield* runtime.tasks).find((each) => each.key === key)
        if (task === undefined || isEnd(task.state)) return task?.state ?? "ended"
        yield* runtime.cancel(key, "cancelled on request")
        return undefined
      })
    )
    if (before !== undefined) {
      const { state } = yield* view(place, ({ store }) => findTask(store, key))
      return yield* new OperationRefused({ reason: `Task ${input.task} has ended already: it is ${state}` })
    }
    yield* tell(input.json, { _tag: "TaskCancelled", taskId: input.task, key }, `Task ${input.task} is cancelled`)
  })
).pipe(Command.withDescription("End a task that has not ended. Tasks that depend on it are held or cancelled, as they say."))
