/** The archive of a dead letter queue, and the ways into it and out of it. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Letter from "./DeadLetter.ts"
import { DeadLetter } from "./DeadLetter.ts"
import type { DecisionResult, Ledger } from "./DeadLetterLedger.ts"
import type { Change, DeadLetterStorageFailed, Storage } from "./DeadLetterStorage.ts"

/** Which letters. All that is given must match. */
export const Filter = Schema.Struct({
  ids: Schema.optionalKey(Schema.Array(Schema.String)),
  status: Schema.optionalKey(DeadLetter.fields.status),
  cause: Schema.optionalKey(Schema.String),
  kind: Schema.optionalKey(Schema.String),
  /** Ended, or else failed, before this Unix time in milliseconds. */
  before: Schema.optionalKey(Schema.Finite)
})
export type Filter = typeof Filter.Type

export const matches = (letter: DeadLetter, filter: Filter): boolean =>
  (filter.ids === undefined || filter.ids.includes(letter.id)) &&
  (filter.status === undefined || filter.status === letter.status) &&
  (filter.cause === undefined || filter.cause === letter.cause) &&
  (filter.kind === undefined || filter.kind === letter.kind) &&
  (filter.before === undefined || (letter.endedAt ?? letter.failedAt) < filter.before)

export interface Archive {
  readonly discard: (id: string) => Effect.Effect<DecisionResult, DeadLetterStorageFailed>
  readonly restore: (id: string) => Effect.Effect<DecisionResult, DeadLetterStorageFailed>
  readonly purge: (filter: Filter) => Effect.Effect<number, DeadLetterStorageFailed>
  readonly export: (options?: { readonly archived?: boolean }) => Stream.Stream<string, DeadLetterStorageFailed>
  /** Archives what has expired; answers how many. */
  readonly expire: Effect.Effect<number, DeadLetterStorageFailed>
  /** Bounds the archive by age and count. */
  readonly trim: Effect.Effect<void, DeadLetterStorageFailed>
}

/** Letters in one read or one write. */
const batchSize = 500

export const make = (ledger: Ledger, storage: Storage): Archive => {
  const { busy, chance, decide, index, now, options, stored } = ledger

  const each: Stream.Stream<DeadLetter, DeadLetterStorageFailed> = Stream.paginate("", (after) =>
    Effect.map(stored("read the archive", storage.archived({ after, limit: batchSize })), (letters) => [
      letters,
      letters.length < batchSize ? Option.none() : Option.some(letters[letters.length - 1]!.id)
    ])
  )

  const erase = Effect.fnUntraced(function* (ids: ReadonlyArray<string>) {
    for (let from = 0; from < ids.length; from += batchSize) {
      const batch = ids.slice(from, from + batchSize)
      const changes = batch.map((id): Change => ({ _tag: "PurgeDeadLetter", id }))
      yield* Effect.uninterruptible(
        Effect.tap(stored("purge letters", storage.persist(changes, [])), () => Effect.sync(() => ledger.erased(batch)))
      )
    }
  })

  const hasExpired = (letter: DeadLetter, at: number): boolean => (Letter.expiresAt(letter, options) ?? Number.POSITIVE_INFINITY) <= at

  return {
    discard: (id) =>
      decide(
        id,
        "discard a letter",
        Effect.sync(() => {
          const letter = index.get(id)
          if (letter === undefined) return { _tag: "Gone" } as const
          return letter.status === "redriving" ? ({ _tag: "InFlight" } as const) : Letter.discarded(letter, now())
        })
      ),
    restore: (id) =>
      decide(
        id,
        "restore a letter",
        Effect.map(stored("read a letter", storage.find(id)), (letter) => {
          if (letter === undefined) return { _tag: "Gone" } as const
          if (index.get(id) !== undefined) return { _tag: "Blocked", reason: "it is in the queue" } as const
          if (letter.status !== "discarded" && letter.status !== "expired")
            return { _tag: "Blocked", reason: `it is ${letter.status}` } as const
          const newer = index.of(letter.kind, letter.subject)
          if (newer !== undefined) return { _tag: "Blocked", reason: `${newer.id} is a newer record of the same subject` } as const
          return Letter.restored(letter, now(), chance(), options)
        })
      ),
    purge: Effect.fnUntraced(function* (filter: Filter) {
      const named = filter.ids !== undefined || filter.status !== undefined
      const queued = named
        ? index.all().filter((letter) => letter.status !== "redriving" && !busy.has(letter.id) && matches(letter, filter))
        : []
      const old = yield* Stream.runCollect(
        Stream.map(
          Stream.filter(each, (letter) => matches(letter, filter)),
          (letter) => letter.id
        )
      )
      const ids = [...queued.map((letter) => letter.id), ...old]
      yield* erase(ids)
      return ids.length
    }),
    export: ({ archived = true } = {}) =>
      Stream.suspend(() => {
        const queue: Stream.Stream<DeadLetter, DeadLetterStorageFailed> = Stream.fromIterable(index.all())
        // Redacted once more: a secret may have become known since the letter was written.
        return Stream.map(archived ? Stream.concat(queue, each) : queue, (letter) => JSON.stringify(ledger.redactor.value(letter)))
      }),
    expire: Effect.gen(function* () {
      const at = now()
      let count = 0
      for (const { id } of index.all().filter((letter) => hasExpired(letter, at))) {
        const result = yield* decide(
          id,
          "expire a letter",
          Effect.sync(() => {
            const letter = index.get(id)
            return letter === undefined || !hasExpired(letter, at) ? ({ _tag: "Gone" } as const) : Letter.expired(letter, at)
          })
        )
        if (result._tag === "Done") count++
      }
      return count
    }),
    trim: Effect.gen(function* () {
      const kept = yield* Stream.runCollect(Stream.map(each, ({ endedAt = 0, id }) => ({ id, endedAt })))
      const oldest = now() - Duration.toMillis(options.archiveAge)
      const newestFirst = kept.toSorted((a, b) => b.endedAt - a.endedAt)
      yield* erase(
        newestFirst.filter((letter, rank) => rank >= options.archiveLetters || letter.endedAt < oldest).map((letter) => letter.id)
      )
    })
  }
}
