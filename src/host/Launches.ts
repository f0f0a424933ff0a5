/**
 * How often a host was started without coming to a clean end: one that dies at every start must not be started for ever.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

/** Starts within the window before it is given up for a while. */
export const budget = 5
/** Milliseconds. */
export const window = 10 * 60_000

const Times = Schema.fromJsonString(Schema.Array(Schema.Finite))
const decode = Schema.decodeUnknownOption(Times)

const fileOf = (directory: string): string => path.join(directory, "host-launches.json")

/** The starts that still count. */
export const within = (times: ReadonlyArray<number>, now: number): ReadonlyArray<number> =>
  times.filter((time) => time <= now && now - time < window)

const read = (directory: string): ReadonlyArray<number> => {
  try {
    return Option.getOrElse(decode(fs.readFileSync(fileOf(directory), "utf8")), () => [])
  } catch {
    return []
  }
}

/** Counts a start at this Unix time in milliseconds; answers when the next may be, if that is not now. Then it is not counted. */
export const take = (directory: string, now: number): Effect.Effect<number | undefined> =>
  Effect.sync(() => {
    const times = within(read(directory), now)
    if (times.length >= budget) return times[times.length - budget]! + window
    fs.writeFileSync(fileOf(directory), JSON.stringify([...times, now]), { mode: 0o600 })
    return undefined
  })

/** A host came to a clean end: earlier starts do not count any more. */
export const forget = (directory: string): Effect.Effect<void> => Effect.sync(() => fs.rmSync(fileOf(directory), { force: true }))
