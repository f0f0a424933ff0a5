/**
 * What one call costs: CPU time of this thread, and bytes allocated.
 *
 * The rounds of all cases take turns, so that a busy machine disturbs all of them alike, and the median round counts. A call is awaited
 * before the next one begins, and every 64 calls take one turn of the event loop, as they would in a program; both are in every figure.
 */
import { GCProfiler } from "node:v8"
import * as Effect from "effect/Effect"

export interface Case {
  readonly name: string
  /** Makes this many calls, one after the other. */
  readonly run: (calls: number) => Promise<unknown>
  /** Calls that a round may make at most, for what is too slow or too hungry for more. */
  readonly most?: number
  /** Default `cpu`. `wall` for what waits for a disk. */
  readonly clock?: "cpu" | "wall"
}

export interface Cost {
  readonly name: string
  /** Nanoseconds a call: median of the rounds, and the extremes. */
  readonly nanos: number
  readonly least: number
  readonly greatest: number
  /** Bytes allocated a call; undefined where the collector always came between. */
  readonly bytes: number | undefined
}

export interface Effort {
  readonly rounds: number
  /** How long a round should take, in milliseconds. */
  readonly roundMillis: number
}

/** One turn of the event loop. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve))
const turnInFiber = Effect.promise(turn)

const turnIsDue = (call: number): boolean => (call & 63) === 63

/** Awaits a promise a call. */
export const awaited = (call: () => unknown) => async (calls: number) => {
  for (let made = 0; made < calls; made++) {
    await call()
    if (turnIsDue(made)) await turn()
  }
}

/** Runs an effect a call, all in one fiber. */
export const inFiber =
  <A, E>(call: Effect.Effect<A, E>) =>
  (calls: number) =>
    Effect.runPromise(
      Effect.suspend(() => {
        const withTurn = Effect.andThen(call, turnInFiber)
        let made = 0
        return Effect.whileLoop<unknown, E, never>({
          while: () => made < calls,
          body: () => (turnIsDue(made) ? withTurn : call),
          step: () => void made++
        })
      })
    )

/** Calls a function that answers at once. */
export const atOnce = (call: () => unknown) => async (calls: number) => {
  for (let made = 0; made < calls; made++) {
    call()
    if (turnIsDue(made)) await turn()
  }
}

const cpuNanos = (): number => {
  const { system, user } = process.threadCpuUsage()
  return (user + system) * 1000
}

const wallNanos = (): number => performance.now() * 1e6

const nanosOf = async (one: Case, calls: number): Promise<number> => {
  const now = one.clock === "wall" ? wallNanos : cpuNanos
  const before = now()
  await one.run(calls)
  return (now() - before) / calls
}

/**
 * Warms up, and finds how many calls fill a round. By the wall clock, since the CPU clock of some machines only ticks every few
 * milliseconds; by the fastest of three runs, since others may use the processor too.
 */
const callsOf = async (one: Case, effort: Effort): Promise<number> => {
  const most = one.most ?? 1_000_000
  for (let calls = 1; ; calls = Math.min(calls * 4, most)) {
    let spent = Number.POSITIVE_INFINITY
    for (let tried = 0; tried < 3; tried++) {
      const before = performance.now()
      await one.run(calls)
      spent = Math.min(spent, performance.now() - before)
    }
    if (calls === most || spent > effort.roundMillis / 4)
      return Math.max(1, Math.min(most, Math.round((calls * effort.roundMillis) / spent)))
  }
}

const bytesOf = async (one: Case, calls: number): Promise<number | undefined> => {
  const found: Array<number> = []
  for (let tried = 0; tried < 7; tried++) {
    globalThis.gc?.()
    const profiler = new GCProfiler()
    profiler.start()
    const before = process.memoryUsage().heapUsed
    await one.run(calls)
    const after = process.memoryUsage().heapUsed
    if (profiler.stop()?.statistics.length === 0) found.push((after - before) / calls)
  }
  return found.length === 0 ? undefined : median(found)
}

export const median = (values: ReadonlyArray<number>): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

/** Measures the cases against each other. */
export const measure = async (cases: ReadonlyArray<Case>, effort: Effort): Promise<ReadonlyArray<Cost>> => {
  const rounds = []
  for (const one of cases) rounds.push({ one, calls: await callsOf(one, effort), nanos: [] as Array<number> })
  for (let round = 0; round < effort.rounds; round++) {
    for (const { calls, nanos, one } of rounds) nanos.push(await nanosOf(one, calls))
  }
  const costs: Array<Cost> = []
  for (const { calls, nanos, one } of rounds) {
    costs.push({
      name: one.name,
      nanos: median(nanos),
      least: Math.min(...nanos),
      greatest: Math.max(...nanos),
      bytes: await bytesOf(one, Math.min(512, calls))
    })
  }
  return costs
}
