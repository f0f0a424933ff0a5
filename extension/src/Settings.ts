/** The user's settings and the window's folder, read when they are needed and told when they change. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as vscode from "vscode"
import { ask, Editor, Extension, Log, onEvent } from "./Editor.ts"
import type { Wish } from "./Hosts.ts"
import { chosenFolder, type Place, placeIn } from "./Place.ts"
import type { Read, Source } from "./SettingsReader.ts"

const toldOfPredecessor = "toldOfPredecessor"

export class Settings extends Context.Service<
  Settings,
  {
    readonly place: () => Place
    readonly read: Effect.Effect<Read>
    /** Is work that is still there to be reached when a window opens? */
    readonly connectOnStartup: () => boolean
    /** What to ask of the host of a folder. */
    readonly wish: (directory: string) => Effect.Effect<Wish>
    /** Works in this folder from now on, where the window has several. */
    readonly choose: (directory: string) => Effect.Effect<void>
    /** Says what cannot be taken, and once that settings of the predecessor are used. */
    readonly tell: Effect.Effect<void>
    /** Calls back when the folder, its trust, or a setting of ours has changed; answers how to stop that. */
    readonly onChange: (listener: () => void) => () => void
  }
>()("nofx/extension/Settings") {}

export const layer = Layer.effect(
  Settings,
  Effect.gen(function* () {
    const editor = yield* Editor
    const { globalState, settings: contributed, workspaceState } = yield* Extension
    const log = yield* Log
    const { workspace } = editor
    const listeners = new Set<() => void>()
    const changed = (): void => {
      for (const listener of listeners) listener()
    }

    const place = (): Place => placeIn(workspace, workspaceState)

    const sourceOf = (): Source => {
      const here = place()
      const scope = here._tag === "ready" ? editor.Uri.file(here.directory) : null
      const settings = workspace.getConfiguration("nofx", scope)
      const given = (key: string, byFolder: boolean): unknown => {
        const found: Partial<NonNullable<ReturnType<vscode.WorkspaceConfiguration["inspect"]>>> = settings.inspect(key) ?? {}
        const folder = byFolder ? (found.workspaceFolderValue ?? found.workspaceValue) : undefined
        return folder ?? found.globalValue
      }
      return { given: (key) => given(key, workspace.isTrusted), givenByUser: (key) => given(key, false) }
    }

    // What decodes the settings takes longer to load than all of the shell, which starts without it.
    const current = Effect.map(
      Effect.promise(() => import("./SettingsReader.ts")),
      ({ read }): Read => read(sourceOf(), contributed)
    )

    let told = ""
    yield* onEvent(workspace.onDidChangeWorkspaceFolders, changed)
    yield* onEvent(workspace.onDidGrantWorkspaceTrust, changed)
    yield* onEvent(workspace.onDidChangeConfiguration, (change) => {
      if (change.affectsConfiguration("nofx")) changed()
    })

    return {
      place,
      read: current,
      connectOnStartup: () => sourceOf().given("connectOnStartup") !== false,
      wish: (directory) =>
        Effect.map(current, ({ config, nodePath, onEditorClose, stateDirectory }) => ({
          directory,
          config,
          nodePath,
          onEditorClose,
          stateDirectory
        })),
      choose: (directory) =>
        Effect.andThen(
          ask(() => workspaceState.update(chosenFolder, directory)),
          Effect.sync(changed)
        ),
      tell: Effect.map(current, ({ predecessor, problems }) => {
        const text = problems.join("\n")
        if (text !== told && problems.length > 0) {
          for (const problem of problems) log.warn(problem)
          void editor.window.showWarningMessage(
            editor.l10n.t("NofX leaves out settings that it cannot take: {0}", problems.slice(0, 3).join("; "))
          )
        }
        told = text
        if (predecessor.length > 0 && globalState.get(toldOfPredecessor) !== true) {
          void globalState.update(toldOfPredecessor, true)
          const open = editor.l10n.t("Open Settings")
          const text = editor.l10n.t(
            "NofX goes by your earlier settings {0} until you replace them. Agents ask for permissions now, whatever was set before.",
            predecessor.join(", ")
          )
          void editor.window
            .showInformationMessage(text, open)
            .then((chosen) => chosen === open && editor.commands.executeCommand("nofx.openSettings"))
        }
      }),
      onChange: (listener) => {
        listeners.add(listener)
        return () => void listeners.delete(listener)
      }
    }
  })
)
