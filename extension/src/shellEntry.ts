/** The entry of the second bundle, which is loaded when the shell is needed: the shell, with what it reaches outside of the editor. */
import * as Layer from "effect/Layer"
import type * as vscode from "vscode"
import * as HostsOnDemand from "./HostsOnDemand.ts"
import { Later } from "./Later.ts"
import type * as seldom from "./seldom.ts"
import * as Shell from "./Shell.ts"

/** Beside this file once both are bundled; a name that the bundler does not follow. */
const seldomFile: string = "./seldom.cjs"
const loader = Layer.succeed(Later, { load: () => import(seldomFile) as Promise<typeof seldom> })

/** Starts the shell in the editor that it is given. */
export const start = (editor: typeof vscode, context: vscode.ExtensionContext): Shell.Shell =>
  Shell.start(editor, context, Layer.merge(HostsOnDemand.layer, loader))
