/** What a dead letter queue needs of a store. Structurally a part of what NofX's own store offers. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { DeadLetter } from "./DeadLetter.ts"
import type { DeadLetterEvent } from "./DeadLetterIndex.ts"

export type Change =
  | { readonly _tag: "PutDeadLetter"; readonly letter: DeadLetter }
  /** Takes it out of the queue; the archive keeps it. */
  | { readonly _tag: "ArchiveDeadLetter"; readonly letter: DeadLetter }
  /** Deletes it from queue and archive. */
  | { readonly _tag: "PurgeDeadLetter"; readonly id: string }

/** A page of a listing, in order of ids. */
export interface Page {
  /** Default 100. */
  readonly limit?: number
  /** The id of the last letter seen. */
  readonly after?: string
}

export interface Storage {
  /** Writes all or nothing; `events` tell what it means, for a journal in the same transaction. */
  readonly persist: (changes: ReadonlyArray<Change>, events: ReadonlyArray<DeadLetterEvent>) => Effect.Effect<void, unknown>
  /** One letter, archived or not. */
  readonly find: (id: string) => Effect.Effect<DeadLetter | undefined, unknown>
  readonly archived: (page: Page) => Effect.Effect<ReadonlyArray<DeadLetter>, unknown>
}

/** Nothing was changed: the queue is as it was before. */
export class DeadLetterStorageFailed extends Schema.TaggedError<DeadLetterStorageFailed>()("DeadLetterStorageFailed", {
  operation: Schema.String,
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `The dead letter queue could not ${this.operation}: ${String(this.cause)}`
  }
}

/** Kept in memory, for programs that need no more, and for tests. */
export const memory = (): Storage => {
  const letters = new Map<string, { readonly letter: DeadLetter; readonly archived: boolean }>()
  return {
    persist: (changes) =>
      Effect.sync(() => {
        for (const change of changes) {
          if (change._tag === "PurgeDeadLetter") letters.delete(change.id)
          else letters.set(change.letter.id, { letter: change.letter, archived: change._tag === "ArchiveDeadLetter" })
        }
      }),
    find: (id) => Effect.sync(() => letters.get(id)?.letter),
    archived: ({ after = "", limit = 100 }) =>
      Effect.sync(() =>
        [...letters.values()]
          .filter((entry) => entry.archived && entry.letter.id > after)
          .map((entry) => entry.letter)
          .sort((a, b) => (a.id < b.id ? -1 : 1))
          .slice(0, limit)
      )
  }
}
