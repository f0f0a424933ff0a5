/**
 * Who runs and who waits behind two kinds of limits, one for all and one for each key. No clock, no effects, no random: the same calls give the same answers.
 *
 * Between any two calls this holds: nobody waits who could run. So whoever finds both permits free overtakes nobody, and after a permit came back the one to run is the
 * earliest of those whose key has a permit left. It changes in place: one service owns it, and a copy of its maps at each call would cost more than all else.
 */

/** One limit. */
export interface Bound {
  readonly permits: number
  readonly queue: number
}

export interface Bounds {
  readonly global: Bound
  readonly perAccount: Bound
}

export interface Waiter {
  readonly key: string
  readonly order: number
}

interface Key {
  running: number
  readonly queue: Array<Waiter>
}

export interface State {
  bounds: Bounds
  running: number
  waiting: number
  order: number
  readonly keys: Map<string, Key>
  /** Those with a queue. */
  readonly queued: Set<Key>
}

/** Which limit says no. */
export type Scope = "account" | "global"

export const make = (bounds: Bounds): State => ({ bounds, running: 0, waiting: 0, order: 0, keys: new Map(), queued: new Set() })

/** Takes both permits, or neither and says which is missing. */
export const enter = (state: State, key: string): Scope | undefined => {
  const own = state.keys.get(key)
  if (own !== undefined && own.running >= state.bounds.perAccount.permits) return "account"
  if (state.running >= state.bounds.global.permits) return "global"
  state.running++
  if (own === undefined) state.keys.set(key, { running: 1, queue: [] })
  else own.running++
  return undefined
}

/** Takes a place in the queue, or says which queue is full. Only for those that `enter` sent away. */
export const join = (state: State, key: string): Waiter | Scope => {
  if ((state.keys.get(key)?.queue.length ?? 0) >= state.bounds.perAccount.queue) return "account"
  if (state.waiting >= state.bounds.global.queue) return "global"
  return comeBack(state, key)
}

/** The same for one that has been inside already: it is not refused. */
export const comeBack = (state: State, key: string): Waiter => {
  let own = state.keys.get(key)
  if (own === undefined) state.keys.set(key, (own = { running: 0, queue: [] }))
  const waiter = { key, order: state.order++ }
  own.queue.push(waiter)
  state.queued.add(own)
  state.waiting++
  return waiter
}

/** Gives up a place in the queue. */
export const withdraw = (state: State, waiter: Waiter): void => {
  const own = state.keys.get(waiter.key)
  const index = own?.queue.indexOf(waiter) ?? -1
  if (own === undefined || index < 0) return
  own.queue.splice(index, 1)
  state.waiting--
  tidy(state, waiter.key, own)
}

/** Gives both permits back. */
export const exit = (state: State, key: string): void => {
  const own = state.keys.get(key)
  if (own === undefined) return
  own.running--
  state.running--
  tidy(state, key, own)
}

/** Lets the next one in, if there is one that may run. To be called until it has none, after whatever gave room. */
export const next = (state: State): Waiter | undefined => {
  if (state.running >= state.bounds.global.permits) return undefined
  let first: Key | undefined
  for (const key of state.queued) {
    if (key.running < state.bounds.perAccount.permits && (first === undefined || orderOf(key) < orderOf(first))) first = key
  }
  const waiter = first?.queue.shift()
  if (first === undefined || waiter === undefined) return undefined
  first.running++
  state.running++
  state.waiting--
  tidy(state, waiter.key, first)
  return waiter
}

const orderOf = (key: Key): number => key.queue[0]?.order ?? Number.POSITIVE_INFINITY

const tidy = (state: State, name: string, key: Key): void => {
  if (key.queue.length > 0) return
  state.queued.delete(key)
  if (key.running === 0) state.keys.delete(name)
}
