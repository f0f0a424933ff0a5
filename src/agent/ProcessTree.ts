/**
 * Process trees of agents: who belongs to one, what they use, and how all of them are stopped.
 *
 * Killing a process group is not enough: agents run their tools in sessions of their own. A tree is therefore watched while it runs (one
 * look at the process table serves all trees), and stopping it goes by what was seen, then by a marker in the environment, until
 * nothing is left. A process whose start time does not match is somebody else's and is never signalled.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Monotonic from "../Monotonic.ts"
import { type ProcessIdentity, Reaper } from "./AgentDriver.ts"
import * as ProcessSystem from "./ProcessSystem.ts"
import { ancestry, membersOf, refresh, targets } from "./ProcessTable.ts"
import type { Members, ProcessRow } from "./ProcessTable.ts"

/** The environment variable that every process of an agent carries. */
export const markerVariable = "NOFX_RUN"

/** How long the parts of a stop may take, in milliseconds. */
export interface StopOptions {
  /** From SIGTERM to SIGKILL. Default 5,000: what agents need to end their tools and save their session. */
  readonly graceMillis?: number
  /** From SIGKILL to giving up on what the kernel does not let die. Default 2,000. */
  readonly killMillis?: number
}

export const defaultGraceMillis = 5_000
export const defaultKillMillis = 2_000

export interface Stopped {
  /** Processes that ended when they were asked to. Count. */
  readonly terminated: number
  /** Processes that had to be killed. Count. */
  readonly killed: number
  /** Pids of those that are still there: the kernel holds them, or they changed their user. */
  readonly survivors: ReadonlyArray<number>
}

export interface TreeActivity {
  /** CPU time of the tree so far, in milliseconds; never falls. */
  readonly cpuMillis: number
  /** Bytes read and written by the tree so far; never falls. 0 where the platform does not tell. */
  readonly ioBytes: number
  /** Living processes. */
  readonly processes: number
}

/** A tree that is being watched. */
export interface ProcessTree {
  readonly root: ProcessIdentity
  /** Looks at the process table and answers who lives now. */
  readonly living: Effect.Effect<ReadonlyArray<ProcessRow>>
  readonly activity: Effect.Effect<TreeActivity>
  /** Ends every process of the tree, and every process that carries its marker. Uninterruptible; done when they are dead. */
  readonly stop: (options?: StopOptions) => Effect.Effect<Stopped>
}

/** Watches process trees; see the module. */
export class ProcessTrees extends Context.Service<
  ProcessTrees,
  {
    readonly platform: NodeJS.Platform
    /** Tells a process apart from later ones with its pid; undefined when there is none. */
    readonly identify: (pid: number) => Effect.Effect<ProcessIdentity | undefined>
    /**
     * Watches a process and what it starts until the scope closes.
     *
     * `entry`: the `NAME=VALUE` of its environment by which its processes are found wherever they went; unique to this tree.
     */
    readonly watch: (root: ProcessIdentity, entry: string) => Effect.Effect<ProcessTree, never, Scope.Scope>
    /** Ends what these identities and environment entries name, and everything below it. */
    readonly sweep: (
      identities: ReadonlyArray<ProcessIdentity>,
      entries: ReadonlySet<string>,
      options?: StopOptions
    ) => Effect.Effect<Stopped>
  }
>()("nofx/ProcessTrees") {}

/** How often the members of running trees are looked at: tools that leave their parents within it are found by the marker. */
const sampleMillis = 2_000
/** How old a look may be that figures are taken from. */
const freshMillis = 250

interface Watched {
  members: Members
  readonly entries: ReadonlySet<string>
}

/** Watching on top of an operating system; samples only while there is a tree. */
export const make = Effect.fnUntraced(function* (
  system: ProcessSystem.ProcessSystem
): Effect.fn.Return<ProcessTrees["Service"], never, Scope.Scope> {
  const watched = new Set<Watched>()
  const busy = yield* Latch.make(false)
  const bootId = system.bootId
  let last: { readonly at: number; readonly rows: ReadonlyArray<ProcessRow> } | undefined

  const scan = Effect.gen(function* () {
    const rows = yield* system.list
    last = { at: yield* Monotonic.now, rows }
    return rows
  })

  const own = (rows: ReadonlyArray<ProcessRow>) => ({
    never: ancestry(system.self, rows),
    group: rows.find((row) => row.pid === system.self)?.pgid ?? 0
  })

  const update = (tree: Watched, rows: ReadonlyArray<ProcessRow>): ReadonlyArray<ProcessRow> => {
    const next = refresh(tree.members, rows, own(rows).never)
    tree.members = next.members
    return next.living
  }

  yield* busy.await.pipe(
    Effect.andThen(scan),
    Effect.tap((rows) =>
      Effect.sync(() => {
        const { never } = own(rows)
        for (const tree of watched) tree.members = refresh(tree.members, rows, never).members
      })
    ),
    Effect.andThen(Effect.sleep(sampleMillis)),
    Effect.forever,
    Effect.forkScoped
  )

  /** Who lives; `swept`: those that carry the marker are taken in first. */
  const survey = Effect.fnUntraced(function* (tree: Watched, swept: boolean) {
    let rows = yield* scan
    if (swept && tree.entries.size > 0) {
      const { never } = own(rows)
      const marked = (yield* system.marked(rows, tree.entries)).filter((row) => !never.has(row.pid))
      const known = new Map(tree.members.known)
      for (const row of marked) known.set(row.pid, row.startTime)
      tree.members = { known, led: new Set([...tree.members.led, ...marked.map((row) => row.pid)]) }
      // A process may have forked while environments were read.
      if (marked.length > 0) rows = yield* scan
    }
    return { living: update(tree, rows), group: own(rows).group }
  })

  type Survey = Effect.Success<ReturnType<typeof survey>>

  const send = Effect.fnUntraced(function* (tree: Watched, { group, living }: Survey, signal: ProcessSystem.Signal) {
    const { alone, groups } = targets(living, tree.members, group)
    for (const pid of groups) yield* system.signal({ pid, group: true }, signal)
    for (const pid of alone) yield* system.signal({ pid, group: false }, signal)
  })

  const stop = (tree: Watched, options: StopOptions = {}): Effect.Effect<Stopped> =>
    Effect.uninterruptible(
      Effect.gen(function* () {
        const asked = new Set<string>()
        const killed = new Set<string>()
        const name = (row: ProcessRow) => `${row.pid}:${row.startTime}`
        let seen = yield* survey(tree, true)
        if (seen.living.length > 0) {
          for (const row of seen.living) asked.add(name(row))
          yield* send(tree, seen, "SIGTERM")
          const graceEnds = (yield* Monotonic.now) + (options.graceMillis ?? defaultGraceMillis)
          for (let pause = 5; seen.living.length > 0 && (yield* Monotonic.now) < graceEnds; pause = Math.min(pause * 2, 50)) {
            yield* Effect.sleep(pause)
            seen = yield* survey(tree, false)
          }
          if (seen.living.length === 0) seen = yield* survey(tree, true)
        }
        const killEnds = (yield* Monotonic.now) + (options.killMillis ?? defaultKillMillis)
        for (let pause = 2; seen.living.length > 0; pause = Math.min(pause * 2, 50)) {
          for (const row of seen.living) killed.add(name(row))
          yield* send(tree, seen, "SIGKILL")
          yield* Effect.sleep(pause)
          seen = yield* survey(tree, true)
          if ((yield* Monotonic.now) >= killEnds) break
        }
        const survivors = seen.living.map((row) => row.pid)
        for (const row of seen.living) killed.delete(name(row))
        const left = new Set(seen.living.map(name))
        const terminated = [...asked].filter((process) => !killed.has(process) && !left.has(process)).length
        return { terminated, killed: killed.size, survivors }
      })
    )

  const watch = Effect.fnUntraced(function* (root: ProcessIdentity, entry: string) {
    const tree: Watched = { members: membersOf([root]), entries: new Set([entry]) }
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        watched.add(tree)
        busy.openUnsafe()
      }),
      () =>
        Effect.sync(() => {
          watched.delete(tree)
          if (watched.size === 0) busy.closeUnsafe()
        })
    )
    let cpuMillis = 0
    let ioBytes = 0
    const activity = Effect.gen(function* () {
      const now = yield* Monotonic.now
      const living = update(tree, last !== undefined && now - last.at < freshMillis ? last.rows : yield* scan)
      // A process that dies unread by its parent takes its figures with it: they must not seem to run backwards.
      cpuMillis = Math.max(
        cpuMillis,
        living.reduce((sum, row) => sum + row.cpuMillis, 0)
      )
      ioBytes = Math.max(
        ioBytes,
        living.reduce((sum, row) => sum + system.ioBytes(row.pid), 0)
      )
      return { cpuMillis, ioBytes, processes: living.length }
    })
    return {
      root,
      living: Effect.map(scan, (rows) => update(tree, rows)),
      activity,
      stop: (options?: StopOptions) => stop(tree, options)
    }
  })

  return {
    platform: system.platform,
    identify: (pid) => Effect.map(system.find(pid), (row) => (row === undefined ? undefined : { pid, startTime: row.startTime, bootId })),
    watch,
    sweep: (identities, entries, options) =>
      Effect.suspend(() => stop({ members: membersOf(identities.filter((identity) => identity.bootId === bootId)), entries }, options))
  }
})

/** Trees of the operating system this runs on. */
export const layer: Layer.Layer<ProcessTrees> = Layer.effect(
  ProcessTrees,
  Effect.suspend(() => make(ProcessSystem.make()))
)

/** Recovery's half: one sweep ends everything that is left, by identity or by marker. */
export const layerReaper: Layer.Layer<Reaper, never, ProcessTrees> = Layer.effect(
  Reaper,
  Effect.map(ProcessTrees, (trees) => ({
    reap: (left) =>
      Effect.suspend(() => {
        if (left.length === 0) return Effect.succeed(0)
        const identities = left.flatMap(({ identity }) => (identity === undefined ? [] : [identity]))
        const entries = new Set(left.map(({ marker }) => `${markerVariable}=${marker}`))
        return Effect.map(trees.sweep(identities, entries), ({ killed, terminated }) => killed + terminated)
      })
  }))
)
