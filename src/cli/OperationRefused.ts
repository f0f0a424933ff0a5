/** What a command answers when it cannot do what it was asked to. */
import * as Schema from "effect/Schema"

/** The operation was refused, or there is nothing that it could be done to. Nothing was changed. */
export class OperationRefused extends Schema.TaggedError<OperationRefused>()("OperationRefused", { reason: Schema.String }) {
  override get message(): string {
    return this.reason
  }
}
