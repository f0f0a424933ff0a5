/**
 * Retry budgets that several machines share: the same scheme as `RetryBudget`, kept by Redis.
 *
 * Whoever decides about a retry cannot wait for an answer. So a process fetches one token ahead, with the call that may need it: the tokens of all processes together never exceed the
 * budget, and a token that nobody needed goes back. While Redis is away each process has its share of the budget.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Monotonic from "../Monotonic.ts"
import { RedisConnection, script } from "./RedisConnection.ts"
import * as RetryBudget from "./RetryBudget.ts"

/** Who asks again while the answer is under way is told to wait so long. Milliseconds. */
const answerMillis = 50

interface Entry {
  /** Fetched and not used. */
  held: number
  /** Calls that Redis has not heard of. */
  deposits: number
  asking: boolean
  /** What Redis said last. */
  known: RetryBudget.State
}

export const make = Effect.fnUntraced(function* (options: RetryBudget.Options = RetryBudget.defaults) {
  const connection = yield* RedisConnection
  const clock = yield* Clock.Clock
  const context = yield* Effect.context<never>()
  const runFork = Effect.runForkWith(context)
  const windowMillis = Duration.toMillis(options.window)
  const entries = new Map<string, Entry>()
  let refusals = 0
  const read = () => Monotonic.read(clock)

  const newShare = () => {
    const { count } = connection.members()
    return Effect.runSyncWith(context)(
      RetryBudget.make({ ...options, minimum: options.minimum / count, cap: Math.max(1, options.cap / count) })
    )
  }
  let share = newShare()

  const entryOf = (key: string): Entry => {
    let entry = entries.get(key)
    if (entry === undefined)
      entries.set(key, (entry = { held: 0, deposits: 0, asking: false, known: RetryBudget.initial(options, read()) }))
    return entry
  }

  const ask = (key: string, entry: Entry, want: number) =>
    Effect.suspend(() => {
      const { deposits } = entry
      entry.deposits = 0
      entry.asking = true
      const args = [deposits, want, options.ratio, options.minimum, windowMillis, options.cap]
      return connection.run(exchange, [connection.key("budget", key)], args).pipe(
        Effect.tap(([taken, tokens]) =>
          Effect.sync(() => {
            entry.held += Number(taken)
            entry.known = { tokens: Number(tokens), at: read() }
          })
        ),
        Effect.ensuring(Effect.sync(() => void (entry.asking = false)))
      )
    })

  /** Tells of calls, and fetches a token if none is there. */
  const sync = (key: string, entry: Entry): void => {
    if (entry.asking || connection.state()._tag === "Away") return
    runFork(
      Effect.ignore(
        Effect.tap(ask(key, entry, entry.held === 0 ? 1 : 0), () =>
          Effect.sync(() => {
            if (entry.deposits > 0) sync(key, entry)
          })
        )
      )
    )
  }

  const budget: RetryBudget.RetryBudget = {
    deposit: (key) => {
      if (connection.state()._tag === "Away") return share.deposit(key)
      const entry = entryOf(key)
      entry.deposits++
      sync(key, entry)
    },
    tryWithdraw: (key) => {
      const entry = entryOf(key)
      if (entry.held >= 1) entry.held--
      else if (connection.state()._tag === "Up" || !share.tryWithdraw(key)) {
        refusals++
        sync(key, entry)
        return false
      }
      sync(key, entry)
      return true
    },
    waitMillis: (key) => {
      const entry = entryOf(key)
      if (entry.held >= 1) return 0
      if (connection.state()._tag === "Away") return share.waitMillis(key)
      const wait = RetryBudget.waitMillis(options, entry.known, read())
      return wait === undefined ? undefined : Math.max(answerMillis, wait)
    },
    tokens: (key) => {
      const entry = entries.get(key)
      if (connection.state()._tag === "Away") return share.tokens(key)
      return entry === undefined ? options.minimum : entry.held + RetryBudget.tokensAt(options, entry.known, read())
    },
    refusals: () => refusals,
    keys: () => [...entries.keys()],
    remove: (key) => {
      const entry = entries.get(key)
      entries.delete(key)
      if (entry !== undefined && entry.held > 0) runFork(Effect.ignore(ask(key, entry, -entry.held)))
    },
    // Redis remembers.
    dump: () => undefined,
    restore: () => {}
  }
  const unsubscribe = connection.onChange(() => {
    share = newShare()
  })
  yield* Effect.addFinalizer(() => {
    unsubscribe()
    return Effect.forEach(entries, ([key, entry]) => Effect.ignore(ask(key, entry, -entry.held)), { discard: true })
  })
  return budget
})

/** Counts calls, and takes tokens or (below 0) gives them back. ARGV: calls, tokens wanted, ratio, minimum, window, cap. Answers [taken, tokens left]. */
const exchange = script(`
local clock = redis.call('TIME')
local now = clock[1] * 1000 + clock[2] / 1000
local minimum, window, cap = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local tokens, found = minimum, redis.call('GET', KEYS[1])
if found then
  local at
  tokens, at = string.match(found, '^(%S+) (%S+)$')
  tokens = tonumber(tokens)
  local windows = math.max(0, now - at) / window
  if tokens > minimum then
    if windows >= 1 then tokens = minimum end
  else
    tokens = math.min(minimum, tokens + windows * minimum)
  end
end
tokens = math.min(cap, tokens + ARGV[1] * ARGV[3])
local taken = math.min(tonumber(ARGV[2]), math.floor(tokens + 1e-9))
tokens = math.min(cap, math.max(0, tokens - taken))
redis.call('SET', KEYS[1], string.format('%.17g %.17g', tokens, now), 'PX', math.ceil(window))
return {taken, string.format('%.17g', tokens)}`)
