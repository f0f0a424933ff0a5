/**
 * Rate limits that several machines share: the service `RateLimiter`, counted by Redis.
 *
 * One script call a decision, on the server's clock: a skewed clock of a machine changes nothing. Who waits has taken its time already, so waiting asks nobody; when an
 * interrupted one gives back its time, those behind it keep theirs, and who comes next gets what became free. While Redis is away the policy of `RedisConnection.Options` holds.
 * In the pipe it comes last, since it cannot answer at once: what it refuses gives the other stages back.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Monotonic from "../Monotonic.ts"
import * as Listeners from "./Listeners.ts"
import * as RateLimiter from "./RateLimiter.ts"
import { type Argument, RedisConnection, RedisAway, type Script } from "./RedisConnection.ts"
import * as LimitScript from "./RedisLimitScript.ts"
import * as RedisShares from "./RedisShares.ts"
import * as ServerClock from "./ServerClock.ts"
import { refusals } from "./Refusal.ts"
import * as Turns from "./Turns.ts"
import * as TimerWheel from "./TimerWheel.ts"

/** `at` is the time at which it starts, by this process's clock. */
interface RemotePermit extends RateLimiter.Permit {
  readonly ticket: string
  /** The connection it was counted on. */
  readonly generation: number
  /** By the server's clock, when it was reserved for. */
  readonly serverAt: number
}

/** All permits of one decision start together, at `at`. */
interface Admitted {
  readonly _tag: "Admitted"
  readonly permits: ReadonlyArray<RateLimiter.Permit>
  readonly at: number
  /** The same by the clock of whoever counts: their order. */
  readonly turn: number
  readonly generation: number
}

/** What of a limit is the same for all its decisions, as scripts are told it. `usual`: its script of one round trip, if it has one. */
interface Written {
  /** The beginning of its keys. */
  readonly prefix: string
  readonly letter: string
  readonly limit: string
  readonly window: string
  readonly usual: Script<string | null> | undefined
  readonly measure: string
}

const isRemote = (permit: RateLimiter.Permit): permit is RemotePermit => "ticket" in permit

export const make = Effect.fnUntraced(function* (id: string) {
  const connection = yield* RedisConnection
  const clock = yield* Clock.Clock
  const turns = Turns.make(yield* TimerWheel.TimerWheel)
  const server = ServerClock.make()
  const changes = Listeners.make<{ readonly limit: string; readonly key: string }>()
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  const strict = connection.options.afterLoss === "spent"
  let [admitted, refused, refunded, waiting, tickets] = [0, 0, 0, 0, 0]
  /** The server's process that counted last, and when something was admitted without it since it is gone. */
  let knownRun: string | undefined
  let aloneAt = Number.NEGATIVE_INFINITY
  const newShares = () => RedisShares.make(connection.members(), Monotonic.read(clock), strict)
  let shares = newShares()

  const writtenOf = new WeakMap<RateLimiter.Limit, Written>()
  const written = (limit: RateLimiter.Limit) => {
    let found = writtenOf.get(limit)
    if (found === undefined) {
      const window = Duration.toMillis(limit.window)
      found = {
        prefix: connection.key("limit", limit.algorithm, escaped(limit.name), ""),
        letter: LimitScript.algorithmLetters[limit.algorithm],
        limit: `${limit.limit}`,
        window: `${window}`,
        usual: Number.isSafeInteger(window) ? LimitScript.usual[limit.algorithm] : undefined,
        measure: `${LimitScript.measureOf(limit, window)}`
      }
      writtenOf.set(limit, found)
    }
    return found
  }
  const keysOf = ({ key, limit }: { readonly limit: RateLimiter.Limit; readonly key: string }): ReadonlyArray<string> => {
    const state = written(limit).prefix + key
    return [state, `${state}:used`, `${state}:waiting`]
  }
  const argsOf = (limit: RateLimiter.Limit, cost: number, queue: number): ReadonlyArray<Argument> => {
    const known = written(limit)
    return [known.letter, known.limit, known.window, cost, queue]
  }
  const markKey = connection.key("run")

  const refuse = (
    { cost = 1, key, limit }: RateLimiter.Request,
    reason: RateLimiter.RateLimitExceeded["reason"],
    wait: number | undefined
  ): RateLimiter.RateLimitExceeded => {
    const retry = wait === undefined ? undefined : Math.ceil(wait) + 1
    return makeRefusal({
      limit: limit.name,
      key,
      cost,
      reason,
      retryAfter: retry === undefined ? undefined : Duration.millis(retry),
      notBefore: retry === undefined ? undefined : Monotonic.read(clock) + retry
    })
  }

  /** Asks Redis. `longest`: how long the caller would wait, milliseconds, -1: not at all; `anyQueue`: it was accepted before and is not refused now. */
  const ask = (
    requests: ReadonlyArray<RateLimiter.Request>,
    longest: number,
    anyQueue: boolean
  ): Effect.Effect<Admitted | RateLimiter.RateLimitExceeded, RedisAway> =>
    Effect.suspend(() => {
      const state = connection.state()
      if (state._tag === "Away") return Effect.fail(new RedisAway({ cause: state.cause }))
      const run = strict ? state.run : "any"
      const age = knownRun === undefined || knownRun === run ? -1 : Monotonic.read(clock) - aloneAt
      const found = ([ok, serverNow, serverAt, ...rest]: ReadonlyArray<string | number>) => {
        knownRun = run
        const wait = Number(serverAt) - Number(serverNow)
        if (ok !== 1) return refuse(requests[Number(rest[0])]!, rest[1] as "rate", wait)
        const now = Monotonic.read(clock)
        const offset = server.offset(Number(serverNow), now)
        const at = wait === 0 ? now : Math.max(now, Number(serverAt) - offset)
        const { generation } = state
        const permits = requests.map(({ cost = 1, key, limit }, index): RemotePermit => {
          return { _tag: "RatePermit", limit, key, at, mark: Number(rest[index]), cost, ticket, generation, serverAt: Number(serverAt) }
        })
        return { _tag: "Admitted", permits, at, turn: Number(serverAt), generation } as const
      }
      const ticket = `${id}.${tickets++}`
      const inFull = Effect.suspend(() => {
        const keys = [markKey]
        const args: Array<Argument> = [run, age, longest, ticket]
        for (const request of requests) {
          keys.push(...keysOf(request))
          args.push(...argsOf(request.limit, request.cost ?? 1, anyQueue ? Number.MAX_SAFE_INTEGER : request.limit.maxQueue))
        }
        return Effect.map(connection.run(LimitScript.admit, keys, args), found)
      })
      // Who would wait is not decided about twice: somebody else could come between.
      if (requests.length !== 1 || longest >= 0 || age >= 0) return inFull
      const { cost = 1, key, limit } = requests[0]!
      const { measure, prefix, usual, window } = written(limit)
      if (usual === undefined || cost === 0) return inFull
      const stateKey = prefix + key
      const keys = limit.algorithm === "sliding-window" ? [markKey, stateKey, `${stateKey}:used`] : [markKey, stateKey]
      return Effect.flatMap(connection.run(usual, keys, [`${run} 0`, window, cost, measure]), (answer) => {
        if (answer === null) return inFull
        const [ok, seconds, micros, later = 0] = answer.split(" ")
        const serverNow = Number(seconds) * 1000 + Number(micros) / 1000
        const then = serverNow + Number(later)
        return Effect.succeed(found(ok === "1" ? [1, serverNow, serverNow, then] : [0, serverNow, then, 0, "rate"]))
      })
    })

  /** What stands in for Redis while it is away. */
  const standIn = (
    requests: ReadonlyArray<RateLimiter.Request>,
    longest: number
  ): Effect.Effect<Admitted | RateLimiter.RateLimitExceeded, never> =>
    Effect.suspend((): Effect.Effect<Admitted | RateLimiter.RateLimitExceeded> => {
      const now = Monotonic.read(clock)
      const { generation } = connection.state()
      const pause = Duration.toMillis(connection.options.heartbeat)
      switch (connection.options.whenAway) {
        case "refuse":
          return Effect.succeed(refuse(requests[0]!, "away", pause))
        case "allow":
          return Effect.succeed({
            _tag: "Admitted",
            permits: requests.map((request) => free(request, now)),
            at: now,
            turn: now,
            generation
          })
        case "local-share": {
          const answer = shares.acquire(requests, longest, now)
          if (answer._tag === "Shares") aloneAt = answer.at
          if (answer._tag === "Shares") return Effect.succeed({ ...answer, _tag: "Admitted", turn: answer.at, generation })
          return Effect.succeed(refuse(answer.request, answer.reason, answer.wait ?? pause))
        }
      }
    })

  yield* Effect.acquireRelease(
    Effect.sync(() =>
      connection.onChange((state) => {
        shares = newShares()
        // A Redis that was restarted has to hear at once until when others counted.
        if (state._tag === "Up") runFork(Effect.ignore(ask([], -1, false)))
        else aloneAt = Monotonic.read(clock)
      })
    ),
    (unsubscribe) => Effect.sync(unsubscribe)
  )

  const decide = (requests: ReadonlyArray<RateLimiter.Request>, longest: number, anyQueue = false) =>
    Effect.suspend(() => {
      for (const request of requests) {
        const { cost = 1, limit } = request
        checkCost(limit, cost)
        if (cost > limit.limit) return Effect.succeed(refuse(request, "cost", undefined))
      }
      return Effect.catch(ask(requests, longest, anyQueue), () => standIn(requests, longest))
    })

  const acquireAll: RateLimiter.RateLimiter["Service"]["acquireAll"] = (requests) =>
    Effect.uninterruptible(
      Effect.flatMap(decide(requests, -1), (answer) => {
        if (answer._tag === "RateLimitExceeded") {
          refused++
          return Effect.fail(answer)
        }
        admitted += requests.length
        return Effect.succeed(answer.permits)
      })
    )

  const settle = (permit: RateLimiter.Permit, cost: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      checkCost(permit.limit, cost)
      const before = permit.cost
      if (before === cost || before === 0) return Effect.void
      permit.cost = cost
      if (cost === 0) refunded++
      const told = Effect.sync(() => {
        if (cost < before) changes.announce([{ limit: permit.limit.name, key: permit.key }])
      })
      if (!isRemote(permit))
        return Effect.andThen(
          Effect.sync(() => shares.settle(permit, before, cost, Monotonic.read(clock))),
          told
        )
      // A connection that was lost took what was counted on it with it.
      if (permit.generation !== connection.state().generation) return told
      const args = [...argsOf(permit.limit, before, 0), cost, permit.mark, permit.ticket]
      return Effect.andThen(Effect.ignore(connection.run(LimitScript.settle, keysOf(permit), args)), told)
    })

  /** Waits, then goes on in the same step: an interruption before that gives everything back. */
  const waitThen = <A, E, R>(request: RateLimiter.Request, then: (permit: RateLimiter.Permit) => Effect.Effect<A, E, R>) =>
    Effect.uninterruptibleMask((restore): Effect.Effect<A, E | RateLimiter.RateLimitExceeded, R> => {
      const attempt = (longest: number, again: boolean): Effect.Effect<A, E | RateLimiter.RateLimitExceeded, R> =>
        Effect.flatMap(decide([request], longest, again), (answer): Effect.Effect<A, E | RateLimiter.RateLimitExceeded, R> => {
          if (answer._tag === "RateLimitExceeded") {
            refused++
            return Effect.fail(answer)
          }
          const permit = answer.permits[0]!
          const key = keysOf(request)[0]!
          // Those before it may be late, but they are before it.
          if (answer.at <= Monotonic.read(clock) && !turns.waiting(key)) {
            admitted++
            return restore(then(permit))
          }
          waiting++
          return Effect.flatMap(
            Effect.onInterrupt(restore(turns.wait(key, answer.turn, answer.at)), () => {
              waiting--
              return settle(permit, 0)
            }),
            () => {
              waiting--
              // What was promised on a connection that is lost is not known to anybody any more.
              if (answer.generation !== connection.state().generation) return attempt(forEver, true)
              admitted++
              return restore(then(permit))
            }
          )
        })
      return attempt(Duration.toMillis(request.limit.maxWait), false)
    })

  const acquire = (limit: RateLimiter.Limit, key: string, cost = 1) => Effect.map(acquireAll([{ limit, key, cost }]), ([permit]) => permit!)

  return RateLimiter.RateLimiter.of({
    run: (limit, key, options) => (call) =>
      limit.mode === "delay"
        ? waitThen({ limit, key, cost: options?.cost }, () => call)
        : Effect.andThen(acquire(limit, key, options?.cost), call),
    wait: (limit, key, cost = 1) => waitThen({ limit, key, cost }, Effect.succeed),
    acquire,
    acquireAll,
    refund: (permit) => Effect.uninterruptible(settle(permit, 0)),
    settle: (permit, cost) => Effect.uninterruptible(settle(permit, cost)),
    local: undefined,
    metrics: () => ({ admitted, refused, refunded, waiting, keys: shares.keys() }),
    onChange: changes.add
  })
})

/** A limiter in Redis. `id` names this process among those that share it. */
export const layer = (id: string): Layer.Layer<RateLimiter.RateLimiter, never, RedisConnection> =>
  Layer.effect(RateLimiter.RateLimiter, make(id)).pipe(Layer.provide(TimerWheel.layer))

const makeRefusal = refusals(RateLimiter.RateLimitExceeded)
const forEver = 1e12

/** Nobody counts it. */
const free = ({ cost = 1, key, limit }: RateLimiter.Request, at: number): RateLimiter.Permit => ({
  _tag: "RatePermit",
  limit,
  key,
  at,
  mark: at,
  cost
})

/** A name that holds no colon: what comes behind it is the key. */
const escaped = (name: string): string => name.replaceAll("%", "%25").replaceAll(":", "%3A")

const checkCost = (limit: RateLimiter.Limit, cost: number): void => {
  if (!(cost >= 0 && Number.isFinite(cost))) throw new RangeError(`cost of "${limit.name}" must be at least 0 and finite, not ${cost}`)
}
