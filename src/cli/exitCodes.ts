/** How the program ends: one table of exit codes, and what leads to which. */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import { printable } from "./printable.ts"

export const exitCodes = {
  /** Everything succeeded. */
  ok: 0,
  /** Some tasks were dead-lettered or cancelled. */
  unfinished: 1,
  /** Bad usage, or a file that is refused: nothing was started. */
  usage: 2,
  /** The state directory belongs to another process. */
  owned: 3,
  /** A defect, or trouble with the machine: as `sysexits.h` has it. */
  internal: 70,
  /** Interrupted by a signal; what was running can be resumed. */
  interrupted: 130
} as const

/** Ends the program with a code; whatever there was to say has been said. */
export class ExitWith extends Schema.TaggedError<ExitWith>()("ExitWith", { code: Schema.Int }) {
  override get message() {
    return `Exit code ${this.code}`
  }
}

/** Errors that mean something else than `internal`, by their tags. */
const byTag: Readonly<Record<string, number>> = {
  TaskFileInvalid: exitCodes.usage,
  TaskFileExists: exitCodes.usage,
  TaskFileNotWritten: exitCodes.usage,
  DemoDirectoryNotEmpty: exitCodes.usage,
  UserError: exitCodes.usage,
  FileChanged: exitCodes.usage,
  StateDirectoryRefused: exitCodes.usage,
  StateNotFound: exitCodes.usage,
  OperationRefused: exitCodes.usage,
  QueueFull: exitCodes.usage,
  TaskInvalid: exitCodes.usage,
  TaskNotFound: exitCodes.usage,
  IntakeStopped: exitCodes.usage,
  InputInvalid: exitCodes.usage,
  EnvironmentInvalid: exitCodes.usage,
  HttpTokenMissing: exitCodes.usage,
  HttpUnavailable: exitCodes.usage,
  WorktreeRefused: exitCodes.usage,
  AgentNotFound: exitCodes.usage,
  OwnedByAnother: exitCodes.owned,
  VersionMismatch: exitCodes.owned,
  HostUnreachable: exitCodes.owned,
  Fenced: exitCodes.owned
}

/** The exit code for how the program ended. */
export const exitCodeOf = (exit: Exit.Exit<unknown, unknown>): number => {
  if (Exit.isSuccess(exit)) return exitCodes.ok
  if (Cause.hasInterruptsOnly(exit.cause)) return exitCodes.interrupted
  const error = typedError(exit.cause)
  if (error === undefined) return exitCodes.internal
  if (error instanceof ExitWith) return error.code
  // The command line's own parser: without errors it is help that was asked for.
  if (isShowHelp(error)) return error.errors.length === 0 ? exitCodes.ok : exitCodes.usage
  return byTag[tagOf(error) ?? ""] ?? exitCodes.internal
}

/**
 * What is left to tell the user about how the program ended, for standard error: one line for a defect, without its stack, unless
 * `debug`. Undefined when everything has been said.
 */
export const lastWords = (exit: Exit.Exit<unknown, unknown>, debug: boolean): string | undefined => {
  if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) return undefined
  const error = typedError(exit.cause)
  if (error instanceof ExitWith || isShowHelp(error)) return undefined
  const details = debug ? `\n${Cause.pretty(exit.cause)}` : ""
  if (error !== undefined) return `${printable(messageOf(error))}${details}`
  const hint = debug ? details : "\nThis is a defect of nofx. For details run it again with NOFX_DEBUG=1."
  return `nofx: internal error: ${printable(messageOf(Cause.squash(exit.cause))).split("\n")[0]}${hint}`
}

/** The typed failure; undefined when the program died of a defect, which wins over any failure. */
const typedError = (cause: Cause.Cause<unknown>): unknown => {
  const failures = cause.reasons.filter(Cause.isFailReason)
  return cause.reasons.some(Cause.isDieReason) ? undefined : failures[0]?.error
}

const tagOf = (error: unknown): string | undefined =>
  typeof error === "object" && error !== null && "_tag" in error && typeof error._tag === "string" ? error._tag : undefined

const isShowHelp = (error: unknown): error is { readonly errors: ReadonlyArray<unknown> } =>
  tagOf(error) === "ShowHelp" && typeof error === "object" && error !== null && "errors" in error && Array.isArray(error.errors)

const messageOf = (error: unknown): string =>
  error instanceof Error && error.message !== "" ? error.message : String(tagOf(error) ?? error)
