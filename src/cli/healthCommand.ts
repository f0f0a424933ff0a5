/** `nofx health`: what the state says about health. */
import * as Clock from "effect/Clock"
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"
import type { HealthReport } from "../reliability/Health.ts"
import { dateTime } from "./eventText.ts"
import { exportFile } from "./exportFile.ts"
import { ExitWith, exitCodes } from "./exitCodes.ts"
import { json, stateDir } from "./flags.ts"
import * as LiveHost from "./liveHost.ts"
import { Machine } from "./machine.ts"
import * as Stored from "./stored.ts"
import * as Table from "./table.ts"
import { view } from "./viewer.ts"

export const healthCommand = Command.make(
  "health",
  {
    export: Flag.String("export").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("Write the report, as JSON, into this file"),
      Flag.optional
    ),
    json,
    stateDir
  },
  Effect.fnUntraced(function* (input) {
    const machine = yield* Machine
    const now = yield* Clock.currentTimeMillis
    const { live, stored } = yield* view(Option.getOrUndefined(input.stateDir), (seen) =>
      Effect.all({ live: LiveHost.answer(seen.directory, (runtime) => runtime.getOverallHealthStatus), stored: Stored.read(seen, now) })
    )
    const report = live ?? Stored.health(stored)
    if (Option.isSome(input.export)) {
      yield* exportFile(input.export.value, `${JSON.stringify(report, undefined, 2)}\n`)
    }
    yield* Console.log(input.json ? JSON.stringify(report) : lines(report, live !== undefined, machine.terminal?.columns()).join("\n"))
    if (report.status === "unhealthy") return yield* new ExitWith({ code: exitCodes.unfinished })
  })
).pipe(
  Command.withDescription(
    "Show health as far as it is written down: circuits, limits, damage, and whether a runtime is there. Checks run inside of a runtime only."
  )
)

const yesNo = (value: boolean): string => (value ? "yes" : "no")

/** The picture of it. `live`: the runtime itself says so. */
export const lines = (report: HealthReport, live: boolean, columns?: number): ReadonlyArray<string> => [
  `status  ${report.status}${live ? "" : ", as far as the state says"}${report.reasons.length === 0 ? "" : ` (${report.reasons.join("; ")})`}`,
  `live    ${yesNo(report.live)}`,
  `ready   ${yesNo(report.ready)}`,
  ...(report.checks.length === 0 ? [] : ["", "checks"]),
  ...Table.lines(
    undefined,
    report.checks.map(({ name, observed, status }) => [name, status, observed]),
    { columns, indent: "  " }
  ),
  ...(report.degraded.length === 0 ? [] : ["", "degraded"]),
  ...Table.lines(
    undefined,
    report.degraded.map(({ cause, component, since }) => [component, dateTime(since), cause]),
    { columns, indent: "  " }
  )
]
