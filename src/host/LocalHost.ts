/**
 * The host of a state directory, reached or started: what editors, the command line and programs use.
 *
 * `layerClient` provides the same `AgentRuntime` as `LocalRuntime.layer`, for work that outlives this process.
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { AgentRuntime } from "../AgentRuntime.ts"
import * as HostClient from "./HostClient.ts"
import * as Launcher from "./Launcher.ts"
import type { LeaveMode } from "./Protocol.ts"

export interface Options extends Launcher.Options {
  /** Start a host when none runs, now and whenever one was lost? Default true; `false` fails with `HostNotFound`. */
  readonly start?: boolean
  /** Who this is, for the host's log. Default `nofx`. */
  readonly name?: string
  /** An editor, or somebody else who can answer permission requests, says what becomes of the work when the last of them has gone. */
  readonly onLeave?: LeaveMode
  /** How long a new connection is tried for after one was lost. Default 30 seconds. */
  readonly reconnect?: Duration.Input
}

export interface Reached {
  readonly runtime: AgentRuntime["Service"]
  readonly client: HostClient.HostClient["Service"]
}

export type ReachError = HostClient.ConnectError | Launcher.LaunchError | Launcher.HostNotFound

/** Reaches the host until the scope closes. Leaving is no end for its work. */
export const connect = (options: Options): Effect.Effect<Reached, ReachError, Scope.Scope> =>
  Effect.gen(function* () {
    const { directory, name, onLeave, place, reconnect } = options
    const host = options.start === false ? Launcher.find(directory, place.platform) : Launcher.launch(options)
    // Here it says with all details why there is none; later a lost connection is reason enough.
    yield* host
    return yield* HostClient.make({
      directory,
      host,
      ...(name === undefined ? {} : { name }),
      ...(onLeave === undefined ? {} : { onLeave }),
      ...(reconnect === undefined ? {} : { patience: reconnect })
    })
  })

/** The host's runtime, and what there is to know of the host. */
export const layerClient = (options: Options): Layer.Layer<AgentRuntime | HostClient.HostClient, ReachError> =>
  Layer.effectContext(
    Effect.map(connect(options), ({ client, runtime }) =>
      Context.make(AgentRuntime, runtime).pipe(Context.add(HostClient.HostClient, client))
    )
  )
