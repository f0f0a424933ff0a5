/** Foreign failures as one sentence for people and records. */
import * as Cause from "effect/Cause"
import { redact } from "./Redaction.ts"

/** Never throws, whatever was thrown: circular objects and getters that fail included. What looks like a secret is taken out. */
export const causeText = (cause: Cause.Cause<unknown>): string => {
  try {
    const squashed = Cause.squash(cause)
    if (squashed instanceof Error) return String(redact(`${squashed.name}: ${squashed.message}`, []))
    const plain = redact(squashed, [])
    return typeof plain === "string" ? plain : JSON.stringify(plain)
  } catch {
    return "a failure that cannot be shown"
  }
}
