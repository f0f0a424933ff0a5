/** What a window may know, made up: a snapshot with what a test is about. */
import { Schema } from "effect"
import type { View } from "../../../extension/src/View.ts"
import { Snapshot } from "../../../src/RuntimeStatus.ts"

export const t = (text: string, ...values: ReadonlyArray<unknown>) =>
  text.replaceAll(/\{(\d)\}/g, (_, index: string) => String(values[Number(index)]))
export const now = 1_700_000_000_000

export const agent = (id: string, more: Partial<Snapshot["agents"][number]> = {}): Snapshot["agents"][number] => ({
  id,
  driver: "command",
  account: "mine",
  capabilities: [],
  state: "idle",
  detail: "",
  stateSince: now - 5_000,
  restarts: 0,
  ...more
})
export const task = (id: string, more: Partial<Snapshot["tasks"][number]> = {}): Snapshot["tasks"][number] => ({
  key: id,
  id,
  batch: "",
  state: "queued",
  priority: "medium",
  effect: "unsafe",
  acceptedAt: now - 1_000,
  run: 1,
  attempts: 0,
  dependsOn: [],
  ...more
})
export const snapshot = (more: Partial<Snapshot> = {}): Snapshot =>
  Schema.decodeSync(Snapshot)({
    epoch: 1,
    seq: 1,
    status: {
      at: now,
      phase: "running",
      health: {
        version: 1,
        at: now,
        status: "healthy",
        live: true,
        ready: true,
        started: true,
        draining: false,
        reasons: [],
        strategy: "worst",
        checks: [],
        degraded: []
      },
      agents: {},
      tasks: { queued: 0, blocked: 0, running: 0, parked: 0, succeeded: 0, "dead-lettered": 0, cancelled: 0 },
      breakers: [],
      gates: [],
      retry: { attempts: 0, retries: 0, exhausted: 0, budgetRefusals: 0, faults: {} },
      rateLimiter: { admitted: 0, refused: 0, keys: 0 },
      bulkhead: { running: 0, permits: 8, refused: 0 },
      deadLetters: { size: 0, capacity: 1_000, added: 0, redriven: 0, resolved: 0, discarded: 0, expired: 0, byCause: {} }
    },
    agents: [],
    tasks: [],
    deadLetters: [],
    permissions: [],
    ...more
  })

export const view = (more: Partial<View>): View => ({
  place: { _tag: "ready", directory: "/project", name: "project" },
  link: "connected",
  problem: undefined,
  snapshot: snapshot(),
  stateDirectory: undefined,
  about: [],
  skew: undefined,
  outdated: false,
  retiring: undefined,
  ...more
})
