/** The runtime with an agent in this process and the store in memory: what a task costs from submission to its end, and while it waits. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { AgentRuntime } from "../../src/AgentRuntime.ts"
import * as Scripted from "../support/runtime.ts"
import type { Judged } from "./Suite.ts"
import { nanos, type Suite } from "./Suite.ts"

const agents = 8
const unbounded = { queue: { limit: 10_000_000 } }
const driver = Scripted.driver(Scripted.afterStart(Effect.succeed(Scripted.claim())))

const start = async () => {
  const runtime = ManagedRuntime.make(Scripted.layer({ config: unbounded, drivers: { inProcess: driver } }))
  return { runtime, service: Context.get(await runtime.context(), AgentRuntime) }
}

/** Heap that is still used after a collection, in bytes. */
const retained = (): number => {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}

const waiting = async (smoke: boolean): Promise<ReadonlyArray<Judged>> => {
  const { runtime, service } = await start()
  await runtime.runPromise(service.pause)
  const tasks = smoke ? 1000 : 100_000
  const before = retained()
  await runtime.runPromise(
    Effect.forEach(Array(tasks).keys(), (task) => service.submit({ id: `waiting-${task}`, prompt: "Nothing" }), { discard: true })
  )
  const megabytes = (retained() - before) / 1e6
  await runtime.dispose()
  return [{ claim: "100,000 queued tasks take under 200 MB", measured: `${megabytes.toFixed(0)} MB (at most 200)`, met: megabytes <= 200 }]
}

export const suite = async (): Promise<Suite> => {
  const { runtime, service } = await start()
  for (let agent = 0; agent < agents; agent++) await runtime.runPromise(service.spawn({ id: `agent-${agent}`, driver: "inProcess" }))
  let submitted = 0
  const one = Effect.suspend(() => {
    const id = `task-${submitted++}`
    return Effect.andThen(service.submit({ id, prompt: "Nothing" }), service.await(id))
  })

  return {
    name: `the runtime, ${agents} agents in this process`,
    cases: [
      {
        name: "a task, 256 at a time",
        run: (calls) => runtime.runPromise(Effect.forEach(Array(calls).keys(), () => one, { discard: true, concurrency: 256 }))
      }
    ],
    claims: [nanos("at least 5,000 tasks a second", "a task, 256 at a time", 200_000)],
    figures: waiting,
    close: () => runtime.dispose()
  }
}
