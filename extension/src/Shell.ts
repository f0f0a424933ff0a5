/**
 * The shell as a whole: one layer graph over the editor and over a way to reach a runtime, with one life.
 *
 * Building it only registers what the manifest names; no process is started and no file is read. It ends once, within four seconds, and
 * leaves no listener, timer or process of its own behind.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import type * as vscode from "vscode"
import * as Commands from "./Commands.ts"
import * as ContextKeys from "./ContextKeys.ts"
import * as Dashboard from "./Dashboard.ts"
import * as Documents from "./Documents.ts"
import { Editor, Extension, hold, Log } from "./Editor.ts"
import type { Hosts } from "./Hosts.ts"
import * as LanguageTools from "./LanguageTools.ts"
import type { Later } from "./Later.ts"
import * as Link from "./Link.ts"
import * as Notifier from "./Notifier.ts"
import * as PermissionPrompts from "./PermissionPrompts.ts"
import * as Programs from "./Programs.ts"
import * as Settings from "./Settings.ts"
import * as StatusBar from "./StatusBar.ts"
import * as Transcripts from "./Transcripts.ts"
import * as Trees from "./trees/Trees.ts"

/** How long disposal may take: the editor kills the extension host about a second later. */
const disposeLimit = "4 seconds"

/** A running shell. */
export interface Shell {
  /** Everything that the manifest names is registered. Rejects when the editor refuses a registration. */
  readonly ready: Promise<void>
  /** Ends it. Idempotent: further calls wait for the same end. Never rejects. */
  readonly dispose: () => Promise<void>
}

const log = Layer.effect(
  Log,
  Effect.flatMap(Editor, (editor) => hold(() => editor.window.createOutputChannel("NofX", { log: true })))
)

const layer = <E, R>(outside: Layer.Layer<Hosts | Later, E, R>) =>
  Layer.mergeAll(Commands.layer, ContextKeys.layer, StatusBar.layer, Notifier.layer, LanguageTools.layer).pipe(
    Layer.provideMerge(Layer.mergeAll(Dashboard.layer, PermissionPrompts.layer, Programs.layer, Transcripts.layer, Trees.layer)),
    Layer.provideMerge(Documents.layer),
    Layer.provideMerge(Link.layer),
    Layer.provideMerge(Settings.layer),
    Layer.provideMerge(outside),
    Layer.provideMerge(log)
  )

/** Starts the shell in this editor, or in what its entrance gives it for one. `outside`: what it reaches outside of the editor. */
export const start = (
  editor: typeof vscode,
  context: vscode.ExtensionContext,
  outside: Layer.Layer<Hosts | Later, never, Editor | Extension | Log>
): Shell => {
  const { extension, extensionUri, globalState, globalStorageUri, subscriptions, workspaceState } = context
  const manifest: { readonly version: string; readonly contributes: { readonly configuration: { readonly properties: object } } } =
    extension.packageJSON
  const given = {
    extensionUri,
    globalState,
    globalStorageUri,
    subscriptions,
    workspaceState,
    version: manifest.version,
    settings: Object.keys(manifest.contributes.configuration.properties)
  }
  const runtime = ManagedRuntime.make(
    layer(outside).pipe(Layer.provide(Layer.succeed(Editor, editor)), Layer.provide(Layer.succeed(Extension, given)))
  )
  let ending: Promise<void> | undefined
  return {
    ready: runtime.runPromise(Effect.void),
    dispose: () => (ending ??= Effect.runPromise(Effect.asVoid(Effect.timeoutOption(Effect.ignore(runtime.disposeEffect), disposeLimit))))
  }
}
