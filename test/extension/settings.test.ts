import { Duration, Schema } from "effect"
import { assert, describe, it } from "vitest"
import { type Read, read, runtimeKeys } from "../../extension/src/SettingsReader.ts"
import manifest from "../../extension/package.json" with { type: "json" }
import * as RedisOptions from "../../src/reliability/RedisOptions.ts"
import { defaults, RuntimeConfig } from "../../src/RuntimeConfig.ts"

const properties: Readonly<
  Record<string, { readonly default: unknown; readonly type?: unknown; readonly minimum?: number; readonly scope?: string }>
> = manifest.contributes.configuration.properties
const keys = runtimeKeys(Object.keys(properties))
const readWith = (given: Readonly<Record<string, unknown>>): Read =>
  read({ given: (key) => given[key], givenByUser: (key) => given[key] }, Object.keys(properties))

/** Parts of the configuration that no setting stands for: for programs and task files, or too fine for a settings page. */
const notSettings = [
  /^retry\.(?:factor|jitter|budget)/,
  /^circuitBreaker\.(?:countWindow|timeWindow|slowCalls|openTimeFactor|probes|probeSuccesses|probeTimeLimit|idleTime)/,
  /^rateLimit\.(?:accounts|spawn)/,
  /^cooldown\.(?:slack|maxEscalation|ramp)/,
  /^bulkhead\.\w+\.queue/,
  /^budget\.runaway\.tokensWithoutTool/,
  /^deadLetter\.(?:redriveFactor|maxRedriveAfter|redriveJitter|archive|processorLimit|redriveConcurrency|stop|settleLimit)/,
  /^health\.(?:strategy|healthyScore|unhealthyScore|timeLimit|failuresToUnhealthy|successesToHealthy|backoff|maxBackoff|recoveryLimit)/,
  /^shutdown\.(?:finalizer|hurry|shares)/,
  /^transcripts\.keepAttempts/,
  /^redis\.maxBackoff/
]

/** The paths of all plain values. */
const leaves = (value: unknown, path: ReadonlyArray<string> = []): ReadonlyArray<string> =>
  typeof value === "object" && value !== null
    ? Object.entries(value).flatMap(([key, inner]) => leaves(inner, [...path, key]))
    : [path.join(".")]

const at = (value: unknown, path: string): unknown =>
  path.split(".").reduce<unknown>((inner, key) => (inner as Record<string, unknown> | undefined)?.[key], value)

describe("settings", () => {
  // Redis has defaults once there is an address, and that is no default.
  const redis = Schema.decodeSync(RedisOptions.Options)({ url: "redis://127.0.0.1:6379" })
  const encoded = Schema.encodeSync(RuntimeConfig)({ ...defaults, redis })

  it("stand for parts of RuntimeConfig, with the same defaults", () => {
    assert.isAbove(keys.length, 25)
    for (const key of keys) {
      const { default: given } = properties[`nofx.${key}`]!
      const actual = at(encoded, key)
      if (key === "redis.url") assert.isNull(given)
      else if (given === null) assert.isUndefined(actual, key)
      else if (typeof actual === "string" && /millis/.test(actual)) {
        assert.strictEqual(
          Duration.toMillis(Duration.fromInputUnsafe(given as Duration.Input)),
          Duration.toMillis(Duration.fromInputUnsafe(actual as Duration.Input)),
          key
        )
      } else assert.deepStrictEqual(given, actual, key)
    }
  })

  it("are there for every part of RuntimeConfig that a user would change", () => {
    const missing = leaves(encoded).filter((path) => !keys.includes(path) && !notSettings.some((pattern) => pattern.test(path)))
    assert.deepStrictEqual(missing, [])
  })

  it("with their defaults written out are taken as they are", () => {
    const all = Object.fromEntries(keys.map((key) => [key, properties[`nofx.${key}`]!.default]))
    assert.deepStrictEqual(readWith(all).problems, [])
  })

  it("that nobody set say nothing", () => {
    const { agents, config, permissions, predecessor, problems } = readWith({})
    assert.deepStrictEqual(
      { agents, config, permissions, predecessor, problems },
      { agents: [], config: {}, permissions: "ask", predecessor: [], problems: [] }
    )
  })

  it("that cannot be taken are named and left out; the others count", () => {
    const { config, problems } = readWith({
      "retry.maxAttempts": 0,
      "retry.baseDelay": "soon",
      "bulkhead.global.permits": 3,
      permissions: "everything",
      agents: [{ id: "a b", driver: "acp" }]
    })
    assert.deepStrictEqual(config, { bulkhead: { global: { permits: 3 } } })
    for (const name of ["nofx.retry.maxAttempts", "nofx.retry.baseDelay", "nofx.permissions", "nofx.agents[0]"]) {
      assert.isTrue(
        problems.some((problem) => problem.startsWith(name)),
        name
      )
    }
  })

  it("that contradict each other are named", () => {
    const { config, problems } = readWith({ "circuitBreaker.openTime": "20 minutes", "circuitBreaker.maxOpenTime": "1 minute" })
    assert.strictEqual(problems.length, 1)
    assert.match(problems[0]!, /^nofx\.circuitBreaker\./)
    assert.doesNotThrow(() => Schema.decodeUnknownSync(RuntimeConfig)(config))
  })

  it("C22 of Redis count once there is an address, one by one, and come from no folder", () => {
    const given = { "redis.prefix": "team", "redis.whenAway": "refuse" }
    assert.deepStrictEqual(readWith(given).config, {})
    const url = "redis://host:6379/1"
    assert.deepStrictEqual(readWith({ ...given, "redis.url": url }).config, { redis: { url, prefix: "team", whenAway: "refuse" } })
    const { config, problems } = readWith({ "redis.url": url, "redis.prefix": "a{b}", "redis.timeout": "0 seconds" })
    assert.deepStrictEqual(config, { redis: { url } })
    assert.deepStrictEqual(
      problems.map((problem) => problem.split(":")[0]),
      ["nofx.redis.prefix", "nofx.redis.timeout"]
    )
    const [secret] = readWith({ "redis.url": "http://user:secret@host" }).problems
    assert.match(secret!, /^nofx\.redis\.url: /)
    assert.notInclude(secret, "secret")
    for (const key of keys.filter((key) => key.startsWith("redis."))) {
      assert.strictEqual(properties[`nofx.${key}`]!.scope, "machine", key)
      assert.include(manifest.capabilities.untrustedWorkspaces.restrictedConfigurations, `nofx.${key}`)
    }
  })

  it("C72 of the predecessor are fallbacks: its agent and its number of agents", () => {
    const { agents, config, permissions, predecessor } = readWith({ aiProvider: "claude", aiPath: "/opt/claude", maxAgents: 3 })
    assert.deepStrictEqual(config, { bulkhead: { global: { permits: 3 } } })
    assert.strictEqual(agents[0]?.id, "claude")
    assert.strictEqual(agents[0]?.command?.[0], "/opt/claude")
    assert.strictEqual(permissions, "ask")
    assert.notInclude(agents[0]?.command?.join(" "), "dangerously")
    assert.sameMembers([...predecessor], ["nofx.aiProvider", "nofx.aiPath", "nofx.maxAgents"])
    assert.deepStrictEqual(readWith({ maxAgents: 3, "bulkhead.global.permits": 5 }).config, { bulkhead: { global: { permits: 5 } } })
  })

  it("C72 of the predecessor count only from the user's own settings", () => {
    const { agents } = read({ given: () => undefined, givenByUser: () => undefined }, Object.keys(properties))
    const fromFolder = read(
      { given: (key) => (key === "aiPath" ? "/tmp/evil" : undefined), givenByUser: () => undefined },
      Object.keys(properties)
    )
    assert.deepStrictEqual([agents, fromFolder.agents], [[], []])
  })
})
