/** Where runtimes come from: the port between the shell and the host of a folder. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { AgentRuntime } from "../../src/AgentRuntime.ts"
import type { Input } from "../../src/RuntimeConfig.ts"

/** The runtime of a folder cannot be reached or started. Nothing was changed. */
export class HostUnavailable extends Schema.TaggedError<HostUnavailable>()("HostUnavailable", {
  directory: Schema.String,
  detail: Schema.String,
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

/** A runtime that is reached. */
export interface Reached {
  readonly runtime: AgentRuntime["Service"]
  /** Completes when it is not reached any more, with why. */
  readonly lost: Effect.Effect<string>
  /** Where the host keeps its state; undefined where it has none on this machine. */
  readonly stateDirectory: string | undefined
  /** What there is to know of the host, for people: its pid, its Node, its version. */
  readonly about: ReadonlyArray<readonly [label: string, value: string]>
}

/** Starts and reaches the host of a folder. */
export class Hosts extends Context.Service<
  Hosts,
  {
    /** Reaches the folder's host until the scope closes; starts one when there is none. Leaving is no end for its work. */
    readonly connect: (wish: Wish) => Effect.Effect<Reached, HostUnavailable, Scope.Scope>
    /** Has a runtime worked here, so that there may be something to show? Starts nothing, and is quick. */
    readonly hasState: (wish: Pick<Wish, "directory" | "stateDirectory">) => Effect.Effect<boolean>
  }
>()("nofx/extension/Hosts") {}
