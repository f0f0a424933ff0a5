/** `nofx breaker reset|isolate AGENT`: an agent's circuit breaker, by hand. Survives restarts. */
import * as Argument from "effect/cli/Argument"
import * as Clock from "effect/Clock"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { accountOf } from "../agent/AgentSpec.ts"
import * as CircuitBreaker from "../reliability/CircuitBreaker.ts"
import { accountKey, agentKey } from "../runtime/Pipe.ts"
import type { Change, Loaded, Store } from "../store/Store.ts"
import { json, stateDir } from "./flags.ts"
import { OperationRefused } from "./OperationRefused.ts"
import { edit, tell } from "./operate.ts"

const agent = Argument.String("AGENT").pipe(Argument.withDescription("Id of the agent, or a circuit as nofx status names it"))

const decodePersisted = Schema.decodeUnknownOption(CircuitBreaker.Persisted)

/** Tasks in one read. */
const page = 1_000

/** Agents that worked here: a run that has finished took them with it, but what they did is on record. */
const workedHere = Effect.fnUntraced(function* (store: Store["Service"]) {
  const found = new Set<string>()
  for (let after: string | undefined; ; ) {
    const tasks = yield* store.tasks({ limit: page, ...(after === undefined ? {} : { after }) })
    for (const task of tasks) for (const { agentId } of task.attempts) found.add(agentId)
    if (tasks.length < page) return found
    after = String(tasks.at(-1)!.order)
  }
})

/** The circuits that are meant: one by its key, or those of an agent and, while that is on record, of its account. */
const keysOf = Effect.fnUntraced(function* (store: Store["Service"], loaded: Loaded, name: string) {
  const stored = loaded.patterns.filter(({ kind }) => kind === "breaker").map(({ key }) => key)
  if (stored.includes(name)) return [name]
  const record = loaded.agents.find(({ spec }) => spec.id === name)
  if (record !== undefined) return [agentKey(name), accountKey(accountOf(record.spec))]
  if (stored.includes(agentKey(name))) return [agentKey(name)]
  const known = yield* workedHere(store)
  if (known.has(name)) return [agentKey(name)]
  return yield* new OperationRefused({
    reason: `There is no agent "${name}"; ${known.size === 0 ? "none has worked here yet" : `there are: ${[...known].sort().join(", ")}`}`
  })
})

/** Lets the operation work on breakers as they are written down, and writes down what became of them. Answers the keys that changed. */
const change = (
  store: Store["Service"],
  name: string,
  operation: (breaker: CircuitBreaker.CircuitBreaker["Service"], keys: ReadonlyArray<string>) => void
) =>
  Effect.gen(function* () {
    const loaded = yield* store.load
    const keys = yield* keysOf(store, loaded, name)
    const at = yield* Clock.currentTimeMillis
    const breaker = yield* CircuitBreaker.make()
    for (const { key, kind, state } of loaded.patterns) {
      const persisted = kind === "breaker" ? decodePersisted(state) : Option.none()
      if (Option.isSome(persisted)) breaker.restore(key, persisted.value)
    }
    const changes: Array<Change> = []
    const changed: Array<string> = []
    breaker.onChange(({ cause, from, key, to }) => {
      changed.push(key)
      changes.push(
        { _tag: "PutPattern", pattern: { kind: "breaker", key, state: breaker.dump(key) } },
        { _tag: "AppendEvent", event: { _tag: "CircuitStateChanged", at, key, from, to, cause } }
      )
    })
    operation(breaker, keys)
    if (changes.length > 0) yield* store.commit(changes, store.epoch)
    return changed
  })

/** A host knows its agents by their ids. */
const agentOf = (name: string): string => (name.startsWith(agentKey("")) ? name.slice(agentKey("").length) : name)

const reset = Command.make(
  "reset",
  { agent, json, stateDir },
  Effect.fnUntraced(function* (input) {
    const changed = yield* edit(
      Option.getOrUndefined(input.stateDir),
      (store) =>
        change(store, input.agent, (breaker, keys) => {
          for (const key of keys) breaker.reset(key)
        }),
      (runtime) => Effect.map(runtime.resetAgentCircuitBreaker(agentOf(input.agent)), ({ reset }) => reset)
    )
    const result = changed.length === 0 ? "AlreadyClosed" : "Reset"
    const text = changed.length === 0 ? `The circuits of ${input.agent} were closed already` : `Closed ${changed.join(" and ")}`
    yield* tell(input.json, { _tag: "BreakerReset", agentId: input.agent, result, reset: changed }, text)
  })
).pipe(Command.withDescription("Close the circuits of an agent and of its account, isolated ones too."))

const isolate = Command.make(
  "isolate",
  {
    agent,
    reason: Flag.String("reason").pipe(
      Flag.withMetavar("TEXT"),
      Flag.withDescription("Why, for whoever looks"),
      Flag.withDefault("isolated on request")
    ),
    json,
    stateDir
  },
  Effect.fnUntraced(function* (input) {
    const changed = yield* edit(
      Option.getOrUndefined(input.stateDir),
      (store) => change(store, input.agent, (breaker, keys) => breaker.isolate(keys[0]!, input.reason)),
      (runtime) =>
        Effect.map(runtime.isolateAgentCircuitBreaker(agentOf(input.agent), input.reason), ({ agentBreaker }) => [agentBreaker.key])
    )
    yield* tell(
      input.json,
      { _tag: "BreakerIsolated", agentId: input.agent, isolated: changed },
      `Agent ${input.agent} gets no work until nofx breaker reset ${input.agent}`
    )
  })
).pipe(Command.withDescription("Give an agent no work until its circuit is reset."))

export const breakerCommand = Command.make("breaker").pipe(
  Command.withDescription("Close an agent's circuit breaker by hand, or hold it open."),
  Command.withSubcommands([reset, isolate])
)
