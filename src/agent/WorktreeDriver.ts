/**
 * Puts agents that ask for it into worktrees of their own: around a driver, and around the tasks' own checks, so that neither they nor the
 * runtime know of git.
 *
 * Opening an agent acquires its worktree and opens it there. What an attempt that claims success leaves is committed before the claim is
 * told; what another leaves stays as it is, for the next attempt, and is committed when another task begins.
 */
import * as Effect from "effect/Effect"
import type { Claim } from "../task/Task.ts"
import type { AgentDriver, AgentSession, AttemptContext, AttemptFailure, Checked, TaskCheck } from "./AgentDriver.ts"
import type { AgentSpec } from "./AgentSpec.ts"
import type { Fault } from "./Fault.ts"
import { spawnFailed } from "./Program.ts"
import type { Place, Worktrees } from "./Worktree.ts"
import type { GitFailed } from "./WorktreeGit.ts"

const wants = (spec: AgentSpec): boolean => spec.isolation === "worktree"
const within = (spec: AgentSpec, cwd: string): AgentSpec => ({ ...spec, cwd, isolation: "shared" })

/** The driver, with agents in worktrees of their own where they ask for them. */
export const isolated = (driver: AgentDriver, worktrees: Worktrees): AgentDriver => {
  const run = Effect.fnUntraced(function* (
    place: Place,
    session: AgentSession,
    attempt: AttemptContext
  ): Effect.fn.Return<Claim, AttemptFailure> {
    yield* Effect.mapError(worktrees.begin(place, attempt.task), notBegun)
    const claim = yield* session.run(attempt)
    return yield* worktrees.commit(place, attempt.task, claim).pipe(
      Effect.as(claim),
      // The work is there, and stays there: only its commit is missing.
      Effect.catch((error) => Effect.succeed({ ...claim, output: `${claim.output}\n${uncommitted(place, error)}` }))
    )
  })
  return {
    ...driver,
    open: (spec, context) =>
      wants(spec)
        ? Effect.gen(function* () {
            const place = yield* Effect.mapError(worktrees.acquire(spec), (fault): Fault => fault)
            const session = yield* driver.open(within(spec, place.cwd), context)
            return { ...session, run: (attempt) => run(place, session, attempt) }
          })
        : driver.open(spec, context)
  }
}

/** The checks, made where the agent worked. */
export const checkedThere = (check: TaskCheck["Service"], worktrees: Worktrees): TaskCheck["Service"] => ({
  ...check,
  baseline: (task, agent) =>
    wants(agent)
      ? Effect.flatMap(worktrees.find(agent), (place) =>
          place === undefined
            ? Effect.undefined
            : // What an earlier task left is none of this one's changes.
              Effect.andThen(Effect.ignore(worktrees.begin(place, task)), check.baseline(task, within(agent, place.cwd)))
        )
      : check.baseline(task, agent),
  check: (task, agent, baseline, marker) =>
    wants(agent)
      ? Effect.flatMap(worktrees.find(agent), (place) =>
          place === undefined
            ? Effect.succeed<Checked>({ _tag: "Failed", detail: `The worktree of agent ${agent.id} is gone` })
            : check.check(task, within(agent, place.cwd), baseline, marker)
        )
      : check.check(task, agent, baseline, marker)
})

const notBegun = (error: GitFailed): AttemptFailure => ({
  fault: spawnFailed("worktree", error.message),
  started: false,
  sideEffects: "none",
  cause: error
})

const uncommitted = (place: Place, error: GitFailed): string =>
  `[nofx: this work could not be committed, and lies without a commit in ${place.top}: ${error.message}]`
