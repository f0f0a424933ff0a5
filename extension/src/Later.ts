/** Loads, when it is needed, what starting the extension does not need. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { Refused } from "./commands/Refused.ts"
import type * as seldom from "./seldom.ts"

export class Later extends Context.Service<Later, { readonly load: () => Promise<typeof seldom> }>()("nofx/extension/Later") {}

/** Asks for something of it. Fails with `Refused`, with what it says. */
export const use = <A>(call: (loaded: typeof seldom) => Promise<seldom.Answer<A>>): Effect.Effect<A, Refused, Later> =>
  Effect.gen(function* () {
    const { load } = yield* Later
    const answer = yield* Effect.promise(async () => call(await load()))
    return answer._tag === "Done" ? answer.value : yield* new Refused({ detail: answer.detail })
  })
