/**
 * What is needed seldom, and is bundled by itself so that starting the extension does not load it: reading task files, looking at worktrees.
 *
 * It talks to the rest in promises and plain data only: both bundles bring along what they use.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { PresetUnknown, presets, resolvePreset } from "../../src/agent/AgentPresets.ts"
import type { AgentSpec } from "../../src/agent/AgentSpec.ts"
import * as ProcessTree from "../../src/agent/ProcessTree.ts"
import * as Transcript from "../../src/agent/Transcript.ts"
import * as WorktreeReview from "../../src/agent/WorktreeReview.ts"
import type { AgentInput, TaskInput } from "../../src/AgentRuntime.ts"
import { defaults, RuntimeConfig } from "../../src/RuntimeConfig.ts"
import * as TaskFile from "../../src/task/TaskFile.ts"
import { type ProgramSearch, programsExist } from "../../src/task/TaskFilePrograms.ts"
import { failureText } from "./Failures.ts"
import { append, entryText } from "./TranscriptText.ts"

/** What came of it: a value, or why there is none. */
export type Answer<A> = { readonly _tag: "Done"; readonly value: A } | { readonly _tag: "Refused"; readonly detail: string }

const answer = async <A>(effect: Effect.Effect<A, unknown>): Promise<Answer<A>> => {
  const exit = await Effect.runPromiseExit(effect)
  if (Exit.isSuccess(exit)) return { _tag: "Done", value: exit.value }
  return { _tag: "Refused", detail: failureText(exit.cause) ?? Cause.pretty(exit.cause) }
}

const options = {
  configSchema: RuntimeConfig,
  presets: (driver: string) =>
    Object.entries(presets).flatMap(([name, preset]) => ((driver === "acp" ? preset.acp : preset.oneShot) === undefined ? [] : [name])),
  resolve: (spec: AgentSpec) => {
    const agent = resolvePreset(spec)
    return agent instanceof PresetUnknown ? spec : agent
  }
} satisfies TaskFile.Options<RuntimeConfig>

/** A task file that can be run here. */
export interface Runnable {
  /** Absolute. */
  readonly file: string
  readonly digest: string
  readonly agents: ReadonlyArray<AgentInput>
  readonly tasks: ReadonlyArray<TaskInput>
  /** It says something in its `config`. */
  readonly configured: boolean
}

/** Reads a task file, and looks whether what it names is on this machine. */
export const readTaskFile = (file: string, search: ProgramSearch): Promise<Answer<Runnable>> =>
  answer(
    Effect.gen(function* () {
      const taskFile = yield* TaskFile.load<RuntimeConfig>(file, options)
      yield* programsExist(taskFile, search)
      const { agents, config, tasks } = TaskFile.encode(taskFile, options)
      const plain = TaskFile.encode({ ...taskFile, config: defaults }, options).config
      return {
        file: taskFile.file,
        digest: TaskFile.digest(taskFile, options),
        agents: agents as ReadonlyArray<AgentInput>,
        tasks: tasks as ReadonlyArray<TaskInput>,
        configured: JSON.stringify(config) !== JSON.stringify(plain)
      }
    }).pipe(Effect.provide(NodeServices.layer))
  )

const environment = (): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined))

const review = <A>(directory: string, work: (review: WorktreeReview.Review) => Effect.Effect<A, unknown>): Promise<Answer<A>> =>
  answer(
    Effect.flatMap(WorktreeReview.make(environment(), directory), work).pipe(
      Effect.provide(ProcessTree.layer.pipe(Layer.provideMerge(NodeServices.layer)))
    )
  )

/** The worktrees of agents in the repository that a directory lies in. Refused where there is no repository. */
export const worktrees = (directory: string) => review(directory, ({ list }) => list)
/** What an agent changed in its worktree. */
export const worktreeChanges = (directory: string, agent: string) => review(directory, ({ diff }) => diff(agent, false))
/** Merges an agent's branch into the current one. */
export const mergeWorktree = (directory: string, agent: string) => review(directory, ({ merge }) => merge(agent))

/** Reads on where it was. */
export interface TranscriptReader {
  /** What has come since the last call, as text. */
  readonly next: () => string
}

/** Whose attempt a transcript is of, from its first bytes: there may be thousands of them. Undefined: not written yet. */
const beginning = (file: string): { readonly at: number; readonly taskId: string } | undefined => {
  try {
    const bytes = Buffer.alloc(512)
    const descriptor = fs.openSync(file, "r")
    try {
      const [, at, taskId] =
        /^\{"_tag":"Began","at":(\d+)[^,]*,"taskId":"([^"]+)"/.exec(bytes.toString("utf8", 0, fs.readSync(descriptor, bytes))) ?? []
      return at === undefined || taskId === undefined ? undefined : { at: Number(at), taskId }
    } finally {
      fs.closeSync(descriptor)
    }
  } catch {
    return undefined
  }
}

/**
 * The transcripts of a task's attempts, oldest first: those in the agents' directories that begin with its id, and not before it was accepted.
 * New attempts are found as they come.
 */
export const transcript = (stateDirectory: string, task: { readonly taskId: string; readonly acceptedAt: number }): TranscriptReader => {
  const agents = path.join(stateDirectory, "agents")
  /** Undefined: an attempt of another task. */
  const known = new Map<string, Transcript.Reader | undefined>()
  const names = (directory: string): ReadonlyArray<string> => {
    try {
      return fs.readdirSync(directory)
    } catch {
      return []
    }
  }
  const look = (): string => {
    const fresh: Array<{ readonly at: number; readonly text: string }> = []
    for (const agent of names(agents)) {
      const directory = path.join(agents, agent)
      for (const name of names(directory)) {
        const attemptId = /^(.+)\.1\.jsonl$/.exec(name)?.[1]
        const file = path.join(directory, name)
        if (attemptId === undefined || known.has(file)) continue
        const began = beginning(file)
        // Its first line is not written yet: asked again the next time.
        if (began === undefined) continue
        const its = began.taskId === task.taskId && began.at >= task.acceptedAt
        const reader = its ? Transcript.read(directory, attemptId) : undefined
        known.set(file, reader)
        if (reader !== undefined) fresh.push({ at: began.at, text: reader.next().map(entryText).reduce(append, "") })
      }
    }
    return fresh
      .sort((a, b) => a.at - b.at)
      .map(({ text }) => text)
      .reduce(append, "")
  }
  return {
    next: () => {
      const more = [...known.values()].flatMap((attempt) => (attempt?.next() ?? []).map(entryText))
      return [...more, look()].reduce(append, "")
    }
  }
}
