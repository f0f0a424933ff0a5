/**
 * One attempt on an open agent: a session, one prompt, what comes of it.
 *
 * Nothing is delivered before the attempt is committed as started, and an attempt that failed before that says so. The answer is
 * judged together with everything that was seen, since an agent's "done" may cover a turn that died.
 */
import * as acp from "@agentclientprotocol/sdk"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as path from "node:path"
import type { Claim } from "../task/Task.ts"
import * as AcpClient from "./AcpClient.ts"
import * as AcpFileSystem from "./AcpFileSystem.ts"
import * as AcpPermission from "./AcpPermission.ts"
import type * as AcpTerminal from "./AcpTerminal.ts"
import * as AcpTurn from "./AcpTurn.ts"
import type { AgentSession, AttemptContext, AttemptFailure } from "./AgentDriver.ts"
import { agentOf, losesYoungSessions } from "./AgentPresets.ts"
import type { AgentSpec } from "./AgentSpec.ts"
import * as BoundedOutput from "./BoundedOutput.ts"
import { classify } from "./Classification.ts"
import type { Observation } from "./Classification.ts"
import type { Fault } from "./Fault.ts"

/** The attempt that runs now, as the agent's own requests see it. */
export interface Running {
  readonly sessionId: string
  readonly context: AttemptContext
  /** Completes when the attempt is being cancelled: whoever waits for a person stops waiting. */
  readonly cancelling: Deferred.Deferred<void>
  turn: AcpTurn.Turn
  readonly output: BoundedOutput.BoundedOutput | undefined
}

/** The end of the answer that a claim carries, in characters. */
const claimLength = 16_384
/** How long the agent may take to close a session, in milliseconds. */
const closeMillis = 1_000

/** What the agent may ask, while an attempt runs in the session that it asks for. */
export const handlers = (agent: {
  readonly root: string
  readonly spec: AgentSpec
  readonly terminals: AcpTerminal.AcpTerminals
  readonly running: () => Running | undefined
}): AcpClient.Handlers => {
  const { root, spec, terminals } = agent

  /** The attempt of this session; refused when there is none. */
  const within = <Answer>(
    sessionId: string,
    answer: (running: Running) => Effect.Effect<Answer, acp.RequestError>
  ): Effect.Effect<Answer, acp.RequestError> =>
    Effect.suspend(() => {
      const running = agent.running()
      return running?.sessionId === sessionId ? answer(running) : Effect.fail(acp.RequestError.resourceNotFound(sessionId))
    })
  const trying = <Answer>(work: () => Promise<Answer>): Effect.Effect<Answer, acp.RequestError> =>
    Effect.tryPromise({ try: work, catch: (error) => (error instanceof acp.RequestError ? error : acp.RequestError.internalError()) })

  return {
    update: (sessionId, update) => {
      const running = agent.running()
      // A session that is loaded tells its history first: that is no work.
      if (running?.sessionId !== sessionId) return
      const [turn, progress] = AcpTurn.update(running.turn, update)
      running.turn = turn
      if (progress._tag === "Text") running.output?.write(Buffer.from(progress.text))
      running.context.progress(progress)
    },
    permission: (request) =>
      Effect.suspend(() => {
        const running = agent.running()
        if (running?.sessionId !== request.sessionId) return Effect.succeed({ outcome: { outcome: "cancelled" as const } })
        const { toolCallId } = request.toolCall
        const call = running.turn.calls.get(toolCallId)
        const decision = AcpPermission.decide(spec.permissions, request, { kind: call?.kind ?? "other", title: call?.title ?? "" }, root)
        const settle = (answer: AcpPermission.Decision & { readonly _tag: "Answer" }): acp.RequestPermissionResponse => {
          if (!answer.granted) running.turn = AcpTurn.refused(running.turn, toolCallId)
          return { outcome: answer.outcome }
        }
        if (decision._tag === "Answer") return Effect.succeed(settle(decision))
        return Effect.raceFirst(
          Effect.map(running.context.permission(decision.request), (chosen) => settle(AcpPermission.answer(request.options, chosen))),
          Effect.as(Deferred.await(running.cancelling), { outcome: { outcome: "cancelled" as const } })
        )
      }),
    readFile: ({ limit, line, path: file, sessionId }) =>
      within(sessionId, () =>
        Effect.map(
          trying(() => AcpFileSystem.read(root, file, line, limit)),
          (content) => ({ content })
        )
      ),
    writeFile: ({ content, path: file, sessionId }) =>
      within(sessionId, (running) => {
        running.turn = AcpTurn.served(running.turn)
        return Effect.as(
          trying(() => AcpFileSystem.write(root, file, content)),
          {}
        )
      }),
    createTerminal: (request) =>
      within(request.sessionId, (running) => {
        running.turn = AcpTurn.served(running.turn)
        return Effect.map(terminals.create(request), (terminalId) => ({ terminalId }))
      }),
    terminalOutput: ({ sessionId, terminalId }) => within(sessionId, () => terminals.output(terminalId)),
    waitForTerminal: ({ sessionId, terminalId }) => within(sessionId, () => terminals.waitForExit(terminalId)),
    killTerminal: ({ sessionId, terminalId }) => within(sessionId, () => terminals.kill(terminalId)),
    releaseTerminal: ({ sessionId, terminalId }) => within(sessionId, () => terminals.release(terminalId))
  }
}

/** What an attempt needs of the agent it runs on. */
export interface Agent {
  readonly spec: AgentSpec
  readonly root: string
  readonly client: AcpClient.AcpClient
  readonly capabilities: acp.AgentCapabilities
  readonly terminals: AcpTerminal.AcpTerminals
  /** For output files; exists. */
  readonly directory: string
  /** How the agent ended; never while it lives. */
  readonly exited: Effect.Effect<Fault>
  /** What is known of the agent at any time. */
  readonly observed: (now: number) => Pick<Observation, "agent" | "mode" | "ours" | "stderrTail" | "stdoutTail" | "now">
  /** Ends the agent with everything it started, for this reason; without one because it was asked to. */
  readonly end: (reason?: Fault) => Effect.Effect<void>
  readonly handshakeMillis: number
  readonly cancelMillis: number
  readonly maxOutputBytes: number
  /** Takes secrets out of the text of that file. */
  readonly redact: ((text: string) => string) | undefined
  /** Tells the handlers which attempt runs. */
  readonly set: (running: Running | undefined) => void
}

type Failed = AcpClient.Refused | AcpClient.Disconnected

export const make = (agent: Agent): Pick<AgentSession, "run" | "resumable"> => {
  const { capabilities, client } = agent
  const resumes = capabilities.sessionCapabilities?.resume !== undefined && capabilities.sessionCapabilities.resume !== null
  const loads = capabilities.loadSession === true
  const closes = capabilities.sessionCapabilities?.close !== undefined && capabilities.sessionCapabilities.close !== null

  /** The fault behind a request that failed. */
  const faultOf = (failed: Failed, turn: AcpTurn.Turn): Effect.Effect<Fault> =>
    failed._tag === "Disconnected"
      ? agent.exited
      : Effect.map(Clock.currentTimeMillis, (now) => {
          const { error } = failed
          const observation: Observation = {
            ...agent.observed(now),
            stdoutTail: turn.text,
            exitCode: null,
            signal: null,
            rpcError: { code: error.code, message: error.message, data: error.data },
            meta: { ...turn.failure, limit: turn.limit }
          }
          return classify(observation) ?? { _tag: "Unknown", detail: "The agent reported a failure that is not known" }
        })

  const handshake = <Answer>(what: string, request: Effect.Effect<Answer, Failed>): Effect.Effect<Answer, AttemptFailure> =>
    Effect.gen(function* () {
      const exit = yield* Effect.timeoutOption(Effect.exit(request), agent.handshakeMillis)
      if (Option.isNone(exit)) {
        const detail = `The agent did not answer ${what} in time`
        const fault: Fault = { _tag: "Stalled", detail, evidence: `no answer within ${agent.handshakeMillis} ms` }
        yield* agent.end(fault)
        return yield* Effect.fail<AttemptFailure>({ fault, started: false, sideEffects: "none" })
      }
      if (Exit.isSuccess(exit.value)) return exit.value.value
      const failed = failureOf(exit.value)
      const fault = yield* faultOf(failed, AcpTurn.initial)
      return yield* Effect.fail<AttemptFailure>({ fault, started: false, sideEffects: "none", cause: failed })
    })

  /** What it refuses here without another reason, it does not have any more. */
  const goOn = <Answer>(what: string, request: Effect.Effect<Answer, Failed>): Effect.Effect<Answer, AttemptFailure> =>
    Effect.mapError(handshake(what, request), (failure) => {
      const refused = failure.cause instanceof AcpClient.Refused
      const lost = refused && (failure.fault._tag === "InvalidRequest" || failure.fault._tag === "Unknown")
      return lost ? { ...failure, sessionLost: true } : failure
    })

  /** Begins a session, or goes on with one; in a mode that leaves the user's choice of permissions its meaning. */
  const begin = Effect.fnUntraced(function* ({ progress, resume }: AttemptContext): Effect.fn.Return<string, AttemptFailure> {
    const place = { cwd: agent.root, mcpServers: [] }
    const { session: names } = acp.methods.agent
    let sessionId = resume ?? ""
    let modes: acp.SessionModeState | null | undefined
    if (resume === undefined) {
      const answer = yield* handshake(names.new, client.request(names.new, place))
      sessionId = answer.sessionId
      modes = answer.modes
    } else if (resumes) modes = (yield* goOn(names.resume, client.request(names.resume, { ...place, sessionId: resume }))).modes
    else {
      if (losesYoungSessions(agentOf(agent.spec))) yield* nextMinute(progress)
      modes = (yield* goOn(names.load, client.request(names.load, { ...place, sessionId: resume }))).modes
    }
    const modeId = modes === undefined || modes === null ? undefined : AcpPermission.modeFor(agent.spec.permissions, modes)
    // An agent that cannot be put into the mode would decide by itself what a person was to be asked.
    if (modeId !== undefined) yield* handshake(names.setMode, client.request(names.setMode, { sessionId, modeId }))
    return sessionId
  })

  const closeSession = (sessionId: string): Effect.Effect<void> =>
    closes
      ? Effect.asVoid(Effect.timeoutOption(Effect.ignore(client.request(acp.methods.agent.session.close, { sessionId })), closeMillis))
      : Effect.void

  /** What is known of an attempt that has begun. */
  const seen = (running: Running) => ({
    sideEffects: AcpTurn.sideEffectsOf(running.turn),
    sessionId: running.sessionId,
    usage: AcpTurn.usageOf(running.turn),
    ...(running.output?.file === undefined ? {} : { outputFile: running.output.file })
  })

  const conclude = Effect.fnUntraced(function* (
    running: Running,
    exit: Exit.Exit<acp.PromptResponse, Failed>
  ): Effect.fn.Return<Claim, AttemptFailure> {
    if (Exit.isFailure(exit)) {
      const failed = failureOf(exit)
      const fault = yield* faultOf(failed, running.turn)
      return yield* Effect.fail({ fault, started: true, ...seen(running), cause: failed })
    }
    const response = exit.value
    const tokens = tokensOf(response)
    if (tokens !== undefined) running.turn = { ...running.turn, tokens: Math.max(tokens, running.turn.tokens ?? 0) }
    const now = yield* Clock.currentTimeMillis
    const fault = classify({
      ...agent.observed(now),
      stdoutTail: running.turn.text,
      exitCode: null,
      signal: null,
      stopReason: response.stopReason,
      meta: { ...running.turn.failure, limit: running.turn.limit, ...response._meta },
      toolCalls: AcpTurn.toolCallsOf(running.turn),
      tokens: tokens ?? null
    })
    if (fault !== undefined) return yield* Effect.fail({ fault, started: true, ...seen(running), cause: response })
    return { stop: response.stopReason, output: running.turn.text.slice(-claimLength), ...seen(running) }
  })

  const run = (context: AttemptContext): Effect.Effect<Claim, AttemptFailure> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const sessionId = yield* restore(begin(context)).pipe(Effect.onInterrupt(() => agent.end()))
        const running: Running = {
          sessionId,
          context,
          cancelling: yield* Deferred.make<void>(),
          turn: AcpTurn.initial,
          output: outputOf(agent, context)
        }
        const prompt = acp.methods.agent.session.prompt
        return yield* Effect.gen(function* () {
          yield* restore(context.started(sessionId))
          agent.set(running)
          const request = client.request(prompt, { sessionId, prompt: [{ type: "text", text: context.task.prompt }] })
          const asked = yield* Effect.forkChild(Effect.interruptible(request), { startImmediately: true })
          const answered = Fiber.await(asked)
          return yield* Effect.flatMap(restore(answered), (exit) => conclude(running, exit)).pipe(
            Effect.onInterrupt(() => stop(running, answered))
          )
        }).pipe(
          Effect.ensuring(
            Effect.gen(function* () {
              agent.set(undefined)
              running.output?.close()
              yield* agent.terminals.releaseAll
              yield* closeSession(sessionId)
            })
          )
        )
      })
    )

  /** Cancels by the protocol, waits for the agent's word, and ends it. */
  const stop = (running: Running, answered: Effect.Effect<unknown>): Effect.Effect<void> =>
    Effect.gen(function* () {
      yield* Deferred.succeed(running.cancelling, undefined)
      yield* client.cancel(running.sessionId)
      yield* Effect.timeoutOption(answered, agent.cancelMillis)
      yield* closeSession(running.sessionId)
      // Its terminals carry its marker: they end with its tree.
      yield* agent.end()
    })

  return { resumable: resumes || loads, run }
}

/** Waits until the wall clock's minute is over, and says so. */
const nextMinute = (progress: AttemptContext["progress"]): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const untilMillis = (Math.floor(now / 60_000) + 1) * 60_000
    progress({ _tag: "Waiting", detail: "The agent would lose a session that it loads in the minute in which it was made", untilMillis })
    return Effect.sleep(untilMillis - now)
  })

/** A request that ended without a word of the agent counts as the connection's end. */
const failureOf = (exit: Exit.Failure<unknown, Failed>): Failed =>
  exit.cause.reasons.find((reason) => reason._tag === "Fail")?.error ?? new AcpClient.Disconnected({ cause: exit.cause })

const outputOf = (agent: Agent, context: AttemptContext): BoundedOutput.BoundedOutput | undefined => {
  const file = path.join(agent.directory, `${context.attemptId.replace(/[^\w.-]+/g, "-")}.answer.txt`)
  try {
    return BoundedOutput.make({ file, maxBytes: agent.maxOutputBytes, tailBytes: 1, redact: agent.redact })
  } catch {
    // Without a file the answer's end is still known.
    return undefined
  }
}

/** Tokens of the whole turn, as the answer counts them; undefined where it does not. */
const tokensOf = (response: acp.PromptResponse): number | undefined => {
  const figure = (value: unknown, ...path: ReadonlyArray<string>): number | undefined => {
    const found = path.reduce<unknown>(
      (inner, key) => (typeof inner === "object" && inner !== null ? (inner as Record<string, unknown>)[key] : undefined),
      value
    )
    return typeof found === "number" && Number.isFinite(found) && found >= 0 ? found : undefined
  }
  const total = figure(response, "usage", "totalTokens") ?? figure(response._meta, "quota", "token_count", "totalTokens")
  if (total !== undefined) return total
  const read = figure(response._meta, "quota", "token_count", "input_tokens")
  const written = figure(response._meta, "quota", "token_count", "output_tokens")
  return read === undefined && written === undefined ? undefined : (read ?? 0) + (written ?? 0)
}
