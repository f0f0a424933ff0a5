/**
 * The runtime behind a socket of this machine.
 *
 * It takes the runtime, its store and the ownership of the state directory as given: the lock comes before the socket. When the scope closes,
 * `host.json` goes first, then the socket; the runtime and the lock are the caller's and go after it.
 */
import * as fs from "node:fs"
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import * as RpcServer from "effect/rpc/RpcServer"
import type * as Scope from "effect/Scope"
import * as SocketServer from "effect/socket/SocketServer"
import type { SocketServerError } from "effect/socket/SocketServer"
import type { ProcessSystem } from "../agent/ProcessSystem.ts"
import { AgentRuntime } from "../AgentRuntime.ts"
import type { Place, StateDirectoryRefused } from "../store/StateDirectory.ts"
import { Store } from "../store/Store.ts"
import { version } from "../version.ts"
import * as HostControl from "./HostControl.ts"
import * as HostFile from "./HostFile.ts"
import * as HostHandlers from "./HostHandlers.ts"
import * as Once from "./Once.ts"
import { HostRpcs, protocolVersion } from "./Protocol.ts"

export interface Options extends HostControl.Options {
  /** The state directory, owned by this process. */
  readonly directory: string
  /** Where agents work that name no directory. */
  readonly cwd: string
  readonly place: Pick<Place, "platform" | "env">
  readonly processes: Pick<ProcessSystem, "self" | "bootId" | "find">
  /** Events that a client may fall behind by; one that is slower gets a snapshot. Default 2,048. */
  readonly buffer?: number
}

/** A host that is being served. */
export class Host extends Context.Service<
  Host,
  {
    readonly info: HostFile.HostInfo
    /** Completes when the host should end: it is not needed, is to be replaced, was shut down, or has lost the state directory. */
    readonly ended: Effect.Effect<HostControl.EndReason>
    /** Clients that have said hello. */
    readonly clients: () => number
  }
>()("nofx/host/Host") {}

/** One line of a request may have so many bytes: a task file of ten thousand tasks has less. */
const maxMessage = 64 * 1024 * 1024

/** Serves until the scope closes. Fails when no socket can be made. */
export const make = (
  options: Options
): Effect.Effect<Host["Service"], SocketServerError | StateDirectoryRefused, AgentRuntime | Store | Scope.Scope> =>
  Effect.gen(function* () {
    const runtime = yield* AgentRuntime
    const store = yield* Store
    const { directory, place, processes } = options
    const self = yield* processes.find(processes.self)
    const info: HostFile.HostInfo = {
      protocol: protocolVersion,
      version,
      pid: processes.self,
      startTime: self?.startTime ?? "",
      bootId: processes.bootId,
      epoch: store.epoch,
      socket: yield* HostFile.socketPath(directory, store.epoch, place),
      token: HostFile.makeToken(),
      startedAt: yield* Clock.currentTimeMillis
    }
    yield* HostFile.sweep(info.socket)
    // Of an owner that was killed and whose epoch did not count: this one has the lock.
    if (place.platform !== "win32") yield* Effect.sync(() => fs.rmSync(info.socket, { force: true }))

    const control = yield* HostControl.make(options)
    const once = yield* Once.make
    const server = yield* NodeSocketServer.make({ path: info.socket })
    if (place.platform !== "win32") yield* Effect.sync(() => fs.chmodSync(info.socket, 0o600))
    const welcome = {
      protocol: protocolVersion,
      version,
      epoch: store.epoch,
      pid: info.pid,
      node: process.versions.node,
      startedAt: info.startedAt,
      directory,
      cwd: options.cwd
    }
    const handlers = HostHandlers.make({
      runtime,
      store,
      control,
      once,
      welcome,
      token: info.token,
      ...(options.buffer === undefined ? {} : { buffer: options.buffer })
    })
    yield* Layer.build(
      RpcServer.layer(HostRpcs, {
        disableTracing: true,
        // A defect of one request is that request's own.
        disableFatalDefects: true,
        onDisconnect: control.presence.leave
      }).pipe(
        Layer.provide(handlers),
        Layer.provide(RpcServer.layerProtocolSocketServer),
        Layer.provide(RpcSerialization.layerNdjsonWith({ maxBufferSize: maxMessage })),
        Layer.provide(Layer.succeed(SocketServer.SocketServer, server)),
        // A client that is killed resets its connection: that is no error of the host.
        Layer.provide(Layer.succeed(References.UnhandledLogLevel)("Debug"))
      )
    )
    yield* Effect.acquireRelease(HostFile.write(directory, info), () => HostFile.remove(directory, info.epoch))
    return { info, ended: control.ended, clients: control.presence.count }
  })

export const layer = (options: Options) => Layer.effect(Host, make(options))
