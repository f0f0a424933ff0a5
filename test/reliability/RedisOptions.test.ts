import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import * as RuntimeConfig from "../../src/RuntimeConfig.ts"
import * as RedisOptions from "../../src/reliability/RedisOptions.ts"

const decode = (redis: unknown) => RuntimeConfig.decode({ redis })

describe("RedisOptions", () => {
  it("C58 without a word about Redis everything is local", () => {
    assert.strictEqual(RuntimeConfig.defaults.redis, undefined)
    assert.strictEqual(RedisOptions.withEnvironment(RuntimeConfig.defaults, { NOFX_REDIS_PASSWORD: "x" }).redis, undefined)
  })

  it("C58 the environment names Redis, and gives user and password where the configuration does not", () => {
    const env = { NOFX_REDIS_URL: "rediss://example.test:6380", NOFX_REDIS_USERNAME: "u", NOFX_REDIS_PASSWORD: "canary" }
    const { redis } = RedisOptions.withEnvironment(RuntimeConfig.defaults, env)
    assert.strictEqual(redis?.url, env.NOFX_REDIS_URL)
    assert.strictEqual(redis?.whenAway, "local-share")
    assert.strictEqual(Redacted.value(redis!.password!), "canary")
    assert.notInclude(`${JSON.stringify(redis)}${String(redis?.password)}`, "canary")
    const own = { ...RuntimeConfig.defaults, redis: { ...redis!, url: "redis://own", username: "me" } }
    assert.include(RedisOptions.withEnvironment(own, env).redis, { url: "redis://own", username: "me" })
    assert.deepStrictEqual(RedisOptions.withoutOwn({ ...env, PATH: "/bin" }), { PATH: "/bin" })
  })

  for (const [wrong, path] of [
    [{ url: "http://example.test" }, "url"],
    [{ url: "redis://h", prefix: "a{b}" }, "prefix"],
    [{ url: "redis://h", whenAway: "hope" }, "whenAway"],
    [{ url: "redis://h", timeout: "0 seconds" }, "timeout"],
    [{ url: "redis://h", databse: 3 }, "databse"]
  ] as const)
    it.effect(`C58 a wrong ${path} is refused with its path`, () =>
      Effect.map(Effect.flip(decode(wrong)), (error) => assert.include(error.message, path))
    )
})
