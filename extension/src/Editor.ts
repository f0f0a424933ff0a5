/** The editor as a service: its API is handed in, so that everything else can be tested without an editor. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as vscode from "vscode"

/** The editor's API. */
export class Editor extends Context.Service<Editor, typeof vscode>()("nofx/extension/Editor") {}

/** What this extension is given by the editor: where it lies, and small memories. */
export class Extension extends Context.Service<
  Extension,
  Pick<vscode.ExtensionContext, "extensionUri" | "globalState" | "workspaceState" | "globalStorageUri" | "subscriptions"> & {
    readonly version: string
    /** The settings that the manifest contributes, by their whole names. */
    readonly settings: ReadonlyArray<string>
  }
>()("nofx/extension/Extension") {}

/** The one log of the extension; the editor decides how much of it is kept. */
export class Log extends Context.Service<Log, vscode.LogOutputChannel>()("nofx/extension/Log") {}

/** Holds a registration until the scope closes. */
export const hold = <A extends { dispose: () => unknown }>(make: () => A): Effect.Effect<A, never, Scope.Scope> =>
  Effect.acquireRelease(Effect.sync(make), (held) => Effect.sync(() => void held.dispose()))

/** Waits for the editor's answer. A rejection is a defect: the editor does not refuse what is asked of it here. */
export const ask = <A>(call: () => Thenable<A>): Effect.Effect<A> => Effect.promise(() => Promise.resolve(call()))

/** Done right after the shell has started: who waits for that does not wait for what has to be loaded for this. */
export const afterStart = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => Effect.delay(effect, "1 millis")

/** Calls back with every event until the scope closes. */
export const onEvent = <A>(event: vscode.Event<A>, listener: (value: A) => void): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(hold(() => event(listener)))
