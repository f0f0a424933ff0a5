/** The entry: the editor calls `activate` once, and `deactivate` once before it ends the extension host. */
import * as Layer from "effect/Layer"
import type { ExtensionContext } from "vscode"
import { Later } from "./Later.ts"
import type * as seldom from "./seldom.ts"
import * as HostsOnDemand from "./HostsOnDemand.ts"
import * as Shell from "./Shell.ts"
import { editor } from "./VsCode.ts"

/** Beside this file once both are bundled; a name that the bundler does not follow. */
const seldomFile: string = "./seldom.cjs"
const loader = Layer.succeed(Later, { load: () => import(seldomFile) as Promise<typeof seldom> })

let shell: Shell.Shell | undefined

export const activate = async (context: ExtensionContext): Promise<void> => {
  shell = Shell.start(editor, context, Layer.merge(HostsOnDemand.layer, loader))
  await shell.ready
}

/** The editor waits about five seconds: disposal has ended, or is given up, within four. */
export const deactivate = async (): Promise<void> => {
  const ending = shell
  shell = undefined
  await ending?.dispose()
}
