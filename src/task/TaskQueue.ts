/**
 * The order in which waiting tasks get their turn.
 *
 * Tasks that could go to the same agents form a lane; within a lane and between lanes the order is priority, then age. Waiting raises
 * priority: a task's rank is fixed when it is accepted, and the same in each of its runs, one level of priority being worth `ageing` milliseconds of waiting, so that nothing
 * starves and nothing has to be re-sorted as time passes. Pure bookkeeping: it knows no time and wakes nobody.
 */
import type { Task } from "./Task.ts"

const levels = { high: 2, medium: 1, low: 0 } as const

/** One task's place. */
interface Entry {
  readonly key: string
  readonly rank: number
  readonly order: number
  readonly unsafe: boolean
  lane: Lane | undefined
  index: number
}

const before = (a: Entry, b: Entry): boolean => a.rank < b.rank || (a.rank === b.rank && a.order < b.order)

/** Which agents could do the task: the one, or those with the capabilities. The name tells them apart. */
export const fitting = ({ session, spec }: Task): Pick<Lane, "name" | "agent" | "capabilities"> => {
  const agent = (spec.effect === "resumable" ? session?.agentId : undefined) ?? spec.agent
  if (agent !== undefined) return { name: `@${agent}`, agent, capabilities: [] }
  const capabilities = spec.capabilities.length < 2 ? spec.capabilities : [...new Set(spec.capabilities)].sort()
  return { name: `:${capabilities.join(",")}`, agent, capabilities }
}

/** Tasks that the same agents could do; a binary heap by rank that knows where each entry is. */
export class Lane {
  readonly name: string
  /** The one agent, for tasks that are pinned to it. */
  readonly agent: string | undefined
  readonly capabilities: ReadonlyArray<string>
  readonly heap: Array<Entry> = []

  constructor(name: string, agent: string | undefined, capabilities: ReadonlyArray<string>) {
    this.name = name
    this.agent = agent
    this.capabilities = capabilities
  }

  /** Key of the task whose turn it is. */
  get head(): string | undefined {
    return this.heap[0]?.key
  }

  /** The first in order that is safe to try an unproven agent with; the head itself when there is none but unsafe ones. */
  get safest(): string | undefined {
    let best: Entry | undefined
    for (const entry of this.heap) if (!entry.unsafe && (best === undefined || before(entry, best))) best = entry
    return (best ?? this.heap[0])?.key
  }

  push(entry: Entry): void {
    entry.lane = this
    entry.index = this.heap.length
    this.heap.push(entry)
    this.up(entry.index)
  }

  delete(entry: Entry): void {
    const last = this.heap.pop()!
    entry.lane = undefined
    if (last === entry) return
    last.index = entry.index
    this.heap[last.index] = last
    this.up(last.index)
    this.down(last.index)
  }

  private up(index: number): void {
    const entry = this.heap[index]!
    while (index > 0) {
      const parent = (index - 1) >> 1
      const above = this.heap[parent]!
      if (!before(entry, above)) break
      this.heap[index] = above
      above.index = index
      index = parent
    }
    this.heap[index] = entry
    entry.index = index
  }

  private down(index: number): void {
    const entry = this.heap[index]!
    for (;;) {
      let child = 2 * index + 1
      if (child >= this.heap.length) break
      if (child + 1 < this.heap.length && before(this.heap[child + 1]!, this.heap[child]!)) child++
      const below = this.heap[child]!
      if (!before(below, entry)) break
      this.heap[index] = below
      below.index = index
      index = child
    }
    this.heap[index] = entry
    entry.index = index
  }
}

export interface TaskQueue {
  /** Puts a task in its lane; one that is there already stays where it is. */
  readonly add: (task: Task) => void
  readonly remove: (key: string) => void
  readonly has: (key: string) => boolean
  readonly size: number
  /** Lanes that hold tasks, the one whose head comes first in front. */
  readonly lanes: () => ReadonlyArray<Lane>
}

/** `ageing`: milliseconds of waiting that are worth one level of priority. */
export const make = (ageing: number): TaskQueue => {
  const entries = new Map<string, Entry>()
  const lanes = new Map<string, Lane>()

  const laneOf = (task: Task): Lane => {
    const { agent, capabilities, name } = fitting(task)
    let lane = lanes.get(name)
    if (lane === undefined) lanes.set(name, (lane = new Lane(name, agent, capabilities)))
    return lane
  }

  return {
    add: (task) => {
      if (entries.has(task.key)) return
      const entry: Entry = {
        key: task.key,
        rank: task.acceptedAt - levels[task.spec.priority] * ageing,
        order: task.order,
        unsafe: task.spec.effect === "unsafe",
        lane: undefined,
        index: 0
      }
      entries.set(task.key, entry)
      laneOf(task).push(entry)
    },
    remove: (key) => {
      const entry = entries.get(key)
      if (entry === undefined) return
      entries.delete(key)
      const lane = entry.lane!
      lane.delete(entry)
      if (lane.heap.length === 0) lanes.delete(lane.name)
    },
    has: (key) => entries.has(key),
    get size() {
      return entries.size
    },
    lanes: () => {
      const all = [...lanes.values()]
      return all.length < 2 ? all : all.sort((a, b) => (before(a.heap[0]!, b.heap[0]!) ? -1 : 1))
    }
  }
}
