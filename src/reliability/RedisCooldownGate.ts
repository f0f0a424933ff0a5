/**
 * Cooldown gates that several machines share: the service `CooldownGate`, told of what others met.
 *
 * A gate stays in its process, so asking it costs nothing; what closes it is written to Redis and published, and what others published closes it here. Times are told as what is
 * left of them, by the server's clock: a wrong clock of a machine neither opens nor closes a gate. After it was away Redis is asked for all gates again, and hears of those closed
 * meanwhile. Each process has a ramp of its own.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as CooldownGate from "./CooldownGate.ts"
import { RedisConnection, script } from "./RedisConnection.ts"
import * as TimerWheel from "./TimerWheel.ts"

/** What is told about a gate; `millis` are left until it reopens, 0: somebody opened it by hand. */
const Told = Schema.Struct({ from: Schema.String, account: Schema.String, millis: Schema.Finite, level: Schema.Int, cause: Schema.String })
const decodeTold = Schema.decodeUnknownOption(Schema.fromJsonString(Told))

/** What two processes compute from the same time differs by less than this: no news. Milliseconds. */
const same = 100

export const make = Effect.fnUntraced(function* (options: CooldownGate.Options, id: string) {
  const connection = yield* RedisConnection
  const clock = yield* Clock.Clock
  const inner = yield* CooldownGate.make(options)
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  const key = connection.key("gates")
  const channel = connection.key("gate")
  // What is being taken over is no news for the others.
  let adopting = false

  const adopt = ({ account, cause, level, millis }: Omit<typeof Told.Type, "from">): void => {
    adopting = true
    try {
      if (millis <= 0) inner.open(account)
      else inner.restore(account, { until: clock.currentTimeMillisUnsafe() + millis, cause, level })
    } finally {
      adopting = false
    }
  }

  const publish = (account: string) =>
    Effect.suspend(() => {
      const state = inner.dump(account)
      if (state === undefined || inner.status(account).state !== "closed") return Effect.void
      const left = state.until - clock.currentTimeMillisUnsafe()
      return connection.run(close, [key], [account, left, state.level, state.cause, channel, id, same])
    })

  const connected = Effect.gen(function* () {
    const all = yield* connection.run(load, [key], [])
    for (let index = 0; index < all.length; index += 2) {
      const told = decodeTold(all[index + 1])
      if (Option.isSome(told)) adopt({ ...told.value, millis: Number(all[index]) })
    }
    for (const { account } of inner.statuses()) yield* publish(account)
  })

  yield* connection.subscribe(
    channel,
    (message) => {
      const told = decodeTold(message)
      if (Option.isSome(told) && told.value.from !== id) adopt(told.value)
    },
    connected
  )
  yield* Effect.acquireRelease(
    Effect.sync(() =>
      inner.onUpdate((account) => {
        if (!adopting) runFork(Effect.ignore(publish(account)))
      })
    ),
    (unsubscribe) => Effect.sync(unsubscribe)
  )
  return CooldownGate.CooldownGate.of({
    ...inner,
    open: (account) => {
      inner.open(account)
      runFork(Effect.ignore(connection.run(open, [key], [account, channel, id])))
    }
  })
})

/** Gates shared through Redis. `id` names this process. */
export const layer = (options: CooldownGate.Options, id: string): Layer.Layer<CooldownGate.CooldownGate, never, RedisConnection> =>
  Layer.effect(CooldownGate.CooldownGate, make(options, id)).pipe(Layer.provide(TimerWheel.layer))

const clockLua = `
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
`

/** Closes a gate for longer than it is known to be closed, and tells everybody. A field holds `until` and what is told, as JSON. */
const close = script(`${clockLua}
local left = tonumber(ARGV[2])
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known and tonumber(string.match(known, '^%S+')) >= now + left - ARGV[7] then return {0} end
local told = cjson.encode({ account = ARGV[1], millis = left, level = tonumber(ARGV[3]), cause = ARGV[4], from = ARGV[6] })
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d ', now + left) .. told)
if redis.call('PTTL', KEYS[1]) < left then redis.call('PEXPIRE', KEYS[1], math.ceil(left)) end
redis.call('PUBLISH', ARGV[5], told)
return {1}`)

const open = script(`
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return {0} end
redis.call('PUBLISH', ARGV[2], cjson.encode({ account = ARGV[1], millis = 0, level = 0, cause = 'opened', from = ARGV[3] }))
return {1}`)

/** All gates that are still closed: what is left of each, and what was told. */
const load = script(`${clockLua}
local all, answer = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #all, 2 do
  local blank = string.find(all[i + 1], ' ', 1, true)
  local left = tonumber(string.sub(all[i + 1], 1, blank - 1)) - now
  if left > 0 then
    answer[#answer + 1] = tostring(left)
    answer[#answer + 1] = string.sub(all[i + 1], blank + 1)
  else
    redis.call('HDEL', KEYS[1], all[i])
  end
end
return answer`)
