/** It cannot be done, or not now. */
import * as Schema from "effect/Schema"

export class Refused extends Schema.TaggedError<Refused>()("Refused", {
  /** One sentence for the user. */
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}
