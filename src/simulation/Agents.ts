/**
 * Simulated agents: the driver, the processes they are, the reaper and the tasks' own checks.
 *
 * Processes belong to the machine, not to the runtime: they outlive its crash, go on with what they do, and are there until somebody ends them.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type {
  AgentDriver,
  AgentSession,
  AttemptContext,
  AttemptFailure,
  Checked,
  OpenContext,
  ProcessIdentity
} from "../agent/AgentDriver.ts"
import type { Fault } from "../agent/Fault.ts"
import type { Claim } from "../task/Task.ts"
import * as Histogram from "./Histogram.ts"
import type { Entry } from "./Ledger.ts"
import { accountIndex, type Scene } from "./Scene.ts"
import * as Random from "./SeededRandom.ts"
import type { Timer } from "./Timeline.ts"
import * as Turn from "./Turn.ts"

/** How long an agent takes to end a turn that it is asked to. Milliseconds. */
const cancelMillis = 300
/** How long one is waited for that does not, before it is killed. Milliseconds. */
const graceMillis = 5_000
/** How long a task's check takes. Milliseconds. */
const checkMillis = 2_000

interface Process {
  readonly identity: ProcessIdentity
  readonly marker: string
  alive: boolean
  /** What it works on. */
  work: { readonly entry: Entry; readonly turn: Turn.Turn; readonly since: number; readonly lose: () => void } | undefined
}

export interface Agents {
  readonly driver: AgentDriver
  readonly reap: (left: ReadonlyArray<{ readonly marker: string; readonly identity?: ProcessIdentity }>) => Effect.Effect<number>
  readonly check: (taskId: string, verifies: boolean) => Effect.Effect<Checked>
  /** The machine slept: turns lose their connection with this chance. */
  readonly breakConnections: (chance: number, random: Random.SeededRandom) => void
  /** Living processes. */
  readonly living: () => number
  /** From the moment at which an agent stands still until the runtime ends it. */
  readonly detection: Histogram.Histogram
}

const broken: Turn.Ending = { _tag: "Fault", fault: { _tag: "Transient", detail: "the connection broke while the machine slept" } }
const crashed: Fault = { _tag: "Crashed", detail: "the agent's process died", exitCode: null, signal: "SIGSEGV" }
const killed: Fault = { _tag: "Cancelled", detail: "its process was ended with its turn" }

export const make = (scene: Scene): Agents => {
  const { faults, ledger, seed, timeline } = scene
  const processes = new Map<number, Process>()
  const detection = Histogram.make()
  let pids = 1_000
  let sessions = 0

  /** A turn has come this far: what was done of a resumable task is kept. */
  const keep = (entry: Entry, turn: Turn.Turn, millis: number): void => {
    if (entry.session !== undefined) entry.left = Math.max(1, Math.round(entry.left - millis / turn.slowness))
  }

  const end = (process: Process): void => {
    const { work } = process
    process.alive = false
    process.work = undefined
    processes.delete(process.identity.pid)
    // Nobody was there to see it: it went on by itself until now.
    if (work === undefined) return
    const millis = timeline.now() - work.since
    if (work.turn.ending._tag === "Claim" && millis >= work.turn.endsAfter) work.entry.done ||= work.turn.ending.done
    else keep(work.entry, work.turn, Math.min(millis, work.turn.endsAfter))
  }

  const start = Effect.fnUntraced(function* (agent: number, { gone, marker, register }: OpenContext) {
    const pid = ++pids
    const random = Random.make(seed, `process ${pid}`)
    yield* Effect.sleep(Math.ceil(random.around(Duration.toMillis(faults.agent.start))))
    if (random.chance(faults.agent.startFails))
      return yield* Effect.fail<Fault>({ _tag: "SpawnFailed", detail: `agent ${agent} did not start`, reason: "exit" })
    const process: Process = {
      identity: { pid, startTime: `${timeline.now()}`, bootId: "simulated" },
      marker,
      alive: true,
      work: undefined
    }
    processes.set(pid, process)
    // Before it is written down: a start can be given up while the disk is full.
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        end(process)
        return gone
      })
    )
    yield* register(process.identity)
    return process
  })

  /** The turn of an attempt, from delivery to its end. */
  const turnOf = (agent: number, entry: Entry, attempt: AttemptContext, process: Process, exited: Deferred.Deferred<Fault>) =>
    Effect.callback<Claim, AttemptFailure>((resume) => {
      const host = scene.host()!.incarnation
      const turn = Turn.decide({
        faults,
        account: scene.accounts[accountIndex(agent, scene.accounts.length)]!,
        now: scene.calendar(),
        unix: scene.unix,
        left: entry.left,
        poison: entry.plan.poison,
        random: Random.make(seed, `turn ${entry.plan.id} ${entry.attempts}`)
      })
      const since = timeline.now()
      const sessionId = entry.session
      let timer: Timer | undefined
      const changes = (): "none" | "seen" => (timeline.now() - since < turn.actsAfter ? "none" : "seen")

      const fail = (fault: Fault): void => {
        process.work = undefined
        keep(entry, turn, timeline.now() - since)
        const sideEffects = changes()
        ledger.reported(entry, sideEffects === "none")
        resume(
          Effect.fail({
            fault,
            started: true,
            sideEffects,
            ...(sessionId === undefined || fault._tag === "Crashed" ? {} : { sessionId })
          })
        )
      }

      const finish = (ending: Turn.Ending): void => {
        switch (ending._tag) {
          case "Claim":
            process.work = undefined
            entry.done ||= ending.done
            return resume(
              Effect.succeed({
                stop: "end_turn",
                output: "done",
                sideEffects: "seen",
                ...(sessionId === undefined ? {} : { sessionId })
              })
            )
          case "Fault":
            return fail(ending.fault)
          case "Crash":
            process.alive = false
            processes.delete(process.identity.pid)
            fail(crashed)
            Deferred.doneUnsafe(exited, Effect.succeed(crashed))
            return
          case "Hang":
            return
        }
      }

      const lose = (): void => {
        timer?.cancel()
        if (host.alive()) return host.enter(() => finish(broken))
        // Its runtime has died, and nobody is told.
        process.work = undefined
        keep(entry, turn, timeline.now() - since)
      }
      process.work = { entry, turn, since, lose }
      const arm = (): void => {
        timer = host.after(since + turn.endsAfter - timeline.now(), () => finish(turn.ending))
      }
      // What an agent shows first is a word or a tool; a provider that refuses shows nothing.
      if (turn.actsAfter < turn.endsAfter) {
        timer = host.after(turn.actsAfter, () => {
          attempt.progress({ _tag: "Tool", id: attempt.attemptId, title: "edit", kind: "edit", status: "completed" })
          arm()
        })
      } else arm()

      return Effect.suspend(() => {
        timer?.cancel()
        const hung = turn.ending._tag === "Hang" && timeline.now() >= since + turn.endsAfter
        if (hung) detection.add(timeline.now() - since - turn.endsAfter)
        return Effect.andThen(
          Effect.sleep(hung ? graceMillis : cancelMillis),
          Effect.sync(() => {
            process.work = undefined
            keep(entry, turn, Math.min(timeline.now() - since, turn.endsAfter))
            ledger.reported(entry, false)
            if (!hung) return
            process.alive = false
            processes.delete(process.identity.pid)
            Deferred.doneUnsafe(exited, Effect.succeed(killed))
          })
        )
      })
    })

  const run = (agent: number, attempt: AttemptContext, process: Process, exited: Deferred.Deferred<Fault>) =>
    Effect.suspend(() => {
      const entry = ledger.get(attempt.task.id)
      if (entry === undefined) {
        ledger.violate("acted-on-ended", `${attempt.task.id} was given to an agent although it is over`)
        return Effect.never
      }
      if (process.work !== undefined) ledger.violate("two-attempts", `agent ${agent} was given ${attempt.task.id} while it works`)
      if (attempt.resume === undefined) entry.left = entry.plan.work
      entry.session = entry.plan.effect === "resumable" ? (attempt.resume ?? `s${++sessions}`) : undefined
      return Effect.andThen(
        attempt.started(entry.session),
        Effect.suspend(() => {
          ledger.delivered(entry, attempt.attemptId)
          return turnOf(agent, entry, attempt, process, exited)
        })
      )
    })

  return {
    detection,
    living: () => processes.size,
    breakConnections: (chance, random) => {
      for (const { work } of [...processes.values()]) if (work !== undefined && random.chance(chance)) work.lose()
    },
    reap: (left) =>
      Effect.sync(() => {
        let ended = 0
        for (const { identity, marker } of left) {
          for (const process of [...processes.values()]) {
            const same =
              identity !== undefined && process.identity.pid === identity.pid && process.identity.startTime === identity.startTime
            if (!same && process.marker !== marker) continue
            end(process)
            ended++
          }
        }
        return ended
      }),
    check: (taskId, verifies) =>
      verifies
        ? Effect.andThen(
            Effect.sleep(checkMillis),
            Effect.sync((): Checked => {
              const entry = ledger.get(taskId)
              return entry?.done === true ? { _tag: "Passed", verified: true } : { _tag: "Failed", detail: "the work is not done" }
            })
          )
        : Effect.succeed({ _tag: "Passed", verified: false }),
    driver: {
      stopMillis: graceMillis,
      probe: () => Effect.void,
      open: (spec, context) =>
        Effect.gen(function* () {
          const agent = Number(spec.id.slice(spec.id.lastIndexOf("-") + 1))
          yield* context.intend
          const process = yield* start(agent, context)
          const exited = Deferred.makeUnsafe<Fault>()
          return {
            process: process.identity,
            resumable: true,
            exited: Deferred.await(exited),
            // A working agent uses its processor; one that hangs does not.
            activity: Effect.sync(() => {
              const { work } = process
              const now = timeline.now()
              const until = work !== undefined && work.turn.ending._tag === "Hang" ? Math.min(now, work.since + work.turn.endsAfter) : now
              return { cpuMillis: until / 4, ioBytes: 0, processes: 1, files: "" }
            }),
            run: (attempt) => run(agent, attempt, process, exited)
          } satisfies AgentSession
        })
    }
  }
}
