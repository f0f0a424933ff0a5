/** The commands that decide about dead letters: run again, put aside, bring back, delete. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"
import * as BulkRedrive from "../reliability/BulkRedrive.ts"
import { type DeadLetter, type DecisionResult, defaults, type Filter } from "../reliability/DeadLetterQueue.ts"
import * as Redrives from "../runtime/Redrives.ts"
import type { Store } from "../store/Store.ts"
import * as DeadLetters from "./deadLetters.ts"
import { json, stateDir } from "./flags.ts"
import { OperationRefused } from "./OperationRefused.ts"
import { edit, operate, tell } from "./operate.ts"
import { view } from "./viewer.ts"

const id = Argument.String("ID").pipe(Argument.withDescription("Id of the dead letter"))

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

/** What came of all. `asked`: those that wait for the next run. */
interface AllRetried {
  readonly hosted: boolean
  readonly results: ReadonlyArray<Retried>
  readonly asked: ReadonlyArray<Pick<Retried, "id" | "subject">>
  readonly skipped: number
  readonly stopped: string | undefined
}

const retryOne = (runtime: Runtime, hosted: boolean, letter: DeadLetter): Effect.Effect<Retried> =>
  Effect.gen(function* () {
    const { id, subject } = letter
    if (Redrives.isAboutAgent(letter) && !hosted) return { id, subject, refused: agentReason(letter) }
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

/** Many, beside a host: one goes first, and the rest follow only when it succeeded; what failed them all may not be over. */
const retryMany = Effect.fnUntraced(function* (runtime: Runtime, letters: ReadonlyArray<DeadLetter>) {
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
  return { hosted: true, results, asked: [], skipped, stopped } satisfies AllRetried as AllRetried
})

/** Many, where nobody works: the next run does the same. */
const askMany = Effect.fnUntraced(function* (store: Store["Service"], letters: ReadonlyArray<DeadLetter>) {
  const asked = yield* Redrives.ask(store, letters, yield* Clock.currentTimeMillis)
  const ids = new Set(asked.map(({ id }) => id))
  const results = letters
    .filter(({ id }) => !ids.has(id))
    .map((letter): Retried => {
      const { id, subject } = letter
      return { id, subject, refused: Redrives.isAboutAgent(letter) ? agentReason(letter) : "its task is not in the store any more" }
    })
  const waiting = asked.map(({ id, subject }) => ({ id, subject }))
  return { hosted: false, results, asked: waiting, skipped: 0, stopped: undefined } satisfies AllRetried as AllRetried
})

const retryId = (place: string | undefined, letterId: string) =>
  operate(
    place,
    Effect.fnUntraced(function* (runtime: Runtime, hosted: boolean) {
      const letter = (yield* runtime.getDLQMessages).find((each) => each.id === letterId)
      if (letter === undefined) return yield* DeadLetters.notFound(letterId)
      const results = [yield* retryOne(runtime, hosted, letter)]
      return { hosted, results, asked: [], skipped: 0, stopped: undefined } satisfies AllRetried as AllRetried
    })
  )

const retryAll = (place: string | undefined, matches: (letter: DeadLetter) => boolean) =>
  edit(
    place,
    (store) => Effect.flatMap(DeadLetters.all(store, false, matches), (letters) => askMany(store, letters)),
    (runtime) => Effect.flatMap(runtime.getDLQMessages, (letters) => retryMany(runtime, letters.filter(matches)))
  )

export const retryCommand = Command.make(
  "retry",
  {
    id: Argument.optional(id),
    all: Flag.Boolean("all").pipe(
      Flag.withDescription(
        "Every dead letter that waits for a decision: one goes first, and the rest when it has succeeded. Where no host runs they wait for the next nofx run, of their task file if they have one"
      ),
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
    const place = Option.getOrUndefined(input.stateDir)
    const { asked, hosted, results, skipped, stopped } = Option.isSome(input.id)
      ? yield* retryId(place, input.id.value)
      : yield* retryAll(place, ({ cause, status }) => status === "pending" && (Option.isNone(input.cause) || input.cause.value === cause))
    const refused = results.filter((result) => result.refused !== undefined)
    if (Option.isSome(input.id) && refused.length > 0) {
      return yield* new OperationRefused({ reason: `Dead letter ${input.id.value} cannot be retried: ${refused[0]!.refused}` })
    }
    const redriven = results.filter((result) => result.refused === undefined)
    if (input.json) return yield* Console.log(JSON.stringify({ _tag: "DeadLettersRetried", redriven, asked, refused, skipped, stopped }))
    for (const { id, subject } of asked) yield* Console.log(`${id}: ${subject} waits for the next run`)
    for (const { end, id, subject } of redriven) yield* Console.log(`${id}: ${subject} ${endText(end)}`)
    for (const result of refused) yield* Console.log(`${result.id}: left as it is: ${result.refused}`)
    if (stopped !== undefined) return yield* Console.log(`Stopped: ${stopped}. ${skipped} were left as they are`)
    if (redriven.some(({ end }) => end !== undefined)) return
    if (asked.length > 0) return yield* Console.log(`${nextRun(asked)} tries one of them first, and the rest when it has succeeded.`)
    const when = hosted ? "The host that runs here starts it." : `${nextRun(redriven)} starts it.`
    yield* Console.log(redriven.length === 0 ? "Nothing to retry" : when)
  })
).pipe(
  Command.withDescription(
    "Queue the task of a dead letter again, on the same record. It runs with the next nofx run, of its task file if it has one; a batch that had finished is reopened for it. Of many one goes first."
  )
)

/** Tasks that were added one by one have no batch in their key. */
const nextRun = (letters: ReadonlyArray<Pick<Retried, "subject">>): string => {
  const added = letters.filter(({ subject }) => !subject.includes("/")).length
  if (added === letters.length) return "The next nofx run here"
  return `The next nofx run of the task file${added === 0 ? "" : " (any nofx run, for tasks that were added)"}`
}

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
