/** Flags that several subcommands have, under the same name and with the same meaning. */
import * as Flag from "effect/cli/Flag"

/** `--json`: output for programs, one JSON document, or one event a line. */
export const json = Flag.Boolean("json").pipe(Flag.withDescription("Print JSON, for programs"), Flag.withDefault(false))

/** `--state-dir DIR`: where everything durable lies. */
export const stateDir = Flag.String("state-dir").pipe(
  Flag.withMetavar("DIR"),
  Flag.withDescription("Keep the durable state in this directory instead of the usual place"),
  Flag.optional
)
