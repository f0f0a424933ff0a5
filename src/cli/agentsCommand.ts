/** `nofx agents`: the agents of the run that is going on, or of one that was interrupted. */
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { AgentView } from "../RuntimeStatus.ts"
import { json, stateDir } from "./flags.ts"
import * as LiveHost from "./liveHost.ts"
import { Machine } from "./machine.ts"
import { agentViews } from "./stored.ts"
import * as Table from "./table.ts"
import { view } from "./viewer.ts"

export const agentsCommand = Command.make(
  "agents",
  { json, stateDir },
  Effect.fnUntraced(function* (input) {
    const { terminal } = yield* Machine
    const agents = yield* view(Option.getOrUndefined(input.stateDir), ({ directory, owner, store }) =>
      Effect.flatMap(
        LiveHost.answer(directory, (runtime) => runtime.agents),
        (live) =>
          live === undefined
            ? Effect.zipWith(store.load, owner, (loaded, seen) => agentViews(loaded, seen?.alive === true))
            : Effect.succeed(live)
      )
    )
    if (input.json) return yield* Console.log(JSON.stringify({ _tag: "Agents", agents }))
    yield* Console.log(
      agents.length === 0
        ? "no agents: none is running, and a finished run takes its own with it"
        : agentTable(agents, terminal?.columns()).join("\n")
    )
  })
).pipe(Command.withDescription("List the agents of the run that is going on, or of one that was interrupted."))

/** One row an agent. */
export const agentTable = (agents: ReadonlyArray<AgentView>, columns?: number): ReadonlyArray<string> =>
  Table.lines(
    ["AGENT", "STATE", "TASK", "DRIVER", "ACCOUNT", "PID", "RESTARTS", "CAPABILITIES", "DETAIL"],
    agents.map(({ account, capabilities, detail, driver, id, pid, restarts, state, task }) => [
      id,
      state,
      task ?? "",
      driver,
      account,
      pid === undefined ? "" : String(pid),
      String(restarts),
      capabilities.join(","),
      detail
    ]),
    { columns }
  )
