/**
 * The entry: the editor calls `activate` once, and `deactivate` once before it ends the extension host.
 *
 * It is bundled by itself, without Effect: every window of the editor loads it, and few need the shell. Reading the shell's code alone takes
 * longer than all that is done here.
 */
import type { ExtensionContext } from "vscode"
import * as Entrance from "./Entrance.ts"
import type * as shell from "./shellEntry.ts"
import { editor } from "./VsCode.ts"

/** Beside this file once both are bundled; a name that the bundler does not follow. */
const shellFile: string = "./shell.cjs"

let entrance: Entrance.Entrance | undefined

export const activate = (context: ExtensionContext): void => {
  entrance = Entrance.start(editor, context, async (shown) => {
    const { start } = (await import(shellFile)) as typeof shell
    return start(shown, context)
  })
}

/** The editor waits about five seconds: disposal has ended, or is given up, within four. */
export const deactivate = async (): Promise<void> => {
  const ending = entrance
  entrance = undefined
  await ending?.dispose()
}
