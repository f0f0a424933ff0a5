/**
 * Reads from what an agent or a provider said how long to wait: in every form that was seen in the wild.
 *
 * Total: any text and any value give an answer or none, never an exception, in time linear in the input. A provider's own word
 * (`retry-after`, `resets at`) outranks an agent's announcement of its next try ("Retrying in 60s"); of equals the last one counts,
 * since tails hold the latest state at their end.
 */

/** What was asked to wait. Relative and absolute times are kept apart: a reset time survives a restart unchanged. */
export interface RetryHint {
  /** Milliseconds from the moment of observation, at least 0. */
  readonly retryAfterMillis?: number
  /** Unix time in milliseconds, in the future of the observation. */
  readonly resetsAt?: number
}

/** Longest text that is looked at, in characters; of longer ones the end. */
const textLimit = 16_384
/** Waits beyond this are misreadings, in milliseconds: a leap year. */
const longestWait = 366 * 86_400_000

const units: Readonly<Record<string, number>> = {
  ms: 1,
  msec: 1,
  msecs: 1,
  millis: 1,
  millisecond: 1,
  milliseconds: 1,
  s: 1_000,
  sec: 1_000,
  secs: 1_000,
  second: 1_000,
  seconds: 1_000,
  m: 60_000,
  min: 60_000,
  mins: 60_000,
  minute: 60_000,
  minutes: 60_000,
  h: 3_600_000,
  hr: 3_600_000,
  hrs: 3_600_000,
  hour: 3_600_000,
  hours: 3_600_000,
  d: 86_400_000,
  day: 86_400_000,
  days: 86_400_000
}
const unit = "(?:ms|msecs?|millis|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)"
/** `20s`, `1m30.5s`, `5 days 3 hours`, `2 minutes and 4 seconds`; at most five parts. */
const span = `\\d{1,15}(?:\\.\\d{1,9})? ?${unit}(?![A-Za-z])(?:(?:,? (?:and )?)?\\d{1,15}(?:\\.\\d{1,9})? ?${unit}(?![A-Za-z])){0,4}`

/** Milliseconds of a span such as `1m30.5s`; a bare number counts in `bare` (default 1,000: seconds). Undefined when it is none. */
export const parseSpan = (text: string, bare = 1_000): number | undefined => {
  const trimmed = text.trim().toLowerCase().slice(0, 200)
  if (/^\d{1,15}(?:\.\d{1,9})?$/.test(trimmed)) return wait(Number(trimmed) * bare)
  const parts = [...trimmed.matchAll(/(\d{1,15}(?:\.\d{1,9})?) ?([a-z]{1,12})/g)]
  if (parts.length === 0) return undefined
  let total = 0
  for (const [, amount, name] of parts) {
    const factor = units[name ?? ""]
    if (factor === undefined) {
      if (name === "and") continue
      return undefined
    }
    total += Number(amount) * factor
  }
  return wait(total)
}

/**
 * A point in time: ISO 8601, an HTTP date, Unix seconds or milliseconds (told apart by size), or a time of day such as
 * `3pm`, `15:30 UTC`, `3:30 PM (Europe/Berlin)`; a time of day means its next occurrence, by the machine's zone when none is named.
 * Unix milliseconds, or undefined when it is no time, or not within a year after `now`.
 */
export const parseTime = (text: string, now: number): number | undefined => {
  const trimmed = text.trim().slice(0, 100)
  if (/^\d{9,14}(?:\.\d{1,9})?$/.test(trimmed)) return future(epochMillis(Number(trimmed)), now)
  if (/^\d{4}-\d\d-\d\d|^[A-Za-z]{3,9},? /.test(trimmed)) {
    // Without a zone an ISO time is meant as UTC by every provider that sends one.
    const zoned = /^\d{4}-\d\d-\d\dT[\d:.]{5,18}$/.test(trimmed) ? `${trimmed}Z` : trimmed
    return future(Date.parse(zoned), now)
  }
  const day = /^(\d{1,2})(?::(\d\d))?(?::\d\d)? ?(am|pm)?\b ?\(?([A-Za-z]{2,20}(?:\/[A-Za-z_]{2,30}){0,2})?\)?/i.exec(trimmed)
  if (day === null || (day[2] === undefined && day[3] === undefined)) return undefined
  const hour12 = Number(day[1])
  const meridiem = day[3]?.toLowerCase()
  const hour = meridiem === undefined ? hour12 : (hour12 % 12) + (meridiem === "pm" ? 12 : 0)
  if (hour > 23 || hour12 > (meridiem === undefined ? 23 : 12)) return undefined
  return future(nextTimeOfDay(hour, Number(day[2] ?? 0), day[4], now), now)
}

/** The hint in a text; an empty object without one. */
export const parseRetryHint = (text: string, now: number): RetryHint => {
  const tail = text.slice(-textLimit)
  const found: { retryAfterMillis?: number; resetsAt?: number } = {}
  for (const form of forms) {
    for (const match of tail.matchAll(form.pattern)) {
      const value = match[1] ?? ""
      if (form.reads === "time") {
        const at = parseTime(value, now)
        if (at !== undefined) found.resetsAt = at
      } else {
        const millis = parseSpan(value, form.bare)
        if (millis !== undefined) found.retryAfterMillis = millis
      }
    }
    // An agent's own next try is no hint when the provider gave one.
    if (form.last === true && (found.retryAfterMillis !== undefined || found.resetsAt !== undefined)) break
  }
  return found
}

/** The hint in one field of structured data, by the field's name; undefined when the name promises none or the value is none. */
export const hintOfField = (name: string, value: unknown, now: number): RetryHint | undefined => {
  if (typeof value !== "number" && typeof value !== "string") return undefined
  const key = name.toLowerCase().replace(/[-_]/g, "")
  const text = String(value)
  if (/^(?:retryafterms|retryaftermillis|retrydelayms|retrydelaymillis|xratelimitresetms)$/.test(key)) return relative(parseSpan(text, 1))
  if (/^(?:retryafter|retryafterseconds|retryaftersec|retrydelay|resetsinseconds|resetinseconds|resetafterseconds)$/.test(key)) {
    // An HTTP date is kept as the time it is.
    const at = parseTime(text, now)
    return relative(parseSpan(text)) ?? (at === undefined ? undefined : { resetsAt: at })
  }
  if (/^(?:resetsat|resetat|resettime|resetsattime|xratelimitreset|ratelimitreset)$/.test(key)) {
    const at = parseTime(text, now)
    if (at !== undefined) return { resetsAt: at }
    // Providers that count down use the same header with small numbers.
    return /reset$/.test(key) ? relative(parseSpan(text)) : undefined
  }
  return undefined
}

interface Form {
  readonly pattern: RegExp
  readonly reads: "span" | "time"
  readonly bare?: number
  /** The last form of a rank: later ones count only when nothing was found so far. */
  readonly last?: true
}

const date = "[A-Za-z]{3,9}, \\d{1,2} [A-Za-z]{3} \\d{4} [\\d:]{5,8} GMT|\\d{4}-\\d\\d-\\d\\d[T ][\\d:.]{5,18}(?:Z|[+-]\\d\\d:?\\d\\d)?"
const clock =
  "\\d{1,2}(?::\\d\\d)? ?(?:am|pm)(?: ?\\(?(?:UTC|GMT|[A-Z][A-Za-z]{1,15}/[A-Za-z_/]{2,40})\\)?)?|\\d{1,2}:\\d\\d(?: ?\\(?(?:UTC|GMT|[A-Z][A-Za-z]{1,15}/[A-Za-z_/]{2,40})\\)?)?"
const sep = "[\"']?\\s{0,4}[:=]?\\s{0,4}[\"']?"

/** Weakest form of a rank first: what is found later overwrites. */
const forms: ReadonlyArray<Form> = [
  {
    pattern: new RegExp(`(?:try again|retry|wait|resets?|available) (?:again )?(?:in|for|after)? ?(?:about |another )?(${span})`, "gi"),
    reads: "span"
  },
  {
    pattern: new RegExp(`retry[-_ ]?after(?:[-_]?sec(?:ond)?s)?${sep}(${span}|\\d{1,10}(?:\\.\\d{1,6})?)(?![\\d.]*[A-Za-z])`, "gi"),
    reads: "span"
  },
  { pattern: new RegExp(`retry[-_ ]?delay${sep}(${span}|\\d{1,10}(?:\\.\\d{1,6})?)(?![\\d.]*[A-Za-z])`, "gi"), reads: "span" },
  { pattern: new RegExp(`resets?[-_ ]?in[-_ ]?seconds${sep}(\\d{1,10}(?:\\.\\d{1,6})?)`, "gi"), reads: "span" },
  { pattern: new RegExp(`retry[-_ ]?(?:after|delay)[-_]?(?:ms|millis)${sep}(\\d{1,14}(?:\\.\\d{1,6})?)`, "gi"), reads: "span", bare: 1 },
  {
    pattern: new RegExp(
      `(?:resets?|available|renews?|try again|until|retry)[-_ ]?(?:again )?(?:at|on|time|after)?${sep}(${date}|${clock})`,
      "gi"
    ),
    reads: "time"
  },
  { pattern: new RegExp(`resets?[-_ ]?(?:at|time)${sep}(\\d{9,14})\\b`, "gi"), reads: "time" },
  { pattern: /limit reached\|(\d{9,14})\b/gi, reads: "time", last: true },
  { pattern: new RegExp(`(?:retrying|reconnecting|next (?:try|attempt)) (?:in|after) (${span})`, "gi"), reads: "span" }
]

const wait = (millis: number): number | undefined =>
  Number.isFinite(millis) && millis >= 0 && millis <= longestWait ? Math.ceil(millis) : undefined

const relative = (millis: number | undefined): RetryHint | undefined => (millis === undefined ? undefined : { retryAfterMillis: millis })

const future = (millis: number, now: number): number | undefined =>
  Number.isFinite(millis) && millis > now && millis - now <= longestWait ? Math.round(millis) : undefined

/** Seconds up to the year 5138, milliseconds from 1973 on: the two do not meet. */
const epochMillis = (value: number): number => (value < 1e11 ? value * 1_000 : value)

/** The zone's offset from UTC at a moment, in milliseconds; undefined for a name that is no zone. */
const zoneOffset = (zone: string | undefined, at: number): number | undefined => {
  if (zone === undefined) return -new Date(at).getTimezoneOffset() * 60_000
  if (/^(?:utc|gmt)$/i.test(zone)) return 0
  try {
    const parts = new Intl.DateTimeFormat("en-US", {
      timeZone: zone,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric"
    }).formatToParts(new Date(at))
    const field = (type: string) => Number(parts.find((part) => part.type === type)?.value)
    const shown = Date.UTC(field("year"), field("month") - 1, field("day"), field("hour"), field("minute"))
    return shown - Math.floor(at / 60_000) * 60_000
  } catch {
    return undefined
  }
}

const nextTimeOfDay = (hour: number, minute: number, zone: string | undefined, now: number): number => {
  // A word that is no zone ("resets 3pm today") leaves the machine's zone.
  const named = zone !== undefined && zoneOffset(zone, now) !== undefined ? zone : undefined
  const offset = zoneOffset(named, now) ?? 0
  const local = now + offset
  const midnight = local - (((local % 86_400_000) + 86_400_000) % 86_400_000)
  const today = midnight + hour * 3_600_000 + minute * 60_000
  const next = (today > local ? today : today + 86_400_000) - offset
  // The offset may differ there, where a change of daylight time lies between.
  return next + offset - (zoneOffset(named, next) ?? offset)
}
