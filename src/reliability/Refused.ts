/**
 * Which errors say "not now" without anything having been done.
 *
 * A refusal is no outcome of the work: it counts against no breaker and uses up no attempt; what is left to do is wait.
 */
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"

/** The refusals of the patterns, by their tags. */
const tags: ReadonlySet<string> = new Set(["CircuitOpen", "RateLimitExceeded", "BulkheadFull", "GateClosed", "QueueFull"])

/** An error that refused a call before it began. */
export interface Refused {
  readonly _tag: string
  /** How long to wait before the next try; undefined where only a change helps. */
  readonly retryAfter?: Duration.Duration | undefined
}

/** Is it the refusal of a pattern, so that nothing was done? */
export const isRefused = (error: unknown): error is Refused =>
  Predicate.hasProperty(error, "_tag") && typeof error._tag === "string" && tags.has(error._tag)

/** How long a refusal asks to wait, in milliseconds; undefined where it does not say, or only says nonsense. */
export const retryAfterMillis = (refused: Refused): number | undefined => {
  const { retryAfter } = refused
  if (!Duration.isDuration(retryAfter)) return undefined
  const millis = Duration.toMillis(retryAfter)
  return millis >= 0 && Number.isFinite(millis) ? millis : undefined
}
