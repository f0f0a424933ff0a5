/** A time span out of a setting: "30 seconds", more than zero, at most a year (what no timer or date could hold is a typing error). */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"

const longest = Duration.toMillis(Duration.days(366))

/** Decodes from a string such as `"30 seconds"`; more than zero, at most 366 days. */
export const PositiveDuration = Schema.DurationFromString.check(
  Schema.makeFilter((duration) => {
    const millis = Duration.toMillis(duration)
    return (millis > 0 && millis <= longest) || "must be more than zero and at most 366 days"
  })
)
