/** Listings a page at a time: the flag for its length, and the line that says how to go on. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Machine } from "./machine.ts"
import { commandText } from "./printable.ts"

export const limit = Flag.Int("limit").pipe(
  Flag.withMetavar("N"),
  Flag.withSchema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10_000 }))),
  Flag.withDescription("At most this many, 1 to 10000; default 100"),
  Flag.withDefault(100)
)

/** A flag of the command that the next page needs, too; nothing where it was not given. */
export const repeated = (name: string, value: Option.Option<string>): ReadonlyArray<string> =>
  Option.match(value, { onNone: () => [], onSome: (given) => [`--${name}`, given] })

/** Says how to see the next page, when there is one: the same command, after the cursor `next`. */
export const tellNext = Effect.fnUntraced(function* (
  command: ReadonlyArray<string>,
  page: { readonly limit: number; readonly stateDir: Option.Option<string> },
  next: string | undefined
) {
  if (next === undefined) return
  const { invocation } = yield* Machine
  const rest = ["--limit", String(page.limit), "--after", next, ...repeated("state-dir", page.stateDir)]
  yield* Console.log(`… more: ${commandText(invocation, [...command, ...rest])}`)
})
