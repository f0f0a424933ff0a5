/** What a client of a host can rely on, over a real socket; the runtime behind it is in the same process. */
import { createConnection, createServer, type Socket } from "node:net"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Scope, Stream } from "effect"
import type { AgentRuntime } from "../../src/AgentRuntime.ts"
import * as Connection from "../../src/host/Connection.ts"
import * as HostFile from "../../src/host/HostFile.ts"
import { protocolVersion, type Update } from "../../src/host/Protocol.ts"
import * as MemoryStore from "../../src/store/MemoryStore.ts"
import { claim, driver, failure, type Script, succeedAfter } from "../support/runtime.ts"
import { connect, serve, temporary, until } from "./served.ts"

type Runtime = AgentRuntime["Service"]

const fails: Script = (attempt) => Effect.andThen(attempt.started(), Effect.fail(failure({ _tag: "InvalidRequest", detail: "never" })))

const asks: Script = (attempt) =>
  Effect.gen(function* () {
    yield* attempt.started()
    const answer = yield* attempt.permission({
      title: "write a file",
      kind: "edit",
      detail: "a.txt",
      options: [
        { id: "yes", name: "Allow", kind: "allow_once" },
        { id: "no", name: "Reject", kind: "reject_once" }
      ]
    })
    return claim(String(answer))
  })

const drivers = {
  fake: driver(succeedAfter("5 millis")),
  bad: driver(fails),
  asking: driver(asks),
  slow: driver(succeedAfter("10 minutes"))
}

/** Without what is of the moment: times, and ids that are drawn. */
const settled = (value: unknown): unknown =>
  JSON.parse(
    (
      JSON.stringify(value, (key, each) => (/^(at|since|stateSince|.*At|.*Millis)$/.test(key) && typeof each === "number" ? 0 : each)) ??
      "null"
    )
      .replaceAll(/[0-9a-f]{16,}|dl-\w{9}-\w{8}/g, "drawn")
      .replaceAll(/\d+ ms late/g, "late")
  )

/** Each operation with what leads to it, on a runtime of its own. */
const operations: { readonly [Name in keyof Runtime]?: (runtime: Runtime) => Effect.Effect<unknown, unknown, Scope.Scope> } = {
  spawn: (runtime) =>
    Effect.all([
      runtime.spawn({ id: "a", driver: "fake", capabilities: ["x"] }),
      Effect.flip(runtime.spawn({ id: "a", driver: "fake" })),
      Effect.flip(runtime.spawn({ id: "b", driver: "none" })),
      Effect.flip(runtime.spawn({ id: "a b", driver: "fake" }))
    ]),
  submit: (runtime) =>
    Effect.all([
      runtime.submit({ id: "t", prompt: "p", deadline: "30 minutes", input: { deep: [{ x: 1 }] } }),
      Effect.flip(runtime.submit({ id: "t" })),
      Effect.flip(runtime.submit({ id: "u", nonsense: 1 } as never))
    ]),
  execute: (runtime) =>
    Effect.andThen(
      runtime.spawn({ id: "a", driver: "fake" }),
      Effect.all([runtime.execute("a", { id: "t" }), Effect.flip(runtime.execute("b", { id: "u" }))])
    ),
  submitBatch: (runtime) => runtime.submitBatch(batch),
  unfinishedBatches: (runtime) => Effect.andThen(runtime.submitBatch(batch), runtime.unfinishedBatches(batch.file)),
  awaitBatch: (runtime) =>
    Effect.andThen(runtime.spawn({ id: "a", driver: "fake" }), Effect.andThen(runtime.submitBatch(batch), runtime.awaitBatch(batch.id))),
  standing: (runtime) => Effect.andThen(runtime.submitBatch(batch), runtime.standing(batch.id)),
  cancelBatch: (runtime) =>
    Effect.andThen(runtime.submitBatch(batch), Effect.andThen(runtime.cancelBatch(batch.id, "enough"), runtime.standing(batch.id))),
  await: (runtime) => Effect.flip(runtime.await("nobody")),
  cancel: (runtime) =>
    Effect.andThen(
      runtime.submit({ id: "t" }),
      Effect.all([runtime.cancel("t", "no more"), runtime.cancel("t"), Effect.flip(runtime.cancel("nobody"))])
    ),
  remove: (runtime) =>
    Effect.andThen(runtime.spawn({ id: "a", driver: "fake" }), Effect.all([runtime.remove("a"), Effect.flip(runtime.remove("a"))])),
  restart: (runtime) =>
    Effect.andThen(runtime.spawn({ id: "a", driver: "fake" }), Effect.all([runtime.restart("a"), Effect.flip(runtime.restart("b"))])),
  agents: (runtime) => Effect.andThen(runtime.spawn({ id: "a", driver: "fake" }), runtime.agents),
  tasks: (runtime) => Effect.andThen(runtime.submit({ id: "t" }), runtime.tasks),
  snapshot: (runtime) => Effect.andThen(dead(runtime), runtime.snapshot),
  events: (runtime) =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(
        runtime.events.pipe(
          Stream.filter(({ _tag }) => _tag === "TaskAccepted"),
          Stream.take(1),
          Stream.runCollect
        ),
        { startImmediately: true }
      )
      // A stream has begun when it has told something.
      for (let n = 0; fiber.pollUnsafe() === undefined; n++) {
        yield* Effect.ignore(runtime.submit({ id: `t${n}` }))
        yield* Effect.sleep("20 millis")
      }
      return (yield* Fiber.join(fiber)).map(({ _tag }) => _tag)
    }),
  subscribe: (runtime) =>
    Effect.gen(function* () {
      const told = Deferred.makeUnsafe<unknown>()
      yield* runtime.subscribe((event) => void Deferred.doneUnsafe(told, Exit.succeed(event)))
      yield* runtime.submit({ id: "t" })
      return yield* Deferred.await(told)
    }),
  pause: (runtime) =>
    Effect.andThen(
      runtime.pause,
      Effect.map(runtime.getReliabilityStatus, ({ phase }) => phase)
    ),
  resume: (runtime) =>
    Effect.andThen(
      runtime.pause,
      Effect.andThen(
        runtime.resume,
        Effect.map(runtime.getReliabilityStatus, ({ phase }) => phase)
      )
    ),
  shutdown: (runtime) => Effect.map(runtime.shutdown, ({ abandoned, phases }) => [abandoned, phases.map(({ phase }) => phase)]),
  fenced: (runtime) => Effect.timeoutOption(runtime.fenced, "50 millis"),
  getReliabilityStatus: (runtime) => Effect.andThen(dead(runtime), runtime.getReliabilityStatus),
  getOverallHealthStatus: (runtime) => runtime.getOverallHealthStatus,
  getAgentCircuitBreakerStatus: (runtime) =>
    Effect.andThen(
      runtime.spawn({ id: "a", driver: "fake" }),
      Effect.all([runtime.getAgentCircuitBreakerStatus("a"), Effect.flip(runtime.getAgentCircuitBreakerStatus("b"))])
    ),
  resetAgentCircuitBreaker: (runtime) =>
    Effect.andThen(
      runtime.spawn({ id: "a", driver: "fake" }),
      Effect.all([
        runtime.resetAgentCircuitBreaker("a"),
        runtime.isolateAgentCircuitBreaker("a"),
        runtime.resetAgentCircuitBreaker("a"),
        Effect.flip(runtime.resetAgentCircuitBreaker("b"))
      ])
    ),
  isolateAgentCircuitBreaker: (runtime) =>
    Effect.andThen(runtime.spawn({ id: "a", driver: "fake" }), runtime.isolateAgentCircuitBreaker("a", "too loud")),
  getRetryMetrics: (runtime) => Effect.andThen(dead(runtime), runtime.getRetryMetrics),
  getRateLimiterMetrics: (runtime) => runtime.getRateLimiterMetrics,
  getDLQMessages: (runtime) => Effect.andThen(dead(runtime), runtime.getDLQMessages),
  getDLQMetrics: (runtime) => Effect.andThen(dead(runtime), runtime.getDLQMetrics),
  retryDLQMessage: (runtime) =>
    Effect.flatMap(dead(runtime), (id) => Effect.all([runtime.retryDLQMessage(id), runtime.retryDLQMessage("none")])),
  discardDLQMessage: (runtime) =>
    Effect.flatMap(dead(runtime), (id) => Effect.all([runtime.discardDLQMessage(id), runtime.discardDLQMessage(id)])),
  restoreDLQMessage: (runtime) =>
    Effect.flatMap(dead(runtime), (id) => Effect.all([runtime.discardDLQMessage(id), runtime.restoreDLQMessage(id)])),
  exportDLQ: (runtime) =>
    Effect.map(Effect.andThen(dead(runtime), Stream.runCollect(runtime.exportDLQ)), (lines) => lines.map((line) => JSON.parse(line))),
  purgeDLQ: (runtime) => Effect.flatMap(dead(runtime), (id) => Effect.all([runtime.purgeDLQ({}), runtime.purgeDLQ({ ids: [id] })])),
  runHealthChecks: (runtime) => Effect.map(runtime.runHealthChecks, ({ checks, ...rest }) => [checks.map(({ name }) => name), rest]),
  answerPermission: (runtime) =>
    Effect.gen(function* () {
      yield* runtime.spawn({ id: "a", driver: "asking" })
      const end = yield* Effect.forkChild(runtime.execute("a", { id: "t" }))
      const { permissions } = yield* until(runtime.snapshot, (snapshot) => snapshot.permissions.length > 0)
      yield* runtime.answerPermission(permissions[0]!.requestId, "yes", "me")
      return [yield* Fiber.join(end), yield* Effect.flip(runtime.answerPermission("gone", undefined))]
    }),
  attend: (runtime) => runtime.attend
}

const batch = { id: "b", file: "/f.yaml", digest: "d", tasks: [] as ReadonlyArray<never> }

/** A dead letter's id. */
const dead = (runtime: Runtime) =>
  Effect.gen(function* () {
    yield* runtime.spawn({ id: "bad", driver: "bad" })
    const end = yield* runtime.execute("bad", { id: "t", prompt: "p" })
    return end.deadLetterId!
  })

const plain = (value: unknown): unknown => {
  if (value instanceof Error) return { error: value.constructor.name, ...value, text: value.message }
  if (Array.isArray(value)) return value.map(plain)
  return value
}

describe("one interface, two layers", () => {
  it.effect("C57 every operation is in the table, but for the two that only a process of its own can have", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const { runtime } = yield* serve(directory, { drivers })
      const here = ["registerDLQProcessor", "registerHealthCheck"]
      assert.deepEqual(
        Object.keys(operations).sort(),
        Object.keys(runtime)
          .filter((name) => !here.includes(name))
          .sort()
      )
    })
  )

  for (const [name, operation] of Object.entries(operations)) {
    it.live(`C57 ${name} answers the same in this process and through a host`, () =>
      Effect.gen(function* () {
        const local = yield* serve(yield* temporary, { drivers })
        const directory = yield* temporary
        yield* serve(directory, { drivers })
        const { runtime: remote } = yield* connect(directory)
        const [here, there] = yield* Effect.all([operation(local.runtime), operation(remote)])
        assert.deepEqual(settled(plain(there)), settled(plain(here)))
      })
    )
  }

  it.live("C57 what runs in the runtime's process says so when it is registered through a host", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      yield* serve(directory, { drivers })
      const { runtime } = yield* connect(directory)
      const exit = yield* Effect.exit(runtime.registerDLQProcessor("mine", () => Effect.die("never")))
      assert.match(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "", /runs in the process of the runtime/)
    })
  )
})

/** What a client is told, as it comes. */
const gather = (updates: Stream.Stream<Update>) =>
  Effect.gen(function* () {
    const all: Array<Update> = []
    yield* Effect.forkScoped(Stream.runForEach(updates, (update) => Effect.sync(() => void all.push(update))))
    yield* until(
      Effect.sync(() => all.length),
      (length) => length > 0
    )
    return all
  })

const seqs = (updates: ReadonlyArray<Update>): ReadonlyArray<number> =>
  updates.flatMap((update) => (update._tag === "Event" && update.event.seq !== undefined ? [update.event.seq] : []))

describe("what clients are told", () => {
  it.live("C71 two clients see the same events in the same order, after a snapshot", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      yield* serve(directory, { drivers })
      const one = yield* connect(directory)
      yield* one.runtime.spawn({ id: "a", driver: "fake" })
      const first = yield* gather(one.client.updates)
      const second = yield* gather((yield* connect(directory)).client.updates)
      for (const id of ["t1", "t2", "t3"]) yield* one.runtime.execute("a", { id })
      const ended = (all: ReadonlyArray<Update>) =>
        all.filter((each) => each._tag === "Event" && each.event._tag === "TaskSucceeded").length
      yield* until(
        Effect.sync(() => Math.min(ended(first), ended(second))),
        (least) => least === 3
      )
      for (const all of [first, second]) {
        const start = all[0]!
        assert.strictEqual(start._tag, "Snapshot")
        const base = start._tag === "Snapshot" ? start.snapshot.seq : 0
        assert.deepEqual(
          seqs(all),
          Array.from(seqs(all), (_, index) => base + index + 1)
        )
      }
      assert.deepEqual(seqs(second), seqs(first))
    })
  )

  it.live("C71 a client that knows where it was gets what it missed, once and in order; one that cannot be served gets a snapshot", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const { runtime } = yield* serve(directory, { drivers })
      yield* runtime.spawn({ id: "a", driver: "fake" })
      const { epoch, seq } = yield* runtime.snapshot
      for (let n = 0; n < 5; n++) yield* runtime.execute("a", { id: `t${n}` })
      const info = (yield* HostFile.read(directory))!
      const { client } = yield* Connection.open(info, { client: "test", version: "0" })
      const told = (position: { readonly epoch: number; readonly seq: number }, count: number) =>
        Stream.runCollect(Stream.take(client.updates({ after: position }), count))
      const now = (yield* runtime.snapshot).seq
      const missed = yield* told({ epoch, seq }, 1 + now - seq)
      assert.deepInclude(missed[0], { _tag: "Resumed", epoch, seq })
      assert.deepEqual(
        seqs(missed),
        Array.from({ length: now - seq }, (_, index) => seq + index + 1)
      )
      assert.deepEqual(
        (yield* told({ epoch, seq: now }, 1)).map(({ _tag }) => _tag),
        ["Resumed"]
      )
      for (const position of [
        { epoch: epoch + 1, seq },
        { epoch, seq: now + 10 }
      ]) {
        assert.deepInclude((yield* told(position, 1))[0], { _tag: "Snapshot", reason: "gap" })
      }
    })
  )

  it.live("C71 events that the store has no more are a gap, and a gap is a snapshot", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const disk = MemoryStore.makeDisk()
      const forgetful = { open: () => ({ ...disk.open(), events: () => Effect.succeed([]) }) }
      const { runtime } = yield* serve(directory, { drivers, disk: forgetful })
      const { epoch, seq } = yield* runtime.snapshot
      yield* runtime.submit({ id: "t" })
      const { client } = yield* Connection.open((yield* HostFile.read(directory))!, { client: "test", version: "0" })
      const [first] = yield* Stream.runCollect(Stream.take(client.updates({ after: { epoch, seq } }), 1))
      assert.deepInclude(first, { _tag: "Snapshot", reason: "gap" })
    })
  )

  it.live("C71 a client that does not keep up gets a new snapshot; the runtime and the others do not wait for it", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const { runtime } = yield* serve(directory, { drivers, buffer: 50, config: { queue: { limit: 5_000 } } })
      const swift = yield* gather((yield* connect(directory)).client.updates)
      const { client } = yield* Connection.open((yield* HostFile.read(directory))!, { client: "slow", version: "0" })
      const gate = Deferred.makeUnsafe<void>()
      const slow: Array<Update> = []
      yield* Effect.forkScoped(
        Stream.runForEach(client.updates({}, { streamBufferSize: 1 }), (update) => {
          slow.push(update)
          return Deferred.await(gate)
        })
      )
      yield* until(
        Effect.sync(() => slow.length),
        (length) => length === 1
      )
      for (let n = 0; n < 1_000; n++) yield* runtime.submit({ id: `t${n}` })
      const last = (all: ReadonlyArray<Update>) => {
        const update = all.at(-1)
        return update?._tag === "Event" ? update.event.seq : update?._tag === "Snapshot" ? update.snapshot.seq : 0
      }
      const { seq } = yield* runtime.snapshot
      // The other one is told to the end while the slow one stands still.
      yield* until(
        Effect.sync(() => last(swift)),
        (told) => told === seq
      )
      assert.strictEqual(slow.length, 1)
      yield* Deferred.succeed(gate, undefined)
      yield* until(
        Effect.sync(() => last(slow)),
        (told) => told === seq
      )
      const lag = slow.find((update) => update._tag === "Snapshot" && update.reason === "lag")
      assert.isDefined(lag)
      // Nothing is told twice, nothing before what it belongs to.
      const order = slow.map((update) =>
        update._tag === "Snapshot" ? update.snapshot.seq : update._tag === "Event" ? update.event.seq! : 0
      )
      assert.deepEqual(
        order,
        order.toSorted((a, b) => a - b)
      )
      assert.isBelow(slow.length, 1_000)
    })
  )

  it.live("C71 a client that comes back after its connection was cut goes on where it was", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const { runtime } = yield* serve(directory, { drivers })
      yield* runtime.spawn({ id: "a", driver: "fake" })
      // Between the client and the host, so that it can be cut.
      const info = (yield* HostFile.read(directory))!
      const cuts = new Set<Socket>()
      const between = path.join(directory, "between.sock")
      yield* Effect.acquireRelease(
        Effect.callback<ReturnType<typeof createServer>>((resume) => {
          const server = createServer((near) => {
            const far = createConnection(info.socket)
            near.pipe(far).pipe(near)
            for (const each of [near, far]) each.on("error", () => {})
            cuts.add(near).add(far)
          }).listen(between, () => resume(Effect.succeed(server)))
        }),
        (server) =>
          Effect.sync(() => {
            server.close()
            for (const each of cuts) each.destroy()
          })
      )
      yield* HostFile.write(directory, { ...info, socket: between })
      const { client, runtime: remote } = yield* connect(directory)
      const all = yield* gather(client.updates)
      const waiting = yield* Effect.forkChild(remote.execute("a", { id: "t0" }))
      yield* Fiber.join(waiting)
      for (const each of cuts) each.destroy()
      cuts.clear()
      for (let n = 1; n < 4; n++) yield* runtime.execute("a", { id: `t${n}` })
      assert.strictEqual((yield* remote.agents).length, 1)
      const { seq } = yield* runtime.snapshot
      yield* until(
        Effect.sync(() => seqs(all).at(-1)),
        (told) => told === seq
      )
      assert.deepEqual(
        all.filter(({ _tag }) => _tag !== "Event").map(({ _tag }) => _tag),
        ["Snapshot", "Resumed"]
      )
      const told = seqs(all)
      assert.deepEqual(
        told,
        Array.from(told, (_, index) => told[0]! + index)
      )
    })
  )
})

describe("who may ask, and once", () => {
  it.live(
    "C71 another version is refused with both versions and what to do; a wrong token is refused; nobody is answered before hello",
    () =>
      Effect.gen(function* () {
        const directory = yield* temporary
        yield* serve(directory, { drivers })
        const info = (yield* HostFile.read(directory))!
        const other = yield* Effect.flip(Connection.open(info, { client: "t", version: "9.9.9", protocol: protocolVersion + 1 }))
        assert.strictEqual(other._tag, "VersionMismatch")
        assert.match(other.message, /running is version .* \(protocol 1\); this is version 9\.9\.9 \(protocol 2\)\. Restart the host/)
        const stranger = yield* Effect.flip(Connection.open({ ...info, token: "guess" }, { client: "t", version: "1" }))
        assert.strictEqual(stranger._tag, "TokenRefused")
        assert.strictEqual((yield* Effect.flip(Connection.retire({ ...info, token: "guess" })))._tag, "TokenRefused")
        const answer = yield* Effect.callback<string>((resume) => {
          const socket = createConnection(info.socket)
          socket.write(`${JSON.stringify({ _tag: "Request", id: "1", tag: "agents", headers: [], payload: null })}\n`)
          socket.once("data", (data) => {
            socket.destroy()
            resume(Effect.succeed(String(data)))
          })
        })
        assert.include(answer, "has not begun with hello")
      })
  )

  it.live("C71 a request that is asked again under its id is done once, and its client's going is no cancel", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const { runtime } = yield* serve(directory, { drivers, config: { shutdown: { budget: "200 millis" } } })
      yield* runtime.spawn({ id: "a", driver: "slow" })
      const info = (yield* HostFile.read(directory))!
      const scope = yield* Scope.make()
      const first = yield* Scope.provide(Connection.open(info, { client: "t", version: "1" }), scope)
      const request = { requestId: "r1", agentId: "a", task: { id: "t" } }
      yield* Effect.forkIn(Effect.exit(first.client.execute(request)), scope)
      yield* until(runtime.tasks, (tasks) => tasks[0]?.state === "running")
      yield* Scope.close(scope, Exit.void)
      const { client } = yield* Connection.open(info, { client: "t", version: "1" })
      const again = yield* Effect.forkChild(client.execute(request))
      assert.strictEqual((yield* runtime.tasks)[0]?.state, "running")
      yield* runtime.cancel("t")
      assert.deepInclude(yield* Fiber.join(again), { taskId: "t", state: "cancelled", attempts: 1 })
      assert.strictEqual((yield* runtime.tasks).length, 1)
      assert.strictEqual(
        (yield* client.submit({ requestId: "r2", task: { id: "u" } })).key,
        (yield* client.submit({ requestId: "r2", task: { id: "u" } })).key
      )
    })
  )

  it.live("C69 a permission request goes to every client; the first answer counts, the second is told that it came late", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const { runtime } = yield* serve(directory, { drivers, environment: { waitsForClients: false } })
      const one = yield* connect(directory, { onLeave: "finish" })
      const two = yield* connect(directory, { onLeave: "finish" })
      yield* runtime.spawn({ id: "a", driver: "asking" })
      const end = yield* Effect.forkChild(one.runtime.execute("a", { id: "t" }))
      const seen = yield* Effect.forEach([one, two], ({ runtime: each }) =>
        until(each.snapshot, (snapshot) => snapshot.permissions.length > 0)
      )
      const id = seen[0]!.permissions[0]!.requestId
      assert.strictEqual(seen[1]!.permissions[0]!.requestId, id)
      yield* two.runtime.answerPermission(id, "no", "two")
      assert.strictEqual((yield* Effect.flip(one.runtime.answerPermission(id, "yes", "one")))._tag, "PermissionGone")
      assert.strictEqual((yield* Fiber.join(end)).output, "no")
    })
  )

  it.live("C69 who only looks is nobody to ask: without an editor requests are rejected where the runtime does not wait", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      yield* serve(directory, { drivers, environment: { waitsForClients: false } })
      const { runtime } = yield* connect(directory)
      yield* runtime.spawn({ id: "a", driver: "asking" })
      assert.strictEqual((yield* runtime.execute("a", { id: "t" })).output, "undefined")
    })
  )

  it.live("C71 a host that is gone for good is said to be lost, and so is what waited for it", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const scope = yield* Scope.make()
      const { runtime: local } = yield* Scope.provide(serve(directory, { drivers, config: { shutdown: { budget: "200 millis" } } }), scope)
      yield* local.spawn({ id: "a", driver: "slow" })
      const { client, runtime } = yield* connect(directory, { patience: "100 millis" })
      const waiting = yield* Effect.forkChild(Effect.exit(runtime.execute("a", { id: "t" })))
      yield* until(local.tasks, (tasks) => tasks[0]?.state === "running")
      yield* Scope.close(scope, Exit.void)
      assert.isString(yield* client.lost)
      const exits: ReadonlyArray<Exit.Exit<unknown, unknown>> = [yield* Fiber.join(waiting), yield* Effect.exit(runtime.agents)]
      for (const exit of exits) {
        assert.isTrue(Exit.isFailure(exit))
        assert.match(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "", /HostLost/)
      }
    })
  )
})
