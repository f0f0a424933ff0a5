/** `nofx doctor`: is everything here that NofX needs, and what is to be done about what is not. */
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ProcessTree from "../agent/ProcessTree.ts"
import * as Doctor from "./doctorChecks.ts"
import { ExitWith, exitCodes } from "./exitCodes.ts"
import { json, stateDir } from "./flags.ts"
import { printable } from "./printable.ts"

const marks = { ok: "ok    ", note: "note  ", action: "ACTION" }

const lines = (finding: Doctor.Finding): string => {
  const line = `${marks[finding.status]}  ${printable(`${finding.check}: ${finding.detail}`)}`
  return finding.remedy === undefined ? line : `${line}\n        → ${printable(finding.remedy)}`
}

export const doctorCommand = Command.make(
  "doctor",
  { json, stateDir },
  Effect.fnUntraced(function* (input) {
    const findings = yield* Effect.provide(Doctor.all(Option.getOrUndefined(input.stateDir)), ProcessTree.layer)
    const sound = findings.every((finding) => finding.status !== "action")
    yield* Console.log(input.json ? JSON.stringify({ _tag: "Doctor", ok: sound, findings }) : findings.map(lines).join("\n"))
    if (!sound) return yield* new ExitWith({ code: exitCodes.unfinished })
  })
).pipe(
  Command.withDescription(
    "Look at what NofX needs: Node, git, agents and their logins, disk, the state directory, processes that were left over. Changes nothing. Exit code 1 when something is to be done."
  )
)
