/**
 * Dead letters on their way back: what a redrive does with a task or an agent, when the schedule's turn comes, and what was asked for while
 * nobody worked.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Letter from "../reliability/DeadLetter.ts"
import type { DeadLetter } from "../reliability/DeadLetter.ts"
import type { Fate, Outcome } from "../reliability/DeadLetterQueue.ts"
import type { Change, Loaded, Store } from "../store/Store.ts"
import { isEnd, type Task } from "../task/Task.ts"
import * as TaskLife from "../task/TaskLife.ts"
import type { Batches } from "./Batches.ts"
import type { Core } from "./Core.ts"
import { accountKey, agentKey } from "./Pipe.ts"
import * as Recovery from "./Recovery.ts"
import type { Settlement } from "./Settlement.ts"
import type { Supervisor } from "./Supervisor.ts"
import type { Timer } from "./TaskTable.ts"

export interface Redrives {
  /** Fills the queue from the store; the tasks are in the table already. */
  readonly load: (loaded: Loaded) => Effect.Effect<void>
  /** Tasks of this kind are redriven by running them again, unless the program has registered something else; operations on agents are no tasks. */
  readonly serve: (kind: string) => void
  /** Arms the timer for the next due letter. */
  readonly arm: () => void
  /** Redrives what is due and may be. */
  readonly turn: () => void
  /** Somebody works here: redrives what was asked for, one of each batch first. Does nothing where that is under way. */
  readonly begin: () => void
  /** What was asked for of a batch is given up on. */
  readonly giveUp: (batch: string, why: string) => Effect.Effect<void>
}

export interface Parts {
  readonly batches: Batches
  readonly settlement: Settlement
  readonly supervisor: Supervisor
  readonly store: Store["Service"]
}

/** Kinds of dead letters that are about an agent. */
const operations: ReadonlySet<string> = new Set(["spawn", "restart", "remove"])

/** Is it about an agent, not about work? Only a runtime that has the agent can try again. */
export const isAboutAgent = ({ kind }: DeadLetter): boolean => operations.has(kind)

/**
 * Asks for the redrive of letters where nobody works: written on each, and their batches are open again, in one commit. Whoever works next
 * `begin`s with it. Answers those that can be redriven.
 */
export const ask = Effect.fnUntraced(function* (store: Store["Service"], letters: ReadonlyArray<DeadLetter>, now: number) {
  const asked: Array<DeadLetter> = []
  for (const letter of letters) {
    const task = isAboutAgent(letter) ? undefined : yield* store.task(letter.subject)
    if (task !== undefined) asked.push(Letter.asked(letter, task.batch, now))
  }
  const changes: Array<Change> = asked.map((letter) => ({ _tag: "PutDeadLetter", letter }))
  for (const id of new Set(asked.map((letter) => letter.asked!.group))) {
    const record = yield* Recovery.findBatch(store, id)
    if (record?.finishedAt === undefined) continue
    const { finishedAt: _, ...batch } = record
    changes.push({ _tag: "PutBatch", batch })
  }
  if (changes.length > 0) yield* store.commit(changes, store.epoch)
  return asked
})

export const make = (core: Core, parts: Parts): Effect.Effect<Redrives, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { deadLetters, table } = core
    let timer: Timer | undefined
    let looking: Timer | undefined

    const find = (key: string): Effect.Effect<Task | undefined> =>
      Effect.suspend(() => {
        const task = table.get(key)
        return task === undefined ? Effect.orDie(parts.store.task(key)) : Effect.succeed(task)
      })

    /** Takes up the batch of a task, if that is over and forgotten. */
    const adopt = (batch: string): Effect.Effect<void> =>
      Effect.gen(function* () {
        if (batch === "" || parts.batches.tracked(batch)) return
        const record = yield* Recovery.findBatch(parts.store, batch)
        if (record !== undefined) yield* Recovery.adoptBatch(core, parts.store, parts.batches, record)
      }).pipe(Effect.orDie)

    const task = (letter: DeadLetter): Effect.Effect<Outcome> =>
      Effect.gen(function* () {
        const found = yield* find(letter.subject)
        if (found === undefined) return { _tag: "FailedAgain", reason: "its task is not in the store any more", cause: "InvalidRequest" }
        if (!isEnd(found.state)) return { _tag: "Requeued" }
        if (found.state === "succeeded") return { _tag: "Resolved" }
        yield* adopt(found.batch)
        for (const id of found.spec.dependsOn) {
          const dependency = yield* find(TaskLife.keyOf(found.batch, id))
          if (dependency !== undefined && table.get(dependency.key) === undefined) table.put(dependency)
        }
        yield* core.journal.commit([...parts.batches.reopen(found.batch), ...parts.settlement.redriveChanges(found)])
        core.pump()
        return { _tag: "Requeued" }
      })

    /** When the first of the circuits that kept letters back may be tried. Nothing else may ever try it: the letters may be all the work there is. */
    let triedAt = Number.POSITIVE_INFINITY

    /** Why the schedule must leave a letter alone for now: its circuit is open, or its gate is closed. */
    const guard = (letter: DeadLetter): string | undefined => {
      const found = table.get(letter.subject)
      const wanted = found?.spec.agent ?? letter.subject
      const agents = [...core.agents.values()].filter((agent) => agent.spec.id === wanted)
      for (const agent of agents) {
        for (const key of [agentKey(agent.spec.id), accountKey(agent.account)]) {
          const { retryAt = Number.POSITIVE_INFINITY, state } = core.patterns.breaker.status(key)
          if (state === "closed" || state === "half-open" || retryAt <= core.wallNow()) continue
          triedAt = Math.min(triedAt, retryAt)
          return `circuit ${key} is ${state}`
        }
        const gate = core.patterns.gate.status(agent.account)
        if (gate.state !== "open") return `account ${agent.account} is limited`
      }
      return undefined
    }

    // A turn lasts until what it redrove has ended; the queue itself keeps two turns from taking the same letter.
    const turn = (): void => {
      triedAt = Number.POSITIVE_INFINITY
      core.fork(Effect.ensuring(Effect.ignore(deadLetters.redriveDue(guard)), Effect.sync(arm)))
    }

    const look = (): void => {
      looking = undefined
      timer?.cancel()
      const at = Math.min(triedAt, deadLetters.nextDueAt() ?? Number.POSITIVE_INFINITY)
      if (at <= core.wallNow()) return turn()
      timer = at === Number.POSITIVE_INFINITY ? undefined : core.arm(at - core.wallNow(), turn)
    }

    /** Looks for the next turn's time in a second: however many letters change until then, all are looked through once. */
    const arm = (): void => {
      looking ??= core.arm(1_000, look)
    }

    const serve = (kind: string): void => {
      if (!operations.has(kind) && !deadLetters.hasProcessor(kind)) deadLetters.register(kind, task)
    }

    /** Groups whose redrive was asked for and is under way. */
    const begun = new Set<string>()

    /** The one that is under way first; what would wait for another one of them last: it could not be the one that goes first. */
    const inOrder = Effect.fnUntraced(function* (letters: ReadonlyArray<DeadLetter>) {
      const failed = new Set(letters.map(({ subject }) => subject))
      const ranked: Array<{ readonly id: string; readonly rank: number }> = []
      for (const { id, status, subject } of letters) {
        const found = yield* find(subject)
        const waits = found?.spec.dependsOn.some((on) => failed.has(TaskLife.keyOf(found.batch, on)))
        ranked.push({ id, rank: status === "redriving" ? 0 : waits === true ? 2 : 1 })
      }
      return ranked.sort((one, other) => one.rank - other.rank).map(({ id }) => id)
    })

    const begin = (): void => {
      for (const [group, letters] of Map.groupBy(deadLetters.asked(), ({ asked }) => asked!.group)) {
        if (begun.has(group)) continue
        begun.add(group)
        const end = Effect.sync(() => {
          begun.delete(group)
          parts.batches.check(group)
        })
        core.fork(Effect.ensuring(Effect.ignore(Effect.flatMap(inOrder(letters), deadLetters.redriveAsked)), end))
      }
    }

    const fate = (letter: DeadLetter): Fate => {
      const found = table.get(letter.subject)
      return found !== undefined && !isEnd(found.state) ? "running" : "not-begun"
    }

    serve("task")
    for (const kind of ["spawn", "restart"]) deadLetters.register(kind, (letter) => parts.supervisor.redrive(letter.subject))
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        looking?.cancel()
        timer?.cancel()
      })
    )

    return {
      serve,
      arm,
      turn,
      begin,
      giveUp: (batch, why) =>
        Effect.orDie(
          deadLetters.leave(
            deadLetters.asked().flatMap(({ asked, id }) => (asked?.group === batch ? [id] : [])),
            why
          )
        ),
      load: (loaded) =>
        Effect.gen(function* () {
          for (const { kind } of loaded.deadLetters) serve(kind)
          yield* Effect.orDie(deadLetters.load(loaded.deadLetters, fate))
          yield* Effect.ignore(deadLetters.sweep)
          core.fork(Effect.forever(Effect.andThen(Effect.sleep("1 day"), Effect.ignore(deadLetters.sweep))))
          arm()
        })
    }
  })
