/**
 * The life of one account's gate, as pure functions. `now` is monotonic milliseconds; Unix time is only converted to it, on entry.
 *
 * Open → (a rate limit) → Closed → (its time is over) → Ramp → (wide enough) → Open. Open without a history is `undefined`: a gate that was never needed costs nothing.
 */

/** Milliseconds where the options have durations. */
export interface Rule {
  readonly slack: number
  readonly baseClosed: number
  readonly maxEscalation: number
  readonly maxClosed: number
  readonly rampStart: number
  readonly rampStep: number
  readonly rampFull: number
}

interface Common {
  /** Attempts admitted at an earlier count knew nothing of this closing. */
  readonly generation: number
  /** Closings without a hint since the last success: the exponent of the next. */
  readonly level: number
  readonly cause: string
}

export type Gate =
  /** Lets nobody through before `until`. */
  | (Common & { readonly _tag: "Closed"; readonly until: number })
  /** Lets through a few at once, more as time goes by and calls succeed. */
  | (Common & { readonly _tag: "Ramp"; readonly since: number; readonly successes: number; readonly inFlight: number })
  /** Lets everybody through, and remembers how often it was closed. */
  | (Common & { readonly _tag: "Open"; readonly since: number })

/** What time alone has changed. */
export const advance = (rule: Rule, gate: Gate, now: number): Gate | undefined => {
  const { generation, level, cause } = gate
  switch (gate._tag) {
    case "Closed":
      return gate.until <= now + instant ? { _tag: "Ramp", generation, level, cause, since: now, successes: 0, inFlight: 0 } : gate
    case "Ramp":
      return width(rule, gate, now) < rule.rampFull ? gate : opened({ _tag: "Open", generation, level, cause, since: now })
    case "Open":
      return gate.since + rule.maxEscalation <= now + instant ? undefined : gate
  }
}

/** When time alone changes it next. */
export const nextChange = (rule: Rule, gate: Gate, now: number): number => {
  switch (gate._tag) {
    case "Closed":
      return gate.until
    case "Ramp":
      return gate.since + (steps(rule, gate, now) + 1) * rule.rampStep
    case "Open":
      return gate.since + rule.maxEscalation
  }
}

/** How many may be in flight at once. */
export const width = (rule: Rule, gate: Gate, now: number): number => {
  if (gate._tag !== "Ramp") return gate._tag === "Closed" ? 0 : Number.POSITIVE_INFINITY
  return Math.min(rule.rampFull, rule.rampStart * 2 ** (steps(rule, gate, now) + gate.successes))
}

/**
 * A rate limit was reported, `hint` milliseconds long if the provider said so. What is stale, admitted before the gate closed, cannot escalate; only a hint of it counts. A
 * gate that is closed already is only ever extended.
 */
export const close = (
  rule: Rule,
  gate: Gate | undefined,
  limited: { readonly hint: number | undefined; readonly cause: string; readonly stale: boolean },
  now: number,
  generation: number
): Gate | undefined => {
  const hint = limited.hint !== undefined && limited.hint > 0 ? Math.min(limited.hint + rule.slack, rule.maxClosed) : undefined
  if (gate?._tag === "Closed") return hint === undefined || now + hint <= gate.until ? gate : { ...gate, until: now + hint }
  if (hint === undefined && limited.stale) return gate
  const level = gate?.level ?? 0
  const closed = hint ?? Math.min(rule.baseClosed * 2 ** level, rule.maxEscalation)
  return { _tag: "Closed", generation, level: hint === undefined ? level + 1 : level, cause: limited.cause, until: now + closed }
}

/** One more in flight. Only where there is room. */
export const admitted = (gate: Gate): Gate => (gate._tag === "Ramp" ? { ...gate, inFlight: gate.inFlight + 1 } : gate)

/** An attempt, admitted since the gate reopened, ended; what it says counts only if it succeeded. */
export const ended = (gate: Gate, success: boolean): Gate | undefined => {
  if (gate._tag === "Closed") return gate
  const level = success ? 0 : gate.level
  if (gate._tag === "Open") return opened({ ...gate, level })
  return { ...gate, level, inFlight: Math.max(0, gate.inFlight - 1), successes: gate.successes + (success ? 1 : 0) }
}

/** An open gate with nothing to remember is none. */
const opened = (gate: Gate & { readonly _tag: "Open" }): Gate | undefined => (gate.level === 0 ? undefined : gate)

/** Less than a microsecond is no difference between sums of fractions of milliseconds. */
const instant = 0.001
const steps = (rule: Rule, gate: Gate & { readonly _tag: "Ramp" }, now: number): number =>
  Math.floor((now - gate.since + instant) / rule.rampStep)
