/**
 * A disk that can fill up, and that a crash takes what was not synced from.
 *
 * A commit returns when it is synced, in the same millisecond. In the last milliseconds before a crash nothing is synced any more: those commits do
 * not return, and the crash keeps a part of them from the front, none up to all. So a process can die between any two writes, and during each.
 */
import * as Effect from "effect/Effect"
import * as MemoryStore from "../store/MemoryStore.ts"
import { type Change, Store, StoreUnavailable } from "../store/Store.ts"
import type { SeededRandom } from "./SeededRandom.ts"

export interface SimulatedDisk {
  /** The store of the next incarnation. */
  readonly open: () => Store["Service"]
  /** From here on commits are written, and not synced. */
  readonly stopSyncing: () => void
  /** The process dies: what was not synced is lost, or not. */
  readonly crash: (random: SeededRandom) => void
  readonly setFull: (full: boolean) => void
}

export const make = (): SimulatedDisk => {
  // A restart reads what its last incarnation was not told, and what has not ended: more would only be kept, and copied by the garbage collector.
  const disk = MemoryStore.makeDisk({ keepEvents: 1_000, keepEnded: 1_000 })
  let full = false
  let syncing = true
  let written: Array<ReadonlyArray<Change>> = []
  /** As the process of now has it; the simulated one around it checks that there still is that process. */
  let store: Store["Service"] | undefined

  return {
    open: () => {
      syncing = true
      const inner = disk.open()
      store = inner
      return Store.of({
        ...inner,
        commit: (changes, epoch) =>
          Effect.suspend(() => {
            if (store !== inner) return Effect.never
            if (full) return Effect.fail(new StoreUnavailable({ operation: "write", reason: "full", cause: "no space left on device" }))
            if (syncing) return inner.commit(changes, epoch)
            written.push(changes)
            return Effect.never
          })
      })
    },
    stopSyncing: () => {
      syncing = false
    },
    crash: (random) => {
      const kept = Math.floor(random.between(0, written.length + 1))
      const dying = store
      store = undefined
      if (dying !== undefined) for (const changes of written.slice(0, kept)) Effect.runSync(dying.commit(changes, dying.epoch))
      written = []
    },
    setFull: (on) => {
      full = on
    }
  }
}
