/**
 * The runtime in this process, over real processes: in memory, or durable in a state directory that it owns.
 *
 * This is what `nofx run`, the host and programs build; a test or a simulation provides `AgentRuntime.layer` with parts of its own instead.
 */
import * as os from "node:os"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import { type AgentDriver, Reaper } from "./agent/AgentDriver.ts"
import * as Drivers from "./agent/Drivers.ts"
import * as ProcessSystem from "./agent/ProcessSystem.ts"
import * as WorktreeIsolation from "./agent/WorktreeIsolation.ts"
import * as ProcessTree from "./agent/ProcessTree.ts"
import * as AgentRuntime from "./AgentRuntime.ts"
import * as RedisOptions from "./reliability/RedisOptions.ts"
import * as Redaction from "./reliability/Redaction.ts"
import * as RuntimeConfig from "./RuntimeConfig.ts"
import { Environment } from "./runtime/Environment.ts"
import { toReap } from "./runtime/Recovery.ts"
import * as AccountStore from "./store/AccountStore.ts"
import * as MemoryStore from "./store/MemoryStore.ts"
import * as Ownership from "./store/Ownership.ts"
import * as SqliteStore from "./store/SqliteStore.ts"
import { StoreUnavailable } from "./store/Store.ts"
import * as Telemetry from "./telemetry/Telemetry.ts"
import { version } from "./version.ts"

export interface Options {
  /** Default: `RuntimeConfig.defaults`. */
  readonly config?: RuntimeConfig.RuntimeConfig
  /** Where agents work that name no directory. Absolute. */
  readonly cwd: string
  /** The environment that agents and checks inherit; its secrets are kept out of whatever is written or told. */
  readonly env: Readonly<Record<string, string>>
  /** Drivers of the program's own, by name, besides `command` and `acp`. */
  readonly drivers?: Readonly<Record<string, AgentDriver>>
}

export interface DurableOptions extends Options {
  /** An existing directory, as `StateDirectory.ensure` leaves it. */
  readonly stateDirectory: string
  /** A foreground run, or the host of editors: only a host lets permission requests wait for a client to come. */
  readonly kind: Ownership.OwnerInfo["kind"]
  /** Take the state directory from a living owner: its agents are ended first, then it. Default false. */
  readonly takeOver?: boolean
  /** The user's own directory, existing, where runtimes share what they know of accounts. Default: nothing is shared. */
  readonly accounts?: string
  /** Somebody is there to answer permission requests, although no client is connected. Default: only for a host. */
  readonly attended?: boolean
}

interface RuntimePlace {
  readonly directory: string
  readonly waitsForClients: boolean
  readonly restoresAgents: boolean
}

interface Configured extends Options {
  readonly config: RuntimeConfig.RuntimeConfig
}

const configured = (options: Options): Configured => ({ config: RuntimeConfig.defaults, ...options })

/** The variables that say where telemetry goes; none where it is switched off. */
const collector = ({ config, env }: Configured): Options["env"] => (config.telemetry.otlp ? env : {})

const withRedis = ({ config, env }: Configured) => Layer.unwrap(Effect.map(RedisOptions.withEnvironment(config, env), AgentRuntime.layer))

/** One for everything that this runtime writes or tells. */
const redactorOf = ({ env }: Options): Redaction.Redactor => Redaction.make(Redaction.secretsOf(env))

/** `base`: where worktrees lie. */
const runtime = (options: Configured, base: string, place: RuntimePlace, redactor: Redaction.Redactor) =>
  Telemetry.exported(withRedis(options), collector(options), version).pipe(
    Layer.provide(
      Layer.effect(
        Environment,
        Effect.map(FileSystem.FileSystem, (fs) => ({
          ...place,
          makeDirectory: (directory: string) => Effect.orDie(fs.makeDirectory(directory, { recursive: true })),
          tracesStages: Telemetry.traces(collector(options)),
          redactor,
          versions: { nofx: version }
        }))
      )
    ),
    Layer.provide(
      Drivers.layer({
        inheritEnv: RedisOptions.withoutOwn(options.env),
        cwd: options.cwd,
        drivers: options.drivers ?? {},
        redactor,
        transcripts: {
          maxBytes: options.config.transcripts.maxMegabytes * 1_048_576,
          keepBytes: options.config.transcripts.keepMegabytes * 1_048_576,
          keepAttempts: options.config.transcripts.keepAttempts,
          keepMillis: Duration.toMillis(options.config.transcripts.keep)
        },
        worktrees: {
          directory: WorktreeIsolation.directoryIn(base, {
            platform: process.platform,
            env: options.env,
            home: options.env["HOME"] ?? os.homedir()
          }),
          max: options.config.worktrees.max,
          minFreeBytes: options.config.worktrees.minFreeMegabytes * 1_048_576
        }
      })
    )
  )

/** Everything is gone with the process, except the outputs of agents, which lie in `directory`. */
export const layerMemory = (options: Options & { readonly directory: string }) =>
  runtime(
    configured(options),
    options.directory,
    { directory: options.directory, waitsForClients: false, restoresAgents: false },
    redactorOf(options)
  ).pipe(Layer.provide(MemoryStore.layer()))

const owner = ({ kind, stateDirectory: directory, takeOver }: DurableOptions) => {
  const owned: Ownership.Options = { directory, kind, version, processes: ProcessSystem.make() }
  if (takeOver !== true) return Ownership.layer(owned)
  return Layer.effect(
    Ownership.Owner,
    Effect.gen(function* () {
      const reaper = yield* Reaper
      return yield* Ownership.forceTakeover({ ...owned, endTrees: (left) => reaper.reap(left.map(toReap)) })
    })
  ).pipe(Layer.provide(ProcessTree.layerReaper), Layer.provide(ProcessTree.layer))
}

/** A store of accounts that cannot be opened leaves the limits local, and shows as degraded. */
const accounts = (directory: string): Layer.Layer<AccountStore.AccountStore> =>
  Layer.catch(AccountStore.layer(directory), (error) =>
    Layer.succeed(
      AccountStore.AccountStore,
      AccountStore.unavailable(new StoreUnavailable({ operation: "share limits", reason: "io", cause: error }))
    )
  )

/**
 * Nothing acknowledged is lost. Building it fails with `OwnedByAnother` when another process owns the state directory, with
 * `StoreUnavailable`, `SchemaTooNew` or `SqliteMissing` when the database cannot be used.
 */
export const layer = (options: DurableOptions) => {
  const redactor = redactorOf(options)
  const place = {
    directory: `${options.stateDirectory}/agents`,
    waitsForClients: options.attended ?? options.kind === "host",
    restoresAgents: options.kind === "host"
  }
  return runtime(configured(options), options.stateDirectory, place, redactor).pipe(
    Layer.provide(options.accounts === undefined ? Layer.empty : accounts(options.accounts)),
    Layer.provideMerge(SqliteStore.layer(redactor)),
    Layer.provideMerge(owner(options))
  )
}
