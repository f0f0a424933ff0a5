/** Foreign failures as text: one sentence for people, or everything that is known for a record. Neither throws, whatever was thrown. */
import * as Cause from "effect/Cause"
import { redact } from "./Redaction.ts"

const unshowable = "a failure that cannot be shown"

/** An error's causes deeper than this are left out. */
const maximumCauses = 5

/** One sentence. What looks like a secret is taken out. */
export const causeText = (cause: Cause.Cause<unknown>): string => {
  try {
    const squashed = Cause.squash(cause)
    return squashed instanceof Error ? String(redact(`${squashed.name}: ${squashed.message}`, [])) : plainText(squashed)
  } catch {
    return unshowable
  }
}

/** What was thrown, with an error's stack, its fields, and its causes in turn. What looks like a secret is taken out. */
export const thrownText = (thrown: unknown): string => {
  try {
    return causesOf(thrown).map(recordText).join("\ncaused by: ")
  } catch {
    return unshowable
  }
}

const causesOf = (thrown: unknown): ReadonlyArray<unknown> => {
  const causes = [thrown]
  for (let last = thrown; last instanceof Error && last.cause !== undefined && causes.length <= maximumCauses; )
    causes.push((last = last.cause))
  return causes
}

const recordText = (thrown: unknown): string => {
  if (!(thrown instanceof Error)) return plainText(thrown)
  const { cause: _cause, message, name, stack: _stack, ...fields } = redact(thrown, []) as Record<string, unknown>
  const text = String(redact(thrown.stack ?? `${name}: ${message}`, []))
  return Object.keys(fields).length === 0 ? text : `${text}\n${JSON.stringify(fields)}`
}

const plainText = (thrown: unknown): string => {
  const plain = redact(thrown, [])
  return typeof plain === "string" ? plain : JSON.stringify(plain)
}
