/**
 * The store in memory: the same semantics, synchronous, without encoding; for tests, simulations and programs that need no durability.
 *
 * It keeps what it was given, by reference, and bounds what has ended. A `Disk` outlives its stores: opening it again is a restart.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { DeadLetter } from "../reliability/DeadLetterQueue.ts"
import type { RuntimeEvent } from "../RuntimeEvent.ts"
import { isEnd, type Task } from "../task/Task.ts"
import {
  type AgentRecord,
  type BatchRecord,
  type Change,
  countsOf,
  defaultLimit,
  Fenced,
  type Page,
  type PatternRecord,
  type ProcessRecord,
  Store
} from "./Store.ts"

export interface Options {
  /** Events that are kept, the newest. Default 10,000. */
  readonly keepEvents?: number
  /** Ended tasks outside unfinished batches that are kept, the newest. Default 10,000. */
  readonly keepEnded?: number
}

/** What outlives the stores that open it, one after the other. */
export interface Disk {
  /** A store as the next owner: older ones are fenced off. */
  readonly open: () => Store["Service"]
  /** The n-th commit from now never returns, and none after it: the process has died. `applied`: was it written? */
  readonly crashAfter: (commits: number, applied: boolean) => void
  /** Commits so far, of all owners. */
  readonly commits: () => number
}

/** An empty disk. */
export const makeDisk = (options: Options = {}): Disk => {
  const tables = makeTables(options)
  let epoch = 0
  let commits = 0
  let crash: { readonly at: number; readonly applied: boolean; readonly epoch: number } | undefined

  const commitAs = (changes: ReadonlyArray<Change>, own: number): Effect.Effect<ReadonlyArray<RuntimeEvent>, Fenced> =>
    Effect.suspend(() => {
      if (crash !== undefined && crash.epoch === own && commits >= crash.at) return Effect.never
      if (own < epoch) return Effect.fail(new Fenced({ epoch: own, current: epoch }))
      commits++
      const dies = crash !== undefined && crash.epoch === own && commits === crash.at
      if (dies && crash?.applied !== true) return Effect.never
      const events = tables.write(changes)
      return dies ? Effect.never : Effect.succeed(events)
    })

  return {
    open: () => Store.of({ epoch: ++epoch, commit: commitAs, ...reads(tables) }),
    crashAfter: (after, applied) => {
      crash = { at: commits + after, applied, epoch }
    },
    commits: () => commits
  }
}

export const make = (options?: Options): Store["Service"] => makeDisk(options).open()

export const layer = (options?: Options): Layer.Layer<Store> => Layer.sync(Store, () => make(options))

/** The next owner of a disk. */
export const layerDisk = (disk: Disk): Layer.Layer<Store> => Layer.sync(Store, disk.open)

interface Tables {
  /** By key, in the order in which they were first written. */
  readonly tasks: Map<string, Task>
  readonly letters: Map<string, { readonly letter: DeadLetter; readonly archived: boolean }>
  readonly agents: Map<string, AgentRecord>
  readonly processes: Map<string, ProcessRecord>
  readonly patterns: Map<string, PatternRecord>
  readonly batches: Map<string, BatchRecord>
  readonly seq: () => number
  readonly eventsAfter: (after: number, limit: number) => ReadonlyArray<RuntimeEvent>
  readonly write: (changes: ReadonlyArray<Change>) => ReadonlyArray<RuntimeEvent>
}

const makeTables = (options: Options): Tables => {
  const keepEvents = options.keepEvents ?? 10_000
  const keepEnded = options.keepEnded ?? 10_000
  const tasks = new Map<string, Task>()
  const letters = new Map<string, { readonly letter: DeadLetter; readonly archived: boolean }>()
  const agents = new Map<string, AgentRecord>()
  const processes = new Map<string, ProcessRecord>()
  const patterns = new Map<string, PatternRecord>()
  const batches = new Map<string, BatchRecord>()
  /** Keys of ended tasks that nothing needs, the one that ended first in front. */
  const ended = new Set<string>()
  let events: Array<RuntimeEvent> = []
  let seq = 0

  /** An unfinished batch needs its tasks, and so does a dead letter: only `Prune` drops those, when they are free. */
  const needed = (task: Task): boolean => {
    const batch = batches.get(task.batch)
    return (
      (batch !== undefined && batch.finishedAt === undefined) || (task.state === "dead-lettered" && letters.has(task.deadLetterId ?? ""))
    )
  }

  const drop = (key: string): void => {
    ended.delete(key)
    tasks.delete(key)
  }

  // Kept, since a new iterator would have to pass over all that was deleted in front.
  let oldest = ended.values()
  const trim = (): void => {
    while (ended.size > keepEnded) {
      const next = oldest.next()
      if (next.done === true) oldest = ended.values()
      else drop(next.value)
    }
  }

  const putTask = (task: Task): void => {
    tasks.set(task.key, task)
    if (!isEnd(task.state)) return void ended.delete(task.key)
    // Its dead letter may come later in the same commit.
    if (task.state === "dead-lettered" || needed(task)) return
    ended.add(task.key)
    trim()
  }

  const putBatch = (batch: BatchRecord): void => {
    batches.set(batch.id, batch)
    if (batch.finishedAt === undefined) return
    for (const task of tasks.values()) if (task.batch === batch.id) putTask(task)
  }

  const prune = (before: number): void => {
    events = events.filter((event) => event.at >= before)
    for (const [key, task] of tasks) if (isEnd(task.state) && (task.endedAt ?? before) < before && !needed(task)) drop(key)
    const inUse = new Set([...tasks.values()].map((task) => task.batch))
    for (const batch of batches.values()) {
      if (batch.finishedAt !== undefined && batch.finishedAt < before && !inUse.has(batch.id)) batches.delete(batch.id)
    }
  }

  const append = (event: RuntimeEvent): RuntimeEvent => {
    // Not spread: events have many shapes, and a spread of those is copied field by field.
    const written: RuntimeEvent & { seq?: number } = Object.assign({}, event)
    written.seq = ++seq
    events.push(written)
    // Trimmed rarely: each slice costs what is kept.
    if (events.length > 2 * keepEvents) events = events.slice(-keepEvents)
    return written
  }

  const apply = (change: Change): RuntimeEvent | undefined => {
    switch (change._tag) {
      case "PutTask":
        putTask(change.task)
        return
      case "AppendEvent":
        return append(change.event)
      case "PutDeadLetter":
        letters.set(change.letter.id, { letter: change.letter, archived: false })
        return
      case "ArchiveDeadLetter":
        letters.set(change.letter.id, { letter: change.letter, archived: true })
        return
      case "PurgeDeadLetter":
        letters.delete(change.id)
        return
      case "PutAgent":
        agents.set(change.agent.spec.id, change.agent)
        return
      case "DeleteAgent":
        agents.delete(change.agentId)
        return
      case "PutProcess":
        processes.set(change.process.marker, change.process)
        return
      case "DeleteProcess":
        processes.delete(change.marker)
        return
      case "PutPattern":
        patterns.set(patternKey(change.pattern), change.pattern)
        return
      case "DeletePattern":
        patterns.delete(patternKey(change))
        return
      case "PutBatch":
        putBatch(change.batch)
        return
      case "Prune":
        prune(change.before)
        return
    }
  }

  return {
    tasks,
    letters,
    agents,
    processes,
    patterns,
    batches,
    seq: () => seq,
    eventsAfter: (after, limit) => {
      // Whoever follows asks for the newest: searched from the end.
      const behind = events.findLastIndex((event) => (event.seq ?? 0) <= after) + 1
      const first = Math.max(behind, events.length - keepEvents)
      return events.slice(first, first + limit)
    },
    write: (changes) => {
      const written: Array<RuntimeEvent> = []
      for (const change of changes) {
        const event = apply(change)
        if (event !== undefined) written.push(event)
      }
      return written
    }
  }
}

const patternKey = (pattern: Pick<PatternRecord, "kind" | "key">): string => `${pattern.kind} ${pattern.key}`

const byOrder = (tasks: Array<Task>): ReadonlyArray<Task> => tasks.sort((a, b) => a.order - b.order)

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

const letterPage = (tables: Tables, { after, archived, limit }: Page & { readonly archived?: boolean }): ReadonlyArray<DeadLetter> =>
  [...tables.letters.values()]
    .filter((entry) => entry.archived === (archived === true) && (after === undefined || entry.letter.id > after))
    .map((entry) => entry.letter)
    .sort((a, b) => compare(a.id, b.id))
    .slice(0, limit)

const batchesInOrder = (tables: Tables): ReadonlyArray<BatchRecord> =>
  [...tables.batches.values()].sort((a, b) => a.createdAt - b.createdAt || compare(a.id, b.id))

const reads = (tables: Tables): Omit<Store["Service"], "epoch" | "commit"> => ({
  load: Effect.sync(() => {
    const all = [...tables.tasks.values()]
    return {
      tasks: byOrder(all.filter((task) => !isEnd(task.state))),
      agents: [...tables.agents.values()],
      processes: [...tables.processes.values()],
      patterns: [...tables.patterns.values()],
      batches: batchesInOrder(tables).filter((batch) => batch.finishedAt === undefined),
      deadLetters: letterPage(tables, { limit: Number.POSITIVE_INFINITY }),
      quarantined: [],
      damage: [],
      seq: tables.seq(),
      order: all.reduce((top, task) => Math.max(top, task.order), 0)
    }
  }),
  task: (key) => Effect.sync(() => tables.tasks.get(key)),
  tasks: ({ after, batch, id, limit, states }) =>
    Effect.sync(() => {
      const found = [...tables.tasks.values()].filter(
        (task) =>
          (after === undefined || task.order > Number(after)) &&
          (batch === undefined || task.batch === batch) &&
          (id === undefined || task.spec.id === id) &&
          (states === undefined || states.includes(task.state))
      )
      return byOrder(found).slice(0, limit ?? defaultLimit)
    }),
  counts: Effect.sync(() => countsOf(Array.from(tables.tasks.values(), ({ state }) => [state, 1]))),
  deadLetter: (id) => Effect.sync(() => tables.letters.get(id)?.letter),
  deadLetters: (query) => Effect.sync(() => letterPage(tables, { ...query, limit: query.limit ?? defaultLimit })),
  events: (after, limit) => Effect.sync(() => tables.eventsAfter(after, limit)),
  batches: ({ after, limit }) =>
    Effect.sync(() => {
      const all = batchesInOrder(tables)
      const first = after === undefined ? 0 : all.findIndex((batch) => batch.id === after) + 1
      return all.slice(first, first + (limit ?? defaultLimit))
    })
})
