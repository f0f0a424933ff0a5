/**
 * One connection to an agent, as Effects: requests that fail with the agent's error or with the connection's end, and the requests that
 * the agent makes, answered by handlers.
 *
 * The SDK keeps the protocol; it has no time limits, so callers bring theirs.
 */
import * as acp from "@agentclientprotocol/sdk"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import * as AcpWire from "./AcpWire.ts"

/** The connection ended before the answer came; why is known to who ended it. */
export class Disconnected extends Data.TaggedError("Disconnected")<{ readonly cause: unknown }> {}

/** The agent answered with a protocol error. */
export class Refused extends Data.TaggedError("Refused")<{ readonly error: acp.RequestError }> {}

/** What the agent may ask of its client. Failures are its answer. */
export interface Handlers {
  /** Synchronous, in order, before any answer that follows. */
  readonly update: (sessionId: string, update: unknown) => void
  readonly permission: (request: acp.RequestPermissionRequest) => Effect.Effect<acp.RequestPermissionResponse, acp.RequestError>
  readonly readFile: (request: acp.ReadTextFileRequest) => Effect.Effect<acp.ReadTextFileResponse, acp.RequestError>
  readonly writeFile: (request: acp.WriteTextFileRequest) => Effect.Effect<acp.WriteTextFileResponse, acp.RequestError>
  readonly createTerminal: (request: acp.CreateTerminalRequest) => Effect.Effect<acp.CreateTerminalResponse, acp.RequestError>
  readonly terminalOutput: (request: acp.TerminalOutputRequest) => Effect.Effect<acp.TerminalOutputResponse, acp.RequestError>
  readonly waitForTerminal: (request: acp.WaitForTerminalExitRequest) => Effect.Effect<acp.WaitForTerminalExitResponse, acp.RequestError>
  readonly killTerminal: (request: acp.KillTerminalRequest) => Effect.Effect<void, acp.RequestError>
  readonly releaseTerminal: (request: acp.ReleaseTerminalRequest) => Effect.Effect<void, acp.RequestError>
}

export interface Options extends Pick<AcpWire.Options, "send" | "violation" | "maxGarbage" | "maxLine"> {
  readonly handlers: Handlers
}

export interface AcpClient {
  readonly request: <Method extends acp.AgentRequestMethod>(
    method: Method,
    params: acp.AgentRequestParamsByMethod[Method]
  ) => Effect.Effect<acp.AgentRequestResponsesByMethod[Method], Refused | Disconnected>
  /** Sends `session/cancel`; never fails, since there is nobody to tell. */
  readonly cancel: (sessionId: string) => Effect.Effect<void>
  readonly push: AcpWire.AcpWire["push"]
  /** Nothing more will come, for this reason. Requests that wait fail with it. */
  readonly close: (cause: unknown) => void
}

/** What is said to the agent about this client. `files`: does the client read and write files for it? */
export const initializeRequest = (files: boolean): acp.InitializeRequest => ({
  protocolVersion: acp.PROTOCOL_VERSION,
  clientInfo: { name: "nofx", title: "NofX", version: "0.1.0" },
  clientCapabilities: {
    fs: { readTextFile: files, writeTextFile: files },
    terminal: true,
    // Lets the Claude and Codex adapters say why a turn failed, and that they retry.
    _meta: { jetbrains: { air: { version: 1, capabilities: ["sessionFailure"] } } }
  }
})

/** A connection that is closed with the scope. */
export const make = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<AcpClient, never, Scope.Scope> {
  const { handlers } = options
  const run = yield* FiberSet.makeRuntimePromise<never, unknown, unknown>()
  const answer =
    <Params, Answer>(handler: (params: Params) => Effect.Effect<Answer, acp.RequestError>) =>
    (context: { readonly params: Params; readonly signal: AbortSignal }): Promise<Answer> =>
      run(handler(context.params), { signal: context.signal }) as Promise<Answer>

  const wire = AcpWire.make({
    ...options,
    update: (params) => {
      const { sessionId, update } = (typeof params === "object" && params !== null ? params : {}) as Record<string, unknown>
      if (typeof sessionId === "string") handlers.update(sessionId, update)
    }
  })
  const { client: names } = acp.methods
  const connection = acp
    .client({ name: "nofx" })
    .onRequest(names.session.requestPermission, answer(handlers.permission))
    .onRequest(names.fs.readTextFile, answer(handlers.readFile))
    .onRequest(names.fs.writeTextFile, answer(handlers.writeFile))
    .onRequest(names.terminal.create, answer(handlers.createTerminal))
    .onRequest(names.terminal.output, answer(handlers.terminalOutput))
    .onRequest(names.terminal.waitForExit, answer(handlers.waitForTerminal))
    .onRequest(names.terminal.kill, answer(handlers.killTerminal))
    .onRequest(names.terminal.release, answer(handlers.releaseTerminal))
    .connect(wire.stream)

  const close = (cause: unknown): void => {
    wire.end()
    connection.close(cause)
  }
  yield* Effect.addFinalizer(() => Effect.sync(() => close(new Error("the session was closed"))))

  return {
    request: (method, params) =>
      Effect.tryPromise({
        try: () => connection.agent.request(method, params),
        catch: (error) => (error instanceof acp.RequestError ? new Refused({ error }) : new Disconnected({ cause: error }))
      }),
    cancel: (sessionId) => Effect.ignore(Effect.tryPromise(() => connection.agent.notify(acp.methods.agent.session.cancel, { sessionId }))),
    push: wire.push,
    close
  }
})
