/**
 * The runtime for programs without Effect: the operations of `AgentRuntime` under the same names, returning promises.
 *
 * A promise rejects with the typed error of the operation (`QueueFull`, `AgentNotFound` …), whose `_tag` tells it apart.
 */
import * as path from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { AgentDriver } from "./agent/AgentDriver.ts"
import { AgentRuntime } from "./AgentRuntime.ts"
import * as LocalRuntime from "./LocalRuntime.ts"
import type { DeadLetter } from "./reliability/DeadLetter.ts"
import type * as Health from "./reliability/Health.ts"
import type { Input as ConfigInput } from "./RuntimeConfig.ts"
import * as RuntimeConfig from "./RuntimeConfig.ts"
import type { RuntimeEvent } from "./RuntimeEvent.ts"
import * as StateDirectory from "./store/StateDirectory.ts"

type Service = AgentRuntime["Service"]

/** The operations that return a promise here: every one that is an Effect, or a function that returns one, without a scope of its own. */
type Promised<Member> =
  Member extends Effect.Effect<infer A, infer _E, never>
    ? () => Promise<A>
    : Member extends (...args: infer Args) => Effect.Effect<infer A, infer _E, never>
      ? (...args: Args) => Promise<A>
      : never

/** What has a form of its own here, or none. */
const others = ["events", "subscribe", "exportDLQ", "registerHealthCheck", "registerDLQProcessor", "attend"] as const
type Other = (typeof others)[number]

/** A health check of a program without Effect. */
export interface HealthCheck extends Omit<Health.Check, "run" | "recover"> {
  /** A rejection is unhealthy, with its reason as evidence. */
  readonly run: () => Promise<Health.CheckResult>
  readonly recover?: Omit<Health.Recovery, "action"> & { readonly action: () => Promise<unknown> }
}

export type AgentManager = { readonly [Name in Exclude<keyof Service, Other>]: Promised<Service[Name]> } & {
  /** Events from now on; leaving the loop ends it. */
  readonly events: () => AsyncIterable<RuntimeEvent>
  /** Every dead letter as a JSON document. */
  readonly exportDLQ: () => AsyncIterable<string>
  /** What a redrive does with dead letters of this kind: resolve when it is done, reject when it failed again. */
  readonly registerDLQProcessor: (kind: string, handler: (letter: DeadLetter) => Promise<void>) => Promise<void>
  /** Runs a check from now on; call the answer to take it out again. */
  readonly registerHealthCheck: (check: HealthCheck) => Promise<() => Promise<void>>
  /** Shuts down and closes everything. Once; later calls wait for the same end. */
  readonly dispose: () => Promise<void>
}

/** Where and how the manager works. */
export interface Options {
  /** Where agents work that name no directory. Default: the process' current directory. */
  readonly cwd?: string
  /** The environment that agents inherit. Default: the process' own. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Where the state is kept, durably and owned by this manager alone. Default: in memory only, gone with the process. */
  readonly stateDirectory?: string
  /** Drivers of the program's own, by name, besides `command` and `acp`. */
  readonly drivers?: Readonly<Record<string, AgentDriver>>
}

/**
 * Starts a runtime in this process.
 *
 * `config`: any part of the configuration, by the names of a task file's `config`; rejects with a `SchemaError` that names the path of what is
 * wrong. With a state directory it rejects with `OwnedByAnother` when another process owns that.
 */
export const createAgentManager = async (config: ConfigInput = {}, options: Options = {}): Promise<AgentManager> => {
  const cwd = path.resolve(options.cwd ?? ".")
  const env = Object.fromEntries(
    Object.entries(options.env ?? process.env).filter((entry): entry is [string, string] => entry[1] !== undefined)
  )
  const layer = Layer.unwrap(
    Effect.gen(function* () {
      const decoded = yield* RuntimeConfig.decode(config)
      const shared = { config: decoded, cwd, env, drivers: options.drivers ?? {} }
      if (options.stateDirectory !== undefined) {
        const stateDirectory = yield* StateDirectory.ensure(path.resolve(options.stateDirectory))
        return LocalRuntime.layer({ ...shared, stateDirectory, kind: "run" }) as Layer.Layer<AgentRuntime, unknown, FileSystem.FileSystem>
      }
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped({ prefix: "nofx-" })
      return LocalRuntime.layerMemory({ ...shared, directory })
    })
  ).pipe(Layer.provide(NodeServices.layer))
  const managed = ManagedRuntime.make(layer)
  const service = await managed.runPromise(AgentRuntime).catch(async (error: unknown) => {
    await managed.dispose()
    throw error
  })

  let disposed: Promise<void> | undefined
  const run = async <A, E>(effect: Effect.Effect<A, E>): Promise<A> => {
    if (disposed !== undefined) throw new Error("The agent manager was disposed of")
    return managed.runPromise(effect)
  }
  const methods: Record<string, unknown> = {}
  for (const [name, member] of Object.entries(service)) {
    if ((others as ReadonlyArray<string>).includes(name)) continue
    methods[name] = (...args: ReadonlyArray<never>) =>
      run(
        typeof member === "function"
          ? (member as (...args: ReadonlyArray<never>) => Effect.Effect<unknown>)(...args)
          : (member as Effect.Effect<unknown>)
      )
  }
  return {
    ...(methods as Pick<AgentManager, Exclude<keyof Service, Other>>),
    events: () => Stream.toAsyncIterable(service.events),
    exportDLQ: () => Stream.toAsyncIterable(service.exportDLQ),
    registerDLQProcessor: (kind, handler) =>
      run(
        service.registerDLQProcessor(kind, (letter) =>
          Effect.as(
            fromPromise(() => handler(letter)),
            { _tag: "Resolved" as const }
          )
        )
      ),
    registerHealthCheck: ({ recover, run: check, ...rest }) =>
      run(
        Effect.gen(function* () {
          const scope = yield* Scope.fork(managed.scope)
          const { action, ...budget } = recover ?? {}
          yield* Scope.provide(
            service.registerHealthCheck({
              ...rest,
              run: fromPromise(check),
              ...(action === undefined ? {} : { recover: { ...budget, action: fromPromise(action) } })
            }),
            scope
          )
          return () => Effect.runPromise(Scope.close(scope, Exit.void))
        })
      ),
    dispose: () => (disposed ??= managed.dispose())
  }
}

/** Fails with what the promise was rejected with, as it was. */
const fromPromise = <A>(start: () => Promise<A>): Effect.Effect<A, unknown> =>
  Effect.flatten(
    Effect.promise(() =>
      Promise.resolve()
        .then(start)
        .then((value) => Effect.succeed(value) as Effect.Effect<A, unknown>, Effect.fail)
    )
  )
