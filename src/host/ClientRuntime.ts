/** Each operation of `AgentRuntime` as a request. */
import * as Effect from "effect/Effect"
import type { RpcClientError } from "effect/rpc/RpcClientError"
import type * as Stream from "effect/Stream"
import type { AgentRuntime } from "../AgentRuntime.ts"
import type { ClientUpdates } from "./ClientUpdates.ts"
import type { Client } from "./Connection.ts"

export interface Parts {
  /** Asks, and asks again while connections are lost. `anew`: of another host than at first, which does not know what that one was asked. */
  readonly ask: <A, E>(request: (client: Client, anew: boolean) => Effect.Effect<A, E>) => Effect.Effect<A, Exclude<E, RpcClientError>>
  /** The same for a stream. What was told before a connection is lost is not told again: it dies then. */
  readonly askStream: <A>(request: (client: Client) => Stream.Stream<A, RpcClientError>) => Stream.Stream<A>
  readonly requestId: () => string
  readonly updates: ClientUpdates
}

const idOf = (input: unknown): unknown => (input as { readonly id?: unknown }).id

/** Functions of this process cannot run in the host. */
const inHost = (what: string): Effect.Effect<never> =>
  Effect.die(new Error(`${what} runs in the process of the runtime: register it there, not with a client of a host`))

export const make = ({ ask, askStream, requestId, updates }: Parts): AgentRuntime["Service"] => {
  /** A request that changes something: one id, however often it is asked. */
  const once = <A, E>(request: (client: Client, id: { readonly requestId: string }, anew: boolean) => Effect.Effect<A, E>) =>
    Effect.suspend(() => {
      const id = { requestId: requestId() }
      return ask((client, anew) => request(client, id, anew))
    })

  // Another host than the one that was asked first may have it from that one.
  const runtime: AgentRuntime["Service"] = {
    spawn: (spec) =>
      once((client, id, anew) =>
        Effect.catchTag(client.spawn({ ...id, spec }), "AgentExists", (error) =>
          Effect.flatMap(anew ? client.agents() : Effect.succeed([]), (agents) => {
            const found = agents.find((agent) => agent.id === idOf(spec))
            return found === undefined ? Effect.fail(error) : Effect.succeed(found)
          })
        )
      ),
    execute: (agentId, task) =>
      once((client, id, anew) =>
        Effect.catchTag(client.execute({ ...id, agentId, task }), "TaskInvalid", (error) =>
          anew
            ? Effect.mapError(client.await({ taskId: String(idOf(task)) }), (other) => (other._tag === "TaskNotFound" ? error : other))
            : Effect.fail(error)
        )
      ),
    submit: (task) =>
      once((client, id, anew) =>
        Effect.catchTag(client.submit({ ...id, task }), "TaskInvalid", (error) =>
          Effect.flatMap(anew ? client.tasks() : Effect.succeed([]), (tasks) => {
            const found = tasks.find((each) => each.batch === "" && each.id === idOf(task))
            return found === undefined ? Effect.fail(error) : Effect.succeed(found)
          })
        )
      ),
    submitBatch: (batch) =>
      once((client, id, anew) =>
        Effect.catchTag(client.submitBatch({ ...id, ...batch }), "TaskInvalid", (error) =>
          Effect.flatMap(anew ? client.tasks() : Effect.succeed([]), (tasks) => {
            const found = tasks.filter((each) => each.batch === batch.id)
            return found.length === 0 ? Effect.fail(error) : Effect.succeed(found)
          })
        )
      ),
    unfinishedBatches: (file) => ask((client) => client.unfinishedBatches({ file })),
    awaitBatch: (id) => ask((client) => client.awaitBatch({ id })),
    standing: (id) => ask((client) => client.standing({ id })),
    cancelBatch: (batch, reason) => once((client, id) => client.cancelBatch({ ...id, id: batch, reason })),
    await: (taskId) => ask((client) => client.await({ taskId })),
    cancel: (taskId, reason) => once((client, id) => client.cancel({ ...id, taskId, ...(reason === undefined ? {} : { reason }) })),
    remove: (agentId) => once((client, id) => client.remove({ ...id, agentId })),
    restart: (agentId) => once((client, id) => client.restart({ ...id, agentId })),
    agents: ask((client) => client.agents()),
    tasks: ask((client) => client.tasks()),
    snapshot: ask((client) => client.snapshot()),
    events: updates.events,
    subscribe: updates.subscribe,
    pause: once((client, id) => client.pause(id)),
    resume: once((client, id) => client.resume(id)),
    shutdown: once((client, id) => client.shutdown(id)),
    fenced: ask((client) => client.fenced()),
    getReliabilityStatus: ask((client) => client.getReliabilityStatus()),
    getOverallHealthStatus: ask((client) => client.getOverallHealthStatus()),
    getAgentCircuitBreakerStatus: (agentId) => ask((client) => client.getAgentCircuitBreakerStatus({ agentId })),
    resetAgentCircuitBreaker: (agentId) => once((client, id) => client.resetAgentCircuitBreaker({ ...id, agentId })),
    isolateAgentCircuitBreaker: (agentId, reason) =>
      once((client, id) => client.isolateAgentCircuitBreaker({ ...id, agentId, ...(reason === undefined ? {} : { reason }) })),
    getRetryMetrics: ask((client) => client.getRetryMetrics()),
    getRateLimiterMetrics: ask((client) => client.getRateLimiterMetrics()),
    getDLQMessages: ask((client) => client.getDLQMessages()),
    getDLQMetrics: ask((client) => client.getDLQMetrics()),
    retryDLQMessage: (messageId) => once((client, id) => client.retryDLQMessage({ ...id, messageId })),
    discardDLQMessage: (messageId) => once((client, id) => client.discardDLQMessage({ ...id, messageId })),
    restoreDLQMessage: (messageId) => once((client, id) => client.restoreDLQMessage({ ...id, messageId })),
    exportDLQ: askStream((client) => client.exportDLQ()),
    purgeDLQ: (filter = {}) => once((client, id) => client.purgeDLQ({ ...id, filter })),
    registerDLQProcessor: (kind) => inHost(`A processor of dead letters of the kind "${kind}"`),
    runHealthChecks: ask((client) => client.runHealthChecks()),
    registerHealthCheck: ({ name }) => inHost(`The health check "${name}"`),
    answerPermission: (permissionId, option, by) =>
      once((client, id) =>
        client.answerPermission({
          ...id,
          permissionId,
          ...(option === undefined ? {} : { option }),
          ...(by === undefined ? {} : { by })
        })
      ),
    // Whoever can answer says so when it connects.
    attend: Effect.void
  }
  return runtime
}
