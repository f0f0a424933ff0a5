/** The whole shell in a fake editor, over a real runtime in memory whose agents are scripted. */
import { Context, Effect, Layer, SubscriptionRef } from "effect"
import { assert } from "vitest"
import { AgentRuntime } from "../../../src/AgentRuntime.ts"
import { type HostAbout, type HostState, Hosts, HostUnavailable, type Wish } from "../../../extension/src/Hosts.ts"
import { Later } from "../../../extension/src/Later.ts"
import * as Entrance from "../../../extension/src/Entrance.ts"
import * as seldom from "../../../extension/src/seldom.ts"
import * as Shell from "../../../extension/src/Shell.ts"
import manifest from "../../../extension/package.json" with { type: "json" }
import * as Runtime from "../../support/runtime.ts"
import * as FakeEditor from "./fakeEditor.ts"

export interface Options extends FakeEditor.Options {
  readonly drivers?: Runtime.Options["drivers"]
  readonly config?: unknown
  /** Behind its entrance, as the editor starts it: loaded when it is needed. */
  readonly lazily?: boolean
  /** Why it cannot be loaded. */
  readonly unloadable?: () => Error | undefined
  /** Has something worked in the folder before? */
  readonly hasState?: boolean
  /** Why no host can be reached. */
  readonly broken?: () => Error | undefined
  /** The host's version differs. */
  readonly skew?: HostAbout["skew"]
}

/** Starts it; `end` ends both. `wishes` are what hosts were asked for. */
export const start = async (options: Options = {}) => {
  const fake = FakeEditor.make(manifest, { folder: "/project", ...options })
  const wishes: Array<Wish> = []
  const runtimes: Array<AgentRuntime["Service"]> = []
  /** What hosts were told, in order: `retire`, or what to do when the last window closes. */
  const told: Array<string> = []
  const states = Effect.runSync(SubscriptionRef.make<HostState>(connected(options.skew)))
  const hosts = Layer.succeed(Hosts, {
    node: () => Effect.succeed("/usr/bin/node"),
    hasState: () => Effect.succeed(options.hasState ?? false),
    connect: (wanted) =>
      Effect.gen(function* () {
        const wish = yield* wanted
        if (wish === undefined) return yield* Effect.interrupt
        wishes.push(wish)
        const problem = options.broken?.()
        if (problem instanceof HostUnavailable) return yield* problem
        if (problem !== undefined) return yield* Effect.die(problem)
        const config = options.config ?? wish.config
        const drivers = options.drivers ?? { command: Runtime.driver(Runtime.succeedAfter("1 millis")) }
        const runtime = Context.get(
          yield* Layer.build(Runtime.layer({ config, drivers, environment: { waitsForClients: true } })),
          AgentRuntime
        )
        runtimes.push(runtime)
        return {
          runtime,
          states: SubscriptionRef.changes(states),
          lost: Effect.never,
          retire: Effect.sync(() => told.push("retire")),
          leaving: (mode) => Effect.asVoid(Effect.sync(() => told.push(mode)))
        }
      })
  })
  let loads = 0
  const load = async (editor: typeof fake.editor): Promise<Shell.Shell> => {
    loads++
    const problem = options.unloadable?.()
    if (problem !== undefined) throw problem
    return Shell.start(editor, fake.context, Layer.merge(hosts, Layer.succeed(Later, { load: async () => seldom })))
  }
  const start = async (): Promise<Pick<Shell.Shell, "dispose">> => {
    if (options.lazily === true) return Entrance.start(fake.editor, fake.context, load)
    const started = await load(fake.editor)
    await started.ready
    return started
  }
  const shell = await start()
  const become = (state: HostState) => Effect.runPromise(SubscriptionRef.set(states, state))
  return { ...fake, shell, loads: () => loads, wishes, told, become, runtime: () => runtimes.at(-1)! }
}

export const connected = (skew?: HostAbout["skew"]): HostState => ({
  _tag: "Connected",
  about: { stateDirectory: undefined, about: [["Process", "1"]], skew }
})

/** Everything that the manifest names is registered, and nothing else. */
export const assertRegistered = ({ commands, tools, trees }: Started): void => {
  const { contributes } = manifest
  assert.sameMembers(
    [...commands.keys()],
    contributes.commands.map(({ command }) => command)
  )
  assert.sameMembers(
    [...trees.keys()],
    contributes.views.nofx.map(({ id }) => id)
  )
  assert.sameMembers(
    [...tools.keys()],
    contributes.languageModelTools.map(({ name }) => name)
  )
}

export type Started = Awaited<ReturnType<typeof start>>

/** Waits for something to be so; a bound for when it never is. */
export const until = async (what: () => boolean, label: string): Promise<void> => {
  for (let look = 0; look < 1_000; look++) {
    if (what()) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error(`never: ${label}`)
}
