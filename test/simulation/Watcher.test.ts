import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Agents } from "../../src/simulation/Agents.ts"
import * as Ledger from "../../src/simulation/Ledger.ts"
import type { Scene } from "../../src/simulation/Scene.ts"
import * as Timeline from "../../src/simulation/Timeline.ts"
import * as Watcher from "../../src/simulation/Watcher.ts"
import type { Plan } from "../../src/simulation/Workload.ts"

const minute = 60_000

const plan = (number: number): Plan => ({ id: `t${number}`, effect: "idempotent", poison: undefined, pinned: undefined }) as Plan

/** A runtime in which t1, which depends on t0, stands like this for half an hour while an agent rests. What the watcher finds. */
const found = (view: Record<string, unknown>, dependency: "succeeded" | "cancelled" | "open") => {
  const timeline = Timeline.makeVirtual()
  const ledger = Ledger.make(timeline.now, timeline.now, () => undefined)
  ledger.accept(0, plan(0), undefined, 0)
  ledger.accept(1, plan(1), "t0", 0)
  if (dependency === "succeeded") {
    ledger.get("t0")!.done = true
    ledger.onEvent({ _tag: "TaskSucceeded", at: 0, taskId: "t0", batch: "", run: 1, verified: true, attempts: 1 } as never)
  } else if (dependency === "cancelled") {
    ledger.get("t0")!.excluded = true
    ledger.onEvent({ _tag: "TaskCancelled", at: 0, taskId: "t0", batch: "", run: 1, reason: "" } as never)
  }
  const task = { id: "t1", effect: "idempotent", attempts: 0, run: 1, ...view }
  const runtime = {
    getReliabilityStatus: Effect.sync(() => ({
      at: timeline.now(),
      tasks: { blocked: 0, parked: 0, queued: 0, running: 0, [task["state" as never] as string]: 1 },
      agents: { idle: 1 },
      bulkhead: { running: 0 },
      deadLetters: { size: 0 }
    })),
    agents: Effect.succeed([{ id: "agent-0", state: "idle" }]),
    tasks: Effect.succeed([task])
  }
  const scene = {
    accounts: [{}],
    agents: 1,
    calendar: timeline.now,
    ledger,
    timeline,
    host: () => ({ incarnation: { run: Effect.runSync }, runtime })
  } as unknown as Scene
  const watcher = Watcher.make(scene, () => ({}) as Agents, { keepEvery: minute, disturbances: () => 0 })
  for (let sample = 0; sample < 30; sample++) {
    timeline.advance(timeline.now() + minute)
    watcher.sample()
  }
  return ledger.violations.map(({ detail, rule }) => `${rule}: ${detail}`)
}

describe("the watcher of a simulated world", () => {
  const queued = { state: "queued" }
  const blocked = { state: "blocked", waiting: { for: "dependency", detail: "waits for t0" } }

  it("C62 finds a task that nobody begins although what it depends on has succeeded", () => {
    assert.include(found(queued, "succeeded")[0], "starved: t1 is queued (for no reason) while agent-0 rest")
  })

  it("C62 finds a task that was not told that what it depends on has succeeded", () => {
    assert.include(found(blocked, "succeeded")[0], "starved: t1 is blocked (waits for t0) while agent-0 rest")
  })

  it("C62 says nothing of a task that waits for what is open, or was cancelled", () => {
    assert.deepStrictEqual(found(blocked, "open"), [])
    assert.deepStrictEqual(found(blocked, "cancelled"), [])
  })
})
