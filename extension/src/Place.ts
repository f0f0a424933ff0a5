/** Where a window works: the folder whose runtime it shows, or why there is none. Pure. */
import type * as vscode from "vscode"

export type Place =
  | { readonly _tag: "noFolder" }
  /** Its files are not on this machine. */
  | { readonly _tag: "virtual" }
  /** The user has not said that its programs may run. */
  | { readonly _tag: "untrusted" }
  | { readonly _tag: "ready"; readonly directory: string; readonly name: string }

/** What it depends on. */
export interface Workspace {
  readonly folders: ReadonlyArray<Pick<vscode.WorkspaceFolder, "name"> & { readonly uri: Pick<vscode.Uri, "scheme" | "fsPath"> }>
  readonly trusted: boolean
  /** The directory of the folder that the user chose, where there are several. */
  readonly chosen: string | undefined
}

/** Under this the editor remembers the folder that the user chose. */
export const chosenFolder = "chosenFolder"

/** As the editor has it now. */
export const placeIn = (
  { isTrusted, workspaceFolders }: Pick<typeof vscode.workspace, "isTrusted" | "workspaceFolders">,
  memory: Pick<vscode.Memento, "get">
): Place => placeOf({ folders: workspaceFolders ?? [], trusted: isTrusted, chosen: memory.get<string>(chosenFolder) })

/** The chosen folder, else the first one on this machine. */
export const placeOf = ({ chosen, folders, trusted }: Workspace): Place => {
  if (folders.length === 0) return { _tag: "noFolder" }
  const local = folders.filter(({ uri }) => uri.scheme === "file")
  const folder = local.find(({ uri }) => uri.fsPath === chosen) ?? local[0]
  if (folder === undefined) return { _tag: "virtual" }
  if (!trusted) return { _tag: "untrusted" }
  return { _tag: "ready", directory: folder.uri.fsPath, name: folder.name }
}

/** A path that a user may have set; undefined: none was. */
export const pathOf = (value: unknown): string | undefined => (typeof value === "string" && value.trim() !== "" ? value.trim() : undefined)

export const samePlace = (a: Place, b: Place): boolean =>
  a._tag === b._tag && (a._tag !== "ready" || (b._tag === "ready" && a.directory === b.directory))
