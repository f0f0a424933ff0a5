/** What a failure says to people. */
import * as Cause from "effect/Cause"

/** One sentence; undefined when it was only cancelled. */
export const failureText = (cause: Cause.Cause<unknown>): string | undefined => {
  if (Cause.hasInterruptsOnly(cause)) return undefined
  for (const reason of cause.reasons) {
    if (reason._tag === "Fail") return reason.error instanceof Error ? reason.error.message : String(reason.error)
  }
  return undefined
}

/** A bug, or a surprise of the machine: nothing of ours has a word for it. */
export const isSurprise = (cause: Cause.Cause<unknown>): boolean =>
  !Cause.hasInterruptsOnly(cause) && !cause.reasons.some(({ _tag }) => _tag === "Fail")
