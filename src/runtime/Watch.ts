/**
 * Watches one attempt: its time limit, and whether anything moves at all.
 *
 * A stall is evidence, not silence: the watchdog measures the process tree, and only when output, CPU time, I/O and files all stood still for the
 * stall time is the attempt called stalled. Our own lateness blames nobody.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Activity } from "../agent/AgentDriver.ts"
import type { Fault } from "../agent/Fault.ts"
import * as Watchdog from "../reliability/Watchdog.ts"
import { type Agent, type Core, type Running, setAgentState } from "./Core.ts"
import type { Timer } from "./TaskTable.ts"

/** CPU time below this share of the window is a waiting process' housekeeping. */
const idleCpuShare = 0.02
/** I/O below this many bytes in a window is housekeeping too. */
const idleIoBytes = 64 * 1024

const lagTolerance = Duration.toMillis(Watchdog.defaults.lagTolerance)

export interface Watch {
  /** The agent did something. */
  readonly progress: () => void
  /** Runs an effect with every clock of the attempt standing still. */
  readonly paused: <A>(effect: Effect.Effect<A>) => Effect.Effect<A>
  readonly cancel: () => void
}

/** How long an attempt may take, and the fault that the end of that time means. */
export interface Limit {
  readonly millis: number
  readonly fault: () => Fault
}

interface Sample {
  readonly activity: Activity
  readonly at: number
}

/** Why two measurements show no life; undefined when they do show some. */
export const stillness = (before: Sample, after: Sample): string | undefined => {
  const millis = after.at - before.at
  const cpu = after.activity.cpuMillis - before.activity.cpuMillis
  const io = after.activity.ioBytes - before.activity.ioBytes
  if (after.activity.files !== before.activity.files || after.activity.processes !== before.activity.processes) return undefined
  if (cpu > millis * idleCpuShare || io > idleIoBytes) return undefined
  const span = Duration.format(Duration.millis(Math.round(millis)))
  return `no output, no file change, ${Math.round(cpu)} ms CPU and ${io} bytes I/O by ${after.activity.processes} processes in ${span}`
}

/**
 * Starts watching. `stoodStill` is told of each time, in milliseconds, in which this program was not running: nothing could be seen then,
 * so it does not count.
 */
export const start = (core: Core, agent: Agent, running: Running, limit: Limit, stoodStill: (millis: number) => void): Watch => {
  let limitAt = core.now() + limit.millis
  let limitTimer: Timer | undefined
  let pauses = 0
  let over = false
  let toldAt = Number.NEGATIVE_INFINITY

  /** Both timers of the attempt see the same standstill, one right after the other. */
  const stood = (millis: number): void => {
    if (core.now() - toldAt > lagTolerance) stoodStill(millis)
    toldAt = core.now()
  }

  const armLimit = (): void => {
    limitTimer = core.arm(Math.max(0, limitAt - core.now()), () => {
      const late = core.now() - limitAt
      if (late <= lagTolerance) return running.stop({ _tag: "Fault", fault: limit.fault() })
      // What the agent did meanwhile has not been read yet; on some systems it stood still as well.
      stood(late)
      limitAt = core.now() + late
      armLimit()
    })
  }
  armLimit()

  const session = agent.session!
  const dog = Watchdog.start(
    { ...Watchdog.defaults, stallAfter: core.config.timeLimit.stall },
    {
      sample: Effect.map(session.activity, (activity): Sample => ({ activity, at: core.now() })),
      same: stillness,
      onLocalStall: ({ lagMillis }) => stood(lagMillis),
      onStalled: (evidence) => {
        setAgentState(core, agent, "stalled", evidence)
        running.stop({ _tag: "Fault", fault: { _tag: "Stalled", detail: `it stands still: ${evidence}`, evidence } })
      }
    },
    { now: core.now, arm: core.arm, fork: core.forkFiber }
  )

  return {
    progress: dog.progress,
    paused: (effect) =>
      Effect.suspend(() => {
        const since = core.now()
        dog.pause()
        if (pauses++ === 0) limitTimer?.cancel()
        return Effect.ensuring(
          effect,
          Effect.sync(() => {
            dog.resume()
            if (--pauses > 0 || over) return
            limitAt += core.now() - since
            armLimit()
          })
        )
      }),
    cancel: () => {
      over = true
      limitTimer?.cancel()
      dog.cancel()
    }
  }
}
