/**
 * The extension until somebody needs it: what activation runs, in every window of every project.
 *
 * It registers stand-ins, says which place this is, and looks whether there is work to go on with. The shell, with Effect and all the rest, is
 * loaded when it is: when work is there, a view is looked at, a command is run, or a tool is called. Nothing that is loaded here imports Effect.
 */
import type * as vscode from "vscode"
import { pathOf, placeIn } from "./Place.ts"
import * as PriorWork from "./PriorWork.ts"
import type { Shell } from "./Shell.ts"
import * as StandIns from "./StandIns.ts"

export interface Entrance {
  /** Ends the shell, if there is one or one is on its way, and then what stands in for it. Idempotent. Never rejects. */
  readonly dispose: () => Promise<void>
}

/** Everything that the manifest names is registered when it returns. `load` loads the shell, and starts it in the editor that it is given. */
export const start = (
  editor: typeof vscode,
  { extension, workspaceState }: vscode.ExtensionContext,
  load: (editor: typeof vscode) => Promise<Shell>
): Entrance => {
  let opening: Promise<Shell | undefined> | undefined
  let ending: Promise<void> | undefined

  /** Undefined: it could not be opened, and the user was told; the next use tries again. */
  const opened = async (): Promise<Shell | undefined> => {
    let shell: Shell | undefined
    try {
      shell = await load(standIns.editor)
      await shell.ready
      return shell
    } catch (cause) {
      await shell?.dispose()
      void editor.window.showErrorMessage(
        editor.l10n.t("NofX could not be loaded: {0}", cause instanceof Error ? cause.message : String(cause))
      )
      return undefined
    }
  }
  const open = async (): Promise<void> => {
    if (ending !== undefined) return
    opening ??= opened()
    if ((await opening) === undefined) opening = undefined
  }

  const standIns = StandIns.make(editor, extension.packageJSON.contributes, open)

  const look = (): void => {
    // From then on it is the shell that looks.
    if (opening !== undefined) return
    const place = placeIn(editor.workspace, workspaceState)
    void editor.commands.executeCommand("setContext", "nofx:place", place._tag)
    if (place._tag !== "ready") return
    const settings = editor.workspace.getConfiguration("nofx", editor.Uri.file(place.directory))
    if (settings.get("connectOnStartup") === false) return
    if (PriorWork.isIn(place.directory, pathOf(settings.inspect("stateDirectory")?.globalValue))) void open()
  }
  const looking = setImmediate(look)
  const listening = [editor.workspace.onDidChangeWorkspaceFolders(look), editor.workspace.onDidGrantWorkspaceTrust(look)]

  const end = async (): Promise<void> => {
    clearImmediate(looking)
    for (const listener of listening) listener.dispose()
    await (await opening)?.dispose()
    standIns.dispose()
  }
  return { dispose: () => (ending ??= end()) }
}
