/**
 * One connection to the Redis that several machines share: bounds how long anybody waits for it, and says at once when it is away.
 *
 * It refuses with `RedisAway` while there is no connection, instead of queueing; what then happens is the policy of the pattern that asked. Below the pipe.
 * Each connection is a client of its own, so that no answer of a server that has just restarted is ever taken for one of the server before.
 */
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redis from "effect/persistence/Redis"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import * as Schema from "effect/Schema"
import * as Listeners from "./Listeners.ts"
import type { Options } from "./RedisOptions.ts"
import { refusals } from "./Refusal.ts"
import * as TimerWheel from "./TimerWheel.ts"

/** Redis cannot be asked; nothing was done, or nobody knows whether it was. */
export class RedisAway extends Schema.TaggedError<RedisAway>()("RedisAway", { cause: Schema.String }) {
  override get message() {
    return `Redis is away: ${this.cause}`
  }
}

/** `generation` grows with every connection; `run` names the server's process, so that it changes when Redis restarts. */
export type State =
  | { readonly _tag: "Up"; readonly generation: number; readonly run: string }
  | { readonly _tag: "Away"; readonly generation: number; readonly cause: string }

/** The processes that share the prefix, as last heard of, and which of them this one is, from 0. */
export interface Members {
  readonly count: number
  readonly rank: number
}

export type Argument = string | number

/** A script: what it is told stands in KEYS and ARGV. */
export interface Script<Answer = ReadonlyArray<string | number>> {
  readonly lua: string
  /** Only a type. */
  readonly answers?: Answer
}
export const script = <Answer = ReadonlyArray<string | number>>(lua: string): Script<Answer> => ({ lua })

/**
 * The connection of this process.
 *
 * A command ends within `timeout`, one way or the other. While Redis is away nothing waits for it; one fiber tries to reach it, with pauses drawn at random, so that those
 * who lost it together do not come back together.
 */
export class RedisConnection extends Context.Service<
  RedisConnection,
  {
    readonly options: Options
    readonly state: () => State
    /** Runs a script. Not to be interrupted: it ends by itself, and what it did would be lost. */
    readonly run: <Answer>(
      script: Script<Answer>,
      keys: ReadonlyArray<string>,
      args: ReadonlyArray<Argument>
    ) => Effect.Effect<Answer, RedisAway>
    readonly members: () => Members
    /** A key below the prefix. */
    readonly key: (...parts: ReadonlyArray<string>) => string
    /** Calls the listener, synchronously, when Redis goes away and when it is back. Returns what takes it out again. */
    readonly onChange: (listener: (state: State) => void) => () => void
    /**
     * Calls the listener with what anybody publishes on the channel, until the scope closes. Messages are lost while Redis is away, so `connected` runs after each (re)connection:
     * it sees what was published before it.
     */
    readonly subscribe: (
      channel: string,
      listener: (message: string) => void,
      connected: Effect.Effect<void, RedisAway>
    ) => Effect.Effect<void>
  }
>()("nofx/RedisConnection") {}

interface Live {
  readonly redis: Redis.Redis["Service"]
  readonly client: Context.Service.Shape<typeof NodeRedis.NodeRedis>["client"]
  /** Of scripts that the server has, or is being given. */
  readonly hashes: Map<Script<unknown>, string | Promise<string>>
  readonly lost: Deferred.Deferred<string>
  readonly scope: Scope.Scope
}

type Subscription = readonly [channel: string, listener: (message: string) => void, connected: Effect.Effect<void, RedisAway>]

/** Connects in the background; waits for the first try only, at most `timeout`. `id` names this process among the members. */
export const make = Effect.fnUntraced(function* (options: Options, id: string) {
  const wheel = yield* TimerWheel.TimerWheel
  const timeout = Duration.toMillis(options.timeout)
  const changes = Listeners.make<State>()
  const subscriptions: Array<Subscription> = []
  const pending = new Set<{ readonly since: number }>()
  let watching = false
  let live: Live | undefined
  let state: State = { _tag: "Away", generation: 0, cause: "not connected yet" }
  let members: Members = { count: 1, rank: 0 }

  const away = (cause: string): void => {
    if (state._tag === "Away" && state.generation > 0) return
    live = undefined
    changes.announce([(state = { _tag: "Away", generation: state.generation + 1, cause })])
  }

  const lose = (connection: Live, cause: string): void => {
    if (live === connection) away(cause)
    Deferred.doneUnsafe(connection.lost, Effect.succeed(cause))
  }

  /** One timer for all commands: they are answered in order, so the oldest tells. */
  const watch = (delay: number, suspect?: object): void => {
    watching = true
    wheel.add(delay, () => {
      watching = false
      const [first] = pending
      if (first === undefined) return
      const left = first.since + timeout - wheel.now()
      if (left > 1) return watch(left)
      // It may be us who were late: the answer is taken from the socket in the turns that come now.
      if (first !== suspect) return watch(Math.min(100, timeout / 10), first)
      pending.clear()
      if (live !== undefined) lose(live, `no answer within ${Duration.format(options.timeout)}`)
    })
  }

  /** Sends a script by its name, and whole where the server does not know it. */
  const send = <Answer>({ client, hashes }: Live, script: Script<Answer>, keys: ReadonlyArray<string>, args: ReadonlyArray<Argument>) => {
    const command = (hash: string) => {
      const words = ["EVALSHA", hash, `${keys.length}`]
      for (const key of keys) words.push(key)
      for (const arg of args) words.push(typeof arg === "string" ? arg : `${arg}`)
      return client.sendCommand<Answer>(words)
    }
    const loaded = () => {
      const loading = client.scriptLoad(script.lua).then((hash) => {
        // Who comes later need not wait.
        hashes.set(script, hash)
        return hash
      })
      hashes.set(script, loading)
      return loading
    }
    const known = hashes.get(script) ?? loaded()
    // All wait for the same loading, or later ones would overtake.
    return { answer: typeof known === "string" ? command(known) : known.then(command), again: () => loaded().then(command) }
  }

  // A promise, not a fiber, and no timer of its own: a decision should cost little more than the way to the server.
  const evaluate = <Answer>(connection: Live, script: Script<Answer>, keys: ReadonlyArray<string>, args: ReadonlyArray<Argument>) =>
    Effect.callback<Answer, RedisAway>((resume) => {
      const command = { since: wheel.now() }
      pending.add(command)
      if (!watching) watch(timeout)
      const answered = (answer: Answer) => {
        pending.delete(command)
        resume(Effect.succeed(answer))
      }
      const failed = (error: unknown) => {
        pending.delete(command)
        const cause = textOf(Cause.fail(error))
        lose(connection, cause)
        resume(Effect.fail(makeAway({ cause })))
      }
      const { again, answer } = send(connection, script, keys, args)
      answer.then(answered, (error: unknown) => {
        if (String(error).includes("NOSCRIPT")) again().then(answered, failed)
        else failed(error)
      })
    })

  const beat = (connection: Live) =>
    Effect.map(
      evaluate(connection, heartbeat, [key("members")], [id, 3 * Duration.toMillis(options.heartbeat)]),
      ([count, rank]) => void (members = { count: Number(count), rank: Number(rank) })
    )

  const attach = (connection: Live, [channel, listener]: Subscription) =>
    Effect.gen(function* () {
      const messages = yield* connection.redis.subscribe(channel)
      const listening = Effect.forever(Effect.map(Queue.take(messages), ({ message }) => listener(message)))
      yield* Effect.forkScoped(Effect.catch(listening, (error) => Effect.sync(() => lose(connection, textOf(Cause.fail(error))))))
    }).pipe(Effect.provideService(Scope.Scope, connection.scope))

  /** Makes itself known; answers which process of the server it is. */
  const greet = Effect.fnUntraced(function* (connection: Live) {
    const info = yield* connection.redis.send<string>("INFO", "server")
    for (const subscription of subscriptions) yield* attach(connection, subscription)
    yield* beat(connection)
    return /run_id:(\w+)/.exec(info)?.[1] ?? "unknown"
  })

  /** One connection, from its beginning to its end; answers why it ended. */
  const connection = Effect.fnUntraced(function* (firstTry: Deferred.Deferred<void>, node: Node | undefined) {
    const services = yield* Layer.build(NodeRedis.layer(clientOptions(options, timeout, node))).pipe(
      Effect.provideService(References.MinimumLogLevel, "None")
    )
    const { client } = Context.get(services, NodeRedis.NodeRedis)
    const redis = Context.get(services, Redis.Redis)
    const mine: Live = { redis, client, hashes: new Map(), lost: Deferred.makeUnsafe<string>(), scope: yield* Effect.scope }
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        // A server that hangs would let `close` wait for ever.
        if (pending.size > 0 || live !== mine) client.isOpen && client.destroy()
        if (live === mine) away("closed")
      })
    )
    client.on("error", (cause) => lose(mine, textOf(Cause.fail(cause))))
    client.on("end", () => lose(mine, "the connection was closed"))
    // A server that takes connections and does not answer is none.
    const run = yield* Effect.timeoutOrElse(greet(mine), {
      duration: options.timeout,
      orElse: () => Effect.fail(makeAway({ cause: `no answer within ${Duration.format(options.timeout)}` }))
    })
    live = mine
    for (const [, , connected] of subscriptions) yield* connected
    changes.announce([(state = { _tag: "Up", generation: state.generation + 1, run })])
    Deferred.doneUnsafe(firstTry, Effect.void)
    yield* Effect.forkScoped(
      Effect.ignore(
        Effect.forever(
          Effect.andThen(
            Effect.sleep(options.heartbeat),
            Effect.suspend(() => beat(mine))
          )
        )
      )
    )
    return yield* Deferred.await(mine.lost)
  })

  const firstTry = Deferred.makeUnsafe<void>()
  const keep = Effect.gen(function* () {
    let failures = 0
    let node: Node | undefined
    for (;;) {
      const generation = state.generation
      const exit = yield* Effect.exit(Effect.scoped(connection(firstTry, node)))
      if (Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)) return
      const cause = Exit.isFailure(exit) ? textOf(exit.cause) : exit.value
      // The keys lie in one slot, so one node of a cluster has all of them. Who is sent on twice in a row waits: the nodes do not agree yet.
      const sentOn = node === undefined || state.generation > generation + 1 ? nodeOf(cause) : undefined
      node = sentOn
      if (sentOn !== undefined) continue
      away(cause)
      Deferred.doneUnsafe(firstTry, Effect.void)
      failures = state.generation > generation + 1 ? 0 : failures + 1
      const pause = Math.min(50 * 2 ** failures, Duration.toMillis(options.maxBackoff))
      yield* Effect.sleep(pause * (0.5 + 0.5 * (yield* Random.next)))
    }
  })

  const key = (...parts: ReadonlyArray<string>): string => [`{${options.prefix}}`, ...parts].join(":")
  yield* Effect.addFinalizer(() => (live === undefined ? Effect.void : Effect.ignore(evaluate(live, farewell, [key("members")], [id]))))
  const service = RedisConnection.of({
    options,
    state: () => state,
    run: (script, keys, args) =>
      Effect.suspend(() =>
        live === undefined
          ? Effect.fail(makeAway({ cause: state._tag === "Away" ? state.cause : "closed" }))
          : evaluate(live, script, keys, args)
      ),
    members: () => members,
    key,
    onChange: changes.add,
    subscribe: (channel, listener, connected) =>
      Effect.suspend(() => {
        const subscription: Subscription = [channel, listener, connected]
        subscriptions.push(subscription)
        return live === undefined ? Effect.void : Effect.andThen(attach(live, subscription), Effect.ignore(connected))
      })
  })
  yield* Effect.forkScoped(Effect.interruptible(keep))
  yield* Effect.timeoutOption(Deferred.await(firstTry), options.timeout)
  return service
})

export const layer = (options: Options, id: string): Layer.Layer<RedisConnection> =>
  Layer.effect(RedisConnection, make(options, id)).pipe(Layer.provide(TimerWheel.layer))

const makeAway = refusals(RedisAway)

/** Counts a member, forgets those that are gone, and answers how many there are and which of them it is. */
const heartbeat = script(`
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local all = redis.call('ZRANGE', KEYS[1], 0, -1)
local rank = 0
for _, each in ipairs(all) do if each < ARGV[1] then rank = rank + 1 end end
return {#all, rank}`)

const farewell = script(`return {redis.call('ZREM', KEYS[1], ARGV[1])}`)

/** What went wrong, without stack, and never with a password: what Redis and Node say of failures holds none. */
const textOf = (cause: Cause.Cause<unknown>): string => {
  let error: unknown = Cause.squash(cause)
  while (error instanceof Error && error.cause !== undefined) error = error.cause
  const text = error instanceof Error ? error.message || String((error as { readonly code?: unknown }).code ?? error.name) : String(error)
  return text.slice(0, 200)
}

/** A node of a cluster; no host: the one that was asked. */
interface Node {
  readonly host: string
  readonly port: number
}

/** The node that has the keys, if that is why another one refused. */
const nodeOf = (cause: string): Node | undefined => {
  const [, host = "", port] = /^MOVED \d+ (.*):(\d+)$/.exec(cause) ?? []
  return port === undefined ? undefined : { host, port: Number(port) }
}

/** No reconnecting and no queueing inside the client: both are decided here. */
const clientOptions = (options: Options, timeout: number, node: Node | undefined) => {
  const url = new URL(options.url)
  const username = options.username ?? decodeURIComponent(url.username)
  const password = options.password === undefined ? decodeURIComponent(url.password) : Redacted.value(options.password)
  const database = options.database ?? Number(url.pathname.slice(1) || 0)
  const socket = {
    connectTimeout: timeout,
    reconnectStrategy: false as const,
    host: node?.host || url.hostname.replace(/^\[|\]$/g, ""),
    port: node?.port ?? Number(url.port || 6379)
  }
  return {
    ...(username === "" ? {} : { username }),
    ...(password === "" ? {} : { password }),
    database,
    disableOfflineQueue: true,
    // One timer for all commands is here; the client would arm one for each.
    commandOptions: { timeout: 0 },
    socket:
      url.protocol === "rediss:"
        ? { ...socket, tls: true as const, ...(options.certificateAuthority === undefined ? {} : { ca: options.certificateAuthority }) }
        : socket
  }
}
