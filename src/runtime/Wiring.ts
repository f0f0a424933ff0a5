/** Makes the runtime: every part built once, in the order in which they need each other, and the start in DESIGN's order. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Random from "effect/Random"
import * as Scheduler from "effect/Scheduler"
import { AgentDrivers, Reaper, TaskCheck } from "../agent/AgentDriver.ts"
import { secretsOf } from "../agent/AgentSpec.ts"
import * as Monotonic from "../Monotonic.ts"
import { Bulkhead } from "../reliability/Bulkhead.ts"
import { CircuitBreaker } from "../reliability/CircuitBreaker.ts"
import { CooldownGate } from "../reliability/CooldownGate.ts"
import * as DeadLetterQueue from "../reliability/DeadLetterQueue.ts"
import { eventOf } from "../reliability/DeadLetterIndex.ts"
import { Health } from "../reliability/Health.ts"
import { RateLimiter } from "../reliability/RateLimiter.ts"
import * as Redaction from "../reliability/Redaction.ts"
import { Retry } from "../reliability/Retry.ts"
import { Shutdown } from "../reliability/Shutdown.ts"
import { TimeLimit } from "../reliability/TimeLimit.ts"
import { TimerWheel } from "../reliability/TimerWheel.ts"
import * as RuntimeConfig from "../RuntimeConfig.ts"
import type { ReliabilityStatus } from "../RuntimeStatus.ts"
import { Store } from "../store/Store.ts"
import * as AccountSync from "./AccountSync.ts"
import { keyOf } from "../task/TaskLife.ts"
import * as Attempts from "./Attempts.ts"
import * as Awake from "./Awake.ts"
import * as Batches from "./Batches.ts"
import * as Checks from "./Checks.ts"
import { ClockWatch } from "./ClockWatch.ts"
import * as Controls from "./Controls.ts"
import { type Agent, append, type Core } from "./Core.ts"
import * as DayBudget from "./DayBudget.ts"
import * as Dispatcher from "./Dispatcher.ts"
import { Environment } from "./Environment.ts"
import * as Intake from "./Intake.ts"
import * as Journal from "./Journal.ts"
import * as Permissions from "./Permissions.ts"
import * as Pipe from "./Pipe.ts"
import * as Recovery from "./Recovery.ts"
import * as Redrives from "./Redrives.ts"
import * as Settlement from "./Settlement.ts"
import * as Stopping from "./Stopping.ts"
import * as Supervisor from "./Supervisor.ts"
import * as TaskTable from "./TaskTable.ts"
import * as Views from "./Views.ts"
import * as Wires from "./Wires.ts"

export const make = (config: RuntimeConfig.RuntimeConfig) =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    const random = yield* Random.Random
    const store = yield* Store
    const environment = yield* Environment
    const wheel = yield* TimerWheel
    const drivers = yield* AgentDrivers
    const patterns: Pipe.Patterns = {
      gate: yield* CooldownGate,
      limiter: yield* RateLimiter,
      bulkhead: yield* Bulkhead,
      breaker: yield* CircuitBreaker
    }
    const retry = yield* Retry
    const health = yield* Health
    const shutdown = yield* Shutdown
    const loaded = yield* store.load
    const turns = (yield* Scheduler.Scheduler).makeDispatcher()
    const runFork = yield* FiberSet.runtime(yield* FiberSet.make<unknown, unknown>())<never>()
    const forkFiber = <A, E>(effect: Effect.Effect<A, E>): Fiber.Fiber<A, E> => runFork(effect) as Fiber.Fiber<A, E>
    const forkLater = <A, E>(effect: Effect.Effect<A, E>) => Effect.sync(() => void forkFiber(Effect.ignore(effect)))
    const wall = yield* (yield* ClockWatch).start
    const wallNow = wall.now
    const now = () => Monotonic.read(clock)
    const arm = (delayMillis: number, fire: () => void) => wheel.add(delayMillis, fire)

    let phase: ReliabilityStatus["phase"] = "starting"
    let paused = loaded.patterns.some((pattern) => pattern.kind === "control" && pattern.key === "paused")

    const journal = Journal.make({
      store,
      seq: loaded.seq,
      fork: forkFiber,
      later: (call) => turns.scheduleTask(call, 0),
      latest: (change) => (change._tag === "PutTask" ? { ...change, task: core.table.get(change.task.key) ?? change.task } : change),
      onDegraded: (cause) => {
        if (cause === undefined) {
          health.recovered("store")
          intake.resume("store")
          core.pump()
        } else {
          health.degrade("store", cause.message)
          intake.stop("store", cause.message)
        }
      }
    })
    const redactor = environment.redactor ?? Redaction.make([])
    for (const { spec } of loaded.agents) redactor.learn(secretsOf(spec))
    const deadLetters = yield* DeadLetterQueue.make(
      config.deadLetter,
      {
        persist: (changes, events) =>
          journal.commit([...changes, ...events.map((event) => ({ _tag: "AppendEvent" as const, event: { ...event, at: wallNow() } }))]),
        find: store.deadLetter,
        archived: (page) => store.deadLetters({ ...page, archived: true })
      },
      { redactor }
    )

    const trace: Core["trace"] = environment.tracesStages
      ? (operation, stage, decision, subject, detail) =>
          journal.live({ _tag: "Stage", at: wallNow(), operation, stage, decision, subject, ...(detail === undefined ? {} : { detail }) })
      : undefined

    const agents = new Map<string, Agent>()
    const limitsOf = (request: Pipe.Request): Pipe.Limits => {
      const speaksAcp = agents.get(request.agentId)?.spec.driver === "acp"
      const { accounts, execute, perAccount, spawn } = config.rateLimit
      if (request.operation !== "execute") return { operation: RuntimeConfig.limitOf(spawn), account: undefined }
      return {
        operation: RuntimeConfig.limitOf(execute ?? (speaksAcp ? "api" : undefined)),
        account: RuntimeConfig.limitOf(accounts[request.account] ?? perAccount ?? (speaksAcp ? "user" : undefined))
      }
    }
    const pipe = Pipe.make(patterns, { limits: limitsOf, wallNow, trace, fork: forkFiber })
    const table = TaskTable.make({
      ageingMillis: Duration.toMillis(config.queue.ageing),
      arm,
      wallNow,
      due: (task) => settlement.due(task),
      onReady: () => core.pump(),
      onDeadline: (task) => {
        // A running attempt has the deadline as its limit; it settles the task itself.
        if (task.state === "running") return
        if (phase === "starting") return void overdue.push(task.key)
        const waiting = dispatcher.waiting(task)
        const reason = `its deadline passed while it waited${waiting === undefined ? "" : ` for ${waiting.for}: ${waiting.detail}`}`
        forkFiber(journal.commit(settlement.deadLetterChanges(task, { reason, cause: "TimedOut", automatic: false })))
      }
    })
    /** Due while nothing could be decided yet. */
    const overdue: Array<string> = []
    const dayBudget = DayBudget.make(config.budget.perDay, loaded.patterns, wallNow)

    let accounts = AccountSync.local
    const permissions = Permissions.make(() => core, environment.waitsForClients)
    const core: Core = {
      config,
      patterns,
      retryBudget: retry.budget,
      dayBudget,
      deadLetters,
      letterEvent: (letter) => ({ ...eventOf(deadLetters.get(letter.id), letter), at: wallNow() }),
      health,
      journal,
      table,
      agents,
      taskCheck: yield* TaskCheck,
      timeLimits: yield* TimeLimit,
      admit: (request) => {
        accounts.look()
        return pipe.admit(request, now())
      },
      forget: pipe.forget,
      pump: () => {
        if (phase === "running" || phase === "paused") dispatcher.pump()
      },
      fork: forkFiber,
      forkFiber,
      wallNow,
      now,
      random: () => random.nextDoubleUnsafe(),
      uniqueId: () => uniqueId(random),
      arm,
      directory: (agentId) => `${environment.directory}/${agentId}`,
      makeDirectory: environment.makeDirectory,
      askPermission: (agent, running, request) => permissions.ask(agent, running, request),
      trace,
      versions: environment.versions,
      redact: <A>(value: A): A => (value === undefined ? value : (redactor.value(value) as A)),
      learn: (spec) => redactor.learn(secretsOf(spec))
    }
    const settlement = Settlement.make(core)
    const attempts = Attempts.make(core, settlement)
    const batches = Batches.make(() => core)
    const intake = Intake.make(core, store, batches, loaded.order)
    const dispatcher = Dispatcher.make(core, {
      start: attempts.start,
      // Somebody may mend an agent, or add one; but a batch that is waited for has to come to its end.
      hopeless: (task) => {
        if (!batches.awaited(task.batch)) return
        const reason = `no agent that could do it is left${task.spec.agent === undefined ? "" : `: ${task.spec.agent} could not be started`}`
        forkFiber(
          Effect.andThen(
            journal.commit(settlement.deadLetterChanges(task, { reason, cause: "SpawnFailed", automatic: false })),
            Effect.sync(core.pump)
          )
        )
      },
      held: () => {
        if (paused) return { for: "paused", detail: "the queue is paused" }
        const cause = journal.degraded()
        if (cause !== undefined) return { for: "health", detail: cause.message }
        const spent = dayBudget.spent()
        return spent === undefined ? undefined : { for: "budget", detail: spent.detail, notBefore: now() + (spent.until - wallNow()) }
      }
    })
    const supervisor = Supervisor.make(core, dispatcher, drivers)
    const redrives = yield* Redrives.make(core, { batches, settlement, supervisor, store })
    const counters = Views.makeCounters()
    journal.onEvent(counters.onEvent)
    journal.onEvent(batches.onEvent)
    journal.onEvent((event) => {
      if (event._tag === "TaskSucceeded" || event._tag === "TaskDeadLettered" || event._tag === "TaskCancelled") {
        table.written(keyOf(event.batch, event.taskId))
      }
    })
    let dayEnds: TaskTable.Timer | undefined
    journal.onEvent((event) => {
      const changed = dayBudget.onEvent(event)
      if (changed === undefined) return
      journal.note(...changed)
      dayEnds?.cancel()
      const ends = dayBudget.ends()
      if (ends === undefined) return
      dayEnds = arm(ends.inMillis, () => {
        for (const { running } of agents.values()) running?.stop({ _tag: "Release", reason: ends.detail, final: false })
      })
    })
    yield* Wires.connect(core, { intake, redrives })

    // The start, in DESIGN's order: reap, reconcile, restore, dispatch.
    const awake = yield* Awake.last(store, loaded)
    const away = awake === undefined ? 0 : wallNow() - awake
    Wires.restore(core, loaded, away)
    accounts = yield* AccountSync.connect(core)
    const reaped = yield* Recovery.reap(core, loaded, yield* Reaper)
    yield* Recovery.adopt(core, store, batches, loaded, away)
    yield* redrives.load(loaded)
    const earlier = yield* Recovery.earlierEnds(core, store, loaded)
    const recovered = yield* Recovery.reconcile(core, settlement, attempts, loaded)
    yield* journal.commit([append(core, { _tag: "RuntimeStarted", epoch: store.epoch, recovered, reaped })])
    Awake.keepNoting(core)
    yield* Checks.register(core)
    yield* Stopping.register(core, {
      intake,
      supervisor,
      shutdown,
      onPhase: (next) => {
        phase = next
      }
    })
    phase = paused ? "paused" : "running"
    health.markStarted()
    yield* wall.watch((millis) => {
      Wires.onClockJump(core, millis)
      redrives.arm()
    })
    for (const key of overdue) table.overdue(key)
    core.pump()
    const keep = Duration.toMillis(config.store.keep)
    const prune = Effect.suspend(() => journal.commit([{ _tag: "Prune", before: wallNow() - keep }]))
    forkFiber(Effect.forever(Effect.andThen(prune, Effect.sleep("1 day"))))
    // A host brings its agents back by itself, one after the other; whoever else builds a runtime says which agents it wants.
    if (environment.restoresAgents ?? environment.waitsForClients) {
      redrives.begin()
      forkFiber(
        Effect.forEach(loaded.agents, ({ spec }) => Effect.andThen(forkLater(supervisor.spawn(spec)), Effect.sleep(stagger)), {
          discard: true
        })
      )
    }

    return Controls.make(core, {
      earlier,
      batches,
      dispatcher,
      intake,
      supervisor,
      permissions,
      redrives,
      settlement,
      shutdown,
      store,
      status: Views.statusOf(core, counters, () => phase),
      pause: (on) => {
        paused = on
        if (phase === "running" || phase === "paused") phase = on ? "paused" : "running"
      }
    })
  })

/** Between two agents that a host brings back. */
const stagger = "250 millis"

/** Every byte in hexadecimal: a large number's `toString(16)` costs ten times as much. */
const bytes = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"))

const uniqueId = (random: { readonly nextDoubleUnsafe: () => number }): string => {
  let id = ""
  for (let part = 0; part < 4; part++) {
    const word = Math.floor(random.nextDoubleUnsafe() * 0x1_0000_0000)
    id += `${bytes[word >>> 24]}${bytes[(word >>> 16) & 255]}${bytes[(word >>> 8) & 255]}${bytes[word & 255]}`
  }
  return id
}
