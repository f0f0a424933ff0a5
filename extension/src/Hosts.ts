/** Where runtimes come from: the port between the shell and the host of a folder. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { AgentRuntime } from "../../src/AgentRuntime.ts"
import type { Input } from "../../src/RuntimeConfig.ts"

/** The runtime of a folder cannot be reached or started. Nothing was changed. */
export class HostUnavailable extends Schema.TaggedError<HostUnavailable>()("HostUnavailable", {
  directory: Schema.String,
  detail: Schema.String,
  /** It passes by itself, when what runs there has ended. */
  passes: Schema.Boolean,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return `NofX could not be started in ${this.directory}: ${this.detail}`
  }
}

/** What a host is started with, by the user's settings. */
export interface Wish {
  /** The folder. Absolute. */
  readonly directory: string
  readonly config: Input
  /** What the host does with its work when the last window closes. */
  readonly onEditorClose: "finish" | "pause" | "stop"
  /** A Node of the user's choice. */
  readonly nodePath: string | undefined
  /** A state directory of the user's choice. */
  readonly stateDirectory: string | undefined
}

/** What there is to know of a host that is connected. */
export interface HostAbout {
  /** Where it keeps its state; undefined where it has none on this machine. */
  readonly stateDirectory: string | undefined
  /** For people: its pid, its Node, its version. */
  readonly about: ReadonlyArray<readonly [label: string, value: string]>
  /** Its version and the extension's, where they differ; `older`: it is to be replaced. */
  readonly skew: { readonly host: string; readonly own: string; readonly older: boolean } | undefined
}

export type HostState =
  | { readonly _tag: "Connected"; readonly about: HostAbout }
  | { readonly _tag: "Reconnecting"; readonly detail: string }

/** A runtime that is reached. */
export interface Reached {
  readonly runtime: AgentRuntime["Service"]
  /** As it is, and as it becomes. */
  readonly states: Stream.Stream<HostState>
  /** Completes when it is not reached any more, with why. */
  readonly lost: Effect.Effect<string>
  /** Has the host end as soon as no attempt runs; the next one goes on, by the settings of then. Answers how many run. */
  readonly retire: Effect.Effect<number>
  /** The host does this with its work, from now on, when the last window closes. */
  readonly leaving: (mode: Wish["onEditorClose"]) => Effect.Effect<void>
}

/** Starts and reaches the host of a folder. */
export class Hosts extends Context.Service<
  Hosts,
  {
    /**
     * Reaches the folder's host until the scope closes; starts one when there is none, now and whenever it was lost. Leaving is no end for its
     * work. `wish` is asked for each start; undefined: none is wanted any more.
     */
    readonly connect: (wish: Effect.Effect<Wish | undefined>) => Effect.Effect<Reached, HostUnavailable, Scope.Scope>
    /** The Node that would run the folder's host, and its path; fails where none on this machine can. */
    readonly node: (wish: Pick<Wish, "nodePath">) => Effect.Effect<string, { readonly message: string }>
    /** Has a runtime worked here, so that there may be something to show? Starts nothing, and is quick. */
    readonly hasState: (wish: Pick<Wish, "directory" | "stateDirectory">) => Effect.Effect<boolean>
  }
>()("nofx/extension/Hosts") {}
