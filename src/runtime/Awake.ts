/**
 * When the host was last known to be awake: a start leaves the time since then out of deadlines.
 *
 * Every durable event tells of it. Where none comes for a while and tasks have deadlines (all of them wait for an account's reset, say), a note
 * does, and one is made when the clock jumps. Which of the two came later is told by the event's seq: the clock may have been set back in between.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Change, Loaded, Store } from "../store/Store.ts"
import type { Core } from "./Core.ts"

const record = { kind: "control", key: "awake" } as const
/** `at`: Unix milliseconds; `seq`: of the last event before. */
const Note = Schema.Struct({ at: Schema.Finite, seq: Schema.Int })
const decode = Schema.decodeUnknownOption(Note)

/** Milliseconds between looks: after a kill, deadlines come at most twice as much later than they should. */
const quiet = 60_000

/** Now. Goes with what must not be done twice, should the next start come before any event. */
export const note = (core: Pick<Core, "journal" | "wallNow">): Change => {
  const state: typeof Note.Type = { at: core.wallNow(), seq: core.journal.seq() }
  return { _tag: "PutPattern", pattern: { ...record, state } }
}

/** Notes the time again and again while nothing else tells of it. */
export const keepNoting = (core: Core): void => {
  let seen = core.journal.seq()
  const look = (): void => {
    const { degraded, note: write, seq } = core.journal
    if (seq() === seen && core.table.deadlines > 0 && degraded() === undefined) write(note(core))
    seen = seq()
    core.arm(quiet, look)
  }
  core.arm(quiet, look)
}

/** The last time that an earlier incarnation is known to have been awake; undefined when there was none. Unix milliseconds. */
export const last = Effect.fnUntraced(function* (store: Store["Service"], loaded: Loaded) {
  const [event] = yield* store.events(loaded.seq - 1, 1)
  const noted = decode(loaded.patterns.find(({ key, kind }) => kind === record.kind && key === record.key)?.state)
  return Option.isSome(noted) && noted.value.seq === loaded.seq ? noted.value.at : event?.at
})
