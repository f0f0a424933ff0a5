/** Small records for tests of the store. */
import type { DeadLetter } from "../../src/reliability/DeadLetterQueue.ts"
import type { RuntimeEvent } from "../../src/RuntimeEvent.ts"
import type { BatchRecord } from "../../src/store/Store.ts"
import type { Task, TaskSpec } from "../../src/task/Task.ts"
import * as TaskLife from "../../src/task/TaskLife.ts"

export const spec = (id: string, more: Partial<TaskSpec> = {}): TaskSpec => ({
  id,
  kind: "task",
  prompt: `do ${id}`,
  input: { nested: [1, "two", null] },
  capabilities: [],
  priority: "medium",
  effect: "unsafe",
  dependsOn: [],
  onDependencyFailed: "hold",
  ...more
})

export const task = (id: string, order: number, more: Partial<Task> = {}, batch = ""): Task => ({
  ...TaskLife.accept(spec(id), { batch, order, now: 1_000 }),
  ...more
})

export const ended = (id: string, order: number, endedAt: number, batch = ""): Task =>
  TaskLife.cancelled(task(id, order, {}, batch), "not needed", endedAt)

export const letter = (id: string, more: Partial<DeadLetter> = {}): DeadLetter => ({
  id,
  kind: "task",
  subject: id,
  status: "pending",
  reason: "it failed",
  cause: "Outage",
  createdAt: 1,
  failedAt: 2,
  failures: 1,
  redrives: 0,
  automatic: true,
  payload: { task: { id } },
  versions: { nofx: "1" },
  ...more
})

export const event = (taskId: string, at = 1): RuntimeEvent => ({ _tag: "TaskAccepted", at, taskId, batch: "" })

export const batch = (id: string, createdAt: number, finishedAt?: number): BatchRecord => ({
  id,
  file: "/tasks.yaml",
  digest: "d",
  createdAt,
  ...(finishedAt === undefined ? {} : { finishedAt })
})

export const agentSpec = (id: string) => ({
  id,
  driver: "command",
  command: ["true"],
  capabilities: [],
  permissions: "ask" as const,
  env: {},
  stdin: "task" as const
})
