import { assert, describe, it } from "vitest"
import { createAgentManager } from "../../src/AgentManager.ts"
import * as Scripted from "../support/runtime.ts"

describe("AgentManager", () => {
  it("C57 gives programs without Effect the same operations as promises", async () => {
    const manager = await createAgentManager(
      { retry: { maxAttempts: 1 } },
      { drivers: { fake: Scripted.driver((attempt) => Scripted.succeedAfter("1 millis")(attempt, "")) } }
    )
    try {
      await manager.spawn({ id: "a", driver: "fake" })
      const end = await manager.execute("a", { id: "t" })
      assert.strictEqual(end.state, "succeeded")
      const status = await manager.getReliabilityStatus()
      assert.strictEqual(status.tasks.succeeded, 1)
      assert.strictEqual((await manager.getAgentCircuitBreakerStatus("a")).state, "closed")
      assert.deepEqual(await manager.getDLQMessages(), [])
      const refused = await manager.execute("nobody", { id: "t2" }).catch((error: unknown) => error)
      assert.strictEqual((refused as { _tag: string })._tag, "AgentNotFound")
    } finally {
      await manager.dispose()
    }
  })

  it("C57 runs a real command, in memory, and shows its events", async () => {
    const manager = await createAgentManager()
    try {
      const tags: Array<string> = []
      const reading = (async () => {
        for await (const event of manager.events()) {
          tags.push(event._tag)
          if (event._tag === "TaskSucceeded") return
        }
      })()
      await manager.spawn({ id: "echo", driver: "command", command: ["echo", "hello {{task.id}}"] })
      const end = await manager.execute("echo", { id: "world" })
      assert.strictEqual(end.output?.trim(), "hello world")
      await reading
      assert.include(tags, "AttemptStarted")
    } finally {
      await manager.dispose()
    }
  })

  it("C57 has every operation of the service, and says so when it was disposed of", async () => {
    const manager = await createAgentManager()
    try {
      const remove = await manager.registerHealthCheck({
        name: "disk",
        kinds: ["readiness"],
        failuresToUnhealthy: 1,
        run: () => Promise.reject(new Error("no space is left"))
      })
      const status = async () => (await manager.runHealthChecks()).checks.find(({ name }) => name === "disk")
      assert.deepInclude(await status(), { status: "unhealthy", observed: "the check failed: Error: no space is left" })
      await remove()
      assert.isUndefined(await status())

      assert.strictEqual(await manager.purgeDLQ(), 0)
      const misspelt = await manager.purgeDLQ({ state: "pending" } as never).catch((error: unknown) => error)
      assert.match(String(misspelt), /Invalid filter[\s\S]*state/)
    } finally {
      await manager.dispose()
    }
    const late = await manager.agents().catch((error: unknown) => error)
    assert.strictEqual(String(late), "Error: The agent manager was disposed of")
  })

  it("C58 refuses a bad value with its path", async () => {
    const error = await createAgentManager({ retry: { maxAttempts: -1 } } as never).catch((cause: unknown) => cause)
    assert.match(String(error), /maxAttempts/)
  })
})
