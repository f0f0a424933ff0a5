/** The whole shell in a fake editor, over a real runtime in memory whose agents are scripted. */
import { Context, Effect, Layer } from "effect"
import { AgentRuntime } from "../../../src/AgentRuntime.ts"
import { Hosts, type Wish } from "../../../extension/src/Hosts.ts"
import { Later } from "../../../extension/src/Later.ts"
import * as seldom from "../../../extension/src/seldom.ts"
import * as Shell from "../../../extension/src/Shell.ts"
import manifest from "../../../extension/package.json" with { type: "json" }
import * as Runtime from "../../support/runtime.ts"
import * as FakeEditor from "./fakeEditor.ts"

export interface Options extends FakeEditor.Options {
  readonly drivers?: Runtime.Options["drivers"]
  readonly config?: unknown
  /** Has something worked in the folder before? */
  readonly hasState?: boolean
  /** Why no host can be reached. */
  readonly broken?: () => Error | undefined
}

/** Starts it; `end` ends both. `wishes` are what hosts were asked for. */
export const start = async (options: Options = {}) => {
  const fake = FakeEditor.make(manifest, { folder: "/project", ...options })
  const wishes: Array<Wish> = []
  const runtimes: Array<AgentRuntime["Service"]> = []
  const hosts = Layer.succeed(Hosts, {
    hasState: () => Effect.succeed(options.hasState ?? false),
    connect: (wish) =>
      Effect.gen(function* () {
        wishes.push(wish)
        const problem = options.broken?.()
        if (problem !== undefined) return yield* Effect.die(problem)
        const config = options.config ?? wish.config
        const drivers = options.drivers ?? { command: Runtime.driver(Runtime.succeedAfter("1 millis")) }
        const runtime = Context.get(
          yield* Layer.build(Runtime.layer({ config, drivers, environment: { waitsForClients: true } })),
          AgentRuntime
        )
        runtimes.push(runtime)
        return { runtime, lost: Effect.never, stateDirectory: undefined, about: [["Process", "1"]] as const }
      })
  })
  const shell = Shell.start(fake.editor, fake.context, Layer.merge(hosts, Layer.succeed(Later, { load: async () => seldom })))
  await shell.ready
  return { ...fake, shell, wishes, runtime: () => runtimes.at(-1)! }
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
