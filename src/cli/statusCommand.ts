/** `nofx status`: everything at a glance, from what is written down. */
import * as Clock from "effect/Clock"
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { agentTable } from "./agentsCommand.ts"
import { clockTime, dateTime } from "./eventText.ts"
import { json, stateDir } from "./flags.ts"
import * as LiveHost from "./liveHost.ts"
import { Machine } from "./machine.ts"
import { brief } from "./printable.ts"
import * as Stored from "./stored.ts"
import * as Table from "./table.ts"
import { view } from "./viewer.ts"

export const statusCommand = Command.make(
  "status",
  { json, stateDir },
  Effect.fnUntraced(function* (input) {
    const { terminal } = yield* Machine
    const now = yield* Clock.currentTimeMillis
    const written = yield* view(Option.getOrUndefined(input.stateDir), (seen) => Stored.read(seen, now))
    const live = yield* LiveHost.answer(written.directory, (runtime) => runtime.snapshot)
    const stored = live === undefined ? written : Stored.overlaid(written, live)
    yield* Console.log(input.json ? JSON.stringify({ _tag: "Status", ...stored }) : lines(stored, terminal?.columns()).join("\n"))
  })
).pipe(Command.withDescription("Show tasks, agents, circuits, limits and dead letters, of a run that is going on or of the last one."))

const states = ["running", "queued", "parked", "blocked", "succeeded", "dead-lettered", "cancelled"] as const

/** The picture of it. */
export const lines = (stored: Stored.Stored, columns?: number): ReadonlyArray<string> => {
  const section = (title: string, rows: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> =>
    rows.length === 0 ? [] : ["", title, ...Table.lines(undefined, rows, { columns, indent: "  " })]
  const counted = states.filter((state) => stored.tasks[state] > 0).map((state) => `${stored.tasks[state]} ${state}`)
  const causes = Object.entries(stored.deadLetters.byCause).map(([cause, count]) => `${count} ${cause}`)
  return [
    `state     ${stored.directory}`,
    `owner     ${ownerText(stored)}`,
    ...(stored.paused ? ["queue     paused: nothing starts until nofx resume"] : []),
    `tasks     ${counted.length === 0 ? "none" : counted.join(", ")}`,
    `letters   ${stored.deadLetters.size === 0 ? "none" : `${stored.deadLetters.size} in the queue, ${stored.deadLetters.redriving} of them being redriven (${causes.join(", ")})`}`,
    ...(stored.agents.length === 0 ? [] : ["", ...agentTable(stored.agents, columns)]),
    ...section(
      "degraded",
      stored.degraded.map(({ cause, component, since }) => [component, `since ${dateTime(since)}`, cause])
    ),
    ...section(
      "circuits",
      stored.breakers.map(({ cause = "", failures, key, retryAt, state }) => [
        key,
        state,
        `${failures} failures in a row`,
        retryAt === undefined ? "" : `again at ${clockTime(retryAt)}`,
        cause
      ])
    ),
    ...section(
      "accounts at their limit",
      stored.gates.map(({ account, cause = "", until }) => [account, until === undefined ? "" : `until ${dateTime(until)}`, cause])
    ),
    ...section(
      "unfinished batches",
      stored.batches.map(({ createdAt, file, id, left }) => [id, `${left} left`, dateTime(createdAt), file])
    ),
    ...section(
      "damage",
      stored.damage.map(({ at, found, kept }) => [dateTime(at), `${found.join("; ")}; kept as ${kept.join(", ")}`])
    ),
    ...section(
      "quarantined rows",
      stored.quarantined.map(({ key, reason, table }) => [`${table} ${brief(key, 40)}`, reason])
    )
  ]
}

const ownerText = ({ owner }: Stored.Stored): string => {
  if (owner === undefined) return "nobody: nothing is running"
  const who = `${owner.kind === "host" ? "a host" : "a run"}, pid ${owner.pid} on ${owner.host}, since ${dateTime(owner.since)}`
  return owner.alive ? who : `nobody: the last one (${who}) ended without a clean end, or cannot be seen from here`
}
