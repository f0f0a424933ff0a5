/**
 * Permission requests that no mode answers by itself: asked of whoever is there, first answer wins, and silence grants nothing.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { PermissionRequest } from "../agent/AgentDriver.ts"
import { type Agent, append, type Core, type Running, setAgentState } from "./Core.ts"

/** No request with this id waits for an answer. */
export class PermissionGone extends Schema.TaggedError<PermissionGone>()("PermissionGone", { requestId: Schema.String }) {
  override get message(): string {
    return `No permission request "${this.requestId}" waits for an answer`
  }
}

/** A request that waits. */
export interface Pending {
  readonly requestId: string
  readonly agentId: string
  readonly taskId: string
  readonly askedAt: number
  readonly request: PermissionRequest
}

export interface Permissions {
  readonly ask: (agent: Agent, running: Running, request: PermissionRequest) => Effect.Effect<string | undefined>
  /** `option`: the id of one of the request's options; undefined rejects. */
  readonly answer: (requestId: string, option: string | undefined, by: string) => Effect.Effect<void, PermissionGone>
  readonly pending: () => ReadonlyArray<Pending>
  /** Somebody who could answer came or went. */
  readonly attend: (delta: 1 | -1) => void
}

/** `waits`: requests wait for somebody although nobody is there now. */
export const make = (core: () => Core, waits: boolean): Permissions => {
  const waiting = new Map<string, { readonly pending: Pending; readonly done: Deferred.Deferred<string | undefined> }>()
  let attendants = 0

  const settle = (pending: Pending, option: string | undefined, by: string): Effect.Effect<void> =>
    core().journal.commit([append(core(), { _tag: "PermissionAnswered", requestId: pending.requestId, answer: option ?? "reject", by })])

  return {
    ask: Effect.fnUntraced(function* (agent, running, request) {
      const taskId = core().table.get(running.taskKey)?.spec.id ?? running.taskKey
      const pending: Pending = { requestId: core().uniqueId(), agentId: agent.spec.id, taskId, askedAt: core().wallNow(), request }
      if (attendants === 0 && !waits) {
        yield* settle(pending, undefined, "nobody is there; see --permissions ask|edits|all|reject")
        return undefined
      }
      const done = Deferred.makeUnsafe<string | undefined>()
      waiting.set(pending.requestId, { pending, done })
      running.permission = pending.requestId
      setAgentState(core(), agent, "waiting", `permission: ${request.title}`)
      yield* core().journal.commit([
        append(core(), { _tag: "PermissionRequested", requestId: pending.requestId, agentId: agent.spec.id, taskId, title: request.title })
      ])
      const answered = Effect.timeoutOption(Deferred.await(done), core().config.timeLimit.permission).pipe(
        Effect.ensuring(
          Effect.sync(() => {
            waiting.delete(pending.requestId)
            running.permission = undefined
          })
        )
      )
      // Nobody works meanwhile: its permits are others'.
      const answer = yield* running.admission.lend(answered).pipe(
        Effect.ensuring(
          Effect.sync(() => {
            if (agent.running === running && agent.state === "waiting") setAgentState(core(), agent, "working", taskId)
          })
        )
      )
      if (answer._tag === "None") {
        yield* settle(pending, undefined, `nobody answered within ${Duration.format(core().config.timeLimit.permission)}`)
        return undefined
      }
      return answer.value
    }),
    answer: (requestId, option, by) =>
      Effect.suspend(() => {
        const found = waiting.get(requestId)
        if (found === undefined) return Effect.fail(new PermissionGone({ requestId }))
        waiting.delete(requestId)
        return Effect.andThen(settle(found.pending, option, by), Deferred.succeed(found.done, option))
      }),
    pending: () => [...waiting.values()].map((each) => each.pending),
    attend: (delta) => void (attendants += delta)
  }
}
