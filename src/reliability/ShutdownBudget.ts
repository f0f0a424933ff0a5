/** How the time of a shutdown is divided, as pure functions: each later phase keeps a reserve that no earlier one can use up. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { PositiveDuration } from "./PositiveDuration.ts"

/** In their order. */
export const phases = ["stop-intake", "drain", "save-state", "stop-agents", "close-connections", "clean-up"] as const
export const Phase = Schema.Literals(phases)
export type Phase = typeof Phase.Type

const Share = (standard: number) =>
  Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 })).pipe(Schema.withDecodingDefault(Effect.succeed(standard)))

/**
 * Reserved share of the budget of each phase, 0 to 1 each. What a phase does not use goes on to the next. Shares that add up to more than 1
 * are scaled down to 1. Most goes to the drain, for that is where work is saved; stopping agents comes next, for it waits for processes.
 */
export const Shares = Schema.Struct({
  "stop-intake": Share(0.05),
  drain: Share(0.5),
  "save-state": Share(0.1),
  "stop-agents": Share(0.2),
  "close-connections": Share(0.1),
  "clean-up": Share(0.05)
})

export const Options = Schema.Struct({
  /** The whole of a shutdown. Default 30 seconds: what service managers commonly grant. */
  budget: PositiveDuration.pipe(Schema.withDecodingDefault(Effect.succeed("30 seconds"))),
  /** Longest time of one finalizer that brings no limit of its own; drain finalizers may use their whole phase. Default 5 seconds. */
  finalizer: PositiveDuration.pipe(Schema.withDecodingDefault(Effect.succeed("5 seconds"))),
  /** How long a drain may still take after a second request. Default 1 second. */
  hurry: PositiveDuration.pipe(Schema.withDecodingDefault(Effect.succeed("1 second"))),
  shares: Shares.pipe(Schema.withDecodingDefault(Effect.succeed({})))
})
export type Options = typeof Options.Type

export const defaults: Options = Schema.decodeSync(Options)({})

/** How long a phase may take, in milliseconds, when `remaining` of the whole `budget` is left: all of it but the later phases' reserves. */
export const phaseAllowance = (phase: Phase, remaining: number, budget: number, shares: { readonly [P in Phase]: number }): number => {
  const sum = phases.reduce((total, each) => total + shares[each], 0)
  const scale = sum > 1 ? 1 / sum : 1
  const reserve = phases.slice(phases.indexOf(phase) + 1).reduce((total, each) => total + shares[each] * scale * budget, 0)
  return Math.max(0, remaining - reserve)
}

/**
 * How long a finalizer may take, in milliseconds, when its phase has `remaining` of `allowance` left: each of the `behind` finalizers behind
 * it keeps half of an equal share, so one that hangs does not take the others' turn.
 */
export const finalizerAllowance = (remaining: number, allowance: number, behind: number, limit: number): number =>
  Math.max(0, Math.min(limit, remaining - (behind * allowance) / (2 * (behind + 1))))
