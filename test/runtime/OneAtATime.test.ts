/** Who works on what, and how the tasks of a file depend on each other, for any set of agents and tasks. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { TestClock } from "effect/testing"
import { AgentRuntime } from "../../src/AgentRuntime.ts"
import { TaskSpec } from "../../src/task/Task.ts"
import * as Scripted from "../support/runtime.ts"

const { claim, driver, failure } = Scripted

const withRuntime = <A, E>(options: Scripted.Options, body: (runtime: AgentRuntime["Service"]) => Effect.Effect<A, E>) =>
  Effect.flatMap(AgentRuntime, (runtime) =>
    Effect.ensuring(body(runtime), Effect.all([runtime.shutdown, runtime.shutdown], { concurrency: "unbounded" }))
  ).pipe(Effect.provide(Scripted.layer(options)))

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const Skills = Schema.Array(Schema.Literals(["read", "write", "test"])).check(Schema.isMaxLength(3))

const Plan = Schema.Struct({
  agents: Schema.Array(Skills).check(Schema.isMinLength(1), Schema.isMaxLength(5)),
  tasks: Schema.Array(
    Schema.Struct({
      millis: between(0, 3_000),
      needs: Skills,
      pinned: Schema.optionalKey(between(0, 4)),
      /** Earlier tasks, counted back. */
      after: Schema.Array(between(1, 5)).check(Schema.isMaxLength(2)),
      crashes: Schema.Boolean,
      cancelAt: Schema.optionalKey(between(0, 5_000))
    })
  ).check(Schema.isMaxLength(25)),
  /** When an agent is restarted from outside. */
  restartAt: Schema.optionalKey(between(0, 5_000))
})

describe("AgentRuntime's order of work", () => {
  it.effect.prop(
    "C55 no agent ever works on two tasks, each has the capabilities that its task asks for, and nothing starts before what it depends on",
    [Plan],
    ([plan]) => {
      const working = new Map<string, string>()
      const done = new Set<string>()
      const problems: Array<string> = []
      const abilities = (agentId: string): ReadonlyArray<string> => plan.agents[Number(agentId.slice(1))]!
      const script: Scripted.Script = ({ started, task }, agentId) =>
        Effect.gen(function* () {
          const own = plan.tasks[Number(task.id.slice(1))]!
          yield* started()
          if (working.has(agentId)) problems.push(`${agentId} got ${task.id} while it worked on ${working.get(agentId)}`)
          working.set(agentId, task.id)
          for (const skill of task.capabilities) if (!abilities(agentId).includes(skill)) problems.push(`${agentId} cannot ${skill}`)
          for (const id of task.dependsOn) if (!done.has(id)) problems.push(`${task.id} started before ${id} was done`)
          if (task.agent !== undefined && task.agent !== agentId) problems.push(`${task.id} was for ${task.agent}`)
          yield* Effect.sleep(own.millis)
          if (own.crashes) return yield* Effect.fail(failure({ _tag: "Crashed", detail: "x", exitCode: 1, signal: null }))
          done.add(task.id)
          return claim()
        }).pipe(
          // What an attempt started is dead when its interruption is over; only then is its agent free.
          Effect.onExit(() =>
            Effect.andThen(
              Effect.sleep(50),
              Effect.sync(() => void working.delete(agentId))
            )
          )
        )
      return withRuntime(
        {
          drivers: { fake: driver(script) },
          config: { retry: { maxAttempts: 2, maxDelay: "2 seconds" }, circuitBreaker: { openTime: "2 seconds" } }
        },
        (runtime) =>
          Effect.gen(function* () {
            for (const [n, capabilities] of plan.agents.entries())
              yield* runtime.spawn({ id: `a${n}`, driver: "fake", account: "one", capabilities })
            for (const [n, task] of plan.tasks.entries()) {
              const agent = task.pinned === undefined ? undefined : `a${task.pinned % plan.agents.length}`
              yield* runtime.submit({
                id: `t${n}`,
                effect: "idempotent",
                ...(agent === undefined ? { capabilities: task.needs } : { agent, capabilities: [] }),
                dependsOn: [...new Set(task.after.map((back) => n - back).filter((on) => on >= 0))].map((on) => `t${on}`)
              })
              if (task.cancelAt !== undefined)
                yield* Effect.forkChild(Effect.andThen(Effect.sleep(task.cancelAt), Effect.ignore(runtime.cancel(`t${n}`))))
            }
            if (plan.restartAt !== undefined) {
              yield* Effect.forkChild(Effect.andThen(Effect.sleep(plan.restartAt), Effect.ignore(runtime.restart("a0"))))
            }
            yield* TestClock.adjust("10 minutes")
            assert.deepEqual(problems, [])
            assert.strictEqual((yield* runtime.getReliabilityStatus).tasks.running, 0)
            // What waits, waits for something that is not there: an agent that can do it, or a dependency that did not succeed.
            const tasks = yield* runtime.tasks
            // By their recorded end: a driver may be done while its task is cancelled.
            const succeeded = new Set(tasks.filter((task) => task.state === "succeeded").map((task) => task.id))
            for (const task of tasks) {
              if (task.state === "blocked")
                assert.isFalse(
                  task.dependsOn.every((id) => succeeded.has(id)),
                  task.id
                )
              if (task.state === "queued") {
                const { needs } = plan.tasks[Number(task.id.slice(1))]!
                assert.isFalse(
                  plan.agents.some((can) => needs.every((skill) => can.includes(skill))),
                  `${task.id} waits for ${JSON.stringify(task.waiting)}`
                )
              }
            }
          })
      )
    },
    { arbitrary: { runs: 60 } }
  )

  const Edges = Schema.Array(Schema.Struct({ from: between(0, 7), to: between(0, 7) })).check(Schema.isMaxLength(14))

  it.effect.prop(
    "C55 a batch is taken exactly when its dependencies have no circle; nothing of a refused one stays",
    [Edges],
    ([edges]) =>
      withRuntime({ drivers: { fake: driver(Scripted.succeedAfter(1)) } }, (runtime) =>
        Effect.gen(function* () {
          const ids = Array.from({ length: 8 }, (_, n) => `t${n}`)
          const dependencies = (id: string): ReadonlyArray<string> => [
            ...new Set(edges.filter((edge) => `t${edge.from}` === id).map((edge) => `t${edge.to}`))
          ]
          // The naive rule: take away what depends on nothing that is left, until nothing more goes.
          let left = ids
          for (let before = -1; before !== left.length; ) {
            before = left.length
            left = left.filter((id) => dependencies(id).some((on) => left.includes(on)))
          }
          const specs = ids.map((id) => Schema.decodeSync(TaskSpec)({ id, dependsOn: dependencies(id) }))
          const result = yield* Effect.result(runtime.submitBatch({ id: "b", file: "f", digest: "d", tasks: specs }))
          if (left.length === 0) {
            assert.strictEqual(result._tag, "Success")
            yield* runtime.spawn({ id: "a", driver: "fake" })
            yield* TestClock.adjust("1 minute")
            assert.deepInclude(yield* runtime.standing("b"), { succeeded: 8, left: 0 })
            return
          }
          assert.strictEqual(result._tag === "Failure" && result.failure._tag, "TaskInvalid")
          const message = result._tag === "Failure" ? result.failure.message : ""
          const circle = message.split("circle: ")[1]!.split(" → ")
          assert.strictEqual(circle[0], circle.at(-1))
          for (const [index, id] of circle.slice(0, -1).entries()) assert.include(dependencies(id), circle[index + 1])
          assert.deepEqual(yield* runtime.tasks, [])
          assert.deepEqual(yield* runtime.unfinishedBatches("f"), [])
        })
      ),
    { arbitrary: { runs: 100 } }
  )
})
