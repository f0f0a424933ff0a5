/**
 * One supervisor per agent: the only thing that starts, restarts or ends it.
 *
 * Starting goes through the pipe like any operation. An agent that dies by itself is started again, with backoff, within a restart budget;
 * when that is spent, or a start fails for good, the operation becomes a dead letter and the agent stays failed until a person restarts it.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { AgentDrivers, OpenContext } from "../agent/AgentDriver.ts"
import { accountOf, type AgentSpec } from "../agent/AgentSpec.ts"
import { consequences, Fault, hintMillis } from "../agent/Fault.ts"
import type { Outcome } from "../reliability/DeadLetterQueue.ts"
import * as Retry from "../reliability/Retry.ts"
import type { Change } from "../store/Store.ts"
import { type Agent, append, type Core, setAgentState } from "./Core.ts"
import type { Dispatcher } from "./Dispatcher.ts"
import { agentKey } from "./Pipe.ts"

/** An agent with this id is there already. */
export class AgentExists extends Schema.TaggedError<AgentExists>()("AgentExists", { agentId: Schema.String }) {
  override get message(): string {
    return `There is an agent "${this.agentId}" already`
  }
}

/** No driver has the name that the agent asks for. */
export class DriverUnknown extends Schema.TaggedError<DriverUnknown>()("DriverUnknown", {
  agentId: Schema.String,
  driver: Schema.String,
  known: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `Agent "${this.agentId}" asks for the driver "${this.driver}"; there are: ${this.known.join(", ")}`
  }
}

/** The agent could not be started, for good; the dead letter has the history. */
export class AgentSpawnFailed extends Schema.TaggedError<AgentSpawnFailed>()("AgentSpawnFailed", {
  agentId: Schema.String,
  deadLetterId: Schema.String,
  fault: Fault
}) {
  override get message(): string {
    return `Agent "${this.agentId}" could not be started: ${this.fault.detail}`
  }
}

/** No agent has this id. */
export class AgentNotFound extends Schema.TaggedError<AgentNotFound>()("AgentNotFound", { agentId: Schema.String }) {
  override get message(): string {
    return `There is no agent "${this.agentId}"`
  }
}

export interface Supervisor {
  readonly spawn: (spec: AgentSpec) => Effect.Effect<Agent, AgentExists | DriverUnknown | AgentSpawnFailed>
  readonly restart: (agentId: string, reason: string) => Effect.Effect<Agent, AgentNotFound | AgentSpawnFailed>
  readonly remove: (agentId: string, reason: string) => Effect.Effect<void, AgentNotFound>
  /** The processor of dead letters about an agent's start: tries once more. */
  readonly redrive: (agentId: string) => Effect.Effect<Outcome>
  /** Ends the agent's process and attempt, and keeps it known. `final`: the runtime ends, too. */
  readonly stop: (agent: Agent, reason: string, final: boolean) => Effect.Effect<void>
}

/** What a driver may write down about the processes of an agent. */
export const openContext = (core: Core, agent: Agent, attemptId?: string): OpenContext => {
  const base = { marker: agent.marker, agentId: agent.spec.id, ...(attemptId === undefined ? {} : { attemptId }) }
  const put = (identity: Partial<{ pid: number; startTime: string; bootId: string }>): Effect.Effect<void> =>
    Effect.suspend(() => core.journal.commit([{ _tag: "PutProcess", process: { ...base, ...identity, at: core.wallNow() } }]))
  return {
    marker: agent.marker,
    intend: put({}),
    register: (identity) => put({ pid: identity.pid, startTime: identity.startTime, bootId: identity.bootId }),
    gone: Effect.suspend(() => core.journal.commit([{ _tag: "DeleteProcess", marker: agent.marker }])),
    directory: core.directory(agent.spec.id)
  }
}

export const make = (core: Core, dispatcher: Dispatcher, drivers: AgentDrivers["Service"]): Supervisor => {
  const { config, deadLetters, journal } = core

  const closeScope = (agent: Agent): Effect.Effect<void> =>
    Effect.suspend(() => {
      const scope = agent.scope
      agent.session = undefined
      agent.scope = undefined
      return scope === undefined ? Effect.void : Scope.close(scope, Exit.void)
    })

  /** The operation failed for good: a dead letter keeps it. */
  const fail = (agent: Agent, kind: "spawn" | "restart" | "remove", fault: Fault, faults: ReadonlyArray<Fault>) =>
    Effect.gen(function* () {
      const letter = deadLetters.stage({
        kind,
        subject: agent.spec.id,
        reason: `${kind} of agent ${agent.spec.id} failed: ${fault._tag}: ${fault.detail}`,
        cause: fault._tag,
        automatic: consequences[fault._tag].redrive,
        payload: { spec: agent.spec, faults },
        versions: core.versions
      })
      const event = core.letterEvent(letter)
      deadLetters.accept(letter)
      setAgentState(core, agent, "failed", fault.detail)
      yield* journal.commit([
        { _tag: "PutDeadLetter", letter },
        { _tag: "AppendEvent", event }
      ])
      core.pump()
      return new AgentSpawnFailed({ agentId: agent.spec.id, deadLetterId: letter.id, fault })
    })

  /** The agent runs: dead letters about its start are answered. */
  const resolve = (agent: Agent): Effect.Effect<void> =>
    Effect.suspend(() => {
      const changes: Array<Change> = []
      for (const kind of ["spawn", "restart"]) {
        const waiting = deadLetters.bySubject(kind, agent.spec.id)
        const letter = waiting === undefined ? undefined : deadLetters.stageResolved(waiting.id)
        if (letter === undefined) continue
        changes.push({ _tag: "ArchiveDeadLetter", letter }, { _tag: "AppendEvent", event: core.letterEvent(letter) })
        deadLetters.accept(letter)
      }
      return changes.length === 0 ? Effect.void : journal.commit(changes)
    })

  /** One try at a time, whoever asks: an agent that another one has started meanwhile is not started again. */
  const open = (agent: Agent, operation: "spawn" | "restart"): Effect.Effect<void, Fault> =>
    agent.starting.withPermit(Effect.suspend(() => (agent.session === undefined ? openOnce(agent, operation) : Effect.void)))

  /** One try: admitted by every stage, bounded in time. */
  const openOnce = (agent: Agent, operation: "spawn" | "restart"): Effect.Effect<void, Fault> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const admission = yield* restore(
          dispatcher.admitted({ operation, subject: agent.spec.id, agentId: agent.spec.id, account: agent.account })
        )
        yield* core.makeDirectory(core.directory(agent.spec.id))
        const scope = yield* Scope.make()
        const limit = config.timeLimit.spawn
        core.trace?.(operation, "attemptLimit", "passed", agent.spec.id, Duration.format(limit))
        core.trace?.(operation, "driver", "passed", agent.spec.id)
        const exit = yield* Effect.exit(
          restore(
            Effect.timeoutOrElse(Effect.provideService(agent.driver.open(agent.spec, openContext(core, agent)), Scope.Scope, scope), {
              duration: limit,
              orElse: () =>
                Effect.fail<Fault>({ _tag: "SpawnFailed", detail: `it did not start within ${Duration.format(limit)}`, reason: "timeout" })
            })
          )
        )
        if (Exit.isSuccess(exit) && agent.leaving) {
          // Its end was asked for while it started: nobody else would close it.
          yield* Scope.close(scope, exit)
          admission.withdraw()
          return yield* Effect.interrupt
        }
        if (Exit.isSuccess(exit)) {
          admission.settle({ _tag: "Success" })
          agent.session = exit.value
          agent.scope = scope
          setAgentState(core, agent, agent.running === undefined ? "idle" : "working", "")
          core.fork(
            Effect.flatMap(Effect.forkIn(exit.value.exited, scope, { startImmediately: true }), (fiber) =>
              watchExit(agent, exit.value, fiber)
            )
          )
          yield* journal.commit([
            append(core, {
              _tag: "AgentSpawned",
              agentId: agent.spec.id,
              ...(exit.value.process === undefined ? {} : { pid: exit.value.process.pid })
            })
          ])
          core.pump()
          return
        }
        yield* Scope.close(scope, exit)
        const fault = faultOf(exit)
        if (fault === undefined) {
          admission.withdraw()
          return yield* Effect.interrupt
        }
        admission.settle({ _tag: "Failure", fault })
        yield* journal.commit([append(core, { _tag: "AgentSpawnFailed", agentId: agent.spec.id, fault })])
        return yield* Effect.fail(fault)
      })
    )

  /** Tries until it runs, or until the retry policy gives up. Fails with every fault on the way. */
  const start = Effect.fnUntraced(function* (agent: Agent, operation: "spawn" | "restart") {
    const faults: Array<Fault> = []
    let previousDelayMillis: number | undefined
    for (;;) {
      if (agent.session === undefined) setAgentState(core, agent, "starting", operation)
      const tried = yield* Effect.result(open(agent, operation))
      if (tried._tag === "Success" || agent.session !== undefined) {
        yield* resolve(agent)
        return agent
      }
      const fault = tried.failure
      faults.push(fault)
      const consequence = consequences[fault._tag]
      const decision = Retry.decide(config.retry, {
        attempts: faults.filter((each) => consequences[each._tag].spendsAttempt).length,
        previousDelayMillis,
        retryable: consequence.retry,
        hintMillis: hintMillis(fault, core.wallNow()),
        now: core.wallNow(),
        random: core.random()
      })
      if (decision._tag === "GiveUp") return yield* Effect.fail(faults)
      setAgentState(core, agent, "waiting", `${fault._tag}: ${fault.detail}`)
      if (consequence.closesGate) continue
      previousDelayMillis = decision.delayMillis
      yield* Effect.sleep(decision.delayMillis)
    }
  })

  const startOrFail = (agent: Agent, operation: "spawn" | "restart") =>
    Effect.catch(start(agent, operation), (faults) => Effect.flatMap(fail(agent, operation, faults.at(-1)!, faults), Effect.fail))

  const watchExit = (
    agent: Agent,
    session: Agent["session"],
    fiber: { readonly pollUnsafe: () => Exit.Exit<Fault> | undefined; addObserver: (observe: (exit: Exit.Exit<Fault>) => void) => void }
  ): Effect.Effect<void> =>
    Effect.sync(() => {
      fiber.addObserver((exit) => {
        if (Exit.isSuccess(exit) && agent.session === session && !agent.leaving) core.fork(replace(agent, exit.value))
      })
    })

  /** Its process ended by itself: start it again, within the budget. */
  const replace = Effect.fnUntraced(function* (agent: Agent, fault: Fault) {
    const running = agent.running
    setAgentState(core, agent, "starting", `${fault._tag}: ${fault.detail}`)
    yield* journal.commit([append(core, { _tag: "AgentExited", agentId: agent.spec.id, fault })])
    yield* closeScope(agent)
    if (running !== undefined) yield* running.settled
    if (agent.leaving) return
    // Stopping an attempt may take the whole agent down: that was asked for, and costs nothing of the budget.
    if (fault._tag === "Cancelled") {
      yield* Effect.ignore(startOrFail(agent, "restart"))
      return
    }
    const window = Duration.toMillis(config.health.restartWindow)
    agent.restarts = agent.restarts.filter((at) => at > core.now() - window)
    if (agent.restarts.length >= config.health.restarts) {
      const spent: Fault = {
        ...fault,
        detail: `${fault.detail}; restarted ${agent.restarts.length} times in ${Duration.format(config.health.restartWindow)}`
      }
      yield* fail(agent, "restart", spent, [fault])
      return
    }
    const delay = Retry.delay(config.retry, { attempt: agent.restarts.length + 1, previousDelayMillis: undefined, random: core.random() })
    agent.restarts.push(core.now())
    agent.restartCount++
    if (agent.restarts.length > 1) yield* Effect.sleep(delay)
    const started = yield* Effect.exit(startOrFail(agent, "restart"))
    if (Exit.isSuccess(started)) {
      yield* journal.commit([append(core, { _tag: "AgentRestarted", agentId: agent.spec.id, restarts: agent.restartCount })])
    }
  })

  const stop = Effect.fnUntraced(function* (agent: Agent, reason: string, final: boolean) {
    agent.leaving = true
    const running = agent.running
    if (running !== undefined) {
      running.stop({ _tag: "Release", reason, final })
      yield* running.settled
    }
    yield* closeScope(agent)
    setAgentState(core, agent, "stopped", reason)
  })

  const find = (agentId: string): Effect.Effect<Agent, AgentNotFound> =>
    Effect.suspend(() => {
      const agent = core.agents.get(agentId)
      return agent === undefined ? Effect.fail(new AgentNotFound({ agentId })) : Effect.succeed(agent)
    })

  return {
    stop,
    redrive: (agentId) =>
      Effect.suspend(() => {
        const agent = core.agents.get(agentId)
        if (agent === undefined) {
          return Effect.succeed<Outcome>({ _tag: "FailedAgain", reason: `there is no agent ${agentId} any more`, cause: "InvalidRequest" })
        }
        if (agent.session !== undefined) return Effect.succeed<Outcome>({ _tag: "Resolved" })
        agent.restarts = []
        return Effect.match(start(agent, "restart"), {
          onSuccess: (): Outcome => ({ _tag: "Resolved" }),
          onFailure: (faults): Outcome => {
            setAgentState(core, agent, "failed", faults.at(-1)!.detail)
            return { _tag: "FailedAgain", reason: faults.at(-1)!.detail, cause: faults.at(-1)!._tag }
          }
        })
      }),
    spawn: Effect.fnUntraced(function* (given: AgentSpec) {
      // Before anything else: what is submitted meanwhile may name them.
      core.learn(given)
      const others = Array.from(core.agents.values(), (each) => each.spec)
      const spec = drivers.settle === undefined ? given : yield* drivers.settle(given, others)
      if (core.agents.has(spec.id)) return yield* new AgentExists({ agentId: spec.id })
      const driver = drivers.get(spec.driver)
      if (driver === undefined) return yield* new DriverUnknown({ agentId: spec.id, driver: spec.driver, known: drivers.names })
      const agent: Agent = {
        spec,
        account: accountOf(spec),
        driver,
        marker: core.uniqueId(),
        state: "starting",
        detail: "",
        stateSince: core.wallNow(),
        session: undefined,
        scope: undefined,
        starting: Semaphore.makeUnsafe(1),
        running: undefined,
        lastUsed: 0,
        restarts: [],
        restartCount: 0,
        leaving: false
      }
      core.agents.set(spec.id, agent)
      yield* journal.commit([{ _tag: "PutAgent", agent: { spec, restarts: 0, at: core.wallNow() } }])
      return yield* startOrFail(agent, "spawn")
    }),
    restart: Effect.fnUntraced(function* (agentId: string, reason: string) {
      const agent = yield* find(agentId)
      yield* stop(agent, reason, false)
      agent.leaving = false
      agent.restarts = []
      agent.restartCount++
      const started = yield* startOrFail(agent, "restart")
      yield* journal.commit([append(core, { _tag: "AgentRestarted", agentId, restarts: agent.restartCount })])
      return started
    }),
    remove: Effect.fnUntraced(function* (agentId: string, reason: string) {
      const agent = yield* find(agentId)
      yield* stop(agent, reason, false)
      core.agents.delete(agentId)
      // What a person holds open stays so until a person lets go: an agent of this id may come back.
      const isolated = core.patterns.breaker.status(agentKey(agentId)).state === "isolated"
      if (!isolated) core.forget(agentId)
      const changes: ReadonlyArray<Change> = [
        { _tag: "DeleteAgent", agentId },
        { _tag: "DeleteProcess", marker: agent.marker },
        ...(isolated ? [] : [{ _tag: "DeletePattern", kind: "breaker", key: agentKey(agentId) } as const]),
        append(core, { _tag: "AgentRemoved", agentId })
      ]
      yield* journal.commit(changes)
    })
  }
}

/** The fault of a failed start; undefined when it was interrupted. */
const faultOf = (exit: Exit.Exit<unknown, Fault>): Fault | undefined => {
  if (Exit.isSuccess(exit)) return undefined
  for (const reason of exit.cause.reasons) {
    if (reason._tag === "Fail") return reason.error
    if (reason._tag === "Die") return { _tag: "SpawnFailed", detail: `the driver failed: ${String(reason.defect)}`, reason: "defect" }
  }
  return undefined
}
