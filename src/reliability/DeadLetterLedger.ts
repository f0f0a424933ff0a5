/** The letters of one queue with their one way in and out: staged, written, accepted, announced. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Announcer from "./Announcer.ts"
import * as Letter from "./DeadLetter.ts"
import type { DeadLetter } from "./DeadLetter.ts"
import * as DeadLetterIndex from "./DeadLetterIndex.ts"
import { type Change, DeadLetterStorageFailed, type Storage } from "./DeadLetterStorage.ts"
import type * as Redaction from "./Redaction.ts"

/** What listeners see: letters, and the queue's own fill. */
export type QueueEvent =
  | DeadLetterIndex.DeadLetterEvent
  /** There is no room: intake must stop. */
  | { readonly _tag: "Full"; readonly detail: string }
  | { readonly _tag: "HasRoom" }

/** What a decision about a letter came to. */
export type DecisionResult =
  | { readonly _tag: "Done"; readonly letter: DeadLetter }
  /** It is being redriven, or somebody is deciding about it: this call did nothing. */
  | { readonly _tag: "InFlight" }
  | { readonly _tag: "Gone" }
  | { readonly _tag: "Blocked"; readonly reason: string }

export interface Ledger {
  readonly options: Letter.Options
  readonly index: DeadLetterIndex.DeadLetterIndex
  readonly redactor: Redaction.Redactor
  /** Letters that somebody is deciding about, until that is written. */
  readonly busy: Set<string>
  /** Unix milliseconds. */
  readonly now: () => number
  /** In [0, 1). */
  readonly chance: () => number
  readonly stage: (failure: Letter.Failure) => DeadLetter
  readonly accept: (letter: DeadLetter, by?: "person" | "schedule") => void
  readonly erased: (ids: ReadonlyArray<string>) => void
  /** Announces `Full` or `HasRoom` when that has changed. */
  readonly settleRoom: () => void
  readonly stored: <A>(operation: string, effect: Effect.Effect<A, unknown>) => Effect.Effect<A, DeadLetterStorageFailed>
  /** Writes a letter's new state; does not accept it. */
  readonly write: (operation: string, letter: DeadLetter, by?: "person" | "schedule") => Effect.Effect<void, DeadLetterStorageFailed>
  /** Writes the new states of letters in one commit, and accepts them. */
  readonly writeAll: (operation: string, letters: ReadonlyArray<DeadLetter>) => Effect.Effect<void, DeadLetterStorageFailed>
  /** One decision at a time about a letter, written before it counts. */
  readonly decide: (
    id: string,
    operation: string,
    next: Effect.Effect<DeadLetter | Exclude<DecisionResult, { readonly _tag: "Done" }>, DeadLetterStorageFailed>
  ) => Effect.Effect<DecisionResult, DeadLetterStorageFailed>
  readonly onEvent: (listener: (event: QueueEvent) => void) => () => void
  /** Before all listeners: every accepted state. */
  readonly onAccept: (listener: (letter: DeadLetter) => void) => void
}

const changeOf = (letter: DeadLetter): Change => ({ _tag: letter.endedAt === undefined ? "PutDeadLetter" : "ArchiveDeadLetter", letter })

export const make = Effect.fnUntraced(function* (options: Letter.Options, storage: Storage, redactor: Redaction.Redactor) {
  const clock = yield* Clock.Clock
  const random = yield* Random.Random
  const index = DeadLetterIndex.make()
  const announcer = Announcer.make<QueueEvent>()
  const busy = new Set<string>()
  let onAccept: (letter: DeadLetter) => void = () => {}
  let wasFull = false

  const now = (): number => clock.currentTimeMillisUnsafe()
  const chance = (): number => random.nextDoubleUnsafe()

  /** In order of creation, as far as the clock goes forward. */
  const uniqueId = (): string => {
    const chars = Math.floor(chance() * 36 ** 8)
      .toString(36)
      .padStart(8, "0")
    const id = `dl-${Math.max(0, now()).toString(36).padStart(9, "0")}-${chars}`
    return index.get(id) === undefined ? id : uniqueId()
  }

  const settleRoom = (): void => {
    const isFull = index.size() >= options.maxLetters
    if (isFull === wasFull) return
    wasFull = isFull
    announcer.emit(
      isFull ? { _tag: "Full", detail: `the dead letter queue is full: ${index.size()} of ${options.maxLetters}` } : { _tag: "HasRoom" }
    )
  }

  const accept = (letter: DeadLetter, by?: "person" | "schedule"): void => {
    const event = index.accept(letter, by)
    onAccept(letter)
    announcer.emit(event)
    settleRoom()
  }

  const stored: Ledger["stored"] = (operation, effect) =>
    Effect.mapError(effect, (cause) => new DeadLetterStorageFailed({ operation, cause }))

  const eventOf = (letter: DeadLetter, by?: "person" | "schedule") => DeadLetterIndex.eventOf(index.get(letter.id), letter, by)

  const write: Ledger["write"] = (operation, letter, by) => stored(operation, storage.persist([changeOf(letter)], [eventOf(letter, by)]))

  return {
    options,
    index,
    redactor,
    busy,
    now,
    chance,
    stage: (failure) => {
      const clean: Letter.Failure = {
        ...failure,
        reason: redactor.text(failure.reason),
        cause: redactor.text(failure.cause),
        payload: redactor.value(failure.payload),
        versions: redactor.value(failure.versions ?? {}) as Record<string, string>
      }
      return Letter.failed(index.of(failure.kind, failure.subject), clean, { now: now(), random: chance(), id: uniqueId() }, options)
    },
    accept,
    erased: (ids) => {
      for (const id of ids) index.remove(id)
      settleRoom()
    },
    settleRoom,
    stored,
    write,
    writeAll: (operation, letters) => {
      for (const { id } of letters) busy.add(id)
      const persist = stored(
        operation,
        storage.persist(
          letters.map(changeOf),
          letters.map((letter) => eventOf(letter))
        )
      )
      return persist.pipe(
        Effect.tap(() => Effect.sync(() => letters.forEach((letter) => void accept(letter)))),
        Effect.ensuring(
          Effect.sync(() => {
            for (const { id } of letters) busy.delete(id)
          })
        ),
        Effect.uninterruptible
      )
    },
    decide: (id, operation, next) =>
      Effect.suspend(() => {
        if (busy.has(id)) return Effect.succeed<DecisionResult>({ _tag: "InFlight" })
        busy.add(id)
        const work = Effect.gen(function* () {
          const letter = yield* next
          if ("_tag" in letter) return letter
          yield* write(operation, letter)
          accept(letter)
          return { _tag: "Done", letter } as const
        })
        return Effect.uninterruptible(
          Effect.ensuring(
            work,
            Effect.sync(() => busy.delete(id))
          )
        )
      }),
    onEvent: announcer.onEvent,
    onAccept: (listener) => {
      onAccept = listener
    }
  } satisfies Ledger as Ledger
})
