import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Result, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { asked } from "../../src/reliability/DeadLetter.ts"
import * as DeadLetterQueue from "../../src/reliability/DeadLetterQueue.ts"
import * as Redaction from "../../src/reliability/Redaction.ts"

type Letter = DeadLetterQueue.DeadLetter

const setup = Effect.fnUntraced(function* (
  options: Partial<typeof DeadLetterQueue.defaults> = {},
  settings: DeadLetterQueue.Settings = {},
  storage = DeadLetterQueue.memory()
) {
  const written: Array<DeadLetterQueue.Change> = []
  const faults = { next: false }
  const spied: DeadLetterQueue.Storage = {
    ...storage,
    persist: (changes, events) => {
      if (faults.next) {
        faults.next = false
        return Effect.fail("disk full")
      }
      written.push(...changes)
      return storage.persist(changes, events)
    }
  }
  const queue = yield* DeadLetterQueue.make({ ...DeadLetterQueue.defaults, redriveJitter: 0, ...options }, spied, settings)
  const events: Array<string> = []
  queue.onEvent((event) => void events.push(event._tag))
  const find = (id: string): Effect.Effect<Letter | undefined> => Effect.orDie(storage.find(id))
  return { queue, events, written, faults, find }
})

const failure = (subject: string, more: Partial<DeadLetterQueue.Failure> = {}): DeadLetterQueue.Failure => ({
  kind: "task",
  subject,
  reason: "provider is down",
  cause: "Outage",
  automatic: true,
  payload: { subject },
  versions: { nofx: "0.1.0" },
  ...more
})

const addMany = (queue: DeadLetterQueue.DeadLetterQueue["Service"], count: number, more: Partial<DeadLetterQueue.Failure> = {}) =>
  Effect.forEach(
    Array.from({ length: count }, (_, n) => `s${n}`),
    (subject) => Effect.tap(queue.add(failure(subject, more)), () => TestClock.adjust("1 millis"))
  )

/** A processor's answer after an action of the test's. */
const answering = (action: () => void, outcome: DeadLetterQueue.Outcome): Effect.Effect<DeadLetterQueue.Outcome> =>
  Effect.as(Effect.sync(action), outcome)
const free: DeadLetterQueue.Guard = () => undefined
const minutes = (n: number): number => n * 60_000

describe("DeadLetterQueue", () => {
  it.effect("C25 secrets planted in reason, payload and versions are in no record, no write and no export", () =>
    Effect.gen(function* () {
      const canary = "canary-4711-secret"
      const { queue, written } = yield* setup({}, { redactor: Redaction.make([canary]) })
      const payload = {
        env: { MY_TOKEN: "other-canary" },
        argv: ["x", `--token=${canary}`],
        attempts: [{ fault: `401 ${canary}` }],
        [`k ${canary}`]: 1
      }
      const letter = yield* queue.add(failure("a", { reason: `said ${canary}`, cause: canary, payload, versions: { agent: canary } }))
      const exported = yield* Stream.runCollect(queue.export())
      for (const text of [JSON.stringify(letter), JSON.stringify(written), ...exported]) {
        assert.notInclude(text, canary)
        assert.notInclude(text, "other-canary")
      }
    })
  )

  it.effect("C26 failing again returns to the record, and success resolves it", () =>
    Effect.gen(function* () {
      const { events, queue, find, written } = yield* setup()
      const first = yield* queue.add(failure("a"))
      const outcomes: Array<DeadLetterQueue.Outcome> = [
        { _tag: "FailedAgain", reason: "still down", cause: "Overloaded" },
        { _tag: "Resolved" }
      ]
      queue.register("task", () => Effect.sync(() => outcomes.shift()!))
      yield* TestClock.adjust("1 second")
      const again = yield* queue.redrive(first.id, "person")
      assert.deepStrictEqual([again._tag, again._tag === "Redriven" && again.outcome], ["Redriven", "failed"])
      const letter = queue.get(first.id)!
      assert.deepStrictEqual(
        [letter.failures, letter.redrives, letter.reason, letter.cause, letter.status],
        [2, 1, "still down", "Overloaded", "pending"]
      )
      assert.deepStrictEqual([letter.createdAt, letter.failedAt, letter.redriveAt], [0, 1000, 1000 + minutes(10)])
      assert.strictEqual((yield* queue.add(failure("a"))).id, first.id)
      const resolved = yield* queue.redrive(first.id, "person")
      assert.strictEqual(resolved._tag === "Redriven" && resolved.outcome, "resolved")
      assert.isUndefined(queue.get(first.id))
      assert.deepStrictEqual(
        (yield* queue.archived()).map((one) => [one.id, one.status]),
        [[first.id, "resolved"]]
      )
      assert.strictEqual((yield* find(first.id))?.failures, 3)
      assert.deepStrictEqual(events, [
        "DeadLetterAdded",
        "DeadLetterRedriven",
        "DeadLetterFailedAgain",
        "DeadLetterFailedAgain",
        "DeadLetterRedriven",
        "DeadLetterResolved"
      ])
      assert.strictEqual(written.at(-1)!._tag, "ArchiveDeadLetter")
      assert.notStrictEqual((yield* queue.add(failure("a"))).id, first.id)
    })
  )

  it.effect("C26 concurrent redrives run it once, and a redrive in flight cannot be discarded", () =>
    Effect.gen(function* () {
      const { queue } = yield* setup()
      const letter = yield* queue.add(failure("a"))
      const gate = Deferred.makeUnsafe<DeadLetterQueue.Outcome>()
      let runs = 0
      queue.register("task", () =>
        Effect.andThen(
          Effect.sync(() => runs++),
          Deferred.await(gate)
        )
      )
      const fibers = yield* Effect.forEach([1, 2, 3, 4], () =>
        Effect.forkChild(queue.redrive(letter.id, "person"), { startImmediately: true })
      )
      assert.deepStrictEqual(yield* queue.discard(letter.id), { _tag: "InFlight" })
      yield* Deferred.succeed(gate, { _tag: "Resolved" })
      const results = yield* Fiber.joinAll(fibers)
      assert.deepStrictEqual(
        results.map((result) => result._tag),
        ["Redriven", "InFlight", "InFlight", "InFlight"]
      )
      assert.strictEqual(runs, 1)
      assert.deepStrictEqual(yield* queue.redrive(letter.id, "person"), { _tag: "Gone" })
    })
  )

  it.effect("C26 a requeued redrive stays in flight until its end is reported, whichever it is", () =>
    Effect.gen(function* () {
      const { queue } = yield* setup()
      queue.register("task", () => Effect.succeed({ _tag: "Requeued" }))
      const { id } = yield* queue.add(failure("a"))
      const result = yield* queue.redrive(id, "person")
      assert.strictEqual(result._tag === "Redriven" && result.outcome, "requeued")
      assert.deepStrictEqual(yield* queue.redrive(id, "person"), { _tag: "InFlight" })
      assert.isUndefined(queue.get(id)!.redriveAt)
      const staged = queue.stage(failure("a", { reason: "again" }))
      assert.strictEqual(queue.get(id)!.status, "redriving")
      queue.accept(staged)
      assert.deepStrictEqual([staged.id, staged.failures, queue.get(id)!.status], [id, 2, "pending"])
      yield* queue.redrive(id, "person")
      queue.accept(queue.stageReleased(id)!)
      assert.deepStrictEqual([queue.get(id)!.status, queue.get(id)!.failures], ["pending", 2])
      yield* queue.redrive(id, "person")
      queue.accept(queue.stageResolved(id)!)
      assert.isUndefined(queue.get(id))
      assert.isUndefined(queue.stageResolved(id))
    })
  )

  it.effect("C28 automatic redrive comes at its time, waits for the guard, and armed times never lie in the past", () =>
    Effect.gen(function* () {
      const { queue } = yield* setup()
      let runs = 0
      queue.register("task", () => answering(() => runs++, { _tag: "Resolved" }))
      const auto = yield* queue.add(failure("auto"))
      yield* queue.add(failure("by hand", { automatic: false }))
      assert.strictEqual(queue.nextDueAt(), minutes(5))
      yield* TestClock.adjust("4 minutes")
      yield* queue.redriveDue(free)
      assert.strictEqual(runs, 0)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(
        queue.due(minutes(5)).map((letter) => letter.id),
        [auto.id]
      )
      const blocked = yield* queue.redriveDue(() => "circuit is open")
      assert.deepStrictEqual([blocked.blocked, runs], [1, 0])
      assert.isAbove(queue.nextDueAt()!, minutes(5))
      const report = yield* queue.redriveDue(free)
      assert.deepStrictEqual([report.resolved, runs], [1, 1])
      assert.deepStrictEqual(
        queue.list().map((letter) => letter.subject),
        ["by hand"]
      )
    })
  )

  it.effect(
    "C28 due times survive a restart, and an interrupted redrive waits for a person unless it is known to go on or not to have begun",
    () =>
      Effect.gen(function* () {
        const { queue } = yield* setup()
        const letters = yield* addMany(queue, 4)
        queue.register("task", () => Effect.succeed({ _tag: "Requeued" }))
        for (const { id } of letters.slice(1)) yield* queue.redrive(id, "person")
        const stored = queue
          .list()
          .map((letter) => Schema.decodeUnknownSync(DeadLetterQueue.DeadLetter)(JSON.parse(JSON.stringify(letter))))
        const second = yield* setup()
        const fates: Record<string, DeadLetterQueue.Fate> = { s1: "running", s2: "not-begun", s3: "unknown" }
        yield* second.queue.load(stored, (letter) => fates[letter.subject]!)
        const after = letters.map(({ id }) => second.queue.get(id)!)
        assert.deepStrictEqual(
          after.map((letter) => [letter.status, letter.automatic]),
          [
            ["pending", true],
            ["redriving", true],
            ["pending", true],
            ["pending", false]
          ]
        )
        assert.strictEqual(after[0]!.redriveAt, letters[0]!.redriveAt)
        assert.strictEqual(after[3]!.cause, DeadLetterQueue.outcomeUnknown)
        assert.deepStrictEqual(
          second.written.map((change) => change._tag),
          ["PutDeadLetter", "PutDeadLetter"]
        )
      })
  )

  it.effect("C28 one of many goes first, and the rest stay where they are when it fails", () =>
    Effect.gen(function* () {
      const { queue } = yield* setup()
      yield* addMany(queue, 20)
      let runs = 0
      queue.register("task", () => answering(() => runs++, { _tag: "FailedAgain", reason: "down", cause: "Outage" }))
      yield* TestClock.adjust("10 minutes")
      const report = yield* queue.redriveDue(free)
      assert.deepStrictEqual([runs, report.failed, report.skipped, report.stopped], [1, 1, 19, "the first one failed again"])
      assert.isAbove(queue.nextDueAt()!, minutes(10))
      assert.deepStrictEqual((yield* queue.redriveDue(free)).asked, 0)
      yield* TestClock.adjust("6 minutes")
      assert.strictEqual((yield* queue.redriveDue(free)).asked, 19)
      assert.strictEqual(runs, 2)
    })
  )

  it.effect("C28 the rest follow only when the first was reported resolved, a few at a time", () =>
    Effect.gen(function* () {
      const { queue } = yield* setup({ redriveConcurrency: 3 })
      yield* addMany(queue, 10)
      queue.register("task", () => Effect.succeed({ _tag: "Requeued" }))
      const redriving = () => queue.list({ status: "redriving" })
      const fiber = yield* Effect.forkChild(queue.redriveAll({ cause: "Outage" }, "person"), { startImmediately: true })
      assert.strictEqual(redriving().length, 1)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(redriving().length, 1)
      let most = 0
      while (fiber.pollUnsafe() === undefined) {
        const flight = redriving()
        most = Math.max(most, flight.length)
        queue.accept(queue.stageResolved(flight[0]!.id)!)
        yield* TestClock.adjust("1 millis")
      }
      const report = yield* Fiber.join(fiber)
      assert.deepStrictEqual([report.resolved, report.asked, most], [10, 10, 3])
    })
  )

  it.effect("C28 the schedule leaves alone what a person has asked for, and has it back when it was left as it was", () =>
    Effect.gen(function* () {
      const { events, find, queue } = yield* setup()
      const letters = yield* addMany(queue, 3)
      for (const letter of letters.slice(0, 2)) queue.accept(asked(letter, "g", 5))
      yield* TestClock.adjust("1 hour")
      const redriven: Array<string> = []
      queue.register("task", ({ subject }) =>
        answering(() => redriven.push(subject), { _tag: "FailedAgain", reason: "down", cause: "Outage" })
      )
      yield* queue.redriveDue(free)
      assert.deepStrictEqual(redriven, ["s2"])
      const ids = queue.asked().map(({ id }) => id)
      assert.deepStrictEqual(
        ids,
        letters.slice(0, 2).map(({ id }) => id)
      )
      events.length = 0
      assert.include(yield* queue.redriveAsked(ids), { failed: 1, skipped: 1 })
      assert.deepStrictEqual(redriven, ["s2", "s0"])
      assert.deepStrictEqual(queue.asked(), [])
      assert.deepStrictEqual(events, ["DeadLetterRedriven", "DeadLetterFailedAgain", "DeadLetterReleased"])
      const left = queue.get(ids[1]!)
      assert.deepStrictEqual(left, yield* find(ids[1]!))
      assert.deepStrictEqual(left?.asked, { at: 5, group: "g", left: "the first one failed again" })
      assert.isAbove(left?.redriveAt ?? 0, 3_600_000)
      // Whoever redrives it later begins with no wish.
      yield* queue.redrive(ids[1]!, "person")
      assert.isUndefined(queue.get(ids[1]!)?.asked)
    })
  )

  it.effect("C28 a wish outlives a redrive that did not begin, and what is taken back meanwhile is not redriven", () =>
    Effect.gen(function* () {
      const first = yield* setup()
      const letters = (yield* addMany(first.queue, 3)).map((letter) => asked(letter, "g", 5))
      const { queue } = yield* setup()
      yield* queue.load([{ ...letters[0]!, status: "redriving" }, ...letters.slice(1)], () => "not-begun")
      const ids = letters.map(({ id }) => id)
      assert.deepStrictEqual(
        queue.asked().map(({ id, redriveAt, status }) => [id, redriveAt, status]),
        ids.map((id) => [id, undefined, "pending"])
      )
      const redriven: Array<string> = []
      queue.register("task", ({ subject }) => answering(() => redriven.push(subject), { _tag: "Requeued" }))
      const fiber = yield* Effect.forkChild(queue.redriveAsked(ids), { startImmediately: true })
      yield* queue.leave(ids.slice(1, 2), "no more")
      yield* queue.discard(ids[2]!)
      queue.accept(queue.stageResolved(ids[0]!)!)
      assert.include(yield* Fiber.join(fiber), { resolved: 1, blocked: 2, stopped: undefined })
      assert.deepStrictEqual(redriven, ["s0"])
      assert.deepStrictEqual(queue.get(ids[1]!)?.asked, { at: 5, group: "g", left: "no more" })
    })
  )

  it.effect("C28 redriving many stops when too many of them fail", () =>
    Effect.gen(function* () {
      const { queue } = yield* setup({ redriveConcurrency: 1, stopAfter: 4, stopAtFailureRate: 0.5 })
      yield* addMany(queue, 20)
      let runs = 0
      queue.register("task", () =>
        Effect.sync(
          () => (runs++ < 2 ? { _tag: "Resolved" } : { _tag: "FailedAgain", reason: "no", cause: "Outage" }) as DeadLetterQueue.Outcome
        )
      )
      const report = yield* queue.redriveAll({}, "person")
      assert.deepStrictEqual(report, { asked: 20, resolved: 2, failed: 2, blocked: 0, skipped: 16, stopped: "2 of 4 failed again" })
    })
  )

  it.effect("C29 what is too old or redriven too often goes into the archive, and can be listed and exported from there", () =>
    Effect.gen(function* () {
      const { queue } = yield* setup({ maxRedrives: 2 })
      queue.register("task", () => Effect.succeed({ _tag: "FailedAgain", reason: "no", cause: "Outage" }))
      const tired = yield* queue.add(failure("tired"))
      const old = yield* queue.add(failure("old", { automatic: false }))
      yield* queue.redrive(tired.id, "person")
      assert.strictEqual(yield* queue.sweep, 0)
      yield* queue.redrive(tired.id, "person")
      assert.strictEqual(queue.nextDueAt(), 0)
      assert.strictEqual(yield* queue.sweep, 1)
      assert.strictEqual(queue.nextDueAt(), minutes(60 * 24 * 30))
      yield* TestClock.adjust("30 days")
      assert.strictEqual(yield* queue.sweep, 1)
      assert.isUndefined(queue.nextDueAt())
      assert.deepStrictEqual(
        (yield* queue.archived()).map((letter) => letter.status),
        ["expired", "expired"]
      )
      const lines = (yield* Stream.runCollect(queue.export())).map((line) =>
        Schema.decodeUnknownSync(DeadLetterQueue.DeadLetter)(JSON.parse(line))
      )
      assert.deepStrictEqual(lines.map((letter) => letter.id).toSorted(), [tired.id, old.id].toSorted())
      assert.deepStrictEqual(yield* Stream.runCollect(queue.export({ archived: false })), [])
    })
  )

  it.effect("C29 a full queue says so, stops nothing itself and evicts nothing", () =>
    Effect.gen(function* () {
      const { events, queue } = yield* setup({ maxLetters: 2 })
      const letters = yield* addMany(queue, 3)
      assert.isTrue(queue.isFull())
      assert.strictEqual(queue.metrics().size, 3)
      yield* queue.discard(letters[0]!.id)
      assert.isTrue(queue.isFull())
      yield* queue.discard(letters[1]!.id)
      assert.isFalse(queue.isFull())
      assert.deepStrictEqual(
        events.filter((tag) => tag === "Full" || tag === "HasRoom"),
        ["Full", "HasRoom"]
      )
      const second = yield* setup({ maxLetters: 1 })
      yield* second.queue.load([letters[2]!])
      assert.deepStrictEqual(second.events, ["Full"])
    })
  )

  it.effect("C29 the archive keeps the newest, as many and as long as it may", () =>
    Effect.gen(function* () {
      const { queue } = yield* setup({ archiveLetters: 3 })
      const letters = yield* addMany(queue, 5)
      for (const { id } of letters.toReversed()) {
        yield* TestClock.adjust("1 day")
        yield* queue.discard(id)
      }
      yield* queue.sweep
      assert.deepStrictEqual(
        (yield* queue.archived()).map((letter) => letter.subject),
        ["s0", "s1", "s2"]
      )
      yield* TestClock.adjust("89 days")
      yield* queue.sweep
      assert.deepStrictEqual(
        (yield* queue.archived()).map((letter) => letter.subject),
        ["s0", "s1"]
      )
    })
  )

  it.effect("C30 a discard is undone by restore, once, and what cannot be restored says why", () =>
    Effect.gen(function* () {
      const { events, queue } = yield* setup()
      const { id } = yield* queue.add(failure("a"))
      assert.strictEqual((yield* queue.discard(id))._tag, "Done")
      assert.deepStrictEqual(yield* queue.discard(id), { _tag: "Gone" })
      const back = yield* queue.restore(id)
      assert.strictEqual(back._tag === "Done" && back.letter.status, "pending")
      assert.deepStrictEqual((yield* queue.archived()).length, 0)
      assert.deepStrictEqual(yield* queue.restore(id), { _tag: "Blocked", reason: "it is in the queue" })
      yield* queue.discard(id)
      yield* TestClock.adjust("1 second")
      const newer = yield* queue.add(failure("a"))
      assert.deepStrictEqual(yield* queue.restore(id), { _tag: "Blocked", reason: `${newer.id} is a newer record of the same subject` })
      queue.register("task", () => Effect.succeed({ _tag: "Resolved" }))
      yield* queue.redrive(newer.id, "person")
      assert.deepStrictEqual(yield* queue.restore(newer.id), { _tag: "Blocked", reason: "it is resolved" })
      assert.deepStrictEqual(yield* queue.restore("none"), { _tag: "Gone" })
      assert.deepStrictEqual(events.slice(0, 4), ["DeadLetterAdded", "DeadLetterDiscarded", "DeadLetterRestored", "DeadLetterDiscarded"])
    })
  )

  it.effect("C30 listing is paged in order of creation and filtered", () =>
    Effect.gen(function* () {
      const { queue } = yield* setup()
      const letters = yield* addMany(queue, 7)
      yield* queue.add(failure("other", { cause: "Crashed", kind: "spawn" }))
      const pages: Array<Letter> = []
      for (let after = ""; ; after = pages.at(-1)!.id) {
        const page = queue.list({ limit: 3, after, kind: "task" })
        if (page.length === 0) break
        pages.push(...page)
      }
      assert.deepStrictEqual(pages, letters)
      assert.deepStrictEqual(
        queue.list({ cause: "Crashed" }).map((letter) => letter.subject),
        ["other"]
      )
      assert.strictEqual(queue.bySubject("spawn", "other")?.kind, "spawn")
      assert.isUndefined(queue.bySubject("task", "other"))
    })
  )

  it.effect("C30 purge empties the archive, and deletes from the queue only what is named", () =>
    Effect.gen(function* () {
      const { queue, find } = yield* setup()
      const [a, b, c, d] = (yield* addMany(queue, 4)) as [Letter, Letter, Letter, Letter]
      yield* queue.discard(a.id)
      yield* TestClock.adjust("1 day")
      yield* queue.discard(b.id)
      assert.strictEqual(yield* queue.purge({ before: minutes(10) }), 1)
      assert.isUndefined(yield* find(a.id))
      assert.strictEqual(yield* queue.purge({}), 1)
      assert.strictEqual(queue.metrics().size, 2)
      queue.register("task", () => Effect.succeed({ _tag: "Requeued" }))
      yield* queue.redrive(c.id, "person")
      assert.strictEqual(yield* queue.purge({ ids: [c.id, d.id] }), 1)
      assert.deepStrictEqual(
        queue.list().map((letter) => letter.id),
        [c.id]
      )
      assert.isUndefined(yield* find(d.id))
    })
  )

  it.effect("C31 a kind without a processor is shown as such, and waits", () =>
    Effect.gen(function* () {
      const { queue } = yield* setup()
      const { id } = yield* queue.add(failure("a", { kind: "mystery" }))
      assert.isFalse(queue.hasProcessor("mystery"))
      const blocked = { _tag: "Blocked", reason: 'no processor is registered for "mystery"' } as const
      assert.deepStrictEqual(yield* queue.redrive(id, "person"), blocked)
      assert.deepStrictEqual([queue.get(id)!.status, queue.get(id)!.redrives], ["pending", 0])
      const take = queue.register("mystery", () => Effect.succeed({ _tag: "Requeued" }))
      take()
      assert.deepStrictEqual(yield* queue.redrive(id, "person"), blocked)
    })
  )

  it.effect("C31 a processor that fails, dies, throws or hangs wedges nothing, and a hung one is not tried again by the schedule", () =>
    Effect.gen(function* () {
      const { queue } = yield* setup()
      const letters = yield* addMany(queue, 4)
      const ways: Record<string, () => Effect.Effect<DeadLetterQueue.Outcome, unknown>> = {
        s0: () => Effect.fail("no route"),
        s1: () => Effect.die(new Error("bug")),
        s2: () => {
          throw new Error("at once")
        },
        s3: () => Effect.uninterruptible(Effect.never)
      }
      queue.register("task", (letter) => ways[letter.subject]!(), { timeLimit: "10 seconds" })
      const fiber = yield* Effect.forkChild(
        Effect.forEach(letters, ({ id }) => queue.redrive(id, "person"), { concurrency: "unbounded" }),
        { startImmediately: true }
      )
      yield* TestClock.adjust("10 seconds")
      const results = yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        results.map((result) => result._tag === "Redriven" && [result.outcome, result.letter.reason, result.letter.automatic]),
        [
          ["failed", "its processor failed: no route", true],
          ["failed", "its processor failed: Error: bug", true],
          ["failed", "its processor failed: Error: at once", true],
          ["failed", "its processor had not ended after 10s", false]
        ]
      )
      queue.register("task", () => Effect.succeed({ _tag: "Resolved" }))
      for (const { id } of letters) assert.strictEqual((yield* queue.redrive(id, "person"))._tag, "Redriven")
      assert.strictEqual(queue.metrics().size, 0)
    })
  )

  it.effect("C31 an interrupted redrive is given back, for a person", () =>
    Effect.gen(function* () {
      const { queue, find } = yield* setup()
      const { id } = yield* queue.add(failure("a"))
      queue.register("task", () => Effect.never)
      const fiber = yield* Effect.forkChild(queue.redrive(id, "person"), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual([queue.get(id)!.status, queue.get(id)!.automatic, queue.get(id)!.cause], ["pending", false, "OutcomeUnknown"])
      assert.strictEqual((yield* find(id))?.status, "pending")
    })
  )

  it.effect("C27 what could not be written did not happen, and a redrive whose outcome could not be written waits for a person", () =>
    Effect.gen(function* () {
      const { events, faults, queue } = yield* setup()
      faults.next = true
      const refused = yield* Effect.result(queue.add(failure("a")))
      assert.isTrue(
        Result.isFailure(refused) && refused.failure._tag === "DeadLetterStorageFailed" && refused.failure.cause === "disk full"
      )
      assert.deepStrictEqual([queue.metrics().size, events.length], [0, 0])
      const { id } = yield* queue.add(failure("a"))
      faults.next = true
      assert.isTrue(Exit.isFailure(yield* Effect.exit(queue.discard(id))))
      assert.strictEqual(queue.get(id)!.status, "pending")
      queue.register("task", () => answering(() => (faults.next = true), { _tag: "Resolved" }))
      faults.next = true
      assert.isTrue(Exit.isFailure(yield* Effect.exit(queue.redrive(id, "person"))))
      assert.deepStrictEqual([queue.get(id)!.status, queue.get(id)!.redrives], ["pending", 0])
      assert.isTrue(Exit.isFailure(yield* Effect.exit(queue.redrive(id, "person"))))
      assert.deepStrictEqual([queue.get(id)!.status, queue.get(id)!.automatic], ["pending", false])
    })
  )

  it.effect("C57 metrics count what a scripted run did", () =>
    Effect.gen(function* () {
      const { queue } = yield* setup({ maxLetters: 50 })
      const letters = yield* addMany(queue, 5)
      yield* queue.add(failure("x", { cause: "Crashed" }))
      yield* queue.add(failure("x", { cause: "Stalled" }))
      queue.register("task", () => Effect.succeed({ _tag: "Resolved" }))
      yield* queue.redrive(letters[0]!.id, "person")
      yield* queue.discard(letters[1]!.id)
      yield* queue.restore(letters[1]!.id)
      yield* queue.discard(letters[2]!.id)
      assert.deepStrictEqual(queue.metrics(), {
        size: 4,
        capacity: 50,
        added: 6,
        redriven: 1,
        resolved: 1,
        discarded: 2,
        expired: 0,
        byCause: { Outage: 3, Stalled: 1 }
      })
    })
  )
})
