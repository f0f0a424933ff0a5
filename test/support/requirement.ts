/** Tests that need something of the machine: a server, a browser, a namespace of the kernel. */
import { spawnSync } from "node:child_process"
import { describe } from "vitest"

/** Is this program on the PATH? */
export const onPath = (program: string): boolean => spawnSync(program, ["--version"], { stdio: "ignore" }).error === undefined

/**
 * A `describe` for tests that need `name`. Where the probe does not find it, they are skipped and the reason is printed; on a build
 * machine (`CI` is set), which must have everything, that is an error instead.
 *
 * ```ts
 * requires("redis-server", () => onPath("redis-server"))("limits on Redis", () => { ... })
 * ```
 */
export const requires = (name: string, probe: () => boolean): ReturnType<typeof describe.skipIf> => {
  const found = probe()
  if (!found && process.env.CI !== undefined) throw new Error(`These tests need ${name}, and this build machine does not have it.`)
  if (!found) console.warn(`SKIPPED: these tests need ${name}, which this machine does not have.`)
  return describe.skipIf(!found)
}
