/** The one module that imports the editor's API by value. */
import * as vscode from "vscode"

/** The editor that this extension runs in. */
export const editor: typeof vscode = vscode
