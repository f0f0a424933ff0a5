/** Which agents get a worktree of their own when nobody said so, and where worktrees lie. */
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as StateDirectory from "../store/StateDirectory.ts"
import type { AgentSpec } from "./AgentSpec.ts"

/**
 * Where worktrees of a repository lie: in the state directory `base`; in the user's own for the repository where that lies within the
 * working tree, in which an agent's files have no business.
 */
export const directoryIn =
  (base: string, place: StateDirectory.Place) =>
  (common: string, top: string): string => {
    const own = StateDirectory.repositoryDirectory(place, common)
    const real = fs.existsSync(base) ? fs.realpathSync(base) : path.resolve(base)
    const inside = !path.relative(top, real).startsWith("..")
    return inside ? path.join(own, "worktrees") : path.join(real, "worktrees", path.basename(own))
  }

/** The git repository of an agent's working directory; undefined where there is none. */
const repositoryOf = (spec: AgentSpec, cwd: string): Effect.Effect<string | undefined> => {
  const directory = path.resolve(cwd, spec.cwd ?? ".")
  return StateDirectory.repositoryOf(directory).pipe(
    Effect.map((found) => (found === fs.realpathSync(directory) ? undefined : found)),
    Effect.orElseSucceed(() => undefined)
  )
}

/**
 * Agents with their isolation decided: a worktree for every ACP agent that shares a git repository with another, unless it says otherwise.
 *
 * `others`: agents that are there already, and stay as they are. `cwd`: what relative directories are resolved against.
 */
export const decide = Effect.fnUntraced(function* (
  specs: ReadonlyArray<AgentSpec>,
  cwd: string,
  others: ReadonlyArray<AgentSpec> = []
): Effect.fn.Return<ReadonlyArray<AgentSpec>> {
  const open = (spec: AgentSpec) => spec.driver === "acp" && spec.isolation === undefined
  if (!specs.some(open)) return specs
  const repositories = new Map<AgentSpec, string | undefined>()
  const sharing = new Map<string, number>()
  for (const spec of [...specs, ...others]) {
    if (spec.driver !== "acp") continue
    const repository = yield* repositoryOf(spec, cwd)
    repositories.set(spec, repository)
    if (repository !== undefined) sharing.set(repository, (sharing.get(repository) ?? 0) + 1)
  }
  return specs.map((spec) => {
    const repository = repositories.get(spec)
    return open(spec) && repository !== undefined && (sharing.get(repository) ?? 0) > 1 ? { ...spec, isolation: "worktree" as const } : spec
  })
})
