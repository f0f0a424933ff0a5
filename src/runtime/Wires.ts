/**
 * What a change in one part means for the others: written down, told, and acted upon. No part knows another; the wires are all here.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as CircuitBreaker from "../reliability/CircuitBreaker.ts"
import * as CooldownGate from "../reliability/CooldownGate.ts"
import type { DamageReport, Change, Loaded, PatternRecord } from "../store/Store.ts"
import { isEnd } from "../task/Task.ts"
import * as TaskLife from "../task/TaskLife.ts"
import * as Awake from "./Awake.ts"
import { append, type Core } from "./Core.ts"
import type { Intake } from "./Intake.ts"
import type { Redrives } from "./Redrives.ts"

const put = (kind: PatternRecord["kind"], key: string, state: unknown): Change =>
  state === undefined ? { _tag: "DeletePattern", kind, key } : { _tag: "PutPattern", pattern: { kind, key, state } }

/** Connects patterns, journal, health and dispatcher until the scope closes. */
export const connect = (
  core: Core,
  parts: { readonly intake: Intake; readonly redrives: Redrives }
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { deadLetters, health, journal, patterns } = core
    const until = (unsubscribe: () => void) => Effect.addFinalizer(() => Effect.sync(unsubscribe))

    yield* until(
      patterns.breaker.onChange((change) => {
        journal.note(
          put("breaker", change.key, patterns.breaker.dump(change.key)),
          append(core, {
            _tag: "CircuitStateChanged",
            key: change.key,
            from: change.from,
            to: change.to,
            cause: change.cause,
            ...(change.openMillis === undefined ? {} : { openMillis: change.openMillis })
          })
        )
        // A circuit that is not closed is a degraded dependency; never a runtime that is not alive.
        if (change.to === "closed") health.recovered(`circuit ${change.key}`)
        else health.degrade(`circuit ${change.key}`, `${change.to}: ${change.cause}`)
        if (change.to === "closed") parts.redrives.turn()
        core.pump()
      })
    )
    yield* until(
      patterns.gate.onChange((change) => {
        journal.note(
          append(
            core,
            change._tag === "Closed"
              ? { _tag: "GateClosed", account: change.account, until: change.until, cause: change.cause }
              : { _tag: "GateReopened", account: change.account }
          )
        )
        if (change._tag === "Reopened") parts.redrives.turn()
      })
    )
    yield* until(
      patterns.gate.onUpdate((account) => {
        journal.note(put("gate", account, patterns.gate.dump(account)))
        core.pump()
      })
    )
    yield* until(patterns.limiter.onChange(core.pump))
    yield* until(patterns.bulkhead.onChange(core.pump))
    yield* until(
      deadLetters.onEvent((event) => {
        if ("kind" in event) parts.redrives.serve(event.kind)
        if (deadLetters.isFull()) {
          const cause = `the dead letter queue is full (${core.config.deadLetter.maxLetters}): retry, discard or export some`
          parts.intake.stop("deadLetters", cause)
          health.degrade("deadLetters", cause, { blocksWork: true })
        } else {
          parts.intake.resume("deadLetters")
          health.recovered("deadLetters")
        }
        parts.redrives.arm()
      })
    )
    yield* until(
      health.onEvent((event) => {
        switch (event._tag) {
          case "HealthChanged":
            return journal.note(append(core, { _tag: "HealthChanged", check: event.check, status: event.status, evidence: event.evidence }))
          case "HealthAlert":
            return journal.note(append(core, { _tag: "HealthAlert", incident: event.incident, raised: event.raised, detail: event.detail }))
          case "RecoveryStarted":
          case "RecoveryEnded":
          case "RecoveryEscalated":
            return journal.note(append(core, event))
          case "ComponentDegraded":
            return journal.live({ _tag: "ComponentDegraded", at: core.wallNow(), component: event.component, cause: event.cause })
          case "ComponentRecovered":
            return journal.live({ _tag: "ComponentRecovered", at: core.wallNow(), component: event.component })
          default:
            return
        }
      })
    )
  })

const decodeBreaker = Schema.decodeUnknownOption(CircuitBreaker.Persisted)
const decodeGate = Schema.decodeUnknownOption(CooldownGate.Persisted)

/**
 * Puts the patterns back as an earlier incarnation left them. What cannot be read is shown, and starts anew. `away`: by how much the wall clock
 * went on since, in milliseconds; when it was set back, no gate stays closed for longer because of that.
 */
export const restore = (core: Core, loaded: Loaded, away: number): void => {
  for (const { key, kind, state } of loaded.patterns) {
    const lost = (): void => core.health.degrade(`${kind} ${key}`, "its stored state could not be read; it began anew")
    if (kind === "breaker") {
      const persisted = decodeBreaker(state)
      if (Option.isSome(persisted)) core.patterns.breaker.restore(key, persisted.value)
      else lost()
    } else if (kind === "gate") {
      const persisted = decodeGate(state)
      if (Option.isSome(persisted))
        core.patterns.gate.restore(key, { ...persisted.value, until: persisted.value.until + Math.min(0, away) })
      else lost()
    }
  }
  const damage = loaded.damage.at(-1)
  if (damage !== undefined) {
    core.health.degrade("database", damageText(damage))
  }
  for (const row of loaded.quarantined) core.health.degrade(`store row ${row.table} ${row.key}`, `quarantined: ${row.reason}`)
}

/**
 * The wall clock went ahead of the time that passed, or behind it: deadlines count time that passed only, and a wait that was written down as a
 * time must not grow when the clock is set back.
 */
export const onClockJump = (core: Core, millis: number): void => {
  const { table } = core
  for (const task of [...table.all()]) {
    if (isEnd(task.state)) continue
    const next = TaskLife.shifted(task, millis)
    if (next !== task) {
      table.put(next)
      core.journal.note({ _tag: "PutTask", task: next })
    }
  }
  core.journal.note(Awake.note(core))
  core.patterns.gate.resync()
  table.rearm()
  core.pump()
}

/** What was found, first of all where the damaged files are. */
const damageText = ({ found, kept, tables }: DamageReport): string => {
  const rows = tables.flatMap(({ lost = 0, recovered, table }) =>
    recovered + lost === 0 ? [] : [`${table}: ${recovered} recovered${lost === 0 ? "" : `, ${lost} lost`}`]
  )
  const read = tables.length === 0 ? [] : rows.length === 0 ? ["nothing of it could be read"] : rows
  const safe = kept.length === 0 ? "there was no room to keep it" : `kept as ${kept.join(", ")}`
  return `it was damaged (${found.join("; ")}), ${safe}${read.length === 0 ? "" : `. ${read.join("; ")}`}`
}
