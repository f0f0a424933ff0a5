/** A host from its start to its end: the lock, the runtime, the socket, and the way back. */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as fs from "node:fs"
import * as path from "node:path"
import * as ProcessSystem from "../agent/ProcessSystem.ts"
import { AgentRuntime } from "../AgentRuntime.ts"
import * as LocalRuntime from "../LocalRuntime.ts"
import type { RuntimeConfig } from "../RuntimeConfig.ts"
import * as RuntimeConfigs from "../RuntimeConfig.ts"
import * as StateDirectory from "../store/StateDirectory.ts"
import type { EndReason } from "./HostControl.ts"
import type { HostInfo } from "./HostFile.ts"
import * as HostServer from "./HostServer.ts"
import * as Launches from "./Launches.ts"

/** What a host is started with, whoever starts it: kept in the state directory. */
export const HostSettings = Schema.Struct({
  /** Where agents work that name no directory. Absolute. */
  cwd: Schema.String,
  /** Any part of the configuration, by the names of a task file's `config`. */
  config: Schema.Unknown,
  /** Without clients and work for so long the host ends. Default 5 minutes. */
  idle: Schema.optionalKey(Schema.DurationFromString)
})
export type HostSettings = typeof HostSettings.Type

const settingsFile = (directory: string): string => path.join(directory, "host-settings.json")
const settingsText = Schema.fromJsonString(HostSettings)
const decodeSettings = Schema.decodeUnknownOption(settingsText)
const encodeSettings = Schema.encodeSync(settingsText)

/** The settings of the state directory's host; undefined when there are none that can be read. */
export const readSettings = (directory: string): Effect.Effect<HostSettings | undefined> =>
  Effect.sync(() => {
    try {
      return Option.getOrUndefined(decodeSettings(fs.readFileSync(settingsFile(directory), "utf8")))
    } catch {
      return undefined
    }
  })

/** Keeps them for the next start. */
export const writeSettings = (directory: string, settings: HostSettings): Effect.Effect<void> =>
  Effect.sync(() => {
    const file = settingsFile(directory)
    fs.writeFileSync(`${file}.new`, encodeSettings(settings), { mode: 0o600 })
    fs.renameSync(`${file}.new`, file)
  })

export interface Options {
  /** The state directory, as `StateDirectory.ensure` leaves it. */
  readonly directory: string
  readonly cwd: string
  readonly config: RuntimeConfig
  /** The environment that agents inherit. */
  readonly env: Readonly<Record<string, string>>
  readonly place: StateDirectory.Place
  readonly idle?: Duration.Input
  readonly grace?: Duration.Input
  /** Calls back for each signal that asks the program to end, with how many there were. Returns how to stop listening. */
  readonly onSignal: (listener: (count: number) => void) => () => void
  /** Told when clients can connect. */
  readonly onReady?: (info: HostInfo) => Effect.Effect<void>
  /** What else is offered while the host is there: built when it is ready, closed before it ends. */
  readonly also?: Layer.Layer<never, unknown, AgentRuntime | HostServer.Host>
}

/** How a host ended. */
export interface Ended {
  readonly reason: EndReason | "signal"
  /** Tasks that were running and go on with the next host. */
  readonly abandoned: ReadonlyArray<string>
}

/** The window's own variables mean nothing to agents, and outlive it here. */
export const environment = (env: Readonly<Record<string, string | undefined>>): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined && !/^(ELECTRON|VSCODE)_/.test(entry[0]))
  )

/** Decodes a configuration as it is written in settings or task files. */
export const decodeConfig = (config: unknown) => RuntimeConfigs.decode(config ?? {})

/**
 * Owns the state directory, serves its runtime, and ends when it is not needed, is replaced, shut down or signalled.
 *
 * Fails with `OwnedByAnother`, before anything is touched, when the directory has an owner.
 */
export const run = (options: Options) =>
  Effect.gen(function* () {
    const runtime = yield* AgentRuntime
    const serving = yield* Scope.fork(yield* Effect.scope)
    const host = yield* Scope.provide(
      HostServer.make({
        directory: options.directory,
        cwd: options.cwd,
        place: options.place,
        processes: ProcessSystem.make(options.place.platform),
        ...(options.idle === undefined ? {} : { idle: options.idle }),
        ...(options.grace === undefined ? {} : { grace: options.grace })
      }),
      serving
    )
    if (options.also !== undefined) {
      const also = options.also.pipe(
        Layer.provide(Layer.mergeAll(Layer.succeed(AgentRuntime, runtime), Layer.succeed(HostServer.Host, host)))
      )
      yield* Layer.buildWithScope(also, serving)
    }
    const signalled = Deferred.makeUnsafe<"signal">()
    const context = yield* Effect.context<never>()
    yield* Effect.acquireRelease(
      Effect.sync(() =>
        options.onSignal((count) => {
          Deferred.doneUnsafe(signalled, Exit.succeed("signal" as const))
          // Asked twice it goes faster.
          if (count > 1) Effect.runForkWith(context)(runtime.shutdown)
        })
      ),
      (stop) => Effect.sync(stop)
    )
    if (options.onReady !== undefined) yield* options.onReady(host.info)

    const reason = yield* Effect.raceFirst(host.ended, Deferred.await(signalled))
    yield* Effect.logInfo("the host ends", { reason })
    // While work is brought to an end whoever watches can see it; a host without work is gone at once.
    if (reason === "signal" || reason === "editor-closed") yield* runtime.shutdown
    // The answer to whoever shut it down goes out first.
    if (reason === "shutdown") yield* Effect.sleep("100 millis")
    yield* Scope.close(serving, Exit.void)
    const { abandoned } = yield* runtime.shutdown
    yield* Launches.forget(options.directory)
    return { reason, abandoned } satisfies Ended
  }).pipe(Effect.scoped, Effect.provide(Layer.unwrap(Effect.map(accountsOf(options.place), (accounts) => local(options, accounts)))))

const local = (options: Options, accounts: string | undefined) =>
  LocalRuntime.layer({
    config: options.config,
    cwd: options.cwd,
    env: options.env,
    stateDirectory: options.directory,
    kind: "host",
    ...(accounts === undefined ? {} : { accounts })
  })

/** The user's own directory, made if need be; undefined where it cannot be: limits are this host's own then. */
const accountsOf = (place: StateDirectory.Place) =>
  Effect.map(Effect.option(StateDirectory.ensure(StateDirectory.userDirectory(place))), Option.getOrUndefined)
