/**
 * One attempt, from admission to settlement: commit, drive, watch, claim, verify, decide.
 *
 * Each step is written before it acts. The agent and its permits are held until the outcome is durable; whoever wants the attempt to end
 * says so through `stop`, and it ends only when what it started is dead.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { AttemptContext, AttemptFailure, Checked, Progress } from "../agent/AgentDriver.ts"
import type { AgentSpec } from "../agent/AgentSpec.ts"
import type { Fault } from "../agent/Fault.ts"
import * as Runaway from "../agent/Runaway.ts"
import { thrownText } from "../reliability/CauseText.ts"
import type { Change } from "../store/Store.ts"
import type { Claim, Task, Usage } from "../task/Task.ts"
import * as TaskLife from "../task/TaskLife.ts"
import { append, type Agent, type Core, type Running, setAgentState, type Stop } from "./Core.ts"
import type { Settlement } from "./Settlement.ts"
import type { Admission } from "./Pipe.ts"
import { openContext } from "./Supervisor.ts"
import * as Watch from "./Watch.ts"

/** Characters of an answer's end that stay in the record. */
const keptOutput = 4_000
/** Characters of an original error's beginning that do. */
const keptCause = 8_000

export interface Attempts {
  /** Starts the task on the agent; everything is held already. */
  readonly start: (task: Task, agent: Agent, admission: Admission) => void
  /** The task's own check, bounded by the configured time. Used by recovery too. */
  readonly check: (task: Task, spec: AgentSpec) => Effect.Effect<Checked>
}

/** A session that its agent cannot go on with is none: a task that counted on it would be done anew. */
const withoutSession = (run: Effect.Effect<Claim, AttemptFailure>): Effect.Effect<Claim, AttemptFailure> =>
  run.pipe(
    Effect.map(({ sessionId: _, ...claim }): Claim => claim),
    Effect.mapError(({ sessionId: _, ...failure }): AttemptFailure => failure)
  )

/** What is known when an attempt's driver has ended. */
type Ended = { readonly _tag: "Claimed"; readonly claim: Claim } | { readonly _tag: "Failed"; readonly failure: TaskLife.Failure }

/** Calls once the effect has ended, however it did. `Effect.ensuring`, with fewer effects: each attempt passes here twice. */
const afterwards = <A, E>(effect: Effect.Effect<A, E>, call: () => void): Effect.Effect<A, E> =>
  Effect.onExitPrimitive(effect, () => {
    call()
    return undefined
  })

/** Runs it in a fiber of its own, which whoever gets that can interrupt, and waits for its end: nobody else needs to look after it. */
const apart = <A, E>(effect: Effect.Effect<A, E>, onFiber: (fiber: Fiber.Fiber<A, E>) => void): Effect.Effect<Exit.Exit<A, E>> =>
  Effect.flatMap(Effect.forkDetach(effect, { startImmediately: true }), (fiber) => {
    onFiber(fiber)
    return Fiber.await(fiber)
  })

export const make = (core: Core, settlement: Settlement): Attempts => {
  const { config, journal, table } = core

  /** A check, and what must be written before it starts: like an agent's, its processes must not outlive a runtime that dies meanwhile. */
  const checkOf = (task: Task, spec: AgentSpec): { readonly record: Change; readonly run: Effect.Effect<Checked> } => {
    const marker = core.uniqueId()
    return {
      record: { _tag: "PutProcess", process: { marker, agentId: spec.id, at: core.wallNow() } },
      // The end of the record is written with what the check leads to.
      run: afterwards(checkWithin(task, spec, marker), () => journal.note({ _tag: "DeleteProcess", marker }))
    }
  }

  /** Did nobody else work in the agent's directory since the attempt began? What changed there may be theirs otherwise. */
  const workedAlone = ({ spec }: Agent, { since }: Running): boolean =>
    [...core.agents.values()].every(
      (other) =>
        other.spec.id === spec.id ||
        spec.isolation === "worktree" ||
        other.spec.isolation === "worktree" ||
        other.spec.cwd !== spec.cwd ||
        (other.running === undefined && other.lastUsed <= since)
    )

  const checkWithin = (task: Task, spec: AgentSpec, marker: string): Effect.Effect<Checked> => {
    const { check, stopMillis = 0 } = core.taskCheck
    const limit = Duration.toMillis(config.timeLimit.verify)
    const left = task.deadlineAt === undefined ? Number.POSITIVE_INFINITY : Math.max(0, task.deadlineAt - core.wallNow() - stopMillis)
    const failed = (): Checked => ({
      _tag: "Failed",
      detail:
        left < limit
          ? "the task's deadline came before its check had ended"
          : `the check did not end within ${Duration.format(config.timeLimit.verify)}`
    })
    return check(task.spec, spec, TaskLife.lastAttempt(task)?.baseline, marker).pipe(
      core.timeLimits.within(Math.min(limit, left)),
      Effect.match({
        onSuccess: (checked) => (checked._tag === "Passed" ? checked : core.redact(checked)),
        onFailure: failed
      })
    )
  }

  const read = (key: string): Task => table.get(key)!

  /** Longest time this attempt may take, with the fault that its end means. */
  const limitOf = (task: Task, agent: Agent): Watch.Limit => {
    const own = Duration.toMillis(task.spec.timeLimit ?? config.timeLimit.attempt)
    const budget = task.spec.budget?.time
    const left = budget === undefined ? Number.POSITIVE_INFINITY : Duration.toMillis(budget) - TaskLife.spent(task).timeMillis
    const deadline = task.deadlineAt === undefined ? Number.POSITIVE_INFINITY : task.deadlineAt - core.wallNow() - agent.driver.stopMillis
    if (left < own && left <= deadline) {
      return {
        millis: Math.max(0, left),
        fault: () => ({ _tag: "Runaway", detail: `its time budget of ${Duration.format(budget!)} is used up`, evidence: "budget" })
      }
    }
    const millis = Math.max(0, Math.min(own, deadline))
    const detail = () => (deadline < own ? "its deadline is due" : `it took longer than ${Duration.format(Duration.millis(own))}`)
    return { millis, fault: () => ({ _tag: "TimedOut", detail: detail(), limitMillis: millis }) }
  }

  const drive = Effect.fnUntraced(function* (
    key: string,
    agent: Agent,
    running: Running,
    stopped: () => Stop | undefined,
    onInner: (fiber: Fiber.Fiber<unknown, unknown>) => void
  ) {
    const session = agent.session!
    const task = read(key)
    const attempt = TaskLife.lastAttempt(task)!
    const runaway = Runaway.detector(config.budget.runaway)
    const limit = limitOf(task, agent)
    core.trace?.("execute", "attemptLimit", "passed", key, `${limit.millis} ms`)
    core.trace?.("execute", "driver", "passed", key)
    const tell = (kind: Progress["_tag"], text: string): void =>
      journal.live({ ...TaskLife.attemptIds("Progress", task, attempt), at: core.wallNow(), kind, text })
    const watch = Watch.start(core, agent, running, limit, (millis) =>
      tell("Waiting", `NofX itself stood still for ${Duration.format(Duration.millis(Math.round(millis)))}, which does not count`)
    )
    let tokensAtStart: number | undefined
    /** As told last: who is stopped has no last word. */
    let usage: Usage | undefined

    const onProgress = (progress: Progress): void => {
      watch.progress()
      if (progress._tag !== "Waiting") running.admission.progress()
      const loop = runaway(progress)
      if (loop !== undefined) running.stop({ _tag: "Fault", fault: { _tag: "Runaway", detail: `no progress: ${loop}`, evidence: loop } })
      if (progress._tag === "Usage" && progress.usage.tokens !== undefined) {
        usage = progress.usage
        const spent = core.dayBudget.uses(attempt.id, progress.usage.tokens)
        for (const { running: each } of spent === undefined ? [] : core.agents.values()) {
          if (each !== undefined && spent?.attempts.has(each.attemptId) === true)
            each.stop({ _tag: "Release", reason: spent.detail, final: false })
        }
        tokensAtStart ??= TaskLife.spent(read(key)).tokens
        const limitTokens = task.spec.budget?.tokens
        if (limitTokens !== undefined && tokensAtStart + progress.usage.tokens >= limitTokens) {
          const evidence = `${tokensAtStart + progress.usage.tokens} of ${limitTokens} tokens`
          running.stop({ _tag: "Fault", fault: { _tag: "Runaway", detail: `its token budget is used up: ${evidence}`, evidence } })
        }
      }
      if (progress._tag !== "Output") {
        const text =
          progress._tag === "Tool"
            ? `${progress.title} (${progress.status})`
            : progress._tag === "Usage"
              ? `${progress.usage.tokens ?? "?"} tokens`
              : progress._tag === "Waiting"
                ? progress.detail
                : progress.text
        tell(progress._tag, text)
      }
    }

    const started = (sessionId?: string): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (stopped() !== undefined) return Effect.interrupt
        if (attempt.attempt === 1) core.retryBudget.deposit(agent.account)
        const next = TaskLife.started(read(key), core.wallNow(), session.resumable ? sessionId : undefined)
        table.put(next)
        return journal.commit([{ _tag: "PutTask", task: next }, append(core, TaskLife.attemptIds("AttemptStarted", task, attempt))])
      })

    const resume =
      task.spec.effect === "resumable" && session.resumable && task.session?.agentId === agent.spec.id ? task.session.id : undefined
    const anew: AttemptContext = {
      attemptId: attempt.id,
      task: task.spec,
      run: attempt.run,
      attempt: attempt.attempt,
      open: openContext(core, agent, attempt.id),
      started,
      progress: onProgress,
      permission: (request) => watch.paused(core.askPermission(agent, running, request))
    }
    const context = resume === undefined ? anew : { ...anew, resume }
    const run = session.resumable ? session.run(context) : withoutSession(session.run(context))
    const exit = yield* apart(run, onInner)
    watch.cancel()
    return classify(key, exit, stopped(), usage)
  })

  const classify = (key: string, exit: Exit.Exit<Claim, AttemptFailure>, stop: Stop | undefined, used: Usage | undefined): Ended => {
    if (Exit.isSuccess(exit)) {
      // Before it is cut: half a secret is not recognised.
      const output = core.redact(exit.value.output)
      return { _tag: "Claimed", claim: { ...exit.value, output: output.slice(-keptOutput) } }
    }
    const attempt = TaskLife.lastAttempt(read(key))!
    const reported = exit.cause.reasons.find(Cause.isFailReason)?.error
    const begun = reported?.started ?? attempt.startedAt !== undefined
    const asked: Fault | undefined =
      stop === undefined ? undefined : stop._tag === "Fault" ? stop.fault : { _tag: "Cancelled", detail: stop.reason }
    const defect = exit.cause.reasons.find(Cause.isDieReason)?.defect
    const cause = reported?.cause ?? defect
    const fault: Fault = asked ??
      reported?.fault ?? {
        _tag: "Unknown",
        detail: defect === undefined ? "the driver was interrupted" : `the driver failed: ${String(defect)}`
      }
    return {
      _tag: "Failed",
      failure: {
        fault: core.redact(fault),
        started: begun,
        sideEffects: reported?.sideEffects ?? (begun ? "unknown" : "none"),
        sessionId: reported?.sessionId,
        sessionLost: reported?.sessionLost,
        outputFile: reported?.outputFile,
        usage: reported?.usage ?? used,
        cause: cause === undefined ? undefined : core.redact(thrownText(cause)).slice(0, keptCause)
      }
    }
  }

  /** Everything between admission and settlement. Uninterruptible; only `stop` shortens it. */
  const attempt = Effect.fnUntraced(function* (
    key: string,
    agent: Agent,
    running: Running,
    stopped: () => Stop | undefined,
    onInner: (fiber: Fiber.Fiber<unknown, unknown>) => void
  ) {
    const admitted = read(key)
    const last = TaskLife.lastAttempt(admitted)!
    // Nothing is written yet: a refusal makes the attempt one that never was.
    const refusal = running.admission.reserve === undefined ? undefined : yield* running.admission.reserve
    if (refusal !== undefined && stopped() === undefined) {
      running.admission.withdraw()
      table.put(TaskLife.queued({ ...read(key), attempts: read(key).attempts.slice(0, -1) }))
      return
    }
    // Nothing acts on it: it is written with the start, or at the latest in the next turn.
    journal.note({ _tag: "PutTask", task: admitted }, append(core, TaskLife.attemptIds("AttemptAdmitted", admitted, last)))
    if (admitted.spec.changes === "required") {
      const baseline = yield* core.taskCheck.baseline(admitted.spec, agent.spec)
      if (baseline !== undefined) table.put(TaskLife.baselined(read(key), baseline))
    }
    const stop = stopped()
    const ended: Ended =
      stop === undefined && agent.session !== undefined
        ? yield* drive(key, agent, running, stopped, onInner)
        : {
            _tag: "Failed",
            failure: {
              fault:
                stop === undefined
                  ? { _tag: "SpawnFailed", detail: "the agent was gone before it began", reason: "gone" }
                  : stop._tag === "Fault"
                    ? stop.fault
                    : { _tag: "Cancelled", detail: stop.reason },
              started: false,
              sideEffects: "none"
            }
          }
    if (ended._tag === "Failed") return yield* settlement.failed(key, running, agent, ended.failure, stopped())
    const claimed = TaskLife.claimed(read(key), ended.claim)
    table.put(claimed)
    journal.note({ _tag: "PutTask", task: claimed }, append(core, TaskLife.attemptIds("AttemptClaimed", admitted, last)))
    if (claimed.spec.verify === undefined && claimed.spec.changes === undefined) return yield* settlement.succeeded(key, running, false)
    const check = checkOf(claimed, agent.spec)
    yield* journal.commit([check.record])
    core.trace?.("execute", "verify", "passed", key)
    const checked = yield* apart(check.run, onInner)
    if (Exit.isSuccess(checked) && checked.value._tag === "Passed") {
      const confirmed = claimed.spec.verify !== undefined || workedAlone(agent, running)
      return yield* settlement.succeeded(key, running, checked.value.verified && confirmed)
    }
    const why = stopped()
    // The claim is written: the next start checks it, before anything runs again.
    if (why?._tag === "Release" && why.final) return
    const detail = Exit.isSuccess(checked) && checked.value._tag === "Failed" ? checked.value.detail : "the check was stopped"
    const fault: Fault =
      why === undefined ? { _tag: "CheckFailed", detail } : why._tag === "Fault" ? why.fault : { _tag: "Cancelled", detail: why.reason }
    yield* settlement.failed(
      key,
      running,
      agent,
      {
        fault,
        started: true,
        sideEffects: ended.claim.sideEffects,
        sessionId: ended.claim.sessionId,
        outputFile: ended.claim.outputFile,
        usage: ended.claim.usage
      },
      why
    )
  })

  const start = (task: Task, agent: Agent, admission: Admission): void => {
    const attemptId = core.uniqueId()
    table.put(TaskLife.admitted(task, { id: attemptId, agentId: agent.spec.id, now: core.wallNow() }))
    let reason: Stop | undefined
    let inner: Fiber.Fiber<unknown, unknown> | undefined
    const settled = Deferred.makeUnsafe<void>()
    const running: Running = {
      taskKey: task.key,
      attemptId,
      admission,
      since: core.now(),
      stop: (why) => {
        if (reason !== undefined) return
        reason = why
        inner?.interruptUnsafe()
      },
      settled: Deferred.await(settled),
      permission: undefined
    }
    agent.running = running
    agent.lastUsed = core.now()
    setAgentState(core, agent, "working", task.spec.id)
    const body = attempt(
      task.key,
      agent,
      running,
      () => reason,
      (fiber) => {
        inner = fiber
        if (reason !== undefined) fiber.interruptUnsafe()
      }
    )
    // Also when it ends by a defect, or because nothing may be written any more: who waits for it must not wait for ever.
    const end = (): void => {
      admission.settle({ _tag: "Neutral" })
      agent.running = undefined
      agent.lastUsed = core.now()
      if (agent.state === "working" || agent.state === "stalled" || agent.state === "waiting") {
        setAgentState(core, agent, agent.session === undefined ? "starting" : "idle", "")
      }
      Deferred.doneUnsafe(settled, Effect.void)
      core.pump()
    }
    core.fork(Effect.uninterruptible(afterwards(body, end)))
  }

  return {
    start,
    check: (task, spec) =>
      Effect.suspend(() => {
        const { record, run } = checkOf(task, spec)
        return Effect.andThen(journal.commit([record]), run)
      })
  }
}
