/** Answers each request with the runtime's operation of the same name; nobody is answered before `hello`. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { AgentInput, AgentRuntime, TaskInput } from "../AgentRuntime.ts"
import type { Store } from "../store/Store.ts"
import type { HostControl } from "./HostControl.ts"
import type { Once } from "./Once.ts"
import { HostRpcs, protocolVersion, TokenRefused, VersionMismatch, type Welcome } from "./Protocol.ts"
import * as UpdateFeed from "./UpdateFeed.ts"

export interface Parts {
  readonly runtime: AgentRuntime["Service"]
  readonly store: Store["Service"]
  readonly control: HostControl
  readonly once: Once
  readonly welcome: typeof Welcome.Type
  readonly token: string
  /** Events that a client may fall behind by. Default 2,048. */
  readonly buffer?: number
}

interface Caller {
  readonly client: { readonly id: number }
}

/** Requests that a stranger may make: they bring the token themselves. */
const open = new Set(["hello", "retire"])

export const make = (parts: Parts) => {
  const { control, once, runtime, store, token, welcome } = parts
  const { presence } = control

  const handlers = HostRpcs.of({
    hello: (input, { client }: Caller) =>
      Effect.gen(function* () {
        if (input.token !== token) return yield* new TokenRefused({})
        if (input.protocol !== protocolVersion) {
          return yield* new VersionMismatch({
            hostVersion: welcome.version,
            hostProtocol: protocolVersion,
            clientVersion: input.version,
            clientProtocol: input.protocol
          })
        }
        yield* presence.join(client.id, input.onLeave)
        if (input.onLeave !== undefined) yield* control.editorCame
        yield* Effect.logInfo("client connected", { client: input.client, version: input.version })
        return welcome
      }),
    retire: (input) =>
      Effect.gen(function* () {
        if (input.token !== token) return yield* new TokenRefused({})
        return { running: yield* control.retire }
      }),
    clientLeaving: ({ mode }, { client }: Caller) => presence.leaving(client.id, mode),
    updates: ({ after }) => UpdateFeed.updates({ runtime, store, ...(parts.buffer === undefined ? {} : { buffer: parts.buffer }) }, after),

    spawn: ({ requestId, spec }) => once.run(requestId, runtime.spawn(spec as AgentInput)),
    execute: ({ agentId, requestId, task }) => once.run(requestId, runtime.execute(agentId, task as TaskInput)),
    submit: ({ requestId, task }) => once.run(requestId, runtime.submit(task as TaskInput)),
    submitBatch: ({ requestId, ...batch }) => once.run(requestId, runtime.submitBatch(batch)),
    unfinishedBatches: ({ file }) => runtime.unfinishedBatches(file),
    awaitBatch: ({ id }) => runtime.awaitBatch(id),
    standing: ({ id }) => runtime.standing(id),
    cancelBatch: ({ id, reason, requestId }) => once.run(requestId, runtime.cancelBatch(id, reason)),
    await: ({ taskId }) => runtime.await(taskId),
    cancel: ({ reason, requestId, taskId }) => once.run(requestId, runtime.cancel(taskId, reason)),
    remove: ({ agentId, requestId }) => once.run(requestId, runtime.remove(agentId)),
    restart: ({ agentId, requestId }) => once.run(requestId, runtime.restart(agentId)),
    agents: () => runtime.agents,
    tasks: () => runtime.tasks,
    snapshot: () => runtime.snapshot,
    pause: ({ requestId }) => once.run(requestId, Effect.andThen(control.decided, runtime.pause)),
    resume: ({ requestId }) => once.run(requestId, Effect.andThen(control.decided, runtime.resume)),
    shutdown: ({ requestId }) => once.run(requestId, Effect.ensuring(runtime.shutdown, control.end("shutdown"))),
    fenced: () => runtime.fenced,
    getReliabilityStatus: () => runtime.getReliabilityStatus,
    getOverallHealthStatus: () => runtime.getOverallHealthStatus,
    getAgentCircuitBreakerStatus: ({ agentId }) => runtime.getAgentCircuitBreakerStatus(agentId),
    resetAgentCircuitBreaker: ({ agentId, requestId }) => once.run(requestId, runtime.resetAgentCircuitBreaker(agentId)),
    isolateAgentCircuitBreaker: ({ agentId, reason, requestId }) =>
      once.run(requestId, runtime.isolateAgentCircuitBreaker(agentId, reason)),
    getRetryMetrics: () => runtime.getRetryMetrics,
    getRateLimiterMetrics: () => runtime.getRateLimiterMetrics,
    getDLQMessages: () => runtime.getDLQMessages,
    getDLQMetrics: () => runtime.getDLQMetrics,
    retryDLQMessage: ({ messageId, requestId }) => once.run(requestId, runtime.retryDLQMessage(messageId)),
    discardDLQMessage: ({ messageId, requestId }) => once.run(requestId, runtime.discardDLQMessage(messageId)),
    restoreDLQMessage: ({ messageId, requestId }) => once.run(requestId, runtime.restoreDLQMessage(messageId)),
    exportDLQ: () => runtime.exportDLQ,
    purgeDLQ: ({ filter, requestId }) => once.run(requestId, runtime.purgeDLQ(filter)),
    runHealthChecks: () => runtime.runHealthChecks,
    answerPermission: ({ by, option, permissionId, requestId }) =>
      once.run(requestId, runtime.answerPermission(permissionId, option, by ?? "client"))
  })

  // One place for all of them: no request that is added can forget to ask.
  const streams = new Set(["updates", "exportDLQ"])
  const guarded = Object.entries(handlers).map(([name, handler]) => {
    if (open.has(name)) return [name, handler] as const
    const stranger = new Error("The connection has not begun with hello")
    return [
      name,
      (input: never, caller: Caller) =>
        presence.knows(caller.client.id)
          ? (handler as (input: never, caller: Caller) => unknown)(input, caller)
          : streams.has(name)
            ? Stream.die(stranger)
            : Effect.die(stranger)
    ] as const
  })
  return HostRpcs.toLayer(Object.fromEntries(guarded) as typeof handlers)
}
