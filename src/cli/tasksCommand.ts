/** `nofx tasks`: the tasks, a page at a time; `nofx tasks show ID`: one with its whole history. */
import * as Argument from "effect/cli/Argument"
import * as Clock from "effect/Clock"
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"
import * as Redaction from "../reliability/Redaction.ts"
import type { TaskView } from "../RuntimeStatus.ts"
import { TaskNotFound } from "../runtime/Input.ts"
import { encodeTask } from "../store/Codec.ts"
import type { Store } from "../store/Store.ts"
import { State } from "../task/Task.ts"
import { clockTime, span } from "./eventText.ts"
import { json, stateDir } from "./flags.ts"
import * as History from "./history.ts"
import { Machine } from "./machine.ts"
import * as Paging from "./paging.ts"
import { taskView } from "./stored.ts"
import * as Table from "./table.ts"
import { view } from "./viewer.ts"

/** The task that is meant: by its key, or by its id, then the newest of that id. */
export const findTask = Effect.fnUntraced(function* (store: Store["Service"], id: string) {
  const task = (yield* store.task(id)) ?? (yield* store.tasks({ id, limit: 10_000 })).at(-1)
  return task ?? (yield* new TaskNotFound({ taskId: id }))
})

const show = Command.make(
  "show",
  {
    id: Argument.String("ID").pipe(Argument.withDescription("Id of the task; batch and id, as in BATCH/ID, for one of an earlier batch")),
    json,
    stateDir
  },
  Effect.fnUntraced(function* (input) {
    const task = yield* view(Option.getOrUndefined(input.stateDir), ({ store }) => findTask(store, input.id))
    const redactor = Redaction.make(Redaction.secretsOf((yield* Machine).env))
    yield* Console.log(
      input.json ? JSON.stringify(redactor.value(JSON.parse(encodeTask(task)))) : redactor.text(History.lines(task).join("\n"))
    )
  })
).pipe(Command.withDescription("Show one task with its whole history: every attempt with its agent, fault, duration and output file."))

export const tasksCommand = Command.make(
  "tasks",
  {
    state: Flag.Literals("state", State.literals).pipe(Flag.withDescription("Only tasks in this state"), Flag.optional),
    batch: Flag.String("batch").pipe(Flag.withMetavar("ID"), Flag.withDescription("Only tasks of this batch"), Flag.optional),
    limit: Paging.limit,
    after: Flag.Int("after").pipe(
      Flag.withMetavar("CURSOR"),
      Flag.withDescription("Go on after this cursor of the page before"),
      Flag.optional
    ),
    json,
    stateDir
  },
  Effect.fnUntraced(function* (input) {
    const machine = yield* Machine
    const now = yield* Clock.currentTimeMillis
    const place = Option.getOrUndefined(input.stateDir)
    const tasks = yield* view(place, ({ store }) =>
      store.tasks({
        // One more tells whether there are more.
        limit: input.limit + 1,
        ...(Option.isNone(input.state) ? {} : { states: [input.state.value] }),
        ...(Option.isNone(input.batch) ? {} : { batch: input.batch.value }),
        ...(Option.isNone(input.after) ? {} : { after: String(input.after.value) })
      })
    )
    const shown = tasks.slice(0, input.limit)
    const next = tasks.length > input.limit ? String(shown.at(-1)!.order) : undefined
    if (input.json)
      return yield* Console.log(JSON.stringify({ _tag: "Tasks", tasks: shown.map(taskView), ...(next === undefined ? {} : { next }) }))
    if (shown.length === 0) return yield* Console.log("no tasks")
    yield* Console.log(taskTable(shown.map(taskView), now, machine.terminal?.columns()).join("\n"))
    yield* Paging.tellNext(["tasks", ...Paging.repeated("state", input.state), ...Paging.repeated("batch", input.batch)], input, next)
  })
).pipe(Command.withDescription("List tasks in the order in which they were accepted, a page at a time."), Command.withSubcommands([show]))

/** One row a task. */
export const taskTable = (tasks: ReadonlyArray<TaskView>, now: number, columns?: number): ReadonlyArray<string> =>
  Table.lines(
    ["TASK", "STATE", "TRY", "AGENT", "AGE", "BATCH", "WAITING FOR, OR WHY"],
    tasks.map(({ acceptedAt, agentId, attempts, batch, id, reason, state, verified, waiting }) => [
      id,
      verified === true ? `${state}, verified` : state,
      attempts === 0 ? "" : String(attempts),
      agentId ?? "",
      span(now - acceptedAt),
      batch,
      waiting === undefined
        ? (reason ?? "")
        : `${waiting.for}${waiting.notBefore === undefined ? "" : ` until ${clockTime(waiting.notBefore)}`}: ${waiting.detail}`
    ]),
    { columns }
  )
