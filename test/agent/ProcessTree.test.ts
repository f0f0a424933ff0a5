import { assert, describe, it, vi } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Reaper } from "../../src/agent/AgentDriver.ts"
import * as GatedProcess from "../../src/agent/GatedProcess.ts"
import * as ProcessSystem from "../../src/agent/ProcessSystem.ts"
import type { ProcessRow } from "../../src/agent/ProcessTable.ts"
import * as ProcessTree from "../../src/agent/ProcessTree.ts"
import { alive, directory, eventually, fixture, inheritEnv, node, openContext, pidsIn } from "../support/processes/Scenario.ts"

// Real processes on a machine that may be busy with others: each wait is for a condition.
vi.setConfig({ testTimeout: 30_000 })

const row = (pid: number, ppid: number, over: Partial<ProcessRow> = {}): ProcessRow => ({
  pid,
  ppid,
  pgid: pid,
  sid: pid,
  startTime: `t${pid}`,
  dead: false,
  cpuMillis: 0,
  ...over
})

/** A machine of rows. `deaf`: pids that only SIGKILL ends; `held`: pids that nothing ends. */
const fakeSystem = (
  rows: Array<ProcessRow>,
  options: { deaf?: ReadonlyArray<number>; held?: ReadonlyArray<number>; marked?: ReadonlyArray<number> } = {}
) => {
  const signals: Array<string> = []
  const system: ProcessSystem.ProcessSystem & { table: Array<ProcessRow> } = {
    table: rows,
    platform: "linux",
    self: 100,
    bootId: "boot",
    list: Effect.sync(() => system.table),
    find: (pid) => Effect.sync(() => system.table.find((found) => found.pid === pid)),
    marked: (looked) => Effect.sync(() => looked.filter(({ pid }) => options.marked?.includes(pid))),
    ioBytes: (pid) => pid,
    signal: (target, signal) =>
      Effect.sync(() => {
        signals.push(`${signal} ${target.group ? "-" : ""}${target.pid}`)
        system.table = system.table.filter((process) => {
          const hit = target.group ? process.pgid === target.pid : process.pid === target.pid
          return !hit || options.held?.includes(process.pid) || (signal === "SIGTERM" && options.deaf?.includes(process.pid))
        })
      })
  }
  return { system, signals }
}

/** 1 init, 90 the parent of 100 (ourselves), 200 the root of a tree. */
const machine = [row(1, 0), row(90, 1), row(100, 90), row(200, 100), row(201, 200, { pgid: 200, sid: 200 }), row(300, 1)]
const root = { pid: 200, startTime: "t200", bootId: "boot" }

describe("ProcessTree", () => {
  it.live("C46 asks everybody, waits the grace out, and kills only who is left", () =>
    Effect.gen(function* () {
      const { signals, system } = fakeSystem([...machine, row(202, 201)], { deaf: [202] })
      const trees = yield* ProcessTree.make(system)
      const tree = yield* trees.watch(root, "NOFX_RUN=x")
      const stopped = yield* tree.stop({ graceMillis: 40 })
      assert.deepStrictEqual(stopped, { terminated: 2, killed: 1, survivors: [] })
      assert.deepStrictEqual(signals, ["SIGTERM -200", "SIGTERM -202", "SIGKILL -202"])
      assert.deepStrictEqual(
        system.table.map(({ pid }) => pid),
        [1, 90, 100, 300]
      )
    })
  )

  it.live("C51 a root whose pid was reused is not touched, nor is its group", () =>
    Effect.gen(function* () {
      const { signals, system } = fakeSystem(machine)
      const trees = yield* ProcessTree.make(system)
      assert.deepStrictEqual(yield* trees.sweep([{ ...root, startTime: "earlier" }], new Set(), { graceMillis: 20 }), {
        terminated: 0,
        killed: 0,
        survivors: []
      })
      assert.deepStrictEqual(yield* trees.sweep([{ ...root, bootId: "earlier" }], new Set(), { graceMillis: 20 }), {
        terminated: 0,
        killed: 0,
        survivors: []
      })
      assert.deepStrictEqual(signals, [])
    })
  )

  it.live("C51 neither init, nor itself, nor what it descends from, nor its own group is ever signalled", () =>
    Effect.gen(function* () {
      const own = [row(1, 0), row(90, 1), row(100, 90, { pgid: 90, sid: 90 }), row(101, 100, { pgid: 90, sid: 90 })]
      const { signals, system } = fakeSystem(own, { marked: [1, 90, 100, 101] })
      const trees = yield* ProcessTree.make(system)
      yield* trees.sweep(
        [
          { pid: 1, startTime: "t1", bootId: "boot" },
          { pid: 90, startTime: "t90", bootId: "boot" }
        ],
        new Set(["NOFX_RUN=x"]),
        { graceMillis: 20 }
      )
      assert.deepStrictEqual(signals, ["SIGTERM 101"])
    })
  )

  it.live("C46 names who cannot be killed, after a bounded time", () =>
    Effect.gen(function* () {
      const { system } = fakeSystem(machine, { held: [201] })
      const trees = yield* ProcessTree.make(system)
      const tree = yield* trees.watch(root, "NOFX_RUN=x")
      assert.deepStrictEqual(yield* tree.stop({ graceMillis: 20, killMillis: 20 }), { terminated: 1, killed: 0, survivors: [201] })
    })
  )

  it.live("C50 figures of a tree add up over its processes and never run backwards", () =>
    Effect.gen(function* () {
      const { system } = fakeSystem(machine.map((process) => ({ ...process, cpuMillis: process.pid })))
      const trees = yield* ProcessTree.make(system)
      const tree = yield* trees.watch(root, "NOFX_RUN=x")
      assert.deepStrictEqual(yield* tree.activity, { cpuMillis: 401, ioBytes: 401, processes: 2 })
      system.table = system.table.filter(({ pid }) => pid !== 201)
      yield* tree.living
      assert.deepStrictEqual(yield* tree.activity, { cpuMillis: 401, ioBytes: 401, processes: 1 })
    })
  )

  it.live("samples running trees by itself, and stops when there is none", () =>
    Effect.gen(function* () {
      let looks = 0
      const { system } = fakeSystem(machine)
      const counted = { ...system, list: Effect.tap(system.list, () => Effect.sync(() => void looks++)) }
      const trees = yield* ProcessTree.make(counted)
      yield* Effect.yieldNow
      assert.strictEqual(looks, 0)
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* trees.watch(root, "NOFX_RUN=x")
          yield* eventually("a look", () => looks > 0)
        })
      )
    })
  )

  it("asks Windows for the whole tree, and insists only the second time", () => {
    const target = { pid: 7, group: false }
    assert.deepStrictEqual(ProcessSystem.taskkillArguments(target, "SIGTERM"), ["/PID", "7", "/T"])
    assert.deepStrictEqual(ProcessSystem.taskkillArguments(target, "SIGKILL"), ["/PID", "7", "/T", "/F"])
  })

  describe.runIf(process.platform === "linux")("on Linux", () => {
    it.live("reads what the kernel says of this process", () =>
      Effect.gen(function* () {
        const system = ProcessSystem.make("linux")
        const self = yield* system.find(process.pid)
        assert.strictEqual(self?.ppid, process.ppid)
        assert.isFalse(self?.dead)
        assert.isTrue((yield* system.list).some(({ pid, startTime }) => pid === process.pid && startTime === self?.startTime))
        assert.isUndefined(yield* system.find(0x3fffffff))
        assert.match(system.bootId, /^[0-9a-f-]{36}$/)
        assert.isAbove(system.ioBytes(process.pid), 0)
      })
    )

    const start = (mode: string, bare: string, file: string) =>
      Effect.gen(function* () {
        const context = openContext(file)
        const running = yield* GatedProcess.spawn({
          argv: [node, fixture("deserter.mjs"), file, mode, bare],
          cwd: "/",
          env: inheritEnv,
          stdin: "none",
          context,
          stop: { graceMillis: 100 }
        })
        yield* running.go
        const [tool = 0] = yield* pidsIn(file, 1)
        return { context, running, tool }
      })

    it.live("C51 killing the group alone leaves a tool in a session of its own that ignores SIGTERM; stopping the tree does not", () =>
      Effect.gen(function* () {
        const { running, tool } = yield* start("stay", "", join(yield* directory, "pids"))
        process.kill(-running.identity.pid, "SIGKILL")
        assert.strictEqual((yield* running.exit).signal, "SIGKILL")
        assert.isTrue(alive(tool))
        const stopped = yield* running.stop
        assert.deepStrictEqual(stopped, { terminated: 0, killed: 1, survivors: [] })
        assert.isFalse(alive(tool))
      }).pipe(Effect.provide(ProcessTree.layer))
    )

    it.live("C51 a tool without the marker that was seen before its parent died is ended too", () =>
      Effect.gen(function* () {
        const { running, tool } = yield* start("stay", "bare", join(yield* directory, "pids"))
        assert.isTrue((yield* running.tree.living).some(({ pid }) => pid === tool))
        process.kill(running.identity.pid, "SIGKILL")
        yield* running.exit
        yield* running.stop
        assert.isFalse(alive(tool))
      }).pipe(Effect.provide(ProcessTree.layer))
    )

    it.live("C51 a tool that left the tree unseen is found by the marker", () =>
      Effect.gen(function* () {
        const { running, tool } = yield* start("orphan", "", join(yield* directory, "pids"))
        assert.isTrue(alive(tool))
        yield* running.stop
        assert.isFalse(alive(tool))
        assert.isFalse(alive(running.identity.pid))
      }).pipe(Effect.provide(ProcessTree.layer))
    )

    it.live("C51 what an earlier owner left is ended by identity or by marker, and nothing else", () =>
      Effect.gen(function* () {
        const reaper = yield* Reaper
        const trees = yield* ProcessTree.ProcessTrees
        const left = (marker: string) => {
          const child = spawn("/bin/sleep", ["1000"], { detached: true, stdio: "ignore", env: { NOFX_RUN: marker } })
          return child.pid ?? 0
        }
        const unique = `reaper-${process.pid}`
        const byIdentity = left(`${unique}-unknown`)
        const byMarker = left(`${unique}-a`)
        const stranger = left(`${unique}-ab`)
        const identity = yield* trees.identify(byIdentity)
        const other = yield* trees.identify(stranger)
        assert.isDefined(identity)
        assert.isDefined(other)
        const ended = yield* reaper.reap([
          { marker: `${unique}-none`, ...(identity === undefined ? {} : { identity }) },
          { marker: `${unique}-a` },
          { marker: `${unique}-gone`, ...(other === undefined ? {} : { identity: { ...other, startTime: "1" } }) }
        ])
        assert.strictEqual(ended, 2)
        assert.deepStrictEqual([byIdentity, byMarker, stranger].map(alive), [false, false, true])
        assert.strictEqual(yield* reaper.reap([{ marker: `${unique}-ab` }]), 1)
        assert.isFalse(alive(stranger))
        assert.strictEqual(yield* reaper.reap([]), 0)
      }).pipe(Effect.provide(Layer.provideMerge(ProcessTree.layerReaper, ProcessTree.layer)))
    )

    it.live("C50 CPU time of a tree tells a busy tool from a sleeping one", () =>
      Effect.gen(function* () {
        const context = openContext(yield* directory)
        const running = yield* GatedProcess.spawn({
          argv: ["/bin/sh", "-c", "while :; do :; done & wait"],
          cwd: "/",
          env: inheritEnv,
          stdin: "none",
          context,
          stop: { graceMillis: 50 }
        })
        yield* running.go
        let cpu = 0
        const sampler = yield* running.tree.activity.pipe(
          Effect.tap((activity) => Effect.sync(() => (cpu = activity.cpuMillis))),
          Effect.andThen(Effect.sleep(20)),
          Effect.forever,
          Effect.forkChild
        )
        yield* eventually("CPU time", () => cpu >= 50)
        yield* Fiber.interrupt(sampler)
        assert.strictEqual((yield* running.tree.activity).processes, 2)
      }).pipe(Effect.provide(ProcessTree.layer))
    )

    it.live("C61 one look at the whole process table stays cheap", () =>
      Effect.gen(function* () {
        const system = ProcessSystem.make("linux")
        const processes = (yield* system.list).length
        const before = process.cpuUsage()
        for (let look = 0; look < 20; look += 1) yield* system.list
        const used = process.cpuUsage(before)
        assert.isBelow((used.user + used.system) / 1_000 / 20 / processes, 1, "milliseconds of CPU for one process")
        assert.isTrue(readFileSync("/proc/self/stat", "latin1").startsWith(`${process.pid} `))
      })
    )
  })
})
