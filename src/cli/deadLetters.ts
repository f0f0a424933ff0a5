/** Dead letters as a state directory has them: found, listed and shown. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { isWaiting } from "../reliability/DeadLetter.ts"
import type { DeadLetter } from "../reliability/DeadLetterQueue.ts"
import type { Store, StoreUnavailable } from "../store/Store.ts"
import { Task } from "../task/Task.ts"
import { dateTime } from "./eventText.ts"
import * as History from "./history.ts"
import { OperationRefused } from "./OperationRefused.ts"
import { brief, printable } from "./printable.ts"
import * as Table from "./table.ts"

/** Letters in one read. */
const page = 500

/** Every letter of the queue or of the archive that matches, in order of creation. */
export const all = (
  store: Store["Service"],
  archived: boolean,
  matches: (letter: DeadLetter) => boolean = () => true
): Effect.Effect<ReadonlyArray<DeadLetter>, StoreUnavailable> =>
  Effect.gen(function* () {
    const found: Array<DeadLetter> = []
    for (let after: string | undefined; ; ) {
      const letters = yield* store.deadLetters({ archived, limit: page, ...(after === undefined ? {} : { after }) })
      found.push(...letters.filter(matches))
      if (letters.length < page) return found
      after = letters.at(-1)!.id
    }
  })

/** The first `limit` letters after a cursor that match, in order of creation; `next` is the cursor of the page behind them. */
export const some = (
  store: Store["Service"],
  query: {
    readonly archived: boolean
    readonly limit: number
    readonly after: string | undefined
    readonly matches: (letter: DeadLetter) => boolean
  }
): Effect.Effect<{ readonly letters: ReadonlyArray<DeadLetter>; readonly next: string | undefined }, StoreUnavailable> =>
  Effect.gen(function* () {
    const { archived, limit, matches } = query
    const found: Array<DeadLetter> = []
    for (let { after } = query; ; ) {
      // One more tells whether there are more.
      const letters = yield* store.deadLetters({ archived, limit: limit + 1, ...(after === undefined ? {} : { after }) })
      found.push(...letters.filter(matches))
      if (found.length > limit) return { letters: found.slice(0, limit), next: found[limit - 1]!.id }
      if (letters.length <= limit) return { letters: found, next: undefined }
      after = letters.at(-1)!.id
    }
  })

/** No dead letter has this id. */
export const notFound = (id: string): OperationRefused => new OperationRefused({ reason: `There is no dead letter "${id}"` })

/** One letter. Fails when there is none with this id. */
export const one = Effect.fnUntraced(function* (store: Store["Service"], id: string) {
  return (yield* store.deadLetter(id)) ?? (yield* notFound(id))
})

/** One row a letter. */
export const table = (letters: ReadonlyArray<DeadLetter>, columns?: number): ReadonlyArray<string> =>
  Table.lines(
    ["LETTER", "STATUS", "KIND", "SUBJECT", "CAUSE", "FAILURES", "LAST FAILED", "REASON"],
    letters.map((letter) => [
      letter.id,
      isWaiting(letter) ? "pending, asked for" : letter.status,
      letter.kind,
      letter.subject,
      letter.cause,
      String(letter.failures),
      dateTime(letter.failedAt),
      letter.reason
    ]),
    { columns }
  )

const decodeTask = Schema.decodeUnknownOption(Task)

/** What became of the wish to redrive it with others. */
const askedText = (letter: DeadLetter): string => {
  if (letter.asked?.left !== undefined) return `; left as it is: ${letter.asked.left}`
  return isWaiting(letter) ? ": waits for the next run, which tries one of them first" : ""
}

/** One letter, with the task in it as far as it is one. */
export const lines = (letter: DeadLetter): ReadonlyArray<string> => {
  const {
    asked,
    automatic,
    cause,
    createdAt,
    endedAt,
    failedAt,
    failures,
    id,
    kind,
    payload,
    reason,
    redriveAt,
    redrives,
    status,
    subject
  } = letter
  const task = decodeTask(payload)
  const schedule = automatic ? (redriveAt === undefined ? "by the schedule" : `by the schedule at ${dateTime(redriveAt)}`) : "only by hand"
  return [
    `letter    ${id}`,
    `status    ${status}${endedAt === undefined ? "" : ` since ${dateTime(endedAt)}`}`,
    `about     ${kind} ${printable(subject)}`,
    `cause     ${cause}`,
    `reason    ${brief(reason, 1_000)}`,
    `failed    ${failures} times, first ${dateTime(createdAt)}, last ${dateTime(failedAt)}`,
    `redriven  ${redrives} times; again ${schedule}`,
    ...(asked === undefined ? [] : [`asked     at ${dateTime(asked.at)}${askedText(letter)}`]),
    `versions  ${Object.entries(letter.versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(", ")}`,
    "",
    ...(Option.isSome(task) ? History.lines(task.value) : printable(JSON.stringify(payload, undefined, 2)).split("\n"))
  ]
}
