import { createHash } from "node:crypto"
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as Profile from "../../src/simulation/Profile.ts"
import type { Ablation } from "../../src/simulation/Ablation.ts"
import { isSound, type Result } from "../../src/simulation/Result.ts"
import * as Simulation from "../../src/simulation/Simulation.ts"

const stormy = { profile: "stormy", days: 1, agents: 2, seed: 3 } as const

const logged = (options: Simulation.Options) => {
  const lines: Array<string> = []
  return { lines, options: { ...options, onEvent: (line: string) => void lines.push(line) } }
}

/** Runs once, however often it is asked for: what is compared with it is what differs. */
const once = <A, E>(run: Effect.Effect<A, E>): Effect.Effect<A, E> => {
  let known: A | undefined
  return Effect.suspend(() =>
    known === undefined ? Effect.tap(run, (result) => Effect.sync(() => (known = result))) : Effect.succeed(known)
  )
}

const stormyDay = once(
  Effect.suspend(() => {
    const { lines, options } = logged(stormy)
    return Effect.map(Simulation.run(options), (result) => ({ lines, result }))
  })
)

describe("Simulation", () => {
  it.effect("C62 the same seed gives the same event log and the same result", () =>
    Effect.gen(function* () {
      const first = yield* stormyDay
      const second = logged(stormy)
      const result = yield* Simulation.run(second.options)
      assert.isAbove(first.lines.length, 500)
      assert.deepStrictEqual(first.lines, second.lines)
      assert.deepStrictEqual(first.result, result)
      const lines = first.lines.map((line) => `${line}\n`).join("")
      assert.strictEqual(result.eventLogSha256, createHash("sha256").update(lines).digest("hex"), "of all lines, the last ones too")
      const other = yield* Simulation.run({ ...stormy, seed: 4, days: 0.1 })
      assert.notStrictEqual(other.eventLogSha256, result.eventLogSha256)
    })
  )

  it.effect("C62 under a TestClock the event log of a stormy day is the same to the byte", () =>
    Effect.gen(function* () {
      const own = yield* stormyDay
      const tested = logged(stormy)
      const fiber = yield* Effect.forkChild(Simulation.runOnClock(tested.options), { startImmediately: true })
      while (fiber.pollUnsafe() === undefined) yield* TestClock.adjust("6 hours")
      const result = yield* Fiber.join(fiber)
      assert.deepStrictEqual(tested.lines, own.lines)
      assert.strictEqual(result.eventLogSha256, own.result.eventLogSha256)
    })
  )

  it.live("C62 another process in another time zone has the same event log", () =>
    Effect.gen(function* () {
      const script = fileURLToPath(new URL("./logHash.ts", import.meta.url))
      const { eventLogSha256 } = yield* Simulation.run({ profile: "stormy", seed: 7, days: 0.25, agents: 2 })
      for (const TZ of ["Pacific/Kiritimati", "America/St_Johns"]) {
        const { stdout } = yield* Effect.promise(() =>
          promisify(execFile)(process.execPath, [script, "7", "0.25", "2"], { env: { ...process.env, TZ, LANG: "tr_TR.UTF-8" } })
        )
        assert.strictEqual(stdout, eventLogSha256)
      }
    })
  )

  it.effect("C62 what a person gave up on is no loss when it is forgotten after its time in the archive", () =>
    Effect.gen(function* () {
      const config = { deadLetter: { archiveAge: "12 hours" }, store: { keep: "12 hours" } }
      const result = yield* Simulation.run({ profile: "stormy", seed: 1, days: 4, agents: 2, config })
      assert.isAbove(result.deadLettered, 0)
      assert.deepStrictEqual([result.lost, result.violations], [0, []])
    })
  )

  for (const profile of ["calm", "typical", "stormy", "hostile"] as const) {
    it.effect(`C56 C62 C65 in days that are ${profile} nothing is lost, doubled, ended wrongly, starved or left over`, () =>
      Effect.gen(function* () {
        const result = yield* Simulation.run({ profile, days: profile === "hostile" ? 0.5 : 2, agents: 2, seed: 11 })
        assert.deepStrictEqual(result.violations, [])
        assert.isTrue(isSound(result))
        assert.strictEqual(result.accepted, result.succeeded + result.deadLettered + result.cancelled + result.unfinished)
        assert.isAbove(result.accepted, 100)
        assert.isAtLeast(result.availability, result.availabilityLower95)
      })
    )
  }

  /** Stormy days with more of these faults, two agents; the options of a run, and what comes of it with every pattern. */
  const stormier = (days: number, faults: string) =>
    once(
      Effect.gen(function* () {
        const profile = yield* Effect.fromResult(
          Profile.decode(`extends: stormy\nworkload: { burst: null }\nfaults: { ${faults} }`, "stormier.yaml")
        )
        const options = { profile, days, agents: 2, seed: 5 }
        return { options, all: yield* Simulation.run(options) }
      })
    )
  const kills = "machine: { kill: { every: 2 hours } }"
  const day = stormier(1, kills)
  const hours = stormier(0.4, kills)
  const hangs = stormier(0.4, "agent: { hangEvery: 1 hour }")

  for (const [name, world, measure] of [
    ["recovery", day, (result) => -result.lost],
    ["verify", day, (result) => -result.falseClaims],
    ["deadLetter", day, (result) => result.availability],
    ["retry", day, (result) => -result.helped],
    ["cooldown", hours, (result) => -result.extraAttempts],
    ["timeLimit", hangs, (result) => -result.timeToDetect.meanMillis]
  ] as ReadonlyArray<readonly [Ablation, typeof day, (result: Result) => number]>) {
    it.effect(`C62 without ${name} something is worse`, () =>
      Effect.gen(function* () {
        const { all, options } = yield* world
        const without = yield* Simulation.run({ ...options, without: [name] })
        assert.isTrue(isSound(all))
        assert.isBelow(measure(without), measure(all))
      })
    )
  }

  it.effect("C62 it can be stopped: the result says so, and counts only what has been decided", () =>
    Effect.gen(function* () {
      let looks = 0
      const result = yield* Simulation.run({ profile: "typical", days: 30, agents: 2, stop: () => ++looks === 4 })
      assert.isFalse(result.complete)
      assert.isBelow(result.simulatedDays, 1.2)
      assert.isAbove(result.possible, 100)
      assert.isAbove(result.availability, 0.95)
    })
  )

  it.effect("C58 refuses a configuration or a fault model that is not valid, with the path", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(Simulation.run({ faults: { machine: { kill: { every: "never", restart: "1 second" } } } }))
      assert(Exit.isFailure(exit))
      assert.match(String(exit.cause), /machine/)
      const config = yield* Effect.exit(Simulation.run({ config: { retry: { maxAttempts: 0 } } }))
      assert(Exit.isFailure(config))
      assert.match(String(config.cause), /maxAttempts/)
    })
  )

  it.effect("C62 the configuration that is given is the one that runs", () =>
    Effect.gen(function* () {
      const options = { profile: "stormy", days: 0.5, agents: 2, seed: 2 } as const
      const patient = yield* Simulation.run({ ...options, config: { retry: { maxAttempts: 10 } } })
      const hasty = yield* Simulation.run({ ...options, config: { retry: { maxAttempts: 1 } } })
      assert.isAbove(hasty.helped, patient.helped)
    })
  )
})
