/** A run in which a bit of everything happens, always the same. */
import { Deferred, Effect, Metric } from "effect"
import { AgentRuntime } from "../../src/AgentRuntime.ts"
import type { RuntimeEvent } from "../../src/RuntimeEvent.ts"
import * as support from "../support/runtime.ts"
import { until } from "../support/until.ts"

const script: support.Script = (attempt, agentId) => {
  const { id } = attempt.task
  if (id.startsWith("bad"))
    return support.afterStart(Effect.fail(support.failure({ _tag: "InvalidRequest", detail: "no" })))(attempt, agentId)
  if (id.startsWith("twice") && attempt.attempt === 1)
    return support.afterStart(Effect.fail(support.failure({ _tag: "Transient", detail: "reset" })))(attempt, agentId)
  if (id === "long") return support.afterStart(Effect.never)(attempt, agentId)
  const claim = { ...support.claim(), usage: { tokens: 100 } }
  return support.afterStart(Effect.succeed(claim))(attempt, agentId)
}

export const runtimeLayer = support.layer({
  config: {
    retry: { baseDelay: "1 millis", maxDelay: "2 millis" },
    rateLimit: { perAccount: { name: "account", limit: 1000, window: "1 minute" } }
  },
  drivers: { command: support.driver(script) },
  environment: { tracesStages: true }
})

/** A registry of the test's own, around everything that updates or reads metrics. */
export const isolated = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provideService(effect, Metric.MetricRegistry, new Map())

/** Three succeed, one of them verified; one fails twice before; two fail for good; one is cancelled while it runs. Answers every event. */
export const run = Effect.gen(function* () {
  const runtime = yield* AgentRuntime
  const events: Array<RuntimeEvent> = []
  const started = yield* Deferred.make<void>()
  yield* runtime.subscribe((event) => {
    events.push(event)
    if (event._tag === "AttemptStarted" && event.taskId === "long") Deferred.doneUnsafe(started, Effect.void)
  })
  yield* runtime.spawn({ id: "a", driver: "command", command: ["x"], account: "acme" })
  yield* runtime.spawn({ id: "b", driver: "command", command: ["x"], account: "acme" })
  for (const id of ["one", "checked", "twice", "bad-1", "bad-2"]) {
    yield* runtime.submit({ id, prompt: "p", effect: "idempotent", ...(id === "checked" ? { verify: ["true"] } : {}) })
  }
  for (const id of ["one", "checked", "twice", "bad-1", "bad-2"]) yield* runtime.await(id)
  yield* runtime.submit({ id: "long", prompt: "p", effect: "idempotent" })
  yield* Deferred.await(started)
  yield* runtime.cancel("long")
  yield* until(() => events.some((event) => event._tag === "TaskCancelled"))
  yield* until(async () => (await Effect.runPromise(runtime.agents)).every(({ state }) => state === "idle"))
  const [letter] = yield* runtime.getDLQMessages
  yield* runtime.discardDLQMessage(letter!.id)
  return { events, runtime }
})

/** What it comes to, by Prometheus names. */
export const expected: Readonly<Record<string, number>> = {
  nofx_task_accepted_total: 6,
  'nofx_task_ended_total{nofx_task_outcome="succeeded"}': 3,
  'nofx_task_ended_total{nofx_task_outcome="dead-lettered"}': 2,
  'nofx_task_ended_total{nofx_task_outcome="cancelled"}': 1,
  nofx_task_verified_total: 1,
  nofx_attempt_started_total: 7,
  nofx_attempt_retries_total: 1,
  nofx_attempt_tokens_total: 300,
  'nofx_attempt_faults_total{error_type="InvalidRequest"}': 2,
  'nofx_attempt_faults_total{error_type="Transient"}': 1,
  nofx_agent_spawned_total: 2,
  'nofx_agents{nofx_agent_state="idle"}': 2,
  'nofx_agents{nofx_agent_state="working"}': 0,
  'nofx_tasks{nofx_task_state="running"}': 0,
  'nofx_tasks{nofx_task_state="queued"}': 0,
  nofx_rate_limit_admitted_total: 7,
  nofx_rate_limit_refused_total: 0,
  nofx_bulkhead_running: 0,
  nofx_dead_letters: 1,
  nofx_dead_letter_limit: 1000,
  nofx_dead_letter_added_total: 2,
  nofx_dead_letter_discarded_total: 1,
  'nofx_circuits{nofx_circuit_state="open"}': 0,
  nofx_gate_closings_total: 0,
  'nofx_health_answer{nofx_health_probe="ready"}': 1,
  nofx_health_degraded: 0,
  'gen_ai_client_operation_duration_seconds_count{gen_ai_operation_name="invoke_agent",gen_ai_provider_name="acme"}': 3,
  'gen_ai_client_operation_duration_seconds_count{gen_ai_operation_name="invoke_agent",gen_ai_provider_name="acme",error_type="InvalidRequest"}': 2
}
