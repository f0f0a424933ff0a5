/**
 * What all tasks together may use in a day. When it is spent, what runs is given back and nothing new starts until the next local day; what was
 * used survives a restart.
 */
import * as Duration from "effect/Duration"
import type { RuntimeConfig } from "../RuntimeConfig.ts"
import type { RuntimeEvent } from "../RuntimeEvent.ts"
import type { Change, PatternRecord } from "../store/Store.ts"

interface Used {
  readonly day: string
  readonly attempts: number
  readonly tokens: number
  readonly timeMillis: number
}

export interface DayBudget {
  /** Why nothing may start, and until when (Unix milliseconds). */
  readonly spent: () => { readonly detail: string; readonly until: number } | undefined
  /** Tells what an attempt that runs has used so far; answers which ones have to stop, and why, if they have to. */
  readonly uses: (attemptId: string, tokens: number) => { readonly attempts: ReadonlySet<string>; readonly detail: string } | undefined
  /** When what runs will have used up the time, as things are, and why it has to stop then; undefined where that is not bounded. */
  readonly ends: () => { readonly inMillis: number; readonly detail: string } | undefined
  /** Counts; answers what is to be written, if anything. */
  readonly onEvent: (event: RuntimeEvent) => ReadonlyArray<Change> | undefined
}

/** The local day of a time, and when the next one begins. */
const dayOf = (now: number): { readonly day: string; readonly ends: number } => {
  const date = new Date(now)
  return {
    day: `${date.getFullYear()}-${date.getMonth() + 1}-${date.getDate()}`,
    ends: new Date(date.getFullYear(), date.getMonth(), date.getDate() + 1).getTime()
  }
}

export const make = (
  limits: RuntimeConfig["budget"]["perDay"],
  patterns: ReadonlyArray<PatternRecord>,
  wallNow: () => number
): DayBudget => {
  const bounded = limits.attempts !== undefined || limits.tokens !== undefined || limits.time !== undefined
  const empty = (day: string): Used => ({ day, attempts: 0, tokens: 0, timeMillis: 0 })
  const stored = patterns.find((pattern) => pattern.kind === "budget" && pattern.key === "day")?.state as Used | undefined
  let used: Used = stored ?? empty(dayOf(wallNow()).day)
  let told = ""
  /** Attempts that run. */
  const running = new Map<string, { readonly since: number; readonly tokens: number }>()

  const today = (): Used => {
    const { day } = dayOf(wallNow())
    if (used.day !== day) used = empty(day)
    return used
  }

  const spentOf = (what: string): string => `today's budget of ${what} is spent`

  /** What runs counts too, or the end of one attempt would start another while the next is still ending. */
  const soFar = (): Used => {
    const now = wallNow()
    let { timeMillis, tokens } = today()
    for (const attempt of running.values()) {
      timeMillis += now - attempt.since
      tokens += attempt.tokens
    }
    return { ...today(), timeMillis, tokens }
  }

  const exceeded = (): string | undefined => {
    const { attempts, timeMillis, tokens } = soFar()
    if (limits.attempts !== undefined && attempts >= limits.attempts) return spentOf(`${limits.attempts} attempts`)
    if (limits.time !== undefined && timeMillis >= Duration.toMillis(limits.time)) return spentOf(Duration.format(limits.time))
    return limits.tokens !== undefined && tokens >= limits.tokens ? spentOf(`${limits.tokens} tokens`) : undefined
  }

  return {
    spent: () => {
      if (!bounded) return undefined
      const detail = exceeded()
      return detail === undefined ? undefined : { detail, until: dayOf(wallNow()).ends }
    },
    uses: (attemptId, tokens) => {
      const attempt = running.get(attemptId)
      if (attempt === undefined) return undefined
      running.set(attemptId, { ...attempt, tokens: Math.max(tokens, attempt.tokens) })
      if (limits.tokens === undefined || soFar().tokens < limits.tokens) return undefined
      const users = [...running].flatMap(([id, each]) => (each.tokens > 0 ? [id] : []))
      return { attempts: new Set(users), detail: spentOf(`${limits.tokens} tokens`) }
    },
    ends: () => {
      if (limits.time === undefined || running.size === 0) return undefined
      const left = Duration.toMillis(limits.time) - soFar().timeMillis
      return { inMillis: Math.max(0, left / running.size), detail: spentOf(Duration.format(limits.time)) }
    },
    onEvent: (event) => {
      if (!bounded) return undefined
      if (event._tag === "AttemptStarted") {
        running.set(event.attemptId, { since: event.at, tokens: 0 })
        used = { ...today(), attempts: today().attempts + 1 }
      } else if (event._tag === "AttemptEnded") {
        running.delete(event.attemptId)
        used = { ...today(), timeMillis: today().timeMillis + event.durationMillis, tokens: today().tokens + (event.tokens ?? 0) }
      } else return undefined
      const changes: Array<Change> = [{ _tag: "PutPattern", pattern: { kind: "budget", key: "day", state: used } }]
      const detail = exceeded()
      if (detail !== undefined && told !== `${used.day} ${detail}`) {
        told = `${used.day} ${detail}`
        changes.push({ _tag: "AppendEvent", event: { _tag: "BudgetSpent", at: wallNow(), budget: "perDay", detail } })
      }
      return changes
    }
  }
}
