import { assert, describe, it } from "@effect/vitest"
import { Duration, Result } from "effect"
import * as Profile from "../../src/simulation/Profile.ts"
import { names } from "../../src/simulation/profiles.ts"
import * as Workload from "../../src/simulation/Workload.ts"

const accepted = (text: string) => {
  const decoded = Profile.decode(text, "my.yaml")
  assert(Result.isSuccess(decoded), Result.isFailure(decoded) ? decoded.failure.message : "")
  return decoded.success
}
const refused = (text: string): string => {
  const decoded = Profile.decode(text, "my.yaml")
  assert(Result.isFailure(decoded))
  return decoded.failure.message
}

describe("Profile", () => {
  it("C62 the built-in profiles decode, and a deadline is three times the expected time and one limit window", () => {
    for (const name of names) {
      const { faults, workload } = Profile.builtIn(name)
      const window = faults.provider.usageLimit?.window ?? Duration.hours(5)
      assert.strictEqual(workload.deadline.times, 3)
      assert.deepStrictEqual(workload.deadline.plus, window)
      const plan = Workload.plan(workload, 8, 1, 17)
      assert.deepStrictEqual(plan, Workload.plan(workload, 8, 1, 17))
      const kind = workload.kinds.find((each) => each.name === plan.kind)!
      assert.strictEqual(plan.deadline, 3 * Duration.toMillis(kind.expected) + Duration.toMillis(window))
    }
  })

  it("C62 a profile in YAML changes what it names, takes out what it sets to null, and keeps the rest of the one it extends", () => {
    const profile = accepted(
      [
        "extends: typical",
        "workload:",
        "  tasksPerAgentHour: 3",
        "faults:",
        "  machine:",
        "    suspend: null",
        "    kill: { every: 3 hours }",
        "config:",
        "  retry: { maxAttempts: 7 }"
      ].join("\n")
    )
    const typical = Profile.builtIn("typical")
    assert.strictEqual(profile.workload.tasksPerAgentHour, 3)
    assert.strictEqual(profile.workload.pinned, typical.workload.pinned)
    assert.isUndefined(profile.faults.machine.suspend)
    assert.deepStrictEqual(profile.faults.machine.kill, { every: Duration.hours(3), restart: typical.faults.machine.kill!.restart })
    assert.deepStrictEqual(profile.faults.provider, typical.faults.provider)
    assert.strictEqual(profile.config.retry.maxAttempts, 7)
  })

  it("C62 faults that a profile of its own does not name do not happen", () => {
    const { faults } = accepted(
      "workload: { tasksPerAgentHour: 1, kinds: [{ name: a, weight: 1, expected: 1 minute, effects: { idempotent: 1, resumable: 0, unsafe: 0 } }] }\nfaults: {}"
    )
    assert.deepStrictEqual(faults.machine, {})
    assert.deepStrictEqual(faults.provider, {})
    assert.strictEqual(faults.agent.startFails, 0)
  })

  it("C58 what is wrong in a profile is told with line and path", () => {
    const message = refused(
      "extends: calm\nworkload:\n  pinned: 3\nfaults:\n  machine:\n    kil: { every: 1 hour }\n  provider:\n    outage: { every: often, length: 1 minute }\n"
    )
    assert.match(message, /my\.yaml:3:\d+: workload\.pinned: /)
    assert.match(message, /my\.yaml:6:\d+: faults\.machine\.kil: .*did you mean "kill"/)
    assert.match(message, /my\.yaml:8:\d+: faults\.provider\.outage\.every: /)
    assert.match(refused("extends: rainy\n"), /extends: .*calm \| typical/)
    assert.match(refused("a: [1,"), /invalid YAML/)
  })
})
