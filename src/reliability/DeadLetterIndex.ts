/** The letters of a dead letter queue in memory, with what is counted and told about them. Knows no store, no time and no processors. */
import type { DeadLetter } from "./DeadLetter.ts"

/** What happened to a letter; events have no time of their own: the listener's clock has it. */
export type DeadLetterEvent = {
  readonly deadLetterId: string
  readonly kind: string
  readonly subject: string
} & (
  | { readonly _tag: "DeadLetterAdded"; readonly reason: string }
  | { readonly _tag: "DeadLetterFailedAgain"; readonly reason: string }
  | { readonly _tag: "DeadLetterRedriven"; readonly by: "person" | "schedule" }
  | { readonly _tag: "DeadLetterReleased"; readonly reason: string }
  | { readonly _tag: "DeadLetterResolved" }
  | { readonly _tag: "DeadLetterDiscarded" }
  | { readonly _tag: "DeadLetterRestored" }
  | { readonly _tag: "DeadLetterExpired" }
)

/** Counts since the start, and the queue as it is now. */
export interface Metrics {
  readonly size: number
  readonly capacity: number
  readonly added: number
  readonly redriven: number
  readonly resolved: number
  readonly discarded: number
  readonly expired: number
  /** Letters in the queue by class of their last failure. */
  readonly byCause: Readonly<Record<string, number>>
}

/** What a letter's new state means, seen from its state before. */
export const eventOf = (before: DeadLetter | undefined, after: DeadLetter, by: "person" | "schedule" = "person"): DeadLetterEvent => {
  const common = { deadLetterId: after.id, kind: after.kind, subject: after.subject }
  switch (after.status) {
    case "resolved":
      return { _tag: "DeadLetterResolved", ...common }
    case "discarded":
      return { _tag: "DeadLetterDiscarded", ...common }
    case "expired":
      return { _tag: "DeadLetterExpired", ...common }
    case "redriving":
      return { _tag: "DeadLetterRedriven", ...common, by }
    case "pending":
      if (before === undefined || before.endedAt !== undefined) {
        return after.restoredAt === undefined
          ? { _tag: "DeadLetterAdded", ...common, reason: after.reason }
          : { _tag: "DeadLetterRestored", ...common }
      }
      if (after.failures > before.failures) return { _tag: "DeadLetterFailedAgain", ...common, reason: after.reason }
      return { _tag: "DeadLetterReleased", ...common, reason: after.asked?.left ?? after.reason }
  }
}

export interface DeadLetterIndex {
  readonly get: (id: string) => DeadLetter | undefined
  readonly of: (kind: string, subject: string) => DeadLetter | undefined
  /** In no order. */
  readonly values: () => Iterable<DeadLetter>
  /** In order of their ids. */
  readonly all: () => ReadonlyArray<DeadLetter>
  readonly size: () => number
  /** Fills it without telling anybody. */
  readonly load: (letter: DeadLetter) => void
  /** Takes in a letter's new state; one that has ended leaves. Counts it and answers what happened. */
  readonly accept: (letter: DeadLetter, by?: "person" | "schedule") => DeadLetterEvent
  readonly remove: (id: string) => boolean
  readonly metrics: (capacity: number) => Metrics
}

/** One record for each kind and subject. */
const subjectKey = (kind: string, subject: string): string => JSON.stringify([kind, subject])

export const make = (): DeadLetterIndex => {
  const letters = new Map<string, DeadLetter>()
  const bySubject = new Map<string, string>()
  const counts = { added: 0, redriven: 0, resolved: 0, discarded: 0, expired: 0 }
  let sorted: ReadonlyArray<DeadLetter> | undefined

  const load = (letter: DeadLetter): void => {
    letters.set(letter.id, letter)
    bySubject.set(subjectKey(letter.kind, letter.subject), letter.id)
    sorted = undefined
  }

  const remove = (id: string): boolean => {
    const letter = letters.get(id)
    if (letter === undefined) return false
    letters.delete(id)
    const key = subjectKey(letter.kind, letter.subject)
    if (bySubject.get(key) === id) bySubject.delete(key)
    sorted = undefined
    return true
  }

  const count = (event: DeadLetterEvent): void => {
    if (event._tag === "DeadLetterAdded") counts.added++
    if (event._tag === "DeadLetterRedriven") counts.redriven++
    if (event._tag === "DeadLetterResolved") counts.resolved++
    if (event._tag === "DeadLetterDiscarded") counts.discarded++
    if (event._tag === "DeadLetterExpired") counts.expired++
  }

  return {
    get: (id) => letters.get(id),
    of: (kind, subject) => letters.get(bySubject.get(subjectKey(kind, subject)) ?? ""),
    values: () => letters.values(),
    all: () => (sorted ??= [...letters.values()].sort((a, b) => (a.id < b.id ? -1 : 1))),
    size: () => letters.size,
    load,
    accept: (letter, by) => {
      const event = eventOf(letters.get(letter.id), letter, by)
      if (letter.endedAt === undefined) load(letter)
      else remove(letter.id)
      count(event)
      return event
    },
    remove,
    metrics: (capacity) => {
      const byCause: Record<string, number> = {}
      for (const letter of letters.values()) byCause[letter.cause] = (byCause[letter.cause] ?? 0) + 1
      return { size: letters.size, capacity, ...counts, byCause }
    }
  }
}
