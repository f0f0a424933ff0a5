/** `nofx run FILE`: runs a task file to the end, or goes on with the unfinished batch of the same file. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { json, stateDir } from "./flags.ts"
import { runFile } from "./runFile.ts"

export const runCommand = Command.make(
  "run",
  {
    file: Argument.String("FILE").pipe(Argument.withDescription("A task file, in YAML or JSON")),
    json: json.pipe(Flag.withDescription("Print one JSON event a line; the last one is RunFinished")),
    stateDir,
    maxAgents: Flag.Int("max-agents").pipe(
      Flag.withMetavar("N"),
      Flag.withSchema(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))),
      Flag.withDescription("At most this many agents work at once; at least 1"),
      Flag.optional
    ),
    fresh: Flag.Boolean("fresh").pipe(
      Flag.withDescription("Cancel what is left of an unfinished batch of this file, and begin a new one"),
      Flag.withDefault(false)
    ),
    takeOver: Flag.Boolean("take-over").pipe(
      Flag.withDescription("Take the state directory from another process that owns it: its agents are ended first, then that process"),
      Flag.withDefault(false)
    ),
    permissions: Flag.Literals("permissions", ["ask", "edits", "all", "reject"]).pipe(
      Flag.withDescription("How agents' permission requests are answered, whatever the file says"),
      Flag.optional
    )
  },
  (input) =>
    runFile({
      file: input.file,
      json: input.json,
      stateDir: Option.getOrUndefined(input.stateDir),
      maxAgents: Option.getOrUndefined(input.maxAgents),
      fresh: input.fresh,
      takeOver: input.takeOver,
      permissions: Option.getOrUndefined(input.permissions)
    })
).pipe(
  Command.withDescription(
    "Run a task file to the end. Interrupted, the same command goes on where it stopped; after the end it begins anew. " +
      "Exit code 0: all succeeded; 1: some were dead-lettered or cancelled; 2: bad usage or file; 3: another process owns the state directory; 130: interrupted."
  )
)
