/** Runtimes that are broken on purpose, each in one way that is easy to get wrong: what a fuzzer is worth is whether it finds them. */
import { Effect, Layer } from "effect"
import { type AgentDriver, AgentDrivers } from "../../src/agent/AgentDriver.ts"
import * as AgentRuntime from "../../src/AgentRuntime.ts"
import * as Bulkhead from "../../src/reliability/Bulkhead.ts"
import * as CircuitBreaker from "../../src/reliability/CircuitBreaker.ts"
import * as CooldownGate from "../../src/reliability/CooldownGate.ts"
import * as Health from "../../src/reliability/Health.ts"
import * as RateLimiter from "../../src/reliability/RateLimiter.ts"
import * as Retry from "../../src/reliability/Retry.ts"
import * as Shutdown from "../../src/reliability/Shutdown.ts"
import * as TimeLimit from "../../src/reliability/TimeLimit.ts"
import * as TimerWheel from "../../src/reliability/TimerWheel.ts"
import type { RuntimeConfig } from "../../src/RuntimeConfig.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { type Change, Store } from "../../src/store/Store.ts"
import type { Mutation } from "./fuzz.ts"

/** The runtime as `AgentRuntime.layer` composes it, with some of its patterns replaced. */
const composed = (
  config: RuntimeConfig,
  replaced: Partial<{ bulkhead: Layer.Layer<Bulkhead.Bulkhead>; wheel: Layer.Layer<TimerWheel.TimerWheel> }>
) =>
  Layer.effect(AgentRuntime.AgentRuntime, AgentRuntime.make(config)).pipe(
    Layer.provide([
      CircuitBreaker.layer(config.circuitBreaker),
      CooldownGate.layer(config.cooldown),
      RateLimiter.layer,
      replaced.bulkhead ?? Bulkhead.layer(config.bulkhead),
      Retry.layer(config.retry),
      Health.layer(config.health),
      Shutdown.layer(config.shutdown),
      TimeLimit.layer,
      replaced.wheel ?? TimerWheel.layer
    ])
  )

/** Some of the runtime's timers never fire. */
const losing = (isLost: (delay: number, count: number) => boolean): Mutation => ({
  runtime: (config) =>
    composed(config, {
      wheel: Layer.effect(
        TimerWheel.TimerWheel,
        Effect.map(TimerWheel.make, (wheel) => {
          let timers = 0
          return { ...wheel, add: (delay, fire) => wheel.add(delay, isLost(delay, ++timers) ? () => {} : fire) }
        })
      )
    })
})

/** Every tenth timer: who waits for one sleeps on. */
export const lostWakeUp = losing((_, count) => count % 10 === 0)

/** Those of deadlines; nothing else is due so late. */
export const lostDeadlines = losing((delay) => delay > 5 * 3_600_000)

/** Every twentieth permit is not given back. */
export const leakedPermit: Mutation = {
  runtime: (config) =>
    composed(config, {
      bulkhead: Layer.sync(Bulkhead.Bulkhead, () => {
        const bulkhead = Bulkhead.make(config.bulkhead)
        let permits = 0
        return {
          ...bulkhead,
          release: (permit) => {
            if (++permits % 20 !== 0) bulkhead.release(permit)
          }
        }
      })
    })
}

/** Every tenth attempt is given to its agent twice. */
export const doubleDispatch: Mutation = {
  runtime: (config) => {
    let attempts = 0
    const twice = (driver: AgentDriver): AgentDriver => ({
      ...driver,
      open: (spec, context) =>
        Effect.map(driver.open(spec, context), (session) => ({
          ...session,
          run: (attempt) =>
            ++attempts % 10 === 0
              ? Effect.andThen(Effect.forkChild(session.run(attempt), { startImmediately: true }), session.run(attempt))
              : session.run(attempt)
        }))
    })
    return AgentRuntime.layer(config).pipe(
      Layer.provide(
        Layer.effect(
          AgentDrivers,
          Effect.map(AgentDrivers, (drivers) => ({
            ...drivers,
            get: (name: string) => {
              const driver = drivers.get(name)
              return driver === undefined ? undefined : twice(driver)
            }
          }))
        )
      )
    )
  }
}

/** Commits return before they are synced: a crash takes the last ones, although they were acknowledged. */
export const skippedFsync: Mutation = {
  disk: () => {
    let synced: Array<ReadonlyArray<Change>> = []
    let epoch = 0
    return {
      open: () => {
        const store = MemoryStore.makeDisk().open()
        for (const changes of synced) Effect.runSync(store.commit(changes, store.epoch))
        const own = ++epoch
        return Store.of({
          ...store,
          commit: (changes) =>
            own === epoch ? Effect.tap(store.commit(changes, store.epoch), () => Effect.sync(() => synced.push(changes))) : Effect.never
        })
      },
      stopSyncing: () => {},
      crash: () => {
        epoch++
        synced = synced.slice(0, -3)
      },
      setFull: () => {}
    }
  }
}
