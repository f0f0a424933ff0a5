/** One connection to a host, from the handshake to its end. It is never mended: whoever needs another makes another. */
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as RpcClient from "effect/rpc/RpcClient"
import type { RpcClientError } from "effect/rpc/RpcClientError"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import type { HostInfo } from "./HostFile.ts"
import { HostRpcs, type LeaveMode, protocolVersion, type TokenRefused, type VersionMismatch, type Welcome } from "./Protocol.ts"

/** The connection could not be made. */
export class ConnectionFailed extends Schema.TaggedError<ConnectionFailed>()("ConnectionFailed", { detail: Schema.String }) {
  override get message(): string {
    return `The connection to the NofX host failed: ${this.detail}`
  }
}

export type Client = RpcClient.FromGroup<typeof HostRpcs, RpcClientError>

export interface Connection {
  readonly client: Client
  readonly welcome: typeof Welcome.Type
  readonly info: HostInfo
  /** Completes when it has ended, with why. */
  readonly closed: Effect.Effect<string>
}

/** A host answers within milliseconds; one that is suspended, or starves, does not. */
const helloLimit = Duration.seconds(10)
/** Long: a machine under load is no reason to give a connection up. */
const ping = { pingInterval: Duration.seconds(10), pingTimeout: Duration.seconds(60) }
/** One message may have so many bytes: a snapshot of everything has a few million. */
const maxMessage = 256 * 1024 * 1024

/** The request got no answer because its connection ended, or its host does: it may be asked again on another. */
export const isDropped = (cause: Cause.Cause<unknown>): boolean =>
  Cause.hasInterruptsOnly(cause) ||
  cause.reasons.some((reason) => {
    const error = Cause.isFailReason(reason) ? reason.error : Cause.isDieReason(reason) ? reason.defect : undefined
    return Socket.isSocketError(error) || (error as { readonly _tag?: string } | undefined)?._tag === "RpcClientError"
  })

/** Opens a socket to a host, without a handshake; it is closed with the scope. */
const dial = (info: HostInfo): Effect.Effect<{ readonly client: Client; readonly closed: Effect.Effect<string> }, never, Scope.Scope> =>
  Effect.gen(function* () {
    const closed = Deferred.makeUnsafe<string>()
    const socket = yield* NodeSocket.makeNet({ path: info.socket, openTimeout: helloLimit })
    const protocol = yield* RpcClient.makeProtocolSocket({ ...ping, retryPolicy: Schedule.recurs(0) }).pipe(
      Effect.provideService(Socket.Socket, socket),
      Effect.provideService(RpcSerialization.RpcSerialization, RpcSerialization.makeNdjson({ maxBufferSize: maxMessage })),
      Effect.provideService(RpcClient.ConnectionHooks, {
        onConnect: Effect.void,
        onDisconnect: Effect.asVoid(Deferred.succeed(closed, "the connection ended"))
      })
    )
    const client = yield* Effect.provideService(RpcClient.make(HostRpcs, { disableTracing: true }), RpcClient.Protocol, protocol)
    return { client, closed: Deferred.await(closed) }
  })

const failed = (cause: Cause.Cause<unknown>): ConnectionFailed => {
  const error = Cause.squash(cause)
  const reason = (error as { readonly reason?: { readonly cause?: unknown } }).reason?.cause ?? error
  return new ConnectionFailed({ detail: reason instanceof Error ? reason.message : String(reason) })
}

/** Runs a first request; what comes of a lost connection is `ConnectionFailed`. */
const begin = <A, E>(request: Effect.Effect<A, E | RpcClientError>) =>
  Effect.timeoutOrElse(request, {
    duration: helloLimit,
    orElse: () => Effect.fail(new ConnectionFailed({ detail: `the host did not answer within ${Duration.format(helloLimit)}` }))
  }).pipe(
    Effect.catchCause((cause) =>
      isDropped(cause) || Cause.hasDies(cause)
        ? Effect.fail(failed(cause))
        : Effect.failCause(cause as Cause.Cause<Exclude<E, RpcClientError> | ConnectionFailed>)
    )
  )

/** Connects and says hello. The connection ends with the scope, or by itself. */
export const open = (
  info: HostInfo,
  hello: { readonly client: string; readonly version: string; readonly onLeave?: LeaveMode; readonly protocol?: number }
): Effect.Effect<Connection, ConnectionFailed | VersionMismatch | TokenRefused, Scope.Scope> =>
  Effect.gen(function* () {
    const parent = yield* Effect.scope
    const scope = yield* Scope.fork(parent)
    const opened = Effect.gen(function* () {
      const { client, closed } = yield* Scope.provide(dial(info), scope)
      const welcome = yield* begin(client.hello({ protocol: protocolVersion, token: info.token, ...hello }))
      return { client, welcome, info, closed }
    })
    const connection = yield* Effect.onError(opened, (cause) => Scope.close(scope, Exit.failCause(cause)))
    yield* Effect.forkIn(
      Effect.flatMap(connection.closed, () => Scope.close(scope, Exit.void)),
      parent
    )
    return connection
  })

/** Has a host of whatever version end as soon as no attempt runs. Answers how many run. */
export const retire = (info: HostInfo): Effect.Effect<number, ConnectionFailed | TokenRefused> =>
  Effect.scoped(
    Effect.flatMap(dial(info), ({ client }) => Effect.map(begin(client.retire({ token: info.token })), ({ running }) => running))
  )
