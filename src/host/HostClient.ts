/**
 * The `AgentRuntime` of a host, from another process of the same user: the same operations, over its socket.
 *
 * A connection that is lost is made again, to whatever host is there by then; operations wait for it and are asked again, under the same id
 * where they change something. When no host can be reached within `patience` the client is `lost`: what waits, and whatever is asked from then
 * on, dies with `HostLost`.
 */
import * as crypto from "node:crypto"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { RpcClientError } from "effect/rpc/RpcClientError"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type { AgentRuntime } from "../AgentRuntime.ts"
import * as Monotonic from "../Monotonic.ts"
import { version } from "../version.ts"
import * as ClientRuntime from "./ClientRuntime.ts"
import * as ClientUpdates from "./ClientUpdates.ts"
import * as Connection from "./Connection.ts"
import type { HostInfo } from "./HostFile.ts"
import type { LeaveMode, TokenRefused, Update, VersionMismatch, Welcome } from "./Protocol.ts"

/** No host answers any more. */
export class HostLost extends Schema.TaggedError<HostLost>()("HostLost", { directory: Schema.String, detail: Schema.String }) {
  override get message(): string {
    return `The NofX host of ${this.directory} is gone: ${this.detail}. Its tasks are kept; the next host goes on with them`
  }
}

/** No host is there, or it cannot be reached. */
export class HostUnreachable extends Schema.TaggedError<HostUnreachable>()("HostUnreachable", {
  directory: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `No NofX host can be reached in ${this.directory}: ${this.detail}`
  }
}

export type ConnectError = HostUnreachable | VersionMismatch | TokenRefused

export interface Options {
  /** The state directory. */
  readonly directory: string
  /** Where the host is now; asked again for each new connection. `Launcher.find` looks, `Launcher.launch` starts one. */
  readonly host: Effect.Effect<HostInfo, { readonly message: string }>
  /** Who this is, for the host's log. Default `nofx`. */
  readonly name?: string
  /** An editor, or somebody else who can answer permission requests, says what becomes of the work when the last of them has gone. */
  readonly onLeave?: LeaveMode
  /** How long a new connection is tried for after one was lost. Default 30 seconds. */
  readonly patience?: Duration.Input
}

export type ConnectionState =
  | { readonly _tag: "Connected"; readonly welcome: typeof Welcome.Type }
  | { readonly _tag: "Reconnecting"; readonly detail: string }
  | { readonly _tag: "Lost"; readonly detail: string }

/** What a client knows of its host besides the runtime. */
export class HostClient extends Context.Service<
  HostClient,
  {
    /** As it is now. */
    readonly state: () => ConnectionState
    /** The current state, then each change. */
    readonly states: Stream.Stream<ConnectionState>
    /** What the host of the first connection said of itself. */
    readonly welcome: typeof Welcome.Type
    /** Version of the host and of this client, where they differ. */
    readonly skew: () => { readonly host: string; readonly client: string } | undefined
    /** Completes when no host can be reached any more, with why. */
    readonly lost: Effect.Effect<string>
    /**
     * A snapshot, then what happens, in order; after a gap, a lag or a lost connection another snapshot, or `Resumed` and what was missed.
     * Each reader has a subscription of its own.
     */
    readonly updates: Stream.Stream<Update>
    /** Says what becomes of the work when this client has gone and nobody else is there. */
    readonly leaving: (mode: LeaveMode) => Effect.Effect<void>
    /** Has the host end as soon as no attempt runs, to be replaced by another version. Answers how many run. */
    readonly retire: Effect.Effect<number>
  }
>()("nofx/host/HostClient") {}

/** Waits between two tries of a new connection. */
const retryEvery = Duration.millis(200)

/** Connects until the scope closes. Fails when the first connection cannot be made. */
export const make = (
  options: Options
): Effect.Effect<{ readonly runtime: AgentRuntime["Service"]; readonly client: HostClient["Service"] }, ConnectError, Scope.Scope> =>
  Effect.gen(function* () {
    const { directory } = options
    const clock = yield* Clock.Clock
    const patience = Duration.toMillis(Duration.fromInputUnsafe(options.patience ?? "30 seconds"))
    const lost = Deferred.makeUnsafe<string>()

    const connect = Effect.gen(function* () {
      const info = yield* Effect.mapError(options.host, (error) => new HostUnreachable({ directory, detail: error.message }))
      return yield* Effect.catchTag(
        Connection.open(info, {
          client: options.name ?? "nofx",
          version,
          ...(options.onLeave === undefined ? {} : { onLeave: options.onLeave })
        }),
        "ConnectionFailed",
        ({ detail }) => Effect.fail(new HostUnreachable({ directory, detail }))
      )
    })

    const first = yield* connect
    let current: Connection.Connection | undefined = first
    let changed = Deferred.makeUnsafe<void>()
    const states = yield* SubscriptionRef.make<ConnectionState>({ _tag: "Connected", welcome: first.welcome })
    const setState = (state: ConnectionState) => SubscriptionRef.set(states, state)
    const wake = (): void => {
      const before = changed
      changed = Deferred.makeUnsafe()
      Deferred.doneUnsafe(before, Exit.void)
    }

    const reconnect = Effect.gen(function* () {
      const since = Monotonic.read(clock)
      for (;;) {
        const exit = yield* Effect.exit(connect)
        if (Exit.isSuccess(exit)) return exit.value
        const error = Cause.squash(exit.cause)
        const detail = error instanceof Error ? error.message : String(error)
        // Trying again makes no other version of it.
        const hopeless = error instanceof Error && (error as { readonly _tag?: string })._tag === "VersionMismatch"
        if (hopeless || Monotonic.read(clock) - since >= patience) return yield* Effect.fail(detail)
        yield* Effect.sleep(retryEvery)
      }
    })

    const keep = Effect.gen(function* () {
      for (let connection = first; ; ) {
        const detail = yield* connection.closed
        current = undefined
        yield* setState({ _tag: "Reconnecting", detail })
        connection = yield* reconnect
        current = connection
        yield* setState({ _tag: "Connected", welcome: connection.welcome })
        wake()
      }
    }).pipe(
      Effect.catch((detail: string) =>
        Effect.andThen(
          setState({ _tag: "Lost", detail }),
          Effect.sync(() => {
            Deferred.doneUnsafe(lost, Exit.succeed(detail))
            wake()
          })
        )
      )
    )
    yield* Effect.forkScoped(keep)

    /** The connection as it is, or the next one. */
    const connection: Effect.Effect<Connection.Connection> = Effect.suspend(() => {
      if (current !== undefined) return Effect.succeed(current)
      const state = SubscriptionRef.getUnsafe(states)
      if (state._tag === "Lost") return Effect.die(new HostLost({ directory, detail: state.detail }))
      return Effect.andThen(Deferred.await(changed), connection)
    })

    /** Asks on this connection, and again on the next ones while connections are lost. */
    const ask: ClientRuntime.Parts["ask"] = <A, E>(request: (client: Connection.Client, anew: boolean) => Effect.Effect<A, E>) => {
      let epoch: number | undefined
      const attempt: Effect.Effect<A, Exclude<E, RpcClientError>> = Effect.flatMap(connection, (on) => {
        epoch ??= on.welcome.epoch
        return Effect.catchCause(request(on.client, on.welcome.epoch !== epoch), (cause) =>
          Connection.isDropped(cause)
            ? Effect.andThen(on.closed, attempt)
            : Effect.failCause(cause as Cause.Cause<Exclude<E, RpcClientError>>)
        )
      })
      return attempt
    }
    const askStream: ClientRuntime.Parts["askStream"] = (request) =>
      Stream.unwrap(Effect.map(connection, (on) => Stream.orDie(request(on.client))))

    const updates = ClientUpdates.make(connection)
    const runtime = ClientRuntime.make({ ask, askStream, requestId: () => crypto.randomBytes(16).toString("hex"), updates })
    const client: HostClient["Service"] = {
      state: () => SubscriptionRef.getUnsafe(states),
      states: SubscriptionRef.changes(states),
      welcome: first.welcome,
      skew: () => {
        const state = SubscriptionRef.getUnsafe(states)
        const host = state._tag === "Connected" ? state.welcome.version : version
        return host === version ? undefined : { host, client: version }
      },
      lost: Deferred.await(lost),
      updates: updates.updates,
      leaving: (mode) => ask((rpc) => rpc.clientLeaving({ mode })),
      retire: Effect.flatMap(connection, (on) => Effect.orDie(Connection.retire(on.info)))
    }
    return { runtime, client }
  })
