/**
 * Which events a user is told of, and when: one notice for an incident, dead letters together, nothing that the views show well enough. Pure.
 */
import type { RuntimeEvent } from "../../src/RuntimeEvent.ts"
import { brief, moment, type Translate, type View } from "./View.ts"

/** What a user can switch off, each for itself. */
export const kinds = ["gate", "circuit", "deadLetters", "intake", "recovered", "health", "host"] as const
export type Kind = (typeof kinds)[number]

export interface Notice {
  readonly kind: Kind
  readonly text: string
  /** Said only by who wants to hear everything. */
  readonly good: boolean
  /** Commands that help, with what their buttons say. */
  readonly actions: ReadonlyArray<readonly [label: string, command: string, argument?: unknown]>
}

/** At most one notice of dead letters in this time, with their count. In milliseconds. */
export const letterMillis = 60_000

export interface State {
  /** Incidents that were told of and are not over. */
  readonly open: ReadonlySet<string>
  /** Dead letters since the last notice, with the reason of the last one. */
  readonly letters: number
  readonly letterReason: string
  readonly lettersToldAt: number
}

export const initial: State = { open: new Set(), letters: 0, letterReason: "", lettersToldAt: Number.NEGATIVE_INFINITY }

type Step = readonly [State, ReadonlyArray<Notice>]

const raise = (state: State, incident: string, notice: Notice): Step =>
  state.open.has(incident) ? [state, []] : [{ ...state, open: new Set([...state.open, incident]) }, [notice]]

const over = (state: State, incident: string, notice: Notice): Step => {
  if (!state.open.has(incident)) return [state, []]
  const open = new Set(state.open)
  open.delete(incident)
  return [{ ...state, open }, [notice]]
}

/** What an event makes of it. */
export const onEvent = (state: State, event: RuntimeEvent, t: Translate): Step => {
  const notice = (kind: Kind, text: string, actions: Notice["actions"], good = false): Notice => ({ kind, text, actions, good })
  switch (event._tag) {
    case "GateClosed":
      return raise(
        state,
        `gate:${event.account}`,
        notice(
          "gate",
          t(
            "The account {0} rests until {1}: {2}. Its tasks wait, and go on by themselves.",
            event.account,
            moment(event.until, event.at),
            brief(event.cause)
          ),
          [[t("Show"), "nofx.health.focus"]]
        )
      )
    case "GateReopened":
      return over(state, `gate:${event.account}`, notice("gate", t("The account {0} works again.", event.account), [], true))
    case "CircuitStateChanged": {
      const [scope, name = ""] = event.key.split(/:(.*)/s)
      const whose = scope === "agent" ? t("agent {0}", name) : t("account {0}", name)
      if (event.to === "open") {
        return raise(
          state,
          `circuit:${event.key}`,
          notice("circuit", t("The circuit of {0} is open: {1}. It gets no work until a probe succeeds.", whose, brief(event.cause)), [
            ...(scope === "agent" ? ([[t("Reset"), "nofx.resetBreaker", { subject: { _tag: "agent", agentId: name } }]] as const) : []),
            [t("Show"), "nofx.agents.focus"]
          ])
        )
      }
      return event.to === "closed"
        ? over(state, `circuit:${event.key}`, notice("circuit", t("The circuit of {0} is closed again.", whose), [], true))
        : [state, []]
    }
    case "DeadLetterAdded":
      return tellLetters({ ...state, letters: state.letters + 1, letterReason: event.reason }, event.at, t)
    case "IntakePaused":
      return raise(
        state,
        "intake",
        notice("intake", t("NofX takes no new tasks: {0}", brief(event.cause)), [[t("Show"), "nofx.health.focus"]])
      )
    case "IntakeResumed":
      return over(state, "intake", notice("intake", t("NofX takes tasks again."), [], true))
    // Who shuts it down knows that it takes no tasks then.
    case "ShutdownPhaseStarted":
      return [{ ...state, open: new Set([...state.open, "intake"]) }, []]
    case "RuntimeStarted": {
      const open = new Set([...state.open].filter((incident) => incident !== "intake"))
      const text = t("NofX recovered {0} tasks after an unclean end.", event.recovered)
      return [{ ...state, open }, event.recovered === 0 ? [] : [notice("recovered", text, [[t("Show"), "nofx.tasks.focus"]])]]
    }
    case "HealthAlert":
      return event.raised
        ? raise(
            state,
            `health:${event.incident}`,
            notice("health", t("NofX is not well: {0}", brief(event.detail)), [[t("Show"), "nofx.health.focus"]])
          )
        : over(state, `health:${event.incident}`, notice("health", t("NofX is well again: {0}", brief(event.detail)), [], true))
    default:
      return [state, []]
  }
}

const tellLetters = (state: State, now: number, t: Translate): Step => {
  if (state.letters === 0 || now < state.lettersToldAt + letterMillis) return [state, []]
  const text =
    state.letters === 1
      ? t("A task has failed for good and is kept: {0}", brief(state.letterReason))
      : t("{0} tasks have failed for good and are kept. The last one: {1}", state.letters, brief(state.letterReason))
  const actions: Notice["actions"] = [
    [t("Show"), "nofx.deadLetters.focus"],
    [t("Retry All…"), "nofx.retryAllDeadLetters"]
  ]
  return [{ ...state, letters: 0, letterReason: "", lettersToldAt: now }, [{ kind: "deadLetters", text, actions, good: false }]]
}

/** Time has passed: dead letters that were held back are told of. */
export const onTime = (state: State, now: number, t: Translate): Step => tellLetters(state, now, t)

/** What is told of the host when what is known of it has changed from `before` to `view`. */
export const onView = (before: View, { outdated, retiring, skew }: View, t: Translate): ReadonlyArray<Notice> => {
  const told: Array<Notice> = []
  const notice = (text: string, actions: Notice["actions"], good = false) => told.push({ kind: "host", text, actions, good })
  if (skew !== undefined && !skew.older && before.skew === undefined) {
    notice(t("The NofX host is of the newer version {0}; this window has {1}. Reload the window after the update.", skew.host, skew.own), [
      [t("Reload Window"), "workbench.action.reloadWindow"]
    ])
  }
  if (retiring !== undefined && before.retiring === undefined && retiring > 0) {
    notice(t("NofX starts its host anew when {0} running tasks have ended. Nothing is lost.", retiring), [], true)
  }
  if (outdated && !before.outdated && retiring === undefined) {
    notice(t("The new settings count when the NofX host starts anew."), [[t("Restart When Idle"), "nofx.restartHost"]])
  }
  return told
}
