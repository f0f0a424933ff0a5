/**
 * A simulated world with the real runtime in it: processes that start and crash, what they see, and what is seen of them.
 *
 * Everything that happens, happens on one timeline; nothing here asks the machine that it runs on for anything.
 */
import { createHash } from "node:crypto"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { AgentDrivers, Reaper, TaskCheck } from "../agent/AgentDriver.ts"
import { AgentRuntime } from "../AgentRuntime.ts"
import type { RuntimeConfig } from "../RuntimeConfig.ts"
import type { RuntimeEvent } from "../RuntimeEvent.ts"
import { ClockWatch } from "../runtime/ClockWatch.ts"
import { Store } from "../store/Store.ts"
import * as Agents from "./Agents.ts"
import * as Arrivals from "./Arrivals.ts"
import type { FaultModel } from "./FaultModel.ts"
import * as HostClock from "./HostClock.ts"
import * as Incarnation from "./Incarnation.ts"
import * as Ledger from "./Ledger.ts"
import * as Machine from "./Machine.ts"
import * as Person from "./Person.ts"
import * as Provider from "./Provider.ts"
import { accountIndex, accountName, agentId, type Host, type Scene } from "./Scene.ts"
import * as Random from "./SeededRandom.ts"
import type { SimulatedDisk } from "./SimulatedStore.ts"
import type { Timeline } from "./Timeline.ts"
import * as Uptime from "./Uptime.ts"
import * as Watcher from "./Watcher.ts"
import type { Workload } from "./Workload.ts"

/** A runtime over the parts that the world provides. */
export type RuntimeLayer = Layer.Layer<AgentRuntime, unknown, Store | AgentDrivers | Reaper | TaskCheck>

export interface Options {
  readonly timeline: Timeline
  readonly seed: number
  readonly days: number
  readonly agents: number
  readonly config: RuntimeConfig
  readonly workload: Workload
  readonly faults: FaultModel
  readonly runtime: (config: RuntimeConfig) => RuntimeLayer
  readonly makeDisk: () => SimulatedDisk
  /** Does a crash take the whole disk along? */
  readonly forgets: boolean
  readonly onEvent: ((line: string) => void) | undefined
  readonly hashEvents: boolean
  readonly onFinished: () => void
}

export interface World {
  readonly finished: () => boolean
  readonly scene: Scene
  readonly watcher: Watcher.Watcher
  readonly agents: Agents.Agents
  readonly crashes: () => number
  readonly events: () => number
  readonly eventLogSha256: () => string
  /** Awake milliseconds so far, and those of them in which no work was accepted or begun. */
  readonly awake: () => number
  readonly unavailable: () => ReturnType<Uptime.Uptime["lost"]>
  /** Ends it here: what is open counts as far as its deadline is over. */
  readonly conclude: () => void
}

const day = 86_400_000
/** The beginning: 2026-01-01T00:00:00Z. */
const epoch = 1_767_225_600_000
const lookEvery = 600_000
/** So many events are written for the hash of the log at once; they never change. */
const hashedAtOnce = 256
/** After the last day tasks have this long to end. */
const drainMillis = day
/** So long after the last task everything must be given back. */
const settleMillis = 3_600_000

export const make = (options: Options): World => {
  const { agents: agentCount, seed, timeline } = options
  const until = options.days * day
  let host: Host | undefined
  let finished = false
  let crashes = 0
  let incarnations = 0
  let lastSeq = 0
  let events = 0
  let pending: Array<RuntimeEvent> = []
  const hash = createHash("sha256")
  let disk = options.makeDisk()

  const uptime = Uptime.make(timeline.now)
  uptime.set("recovery", true)

  const calendar = (): number => timeline.now() + machine.slept()
  const unix = (time: number): number => epoch + time + machine.stepped()
  const wall = (): number => unix(calendar())
  const ledger = Ledger.make(timeline.now, uptime.worked, (id, at) => watcher.closedGate(id, at))
  const scene: Scene = {
    seed,
    agents: agentCount,
    faults: options.faults,
    workload: options.workload,
    timeline,
    calendar,
    unix,
    accounts: Array.from({ length: Math.min(options.workload.accounts, agentCount) }, (_, account) =>
      Provider.account(options.faults, seed, accountName(account))
    ),
    ledger,
    host: () => host
  }
  const agents = Agents.make(scene)
  const watcher = Watcher.make(scene, () => agents, {
    keepEvery: Math.max(lookEvery, until / 2_000),
    disturbances: () => machine.disturbances()
  })
  const person = Person.make(scene)

  /** All that is pending, in one go: to write each event between the steps of its task takes longer. */
  const hashPending = (): void => {
    let lines = ""
    for (const event of pending) lines += `${JSON.stringify(event)}\n`
    hash.update(lines)
    pending = []
  }

  const log = (event: RuntimeEvent): void => {
    options.onEvent?.(JSON.stringify(event))
    if (options.hashEvents && pending.push(event) >= hashedAtOnce) hashPending()
  }

  const onEvent = (event: RuntimeEvent): void => {
    events++
    log(event)
    if (event.seq !== undefined) lastSeq = event.seq
    if (event._tag === "TaskAccepted") arrivals.onAccepted(event.taskId)
    else if (event._tag === "IntakePaused") uptime.set("intake", true)
    else if (event._tag === "IntakeResumed") uptime.set("intake", false)
    ledger.onEvent(event)
    watcher.onEvent(event)
    person.onEvent(event)
  }

  /** What was acknowledged must be there; a disk that is a new one has nothing. */
  const checkLost = (store: Store["Service"]) =>
    Effect.forEach([...ledger.open()], (entry) =>
      Effect.map(Effect.orDie(store.task(entry.plan.id)), (task) => {
        if (task === undefined) ledger.missing(entry, wall(), Duration.toMillis(options.config.deadLetter.archiveAge))
      })
    )

  const program = (own: Host) =>
    Effect.gen(function* () {
      const store = disk.open()
      const context = yield* Layer.build(
        options.runtime(options.config).pipe(
          Layer.provide([
            Layer.succeed(Store, store),
            Layer.succeed(AgentDrivers, { get: () => agents.driver, names: ["acp"] }),
            Layer.succeed(Reaper, { reap: agents.reap }),
            Layer.succeed(TaskCheck, {
              baseline: () => Effect.succeed(undefined),
              check: (task) => agents.check(task.id, task.verify !== undefined)
            }),
            Layer.succeed(ClockWatch, { start: Effect.succeed(own.clock) })
          ])
        )
      )
      const runtime = Context.get(context, AgentRuntime)
      if (agents.living() > 0) ledger.violate("orphan", `${agents.living()} processes of the last incarnation live on`)
      // What was written and not told before the crash, and what was decided on the way up.
      for (const event of yield* Effect.orDie(store.events(lastSeq, Number.MAX_SAFE_INTEGER))) onEvent(event)
      yield* runtime.subscribe((event) => {
        if (host === own) onEvent(event)
        else ledger.violate("defect", `a runtime that is dead tells of ${event._tag}`)
      })
      yield* checkLost(store)
      own.runtime = runtime
      uptime.set("recovery", false)
      arrivals.onStart()
      person.onStart()
      for (let agent = 0; agent < agentCount; agent++) {
        const account = accountName(accountIndex(agent, scene.accounts.length))
        yield* Effect.forkChild(Effect.ignore(runtime.spawn({ id: agentId(agent), driver: "acp", account })))
      }
      return yield* Effect.never
    }).pipe(Effect.scoped)

  const start = (): void => {
    if (finished) return
    const number = ++incarnations
    uptime.set("restart", false)
    const incarnation = Incarnation.make(timeline, wall, Random.make(seed, `incarnation ${number}`))
    const own: Host = { incarnation, clock: HostClock.make(incarnation, wall), runtime: undefined }
    host = own
    own.incarnation.run(
      Effect.onExit(program(own), (exit) =>
        Effect.sync(() => {
          ledger.violate("defect", `the runtime ended by itself: ${Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "without a cause"}`)
          crash(10_000)
        })
      )
    )
  }

  const crash = (restart: number): void => {
    if (host === undefined) return
    crashes++
    host.incarnation.crash()
    host = undefined
    uptime.set("restart", true)
    uptime.set("recovery", true)
    uptime.set("intake", false)
    watcher.onCrash()
    disk.crash(Random.make(seed, `crash ${crashes}`))
    if (options.forgets) {
      disk = options.makeDisk()
      lastSeq = 0
      ledger.restartSequence()
      watcher.onNewDisk()
    }
    timeline.at(timeline.now() + restart, start)
  }

  const machine = Machine.make(scene, { disk: () => disk, agents, crash, unavailable: uptime.set })
  const arrivals = Arrivals.make(scene, until)

  /** Is there anything whose fate is not decided yet? */
  const undecided = (): boolean => {
    if (arrivals.waiting() > 0) return true
    for (const entry of ledger.open()) {
      if (entry.state === "open") return true
      if (!entry.excluded && entry.plan.poison === undefined && timeline.now() < Ledger.dueAt(entry)) return true
    }
    return false
  }

  const finish = (): void => {
    if (finished) return
    finished = true
    machine.calm()
    ledger.close()
    host?.incarnation.crash()
    options.onFinished()
  }

  const settle = (): void => {
    machine.calm()
    timeline.at(timeline.now() + settleMillis, () => {
      if (ledger.counts.unfinished === 0 && !undecided()) watcher.checkIdle()
      finish()
    })
  }

  const look = (): void => {
    if (finished) return
    watcher.sample()
    const over = calendar() - until
    if (over > drainMillis || (over > 0 && !undecided())) return settle()
    timeline.at(timeline.now() + lookEvery, look)
  }
  timeline.at(lookEvery, look)
  timeline.at(0, start)

  return {
    finished: () => finished,
    scene,
    watcher,
    agents,
    crashes: () => crashes,
    events: () => events,
    eventLogSha256: () => {
      hashPending()
      return hash.copy().digest("hex")
    },
    awake: timeline.now,
    unavailable: uptime.lost,
    conclude: finish
  }
}
