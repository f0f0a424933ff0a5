/** The machine's own troubles, each a process of its own: sleep, steps of the clock, a loop that stands still, a full disk, a killed process. */
import * as Duration from "effect/Duration"
import type { Agents } from "./Agents.ts"
import type { Scene } from "./Scene.ts"
import * as Random from "./SeededRandom.ts"
import type { SimulatedDisk } from "./SimulatedStore.ts"
import type { Uptime } from "./Uptime.ts"

/** The live runtime compares its clocks this often: a jump is noticed that much later, at most. Milliseconds. */
const noticedWithin = 15_000
/** Longest time between the last sync and the crash. Milliseconds. */
const unsyncedWithin = 20

export interface Machine {
  /** By how much the calendar is ahead of the time in which the machine was awake. Milliseconds. */
  readonly slept: () => number
  /** By how much the wall clock is ahead of the calendar. Milliseconds. */
  readonly stepped: () => number
  /** Counts up whenever wall-clock times and the order of things may not agree: then, and until what it held back is written. */
  readonly disturbances: () => number
  /** From now on nothing happens any more. */
  readonly calm: () => void
}

export interface Parts {
  readonly disk: () => SimulatedDisk
  readonly agents: Agents
  /** Ends the process; `restart`: milliseconds until the next one. */
  readonly crash: (restart: number) => void
  /** No work is accepted or begun: from now on, or no longer. */
  readonly unavailable: Uptime["set"]
}

export const make = (scene: Scene, parts: Parts): Machine => {
  const { faults, seed, timeline } = scene
  const { clockStep, diskFull, kill, stall, suspend } = faults.machine
  let slept = 0
  let stepped = 0
  let suspends = 0
  let disturbances = 0
  let calm = false

  /** Calls again and again, in exponential distances. */
  const recurring = (name: string, every: Duration.Duration | undefined, happen: (random: Random.SeededRandom) => void): void => {
    if (every === undefined) return
    const random = Random.make(seed, name)
    const next = (): void => {
      timeline.at(timeline.now() + random.exponential(Duration.toMillis(every)), () => {
        if (calm) return
        happen(random)
        next()
      })
    }
    next()
  }

  const jump = (millis: number, random: Random.SeededRandom): void => {
    disturbances++
    scene.host()?.clock.jump(millis, random.between(0, noticedWithin))
  }

  recurring("suspend", suspend?.every, (random) => {
    const millis = Math.ceil(random.exponential(Duration.toMillis(suspend!.length)))
    slept += millis
    jump(millis, random)
    // How many are drawn depends on who works: on a stream of their own they move nothing.
    parts.agents.breakConnections(suspend!.breaks, Random.make(seed, `suspend ${++suspends}`))
  })
  recurring("clock step", clockStep?.every, (random) => {
    const size = Duration.toMillis(clockStep!.size)
    const millis = Math.round(random.between(-size, size))
    stepped += millis
    jump(millis, random)
  })
  recurring("stall", stall?.every, (random) => {
    const millis = Math.ceil(random.exponential(Duration.toMillis(stall!.length)))
    scene.host()?.incarnation.freeze(timeline.now() + millis)
    parts.unavailable("stall", true)
    timeline.at(timeline.now() + millis, () => parts.unavailable("stall", false))
  })
  recurring("disk full", diskFull?.every, (random) => {
    const millis = Math.ceil(random.exponential(Duration.toMillis(diskFull!.length)))
    const disk = parts.disk()
    disturbances++
    disk.setFull(true)
    parts.unavailable("disk", true)
    timeline.at(timeline.now() + millis, () => {
      disturbances++
      disk.setFull(false)
      parts.unavailable("disk", false)
    })
  })
  recurring("kill", kill?.every, (random) => {
    const restart = Math.ceil(random.around(Duration.toMillis(kill!.restart)))
    parts.disk().stopSyncing()
    timeline.at(timeline.now() + random.between(0, unsyncedWithin), () => parts.crash(restart))
  })

  return {
    slept: () => slept,
    stepped: () => stepped,
    disturbances: () => disturbances,
    calm: () => {
      calm = true
    }
  }
}
