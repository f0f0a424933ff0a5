/** The commands that decide about dead letters: run again, put aside, bring back, delete. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"
import * as BulkRedrive from "../reliability/BulkRedrive.ts"
import { type DeadLetter, type DecisionResult, defaults, type Filter } from "../reliability/DeadLetterQueue.ts"
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

type Runtime = Parameters<Parameters<typeof operate>[1]>[0]

/** What came of one letter. `end`: of its work, where a host did it meanwhile. */
interface Retried {
  readonly id: string
  readonly subject: string
  readonly end?: "succeeded" | "failed"
  readonly refused?: string
}

const retryOne = (runtime: Runtime, hosted: boolean, letter: DeadLetter): Effect.Effect<Retried> =>
  Effect.gen(function* () {
    const { id, subject } = letter
    if (aboutAgent(letter) && !hosted) return { id, subject, refused: agentReason(letter) }
    const result = yield* runtime.retryDLQMessage(id)
    switch (result._tag) {
      case "Redriven":
        if (result.outcome === "failed") return { id, subject, refused: result.letter.reason }
        return { id, subject, ...(result.outcome === "resolved" ? { end: "succeeded" as const } : {}) }
      case "InFlight":
        return { id, subject, refused: "it is being redriven already" }
      case "Gone":
        return { id, subject, refused: "it is not in the queue" }
      case "Blocked":
        return { id, subject, refused: result.reason }
    }
  })

/** To the end of its work, which somebody does. */
const retryToEnd = (runtime: Runtime, letter: DeadLetter): Effect.Effect<Retried> =>
  Effect.gen(function* () {
    const retried = yield* retryOne(runtime, true, letter)
    if (retried.refused !== undefined || retried.end !== undefined) return retried
    const state = yield* Effect.map(runtime.await(letter.subject), (end) => end.state).pipe(
      Effect.catchTag("TaskNotFound", () => Effect.succeed("cancelled" as const))
    )
    return { ...retried, end: state === "succeeded" ? "succeeded" : "failed" }
  })

/**
 * Many: beside a host one goes first, and the rest follow only when it succeeded; what failed them all may not be over. Without one nothing
 * runs yet, and they only wait.
 */
const retryMany = Effect.fnUntraced(function* (runtime: Runtime, hosted: boolean, letters: ReadonlyArray<DeadLetter>) {
  if (!hosted)
    return { results: yield* Effect.forEach(letters, (letter) => retryOne(runtime, false, letter)), skipped: 0, stopped: undefined }
  const byId = new Map(letters.map((letter) => [letter.id, letter]))
  const results: Array<Retried> = []
  const { redriveConcurrency: concurrency, stopAfter, stopAtFailureRate } = defaults
  const { skipped, stopped } = yield* BulkRedrive.run(
    [...byId.keys()],
    (letterId) =>
      Effect.map(retryToEnd(runtime, byId.get(letterId)!), (retried): BulkRedrive.Settled => {
        results.push(retried)
        return retried.refused !== undefined ? "blocked" : retried.end === "succeeded" ? "resolved" : "failed"
      }),
    { concurrency, stopAfter, stopAtFailureRate }
  )
  return { results, skipped, stopped }
})

export const retryCommand = Command.make(
  "retry",
  {
    id: Argument.optional(id),
    all: Flag.Boolean("all").pipe(
      Flag.withDescription("Every dead letter that waits for a decision; beside a host one goes first, and the rest when it has succeeded"),
      Flag.withDefault(false)
    ),
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
    const { hosted, results, skipped, stopped } = yield* operate(Option.getOrUndefined(input.stateDir), (runtime, hosted) =>
      Effect.gen(function* () {
        const letters = yield* runtime.getDLQMessages
        const wanted = Option.isSome(input.id)
          ? letters.filter((letter) => letter.id === Option.getOrUndefined(input.id))
          : letters.filter(({ cause, status }) => status === "pending" && (Option.isNone(input.cause) || input.cause.value === cause))
        if (Option.isSome(input.id) && wanted.length === 0) return yield* DeadLetters.notFound(input.id.value)
        if (!input.all) return { hosted, results: [yield* retryOne(runtime, hosted, wanted[0]!)], skipped: 0, stopped: undefined }
        return { hosted, ...(yield* retryMany(runtime, hosted, wanted)) }
      })
    )
    const refused = results.filter((result) => result.refused !== undefined)
    if (Option.isSome(input.id) && refused.length > 0) {
      return yield* new OperationRefused({ reason: `Dead letter ${input.id.value} cannot be retried: ${refused[0]!.refused}` })
    }
    const redriven = results.filter((result) => result.refused === undefined)
    if (input.json) return yield* Console.log(JSON.stringify({ _tag: "DeadLettersRetried", redriven, refused, skipped, stopped }))
    for (const { end, id, subject } of redriven) yield* Console.log(`${id}: ${subject} ${endText(end)}`)
    for (const result of refused) yield* Console.log(`${result.id}: left as it is: ${result.refused}`)
    if (stopped !== undefined) return yield* Console.log(`Stopped: ${stopped}. ${skipped} were left as they are`)
    if (redriven.some(({ end }) => end !== undefined)) return
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

const endText = (end: Retried["end"]): string =>
  end === undefined ? "is queued again" : end === "succeeded" ? "has succeeded" : "has failed again"

/** One decision about one letter. */
const decided = (
  name: "discard" | "restore",
  done: string,
  description: string,
  decide: (runtime: Runtime, letterId: string) => Effect.Effect<DecisionResult>
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
