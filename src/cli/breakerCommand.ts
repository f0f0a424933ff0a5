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
import type { Change, Store } from "../store/Store.ts"
import { json, stateDir } from "./flags.ts"
import { OperationRefused } from "./OperationRefused.ts"
import { edit, tell } from "./operate.ts"

const agent = Argument.String("AGENT").pipe(Argument.withDescription("Id of the agent"))

const decodePersisted = Schema.decodeUnknownOption(CircuitBreaker.Persisted)

/** Lets the operation work on the breakers of an agent as they are written down, and writes down what became of them. Answers the keys that changed. */
const change = (
  store: Store["Service"],
  agentId: string,
  operation: (breaker: CircuitBreaker.CircuitBreaker["Service"], keys: { readonly agent: string; readonly account: string }) => void
) =>
  Effect.gen(function* () {
    const loaded = yield* store.load
    const record = loaded.agents.find(({ spec }) => spec.id === agentId)
    if (record === undefined) {
      const known = loaded.agents.map(({ spec }) => spec.id)
      return yield* new OperationRefused({
        reason: `There is no agent "${agentId}"; ${known.length === 0 ? "none has run here yet" : `there are: ${known.join(", ")}`}`
      })
    }
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
    operation(breaker, { agent: agentKey(agentId), account: accountKey(accountOf(record.spec)) })
    if (changes.length > 0) yield* store.commit(changes, store.epoch)
    return changed
  })

const reset = Command.make(
  "reset",
  { agent, json, stateDir },
  Effect.fnUntraced(function* (input) {
    const changed = yield* edit(Option.getOrUndefined(input.stateDir), (store) =>
      change(store, input.agent, (breaker, keys) => {
        breaker.reset(keys.agent)
        breaker.reset(keys.account)
      })
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
    yield* edit(Option.getOrUndefined(input.stateDir), (store) =>
      change(store, input.agent, (breaker, keys) => breaker.isolate(keys.agent, input.reason))
    )
    yield* tell(
      input.json,
      { _tag: "BreakerIsolated", agentId: input.agent, key: agentKey(input.agent) },
      `Agent ${input.agent} gets no work until nofx breaker reset ${input.agent}`
    )
  })
).pipe(Command.withDescription("Give an agent no work until its circuit is reset."))

export const breakerCommand = Command.make("breaker").pipe(
  Command.withDescription("Close an agent's circuit breaker by hand, or hold it open."),
  Command.withSubcommands([reset, isolate])
)
