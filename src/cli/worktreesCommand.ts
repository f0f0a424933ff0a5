/** `nofx worktrees list|diff|merge|remove`: what agents left in worktrees of their own. Works on the repository of the current directory. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as ProcessTree from "../agent/ProcessTree.ts"
import * as WorktreeReview from "../agent/WorktreeReview.ts"
import { json } from "./flags.ts"
import { Machine } from "./machine.ts"
import { brief, commandText, printable } from "./printable.ts"
import * as Table from "./table.ts"

const agent = Argument.String("AGENT").pipe(Argument.withDescription("The agent whose worktree it is"))

/** Does something with the worktrees of the current directory's repository. */
const review = <A, E, R>(work: (review: WorktreeReview.Review) => Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const { cwd, env } = yield* Machine
    return yield* Effect.flatMap(WorktreeReview.make(env, cwd), work)
  }).pipe(Effect.provide(ProcessTree.layer))

const tell = (asJson: boolean, document: unknown, text: string) => Console.log(asJson ? JSON.stringify(document) : text)

const list = Command.make(
  "list",
  { json },
  Effect.fnUntraced(function* (input) {
    const all = yield* review((found) => found.list)
    if (input.json) return yield* Console.log(JSON.stringify({ _tag: "Worktrees", worktrees: all }))
    if (all.length === 0) return yield* Console.log("No agent has a worktree in this repository.")
    const { terminal } = yield* Machine
    const rows = all.map((each) => [
      each.agent,
      each.state,
      `${each.ahead} ahead`,
      each.uncommitted.length === 0 ? "clean" : `${each.uncommitted.length} uncommitted`,
      each.subject,
      each.path
    ])
    const lines = Table.lines(["agent", "state", "commits", "files", "last commit", "worktree"], rows, { columns: terminal?.columns() })
    yield* Console.log(lines.join("\n"))
  })
).pipe(Command.withDescription("List the worktrees of agents: their state, what is not merged, and what is in no commit"))

const diff = Command.make(
  "diff",
  { agent, json, stat: Flag.Boolean("stat").pipe(Flag.withDescription("Only how much changed in which files"), Flag.withDefault(false)) },
  Effect.fnUntraced(function* (input) {
    const found = yield* review((each) => each.diff(input.agent, input.stat))
    if (input.json) return yield* Console.log(JSON.stringify({ _tag: "WorktreeDiff", agent: input.agent, ...found }))
    if (found.text !== "") yield* Console.log(printable(found.text))
    if (found.untracked.length > 0)
      yield* Console.error(`New files that are in no commit: ${found.untracked.map((name) => brief(name)).join(", ")}`)
  })
).pipe(Command.withDescription("Show what an agent changed since it left the current branch, without a commit too"))

const merge = Command.make(
  "merge",
  { agent, json },
  Effect.fnUntraced(function* (input) {
    const merged = yield* review((each) => each.merge(input.agent))
    const { invocation } = yield* Machine
    const text =
      merged.commits === 0
        ? `Everything of ${input.agent} is merged already.`
        : `Merged ${merged.commits} ${merged.commits === 1 ? "commit" : "commits"} of ${input.agent}. Next: ${commandText(invocation, ["worktrees", "remove", input.agent])}`
    yield* tell(input.json, { _tag: "WorktreeMerged", agent: input.agent, ...merged }, text)
  })
).pipe(
  Command.withDescription(
    "Merge an agent's branch into the current one. Refused, before anything is touched, when either has changes that are in no commit, or when they conflict."
  )
)

const remove = Command.make(
  "remove",
  {
    agent,
    json,
    ignored: Flag.Boolean("ignored").pipe(
      Flag.withDescription("Delete files that git ignores too, such as what tools have fetched"),
      Flag.withDefault(false)
    )
  },
  Effect.fnUntraced(function* (input) {
    const removed = yield* review((each) => each.remove(input.agent, input.ignored))
    const text = `Removed the worktree of ${input.agent}; its branch was ${removed.branch === "kept" ? "kept: not everything on it is merged" : "merged, and is deleted"}.`
    yield* tell(input.json, { _tag: "WorktreeRemoved", agent: input.agent, ...removed }, text)
  })
).pipe(
  Command.withDescription(
    "Remove an agent's worktree. Refused while it works, and while it holds anything that is in no commit. Its branch stays until it is merged."
  )
)

export const worktreesCommand = Command.make("worktrees").pipe(
  Command.withDescription("Look at, merge and remove the worktrees of agents, in the repository of the current directory"),
  Command.withSubcommands([list, diff, merge, remove])
)
