import { assert, describe, it } from "@effect/vitest"
import type { Agents } from "../../src/simulation/Agents.ts"
import * as Machine from "../../src/simulation/Machine.ts"
import * as Profile from "../../src/simulation/Profile.ts"
import type { Scene } from "../../src/simulation/Scene.ts"
import * as Timeline from "../../src/simulation/Timeline.ts"

/** Times at which a machine sleeps for the first ten times, while this many agents work. */
const sleeps = (working: number): ReadonlyArray<number> => {
  const timeline = Timeline.makeVirtual()
  const { faults } = Profile.builtIn("typical")
  const times: Array<number> = []
  Machine.make({ faults, seed: 1, timeline, host: () => undefined } as unknown as Scene, {
    agents: {
      breakConnections: (chance, random) => {
        times.push(timeline.now())
        for (let agent = 0; agent < working; agent++) random.chance(chance)
      }
    } as Agents,
    disk: () => ({ stopSyncing: () => {}, setFull: () => {} }) as unknown as ReturnType<Machine.Parts["disk"]>,
    crash: () => {},
    unavailable: () => {}
  })
  while (times.length < 10) timeline.advance(timeline.now() + 3_600_000)
  return times
}

describe("the simulated machine", () => {
  it("C62 has slept, by the clock of the process, before connections break", () => {
    const timeline = Timeline.makeVirtual()
    const { faults } = Profile.builtIn("typical")
    const seen: Array<string> = []
    const clock = { jump: () => seen.push("jump") }
    Machine.make(
      {
        faults: { ...faults, machine: { suspend: faults.machine.suspend } },
        seed: 1,
        timeline,
        host: () => ({ clock })
      } as unknown as Scene,
      {
        agents: { breakConnections: () => void seen.push("break") } as unknown as Agents,
        disk: () => ({}) as ReturnType<Machine.Parts["disk"]>,
        crash: () => {},
        unavailable: () => {}
      }
    )
    while (seen.length < 2) timeline.advance(timeline.now() + 3_600_000)
    assert.deepStrictEqual(seen.slice(0, 2), ["jump", "break"])
  })

  it("C62 sleeps at the same times, whoever works", () => assert.deepStrictEqual(sleeps(7), sleeps(0)))
})
