/**
 * Many simulations, as many at once as there are processors. One simulation is one thread's work, since each step follows from the one before.
 *
 * A run says everything about itself as plain data, so that a thread can do it; what comes out is the same as of `Simulation.run` in this one.
 */
import { fileURLToPath } from "node:url"
import { Worker } from "node:worker_threads"
import * as Effect from "effect/Effect"
import type { Ablation } from "./Ablation.ts"
import * as Profile from "./Profile.ts"
import type { Result } from "./Result.ts"
import * as Simulation from "./Simulation.ts"

export interface Run {
  readonly profile: Profile.Source
  readonly seed: number
  readonly days: number
  readonly agents: number
  readonly without: ReadonlyArray<Ablation>
  readonly hashEvents?: boolean
}

/** What became of a run. */
export type Answer =
  | { readonly _tag: "Ended"; readonly result: Result }
  /** The simulation itself broke: a defect. */
  | { readonly _tag: "Died"; readonly problem: string }

export interface Options {
  readonly runs: ReadonlyArray<Run>
  /** Count, at least 1; with 1 everything happens in this thread. */
  readonly threads: number
  /** `run`: the index of one of the runs. */
  readonly onProgress?: (run: number, progress: Simulation.Progress) => void
  /** A run has ended; they end in any order. */
  readonly onAnswer?: (run: number, answer: Answer) => void
  /** Asked every few virtual hours of each run: `true` ends them all, with what there is. */
  readonly stop?: () => boolean
}

/** What a thread says. */
export type Message = { readonly _tag: "Progress"; readonly progress: Simulation.Progress } | Answer

/** One run, in this thread; here it may have other parts of its world replaced. */
export const perform = (run: Run, others: Omit<Simulation.Options, keyof Run> = {}): Effect.Effect<Answer> =>
  Effect.gen(function* () {
    const { profile, ...options } = run
    return yield* Simulation.run({ ...options, ...others, profile: yield* Effect.fromResult(Profile.fromSource(profile)) })
  }).pipe(
    Effect.map((result): Answer => ({ _tag: "Ended", result })),
    Effect.orDie,
    Effect.catchDefect((defect) => Effect.succeed<Answer>({ _tag: "Died", problem: String(defect) }))
  )

/** Does every run; answers in their order. A run that was not begun when it was stopped has no answer. */
export const run = (options: Options): Effect.Effect<ReadonlyArray<Answer | undefined>> =>
  Effect.suspend(() => {
    const { runs, stop } = options
    const answers: Array<Answer | undefined> = runs.map(() => undefined)
    let next = 0
    const hooks = (index: number) => ({
      onProgress: (progress: Simulation.Progress) => options.onProgress?.(index, progress),
      stop: () => stop?.() === true
    })
    /** Takes one run after the other. */
    const work = Effect.fnUntraced(function* (one: (run: Run, hooks: Hooks) => Effect.Effect<Answer>) {
      while (next < runs.length && stop?.() !== true) {
        const index = next++
        const answer = yield* one(runs[index]!, hooks(index))
        answers[index] = answer
        options.onAnswer?.(index, answer)
      }
    })
    const threads = Math.min(options.threads, runs.length)
    if (threads <= 1) return Effect.as(work(perform), answers)
    const thread = Effect.acquireUseRelease(
      Effect.sync(open),
      (worker) => work((run, hooks) => ask(worker, run, hooks)),
      (worker) => Effect.promise(() => worker.terminate())
    )
    return Effect.as(
      Effect.all(
        Array.from({ length: threads }, () => thread),
        { concurrency: "unbounded", discard: true }
      ),
      answers
    )
  })

type Hooks = Required<Pick<Simulation.Options, "onProgress" | "stop">>

const file = fileURLToPath(new URL(import.meta.url.endsWith(".ts") ? "./campaignThread.ts" : "./campaignThread.js", import.meta.url))

/** Nearly everything that a simulation makes is short-lived: with room for it, collecting costs little. */
const open = (): Worker => new Worker(file, { resourceLimits: { maxYoungGenerationSizeMb: 160 } })

const ask = (worker: Worker, run: Run, hooks: Hooks): Effect.Effect<Answer> =>
  Effect.callback<Answer>((resume) => {
    const end = (answer: Answer): void => {
      worker.off("message", onMessage).off("error", onError)
      resume(Effect.succeed(answer))
    }
    const onMessage = (message: Message): void => {
      if (message._tag !== "Progress") return end(message)
      hooks.onProgress(message.progress)
      if (hooks.stop()) worker.postMessage("stop")
    }
    const onError = (cause: unknown): void => end({ _tag: "Died", problem: String(cause) })
    worker.on("message", onMessage).on("error", onError)
    worker.postMessage(run)
  })
