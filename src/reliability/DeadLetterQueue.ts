/**
 * The dead letter queue: what failed for good, kept until somebody decides.
 *
 * It knows nothing of agents. A letter is one failure's record for life: a redrive goes on with it, failing again returns to it, success
 * resolves it. It refuses nothing and evicts nothing: when it is full, `isFull` says so and whoever takes in work stops. Everything in it is
 * redacted on the way in. It polls nothing: `nextDueAt` tells when it wants to be asked again.
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Stream from "effect/Stream"
import type { BulkReport } from "./BulkRedrive.ts"
import * as Letter from "./DeadLetter.ts"
import type { DeadLetter } from "./DeadLetter.ts"
import * as DeadLetterArchive from "./DeadLetterArchive.ts"
import type * as DeadLetterIndex from "./DeadLetterIndex.ts"
import * as DeadLetterLedger from "./DeadLetterLedger.ts"
import * as DeadLetterRedrive from "./DeadLetterRedrive.ts"
import { type DeadLetterStorageFailed, memory, type Page, type Storage } from "./DeadLetterStorage.ts"
import * as Redaction from "./Redaction.ts"
import { complete, type Given } from "./GivenOptions.ts"

export type { BulkReport } from "./BulkRedrive.ts"
export { DeadLetter, defaults, type Failure, Options, outcomeUnknown } from "./DeadLetter.ts"
export { Filter } from "./DeadLetterArchive.ts"
export type { DeadLetterEvent, Metrics } from "./DeadLetterIndex.ts"
export type { DecisionResult, QueueEvent } from "./DeadLetterLedger.ts"
export type { Guard, Outcome, Processor, RedriveResult } from "./DeadLetterRedrive.ts"
export { type Change, DeadLetterStorageFailed, memory, type Page, type Storage } from "./DeadLetterStorage.ts"

/** What became of a redrive that was under way when the process ended: it goes on, it never began, or nobody knows. */
export type Fate = "running" | "not-begun" | "unknown"

export interface Settings {
  /** Takes secrets out of everything. Default: what looks like one. */
  readonly redactor?: Redaction.Redactor
  /** Letters of one group share a canary: those that fail together. Default: by kind. */
  readonly group?: (letter: DeadLetter) => string
}

/**
 * The dead letters of one runtime.
 *
 * Operations that write fail with `DeadLetterStorageFailed` when the store does, and then the queue is as before; a redrive whose outcome
 * could not be written waits for a person. Concurrent redrives of one letter run it once.
 */
export class DeadLetterQueue extends Context.Service<
  DeadLetterQueue,
  {
    /** Fills the queue from the store, at start. `fate` is asked about redrives that were under way; default `unknown`. */
    readonly load: (letters: ReadonlyArray<DeadLetter>, fate?: (letter: DeadLetter) => Fate) => Effect.Effect<void, DeadLetterStorageFailed>
    /** The record that this failure opens or returns to, redacted. Changes nothing. */
    readonly stage: (failure: Letter.Failure) => DeadLetter
    /** The record, resolved; undefined when there is none in the queue. Changes nothing. */
    readonly stageResolved: (id: string) => DeadLetter | undefined
    /** The record, waiting again after a redrive that was cancelled or did not begin; undefined when none is under way. Changes nothing. */
    readonly stageReleased: (id: string) => DeadLetter | undefined
    /** Takes in what `stage…` answered, after or together with its commit. */
    readonly accept: (letter: DeadLetter) => void
    /** Stages, writes and takes in. */
    readonly add: (failure: Letter.Failure) => Effect.Effect<DeadLetter, DeadLetterStorageFailed>
    readonly get: (id: string) => DeadLetter | undefined
    readonly bySubject: (kind: string, subject: string) => DeadLetter | undefined
    /** A page of the queue, in order of ids, which is their order of creation. */
    readonly list: (query?: DeadLetterArchive.Filter & Page) => ReadonlyArray<DeadLetter>
    readonly archived: (page?: Page) => Effect.Effect<ReadonlyArray<DeadLetter>, DeadLetterStorageFailed>
    /** Into the archive, by a person. */
    readonly discard: (id: string) => Effect.Effect<DeadLetterLedger.DecisionResult, DeadLetterStorageFailed>
    /** Undoes `discard`, or an expiry. */
    readonly restore: (id: string) => Effect.Effect<DeadLetterLedger.DecisionResult, DeadLetterStorageFailed>
    /**
     * Deletes for ever, and answers how many. What is still in the queue goes only when `ids` or `status` name it; what is being redriven
     * stays; an empty filter empties the archive.
     */
    readonly purge: (filter: DeadLetterArchive.Filter) => Effect.Effect<number, DeadLetterStorageFailed>
    /** One JSON document an element, without line ends: the queue, then the archive. */
    readonly export: (options?: { readonly archived?: boolean }) => Stream.Stream<string, DeadLetterStorageFailed>
    /** Runs the processor of its kind. Never fails by what the processor does. */
    readonly redrive: (
      id: string,
      by: "person" | "schedule",
      guard?: DeadLetterRedrive.Guard
    ) => Effect.Effect<DeadLetterRedrive.RedriveResult, DeadLetterStorageFailed>
    /** Redrives what waits and matches: one of each group first, the rest when it is resolved. Ends when all have ended. */
    readonly redriveAll: (
      filter: DeadLetterArchive.Filter,
      by: "person" | "schedule",
      guard?: DeadLetterRedrive.Guard
    ) => Effect.Effect<BulkReport, DeadLetterStorageFailed>
    /** Letters whose redrive was asked for and has not ended, in order of ids. */
    readonly asked: () => ReadonlyArray<DeadLetter>
    /**
     * Redrives those that were asked for, in this order: one first, or the one that is under way, the rest when it is resolved. Ends when all
     * have ended; what was not redriven is left as it is, and says why.
     */
    readonly redriveAsked: (ids: ReadonlyArray<string>) => Effect.Effect<BulkReport, DeadLetterStorageFailed>
    /** Those of them that wait for the redrive which was asked for are left as they are. */
    readonly leave: (ids: ReadonlyArray<string>, why: string) => Effect.Effect<void, DeadLetterStorageFailed>
    /** Letters whose automatic redrive is due. */
    readonly due: (now: number) => ReadonlyArray<DeadLetter>
    /** The schedule's turn: archives what expired and redrives what is due and passes the guard. Call it at `nextDueAt`, and when a circuit closes or a gate opens. */
    readonly redriveDue: (guard: DeadLetterRedrive.Guard) => Effect.Effect<BulkReport, DeadLetterStorageFailed>
    /** Archives what expired, and bounds the archive by age and count; reads the whole archive: at start, then daily. Answers how many letters expired. */
    readonly sweep: Effect.Effect<number, DeadLetterStorageFailed>
    /** When the schedule has something to do next, Unix milliseconds. What its guard blocked waits for the next `redriveDue`. */
    readonly nextDueAt: () => number | undefined
    /** Registers the processor of a kind; the last one counts. Call the answer to take it back. */
    readonly register: (
      kind: string,
      processor: DeadLetterRedrive.Processor,
      options?: { readonly timeLimit?: Duration.Input }
    ) => () => void
    readonly hasProcessor: (kind: string) => boolean
    /** No room: intake must stop. */
    readonly isFull: () => boolean
    readonly metrics: () => DeadLetterIndex.Metrics
    /** After each change, synchronously: re-arm the timer, look at `isFull`. */
    readonly onEvent: (listener: (event: DeadLetterLedger.QueueEvent) => void) => () => void
  }
>()("nofx/reliability/DeadLetterQueue") {}

const completed = complete("DeadLetterQueue", Letter.Options)

/** `storage`: where letters are kept, default: in memory, empty. */
export const make = Effect.fnUntraced(function* (
  given: Given<typeof Letter.Options> = {},
  storage: Storage = memory(),
  settings: Settings = {}
) {
  const options = completed(given)
  const ledger = yield* DeadLetterLedger.make(options, storage, settings.redactor ?? Redaction.make([]))
  const archive = DeadLetterArchive.make(ledger, storage)
  const redrive = DeadLetterRedrive.make(ledger, settings.group ?? ((letter) => letter.kind))
  const { accept, chance, index, now, stage, write } = ledger
  const writeAndAccept = (operation: string, letter: DeadLetter): Effect.Effect<void, DeadLetterStorageFailed> =>
    Effect.uninterruptible(
      Effect.andThen(
        write(operation, letter),
        Effect.sync(() => accept(letter))
      )
    )

  return DeadLetterQueue.of({
    load: (letters, fate = () => "unknown") =>
      Effect.suspend(() => {
        for (const letter of letters) index.load(letter)
        ledger.settleRoom()
        return Effect.forEach(
          letters.filter((letter) => letter.status === "redriving"),
          (letter) => {
            const was = fate(letter)
            if (was === "running") return Effect.void
            const next = was === "unknown" ? Letter.releasedUnknown(letter) : Letter.released(letter, now(), chance(), options)
            return writeAndAccept("release a letter", next)
          },
          { discard: true }
        )
      }),
    stage,
    stageResolved: (id) => {
      const letter = index.get(id)
      return letter === undefined ? undefined : Letter.resolved(letter, now())
    },
    stageReleased: (id) => {
      const letter = index.get(id)
      return letter?.status === "redriving" ? Letter.released(letter, now(), chance(), options) : undefined
    },
    accept: (letter) => accept(letter),
    add: (failure) =>
      Effect.suspend(() => {
        const letter = stage(failure)
        return Effect.as(writeAndAccept("add a letter", letter), letter)
      }),
    get: index.get,
    bySubject: index.of,
    list: ({ after = "", limit = 100, ...filter } = {}) =>
      index
        .all()
        .filter((letter) => letter.id > after && DeadLetterArchive.matches(letter, filter))
        .slice(0, limit),
    archived: (page = {}) => ledger.stored("read the archive", storage.archived(page)),
    discard: archive.discard,
    restore: archive.restore,
    purge: archive.purge,
    export: archive.export,
    redrive: redrive.redrive,
    redriveAll: redrive.redriveAll,
    asked: () => index.all().filter(Letter.isAsked),
    redriveAsked: redrive.redriveAsked,
    leave: redrive.leave,
    due: redrive.due,
    redriveDue: (guard) => Effect.andThen(archive.expire, redrive.redriveDue(guard)),
    sweep: Effect.tap(archive.expire, () => archive.trim),
    nextDueAt: redrive.nextDueAt,
    register: redrive.register,
    hasProcessor: redrive.hasProcessor,
    isFull: () => index.size() >= options.maxLetters,
    metrics: () => index.metrics(options.maxLetters),
    onEvent: ledger.onEvent
  })
})

export const layer = (options?: Given<typeof Letter.Options>, storage?: Storage, settings?: Settings): Layer.Layer<DeadLetterQueue> =>
  Layer.effect(DeadLetterQueue, make(options, storage, settings))
