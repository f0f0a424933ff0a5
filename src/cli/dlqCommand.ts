/** `nofx dlq`: look at dead letters, and decide about them. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"
import * as DeadLetters from "./deadLetters.ts"
import { discardCommand, purgeCommand, restoreCommand, retryCommand } from "./dlqDecisions.ts"
import { exportFile } from "./exportFile.ts"
import { json, stateDir } from "./flags.ts"
import { Machine } from "./machine.ts"
import * as Paging from "./paging.ts"
import { view } from "./viewer.ts"

const list = Command.make(
  "list",
  {
    archived: Flag.Boolean("archived").pipe(
      Flag.withDescription("List the archive instead: what was resolved, discarded, or has expired"),
      Flag.withDefault(false)
    ),
    cause: Flag.String("cause").pipe(
      Flag.withMetavar("CLASS"),
      Flag.withDescription("Only those of this class, such as Outage"),
      Flag.optional
    ),
    limit: Paging.limit,
    after: Flag.String("after").pipe(
      Flag.withMetavar("ID"),
      Flag.withDescription("Go on after this dead letter, the last one of the page before"),
      Flag.optional
    ),
    json,
    stateDir
  },
  Effect.fnUntraced(function* (input) {
    const { terminal } = yield* Machine
    const { letters, next } = yield* view(Option.getOrUndefined(input.stateDir), ({ store }) =>
      DeadLetters.some(store, {
        archived: input.archived,
        limit: input.limit,
        after: Option.getOrUndefined(input.after),
        matches: ({ cause }) => Option.isNone(input.cause) || input.cause.value === cause
      })
    )
    if (input.json)
      return yield* Console.log(JSON.stringify({ _tag: "DeadLetters", deadLetters: letters, ...(next === undefined ? {} : { next }) }))
    yield* Console.log(letters.length === 0 ? "no dead letters" : DeadLetters.table(letters, terminal?.columns()).join("\n"))
    yield* Paging.tellNext(
      ["dlq", "list", ...(input.archived ? ["--archived"] : []), ...Paging.repeated("cause", input.cause)],
      input,
      next
    )
  })
).pipe(Command.withDescription("List the dead letters that wait for a decision, or the archive, a page at a time."))

const show = Command.make(
  "show",
  { id: Argument.String("ID").pipe(Argument.withDescription("Id of the dead letter")), json, stateDir },
  Effect.fnUntraced(function* (input) {
    const letter = yield* view(Option.getOrUndefined(input.stateDir), ({ store }) => DeadLetters.one(store, input.id))
    yield* Console.log(input.json ? JSON.stringify(letter) : DeadLetters.lines(letter).join("\n"))
  })
).pipe(Command.withDescription("Show one dead letter with its whole history."))

const exportCommand = Command.make(
  "export",
  {
    out: Flag.String("out").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("Write into this file instead of on standard output"),
      Flag.optional
    ),
    json: json.pipe(Flag.withDescription("With --out: say as JSON what was written; the letters themselves are always JSON")),
    stateDir
  },
  Effect.fnUntraced(function* (input) {
    const { write } = yield* Machine
    const letters = yield* view(Option.getOrUndefined(input.stateDir), ({ store }) =>
      Effect.map(Effect.all([DeadLetters.all(store, false), DeadLetters.all(store, true)]), (both) => both.flat())
    )
    const text = letters.map((letter) => `${JSON.stringify(letter)}\n`).join("")
    if (Option.isNone(input.out)) return write(text)
    const file = yield* exportFile(input.out.value, text)
    yield* Console.log(
      input.json
        ? JSON.stringify({ _tag: "DeadLettersExported", file, count: letters.length })
        : `Wrote ${letters.length} dead letters to ${file}`
    )
  })
).pipe(Command.withDescription("Write every dead letter, the archive too, as one JSON document a line."))

export const dlqCommand = Command.make("dlq").pipe(
  Command.withDescription("Look at dead letters: what failed for good, kept until somebody decides. And decide."),
  Command.withSubcommands([list, show, retryCommand, discardCommand, restoreCommand, exportCommand, purgeCommand])
)
