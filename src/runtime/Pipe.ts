/**
 * Admission through the waiting stages of the pipe, and the account of what came of it.
 *
 * The order is DESIGN's and stands in `admit`, once: cooldown gate, rate limiter, bulkhead, circuit breaker; all taken or none, in one
 * synchronous step. The stages around it (deadline, retry, attempt limit, driver, verify) belong to whoever runs the operation.
 */
import * as Effect from "effect/Effect"
import { consequences, type Fault, hintMillis } from "../agent/Fault.ts"
import type * as Bulkhead from "../reliability/Bulkhead.ts"
import type * as CircuitBreaker from "../reliability/CircuitBreaker.ts"
import type * as CooldownGate from "../reliability/CooldownGate.ts"
import type * as RateLimiter from "../reliability/RateLimiter.ts"
import type { Operation, StageName } from "../RuntimeEvent.ts"

/** Who wants to do what, on whose account. */
export interface Request {
  readonly operation: Operation
  /** Key of the task, or id of the agent: one subject counts once against a breaker. */
  readonly subject: string
  readonly agentId: string
  readonly account: string
}

/** A stage said no, and nothing is held. */
export interface Refusal {
  readonly _tag: "Refusal"
  readonly stage: StageName
  readonly detail: string
  /** When it may be asked again, monotonic milliseconds; undefined: after a change. */
  readonly notBefore: number | undefined
}

/** What came of an admitted operation. */
export type Outcome =
  | { readonly _tag: "Success" }
  | { readonly _tag: "Failure"; readonly fault: Fault }
  /** It says nothing about account or agent. */
  | { readonly _tag: "Neutral" }

export interface Admission {
  readonly _tag: "Admission"
  /** A breaker lets it through to see whether things are well again. */
  readonly probe: boolean
  /**
   * The stage that cannot answer at once: limits counted elsewhere, asked last. Undefined where there are none. Nothing may be delivered before it answered; after a refusal the
   * admission is to be withdrawn.
   */
  readonly reserve: Effect.Effect<Refusal | undefined> | undefined
  /** The agent does something: enough for a probe. */
  readonly progress: () => void
  /** Runs an effect in which nothing works, such as a person's answer being waited for, with the bulkhead's permits left to others. */
  readonly lend: <A>(effect: Effect.Effect<A>) => Effect.Effect<A>
  /** Gives everything back and counts the outcome. First call wins. */
  readonly settle: (outcome: Outcome) => void
  /** Gives everything back, the spent quota too: it was not begun. First call wins. */
  readonly withdraw: () => void
}

/** The limits that bound an operation of an agent; none, one, or both. */
export interface Limits {
  readonly operation: RateLimiter.Limit | undefined
  readonly account: RateLimiter.Limit | undefined
}

export interface Patterns {
  readonly gate: CooldownGate.CooldownGate["Service"]
  readonly limiter: RateLimiter.RateLimiter["Service"]
  readonly bulkhead: Bulkhead.Bulkhead["Service"]
  readonly breaker: CircuitBreaker.CircuitBreaker["Service"]
}

export interface Options {
  readonly limits: (request: Request) => Limits
  readonly wallNow: () => number
  /** Runs what gives quota back that is counted elsewhere. */
  readonly fork?: (effect: Effect.Effect<void>) => void
  /** Called for every decision of a stage while somebody traces. */
  readonly trace:
    | ((operation: Operation, stage: StageName, decision: "passed" | "refused" | "bypassed", subject: string, detail?: string) => void)
    | undefined
}

export interface Pipe {
  readonly admit: (request: Request, now: number) => Admission | Refusal
  /** The agent is gone: nothing of it is remembered. */
  readonly forget: (agentId: string) => void
}

export const agentKey = (agentId: string): string => `agent:${agentId}`
export const accountKey = (account: string): string => `account:${account}`

const nameOf = (limit: { readonly name: string }, key: string): string => JSON.stringify([limit.name, key])

const refusal = (stage: StageName, error: { readonly message: string; readonly notBefore?: number | undefined }): Refusal => ({
  _tag: "Refusal",
  stage,
  detail: error.message,
  notBefore: error.notBefore
})

export const make = (patterns: Patterns, options: Options): Pipe => {
  const { breaker, bulkhead, gate, limiter } = patterns
  /** Per breaker: subjects that have failed since it last saw a success. */
  const blamed = new Map<string, Set<string>>()
  breaker.onChange((change) => void blamed.delete(change.key))
  /** Per limit and key that is counted elsewhere: until when it need not be asked again, monotonic milliseconds. */
  const refused = new Map<string, Refusal & { readonly notBefore: number }>()

  const blame = (permit: CircuitBreaker.Permit, subject: string): CircuitBreaker.Outcome => {
    if (permit.probe) return "failure"
    let subjects = blamed.get(permit.key)
    if (subjects === undefined) blamed.set(permit.key, (subjects = new Set()))
    if (subjects.has(subject)) return "ignored"
    subjects.add(subject)
    return "failure"
  }

  const admit = (request: Request, now: number): Admission | Refusal => {
    const { trace } = options
    const refuse = (stage: StageName, error: { readonly message: string; readonly notBefore?: number | undefined }): Refusal => {
      trace?.(request.operation, stage, "refused", request.subject, error.message)
      return refusal(stage, error)
    }

    const gatePermit = gate.tryAcquire(request.account, now)
    if (gatePermit._tag === "GateClosed") return refuse("cooldown", gatePermit)
    trace?.(request.operation, "cooldown", "passed", request.subject)

    const limits = options.limits(request)
    const { local } = limiter
    const taken: Array<RateLimiter.Permit> = []
    const elsewhere: Array<{ readonly limit: RateLimiter.Limit; readonly key: string }> = []
    const refund = (): void => {
      for (const permit of taken.splice(0)) {
        if (local !== undefined) local.refund(permit)
        else options.fork?.(limiter.refund(permit))
      }
    }
    // Those who wait for a change are not told of what a refusal took and gave back: they would be refused alike, and tell each other, for ever.
    const undo = (): void => {
      for (const permit of taken) local?.undo(permit)
      gate.undo(gatePermit)
    }
    const take = (limit: RateLimiter.Limit | undefined, key: string): Refusal | undefined => {
      if (limit === undefined) return undefined
      if (local === undefined) {
        const before = refused.get(nameOf(limit, key))
        if (before !== undefined && before.notBefore > now) {
          undo()
          trace?.(request.operation, "rateLimit", "refused", request.subject, before.detail)
          return before
        }
        refused.delete(nameOf(limit, key))
        elsewhere.push({ limit, key })
        return undefined
      }
      const permit = local.tryAcquire(limit, key, 1, now)
      if (permit._tag === "RateLimitExceeded") {
        undo()
        return refuse("rateLimit", permit)
      }
      taken.push(permit)
      return undefined
    }
    const exceeded = take(limits.operation, request.operation) ?? take(limits.account, request.account)
    if (exceeded !== undefined) return exceeded
    if (elsewhere.length === 0) trace?.(request.operation, "rateLimit", "passed", request.subject)

    const place = bulkhead.tryAcquire(request.account)
    if (place._tag === "BulkheadFull") {
      undo()
      return refuse("bulkhead", place)
    }
    trace?.(request.operation, "bulkhead", "passed", request.subject)

    const agent = breaker.tryAcquire(agentKey(request.agentId), now)
    const account = agent._tag === "CircuitOpen" ? agent : breaker.tryAcquire(accountKey(request.account), now)
    if (agent._tag === "CircuitOpen" || account._tag === "CircuitOpen") {
      if (agent._tag !== "CircuitOpen") breaker.cancel(agent)
      bulkhead.undo(place)
      undo()
      const open = account as CircuitBreaker.CircuitOpen
      // A probe that never ends is given up at a time that is known: without it those who wait would wait for its end.
      return refuse("circuitBreaker", { message: open.message, notBefore: open.notBefore ?? breaker.nextChangeAt(open.key) })
    }
    trace?.(request.operation, "circuitBreaker", "passed", request.subject)

    let settled = false
    let lent = 0
    const giveBack = (): boolean => {
      if (settled) return false
      settled = true
      bulkhead.release(place)
      return true
    }
    const reserve = () =>
      Effect.match(limiter.acquireAll(elsewhere), {
        onSuccess: (permits): undefined => {
          taken.push(...permits)
          // It ended meanwhile.
          if (settled) refund()
          trace?.(request.operation, "rateLimit", "passed", request.subject)
        },
        onFailure: (error) => {
          const answer = refuse("rateLimit", error)
          if (answer.notBefore !== undefined)
            refused.set(nameOf({ name: error.limit }, error.key), { ...answer, notBefore: answer.notBefore })
          return answer
        }
      })
    return {
      _tag: "Admission",
      probe: agent.probe || account.probe,
      reserve: elsewhere.length === 0 ? undefined : reserve(),
      progress: () => {
        if (agent.probe) breaker.record(agent, "success")
        if (account.probe) breaker.record(account, "success")
      },
      lend: (effect) =>
        Effect.suspend(() => {
          if (lent++ === 0) bulkhead.release(place)
          const retaken = Effect.andThen(
            bulkhead.retake(place),
            Effect.sync(() => {
              if (settled) bulkhead.release(place)
            })
          )
          const over = Effect.suspend(() => (--lent > 0 || settled ? Effect.void : retaken))
          return Effect.flatMap(effect, (answer) => Effect.as(over, answer))
        }),
      withdraw: () => {
        if (!giveBack()) return
        refund()
        breaker.cancel(agent)
        breaker.cancel(account)
        gate.release(gatePermit)
      },
      settle: (outcome) => {
        if (!giveBack()) return
        switch (outcome._tag) {
          case "Success":
            // A spawned agent has proven nothing yet: only work resets a breaker.
            if (request.operation === "execute") {
              blamed.delete(agent.key)
              blamed.delete(account.key)
              breaker.record(agent, "success")
              breaker.record(account, "success")
              gate.report(gatePermit, "success")
            }
            break
          case "Failure": {
            const consequence = consequences[outcome.fault._tag]
            if (consequence.scope === "agent") breaker.record(agent, blame(agent, request.subject))
            if (consequence.scope === "account") breaker.record(account, blame(account, request.subject))
            if (consequence.closesGate) {
              const hint = hintMillis(outcome.fault, options.wallNow())
              gate.close(request.account, {
                cause: outcome.fault._tag,
                permit: gatePermit,
                ...(hint === undefined ? {} : { retryAfterMillis: hint })
              })
            } else {
              gate.report(gatePermit, "other")
            }
            break
          }
          case "Neutral":
            break
        }
        breaker.cancel(agent)
        breaker.cancel(account)
        gate.release(gatePermit)
      }
    }
  }

  return {
    admit,
    forget: (agentId) => {
      breaker.remove(agentKey(agentId))
      blamed.delete(agentKey(agentId))
    }
  }
}
