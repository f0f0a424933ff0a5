/** What all tasks together may use in a day. When it is spent, nothing new starts until the next local day; what was used survives a restart. */
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

  const today = (): Used => {
    const { day } = dayOf(wallNow())
    if (used.day !== day) used = empty(day)
    return used
  }

  const exceeded = (): string | undefined => {
    const { attempts, timeMillis, tokens } = today()
    if (limits.attempts !== undefined && attempts >= limits.attempts) return `today's budget of ${limits.attempts} attempts is spent`
    if (limits.tokens !== undefined && tokens >= limits.tokens) return `today's budget of ${limits.tokens} tokens is spent`
    if (limits.time !== undefined && timeMillis >= Duration.toMillis(limits.time))
      return `today's budget of ${Duration.format(limits.time)} is spent`
    return undefined
  }

  return {
    spent: () => {
      if (!bounded) return undefined
      const detail = exceeded()
      return detail === undefined ? undefined : { detail, until: dayOf(wallNow()).ends }
    },
    onEvent: (event) => {
      if (!bounded) return undefined
      if (event._tag === "AttemptStarted") used = { ...today(), attempts: today().attempts + 1 }
      else if (event._tag === "AttemptEnded") {
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
