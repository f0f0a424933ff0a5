import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import * as RuntimeConfig from "../../src/RuntimeConfig.ts"
import * as RedisOptions from "../../src/reliability/RedisOptions.ts"

const decode = (redis: unknown) => RuntimeConfig.decode({ redis })

describe("RedisOptions", () => {
  it.effect("C58 without a word about Redis everything is local", () =>
    Effect.gen(function* () {
      assert.strictEqual(RuntimeConfig.defaults.redis, undefined)
      assert.strictEqual((yield* RedisOptions.withEnvironment(RuntimeConfig.defaults, { NOFX_REDIS_PASSWORD: "x" })).redis, undefined)
    })
  )

  it.effect("C58 the environment names Redis, and gives user and password where the configuration does not", () =>
    Effect.gen(function* () {
      const env = { NOFX_REDIS_URL: "rediss://example.test:6380", NOFX_REDIS_USERNAME: "u", NOFX_REDIS_PASSWORD: "canary" }
      const { redis } = yield* RedisOptions.withEnvironment(RuntimeConfig.defaults, env)
      assert.strictEqual(redis?.url, env.NOFX_REDIS_URL)
      assert.strictEqual(redis?.whenAway, "local-share")
      assert.strictEqual(Redacted.value(redis!.password!), "canary")
      assert.notInclude(`${JSON.stringify(redis)}${String(redis?.password)}`, "canary")
      const own = { ...RuntimeConfig.defaults, redis: { ...redis!, url: "redis://own", username: "me" } }
      assert.include((yield* RedisOptions.withEnvironment(own, env)).redis, { url: "redis://own", username: "me" })
      assert.deepStrictEqual(RedisOptions.withoutOwn({ ...env, PATH: "/bin" }), { PATH: "/bin" })
    })
  )

  it.effect("C25 an address that cannot be taken is refused without a word of it, also when the environment says it", () =>
    Effect.gen(function* () {
      for (const url of ["http://u:canary@h", "redis://u:canary@ho st", "redis://:canary@h:99999", "redis://:canary@h/zero", "redis://"]) {
        const told = [
          (yield* Effect.flip(decode({ url }))).message,
          (yield* Effect.flip(RedisOptions.withEnvironment(RuntimeConfig.defaults, { NOFX_REDIS_URL: url }))).message
        ]
        for (const text of told) {
          assert.include(text, "must be redis://HOST:PORT/DATABASE")
          assert.notInclude(text, "canary")
        }
        assert.match(told[1]!, /^NOFX_REDIS_URL: /)
      }
    })
  )

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
