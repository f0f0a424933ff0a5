/** The commands that decide about dead letters: run again, put aside, bring back, delete. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"
import type { DeadLetter, DecisionResult, Filter } from "../reliability/DeadLetterQueue.ts"
import * as DeadLetters from "./deadLetters.ts"
import { json, stateDir } from "./flags.ts"
import { OperationRefused } from "./OperationRefused.ts"
import { operate, tell } from "./operate.ts"
import { view } from "./viewer.ts"

const id = Argument.String("ID").pipe(Argument.withDescription("Id of the dead letter"))

/** Letters about an agent, not about work: only a runtime that has the agent can try again. */
const aboutAgent = ({ kind }: DeadLetter): boolean => kind === "spawn" || kind === "restart" || kind === "remove"

const agentReason = ({ kind, subject }: DeadLetter): string =>
  `it is about the ${kind} of agent ${subject}: the next nofx run starts that agent anew`

const retryOne = (runtime: Parameters<Parameters<typeof operate>[1]>[0], hosted: boolean, letter: DeadLetter) =>
  Effect.gen(function* () {
    if (aboutAgent(letter) && !hosted) return { id: letter.id, refused: agentReason(letter) }
    const result = yield* runtime.retryDLQMessage(letter.id)
    switch (result._tag) {
      case "Redriven":
        return result.outcome === "failed" ? { id: letter.id, refused: result.letter.reason } : { id: letter.id, subject: letter.subject }
      case "InFlight":
        return { id: letter.id, refused: "it is being redriven already" }
      case "Gone":
        return { id: letter.id, refused: "it is not in the queue" }
      case "Blocked":
        return { id: letter.id, refused: result.reason }
    }
  })

export const retryCommand = Command.make(
  "retry",
  {
    id: Argument.optional(id),
    all: Flag.Boolean("all").pipe(Flag.withDescription("Every dead letter that waits for a decision"), Flag.withDefault(false)),
    cause: Flag.String("cause").pipe(
      Flag.withMetavar("CLASS"),
      Flag.withDescription("With --all: only those of this class, such as Outage"),
      Flag.optional
    ),
    json,
    stateDir
  },
  Effect.fnUntraced(function* (input) {
    if (Option.isSome(input.id) === input.all) return yield* new OperationRefused({ reason: "Say one ID, or --all" })
    if (Option.isSome(input.cause) && !input.all) return yield* new OperationRefused({ reason: "--cause goes with --all" })
    const { hosted, results } = yield* operate(Option.getOrUndefined(input.stateDir), (runtime, hosted) =>
      Effect.gen(function* () {
        const letters = yield* runtime.getDLQMessages
        const wanted = Option.isSome(input.id)
          ? letters.filter((letter) => letter.id === Option.getOrUndefined(input.id))
          : letters.filter(({ cause, status }) => status === "pending" && (Option.isNone(input.cause) || input.cause.value === cause))
        if (Option.isSome(input.id) && wanted.length === 0) return yield* DeadLetters.notFound(input.id.value)
        return { hosted, results: yield* Effect.forEach(wanted, (letter) => retryOne(runtime, hosted, letter)) }
      })
    )
    const refused = results.filter((result) => result.refused !== undefined)
    if (Option.isSome(input.id) && refused.length > 0) {
      return yield* new OperationRefused({ reason: `Dead letter ${input.id.value} cannot be retried: ${refused[0]!.refused}` })
    }
    const redriven = results.filter((result) => result.refused === undefined)
    if (input.json) return yield* Console.log(JSON.stringify({ _tag: "DeadLettersRetried", redriven, refused }))
    for (const result of redriven) yield* Console.log(`${result.id}: ${result.subject} is queued again`)
    for (const result of refused) yield* Console.log(`${result.id}: left as it is: ${result.refused}`)
    const when = hosted
      ? "The host that runs here starts it."
      : "It runs with the next nofx run of its task file, which goes on with its batch."
    yield* Console.log(redriven.length === 0 ? "Nothing to retry" : when)
  })
).pipe(
  Command.withDescription(
    "Queue the task of a dead letter again, on the same record. It runs with the next nofx run of its task file; a batch that had finished is reopened for it."
  )
)

/** One decision about one letter. */
const decided = (
  name: "discard" | "restore",
  done: string,
  description: string,
  decide: (runtime: Parameters<Parameters<typeof operate>[1]>[0], letterId: string) => Effect.Effect<DecisionResult>
) =>
  Command.make(
    name,
    { id, json, stateDir },
    Effect.fnUntraced(function* (input) {
      const result = yield* operate(Option.getOrUndefined(input.stateDir), (runtime) => decide(runtime, input.id))
      if (result._tag === "Gone") {
        const archived = yield* view(Option.getOrUndefined(input.stateDir), ({ store }) => store.deadLetter(input.id))
        if (archived === undefined) return yield* DeadLetters.notFound(input.id)
        return yield* new OperationRefused({ reason: `Dead letter ${input.id} cannot be ${done}: it is ${archived.status}` })
      }
      if (result._tag !== "Done") {
        const why = result._tag === "Blocked" ? result.reason : "it is being redriven"
        return yield* new OperationRefused({ reason: `Dead letter ${input.id} cannot be ${done}: ${why}` })
      }
      yield* tell(
        input.json,
        { _tag: "DeadLetterDecided", id: input.id, status: result.letter.status },
        `Dead letter ${input.id} is ${done}`
      )
    })
  ).pipe(Command.withDescription(description))

export const discardCommand = decided(
  "discard",
  "discarded",
  "Put a dead letter aside, into the archive. restore undoes it.",
  (runtime, letter) => runtime.discardDLQMessage(letter)
)

export const restoreCommand = decided(
  "restore",
  "restored",
  "Bring a discarded or expired dead letter back into the queue.",
  (runtime, letter) => runtime.restoreDLQMessage(letter)
)

/** A time: a date, or a span before now. */
const parseBefore = (text: string, now: number): number | undefined => {
  const span = /^(\d+)\s*(s|m|h|d)$/.exec(text)
  if (span !== null) return now - Number(span[1]) * { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }[span[2] as "s" | "m" | "h" | "d"]
  const at = Date.parse(text)
  return Number.isNaN(at) ? undefined : at
}

export const purgeCommand = Command.make(
  "purge",
  {
    ids: Flag.String("ids").pipe(Flag.withMetavar("ID,ID"), Flag.withDescription("These, whether archived or not"), Flag.optional),
    archived: Flag.Boolean("archived").pipe(Flag.withDescription("The whole archive"), Flag.withDefault(false)),
    before: Flag.String("before").pipe(
      Flag.withMetavar("TIME"),
      Flag.withDescription("Of the archive, or of --ids: what ended before this date, or this long ago (12h, 30d)"),
      Flag.optional
    ),
    yes: Flag.Boolean("yes").pipe(Flag.withDescription("Really delete them, for ever"), Flag.withDefault(false)),
    json,
    stateDir
  },
  Effect.fnUntraced(function* (input) {
    const now = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
    const before = Option.map(input.before, (text) => parseBefore(text, now))
    if (Option.isSome(before) && before.value === undefined)
      return yield* new OperationRefused({
        reason: `--before: expected a date, or a span such as 12h or 30d; found "${Option.getOrUndefined(input.before)}"`
      })
    const ids = Option.map(input.ids, (text) => text.split(",").filter((each) => each !== ""))
    if (Option.isNone(ids) && Option.isNone(before) && !input.archived)
      return yield* new OperationRefused({ reason: "Say which: --archived, --before TIME, or --ids ID,ID" })
    if (Option.isSome(ids) && input.archived) return yield* new OperationRefused({ reason: "--ids and --archived exclude each other" })
    const filter: Filter = {
      ...(Option.isSome(ids) ? { ids: ids.value } : {}),
      ...(Option.isSome(before) ? { before: before.value! } : {})
    }
    if (!input.yes) {
      const count = yield* counted(Option.getOrUndefined(input.stateDir), filter)
      return yield* new OperationRefused({
        reason: `This would delete ${count} dead letters for ever, with their history. Say --yes to do it`
      })
    }
    const purged = yield* operate(Option.getOrUndefined(input.stateDir), (runtime) => runtime.purgeDLQ(filter))
    yield* tell(input.json, { _tag: "DeadLettersPurged", count: purged }, `Deleted ${purged} dead letters`)
  })
).pipe(Command.withDescription("Delete dead letters for ever: from the archive, or those that are named."))

/** How many a purge would delete, by the rules of the queue. */
const counted = (place: string | undefined, filter: Filter) =>
  view(place, ({ store }) =>
    Effect.gen(function* () {
      const matches = (letter: DeadLetter): boolean =>
        letter.status !== "redriving" &&
        (filter.ids === undefined || filter.ids.includes(letter.id)) &&
        (filter.before === undefined || (letter.endedAt ?? letter.failedAt) < filter.before)
      const queued = filter.ids === undefined ? [] : yield* DeadLetters.all(store, false, matches)
      return queued.length + (yield* DeadLetters.all(store, true, matches)).length
    })
  )
