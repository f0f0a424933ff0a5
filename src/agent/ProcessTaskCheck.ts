/**
 * The task's own check on real processes and files: what an agent claims is confirmed here or not at all.
 *
 * `changes: required` compares fingerprints of the working tree, `verify` runs a command in it. Changes come first, since a check may
 * itself write files. The processes of a check carry the attempt's marker, so that recovery finds them, and a mark of their own, by which
 * they are stopped: the agent may still be held, and carries the same marker.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import { createHash } from "node:crypto"
import * as path from "node:path"
import type { TaskSpec } from "../task/Task.ts"
import { TaskCheck } from "./AgentDriver.ts"
import type { Checked, OpenContext } from "./AgentDriver.ts"
import type { AgentSpec } from "./AgentSpec.ts"
import * as GatedProcess from "./GatedProcess.ts"
import { defaultGraceMillis, defaultKillMillis, ProcessTrees } from "./ProcessTree.ts"
import type { SpawnFailed } from "./Program.ts"
import * as TaskTemplate from "./TaskTemplate.ts"
import * as WorkingFiles from "./WorkingFiles.ts"

export interface Options {
  /** The environment that checks inherit. */
  readonly inheritEnv: Readonly<Record<string, string>>
  /** Where agents work that name no directory, and what relative ones are resolved against. Absolute. */
  readonly cwd: string
  /** From SIGTERM to SIGKILL, in milliseconds. Default 5,000. */
  readonly graceMillis?: number
}

/** The variable by which the processes of one check are found. */
export const checkVariable = "NOFX_CHECK"

/** How much of a failed check's output its detail quotes, in characters. */
const quoted = 2_000

interface Ended {
  readonly exit: GatedProcess.Exit
  readonly stdout: string
  readonly stderr: string
}

export const make = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<TaskCheck["Service"], never, ProcessTrees> {
  const trees = yield* ProcessTrees
  const directory = (agent: AgentSpec) => path.resolve(options.cwd, agent.cwd ?? ".")
  const stop = options.graceMillis === undefined ? {} : { stop: { graceMillis: options.graceMillis } }

  /** Runs a program to its end, and everything it left behind too. */
  const execute = (
    argv: ReadonlyArray<string>,
    cwd: string,
    env: Readonly<Record<string, string>>,
    marker: string,
    onStdout?: (chunk: Uint8Array) => void
  ): Effect.Effect<Ended, SpawnFailed> =>
    Effect.scoped(
      Effect.gen(function* () {
        const value = `${yield* Random.nextIntBetween(0, 2 ** 47)}-${yield* Random.nextIntBetween(0, 2 ** 47)}`
        const process = yield* GatedProcess.spawn({
          argv,
          cwd,
          env,
          stdin: "none",
          context: unregistered(marker),
          entry: { name: checkVariable, value },
          ...(onStdout === undefined ? {} : { onStdout }),
          ...stop
        })
        yield* process.go
        const exit = yield* process.exit
        yield* process.drained
        return { exit, stdout: process.stdout.tail(), stderr: process.stderr.tail() }
      })
    ).pipe(Effect.provideService(ProcessTrees, trees))

  // Inside a git hook these would lead to another repository.
  const gitEnv = Object.fromEntries(
    Object.entries(options.inheritEnv).filter(([name]) => !/^GIT_(DIR|WORK_TREE|INDEX_FILE|PREFIX)$/.test(name))
  )

  const git = Effect.fnUntraced(function* (cwd: string, args: ReadonlyArray<string>) {
    const chunks: Array<Uint8Array> = []
    // Its lock would make the agent's own git fail.
    const env = { ...gitEnv, GIT_OPTIONAL_LOCKS: "0", LC_ALL: "C" }
    const { exit } = yield* execute(["git", ...args], cwd, env, "fingerprint", (chunk) => chunks.push(chunk))
    return exit.code === 0 ? Buffer.concat(chunks).toString("utf8") : undefined
  })

  /** What is committed for the directory, what differs from it, and the content of that; else a walk. */
  const fingerprint = Effect.fnUntraced(function* (cwd: string) {
    const status = yield* git(cwd, ["status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames", "--", "."])
    const root = status === undefined ? undefined : yield* git(cwd, ["rev-parse", "--show-toplevel"])
    if (status === undefined || root === undefined) return yield* WorkingFiles.walk(cwd)
    const head = (yield* git(cwd, ["rev-parse", "--verify", "--quiet", "HEAD:./"])) ?? "unborn"
    const names = status.split("\0").flatMap((entry) => (entry.length > 3 ? [entry.slice(3)] : []))
    const dirty = yield* WorkingFiles.contents(root.replace(/\r?\n$/, ""), names)
    return `git:${head.trim()}:${createHash("sha256").update(status).digest("hex")}:${dirty}`
  })

  const treeOf = (agent: AgentSpec) => Effect.catch(fingerprint(directory(agent)), () => WorkingFiles.walk(directory(agent)))

  const verify = (task: TaskSpec, agent: AgentSpec, command: ReadonlyArray<string>, marker: string): Effect.Effect<Checked> => {
    const values: TaskTemplate.Values = { task, agentId: agent.id }
    const argv = TaskTemplate.expandAll(command, values)
    if (Result.isFailure(argv)) return Effect.succeed(failed(`The check asks for {{${argv.failure}}}, which the task does not have`))
    const env = { ...options.inheritEnv, ...agent.env, ...TaskTemplate.variables(values) }
    return execute(argv.success, directory(agent), env, marker).pipe(
      Effect.map(({ exit, stderr, stdout }) => {
        if (exit.code === 0) return { _tag: "Passed", verified: true } as const
        const how = exit.code === null ? `was ended by ${exit.signal}` : `ended with exit code ${exit.code}`
        const said = `${stdout}\n${stderr}`.trim().slice(-quoted)
        return failed(`The check ${how}${said === "" ? "" : `:\n${said}`}`)
      }),
      Effect.catch((fault) => Effect.succeed(failed(fault.detail)))
    )
  }

  return {
    stopMillis: (options.graceMillis ?? defaultGraceMillis) + defaultKillMillis + 500,
    baseline: (task, agent) => (task.changes === "required" ? treeOf(agent) : Effect.undefined),
    check: Effect.fnUntraced(function* (task, agent, baseline, marker) {
      if (task.changes === "required") {
        if (baseline === undefined) return failed("Changes are required, and what the working tree was before is not known")
        if ((yield* treeOf(agent)) === baseline) return failed("Changes are required, and nothing in the working tree has changed")
      }
      if (task.verify !== undefined) return yield* verify(task, agent, task.verify, marker)
      return { _tag: "Passed", verified: task.changes === "required" }
    })
  }
})

/** Checks on the machine's own processes. */
export const layer = (options: Options): Layer.Layer<TaskCheck, never, ProcessTrees> => Layer.effect(TaskCheck, make(options))

const failed = (detail: string): Checked => ({ _tag: "Failed", detail })

/** A check is not written down: it lives while its task is held, and recovery finds its processes by the marker. */
const unregistered = (marker: string): OpenContext => ({
  marker,
  intend: Effect.void,
  register: () => Effect.void,
  gone: Effect.void,
  directory: ""
})
