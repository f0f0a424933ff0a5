/** What `nofx doctor` looks at. Each check says what it saw and, where something is to be done, what; none changes anything. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { installOf, type Preset, presets } from "../agent/AgentPresets.ts"
import * as GatedProcess from "../agent/GatedProcess.ts"
import * as ProcessSystem from "../agent/ProcessSystem.ts"
import { markerVariable } from "../agent/ProcessTree.ts"
import * as Database from "../store/Database.ts"
import * as Ownership from "../store/Ownership.ts"
import * as Sqlite from "../store/Sqlite.ts"
import * as SqliteStore from "../store/SqliteStore.ts"
import * as StateDirectory from "../store/StateDirectory.ts"
import { Store } from "../store/Store.ts"
import { findProgram } from "../task/TaskFilePrograms.ts"
import { loginOf } from "./agentLogins.ts"
import { Machine, place, programSearch } from "./machine.ts"
import { brief } from "./printable.ts"

/** `note`: worth knowing, and nothing is broken. `action`: something does not work, or is left behind, until somebody acts. */
export interface Finding {
  readonly check: string
  readonly status: "ok" | "note" | "action"
  readonly detail: string
  readonly remedy?: string
}

const ok = (check: string, detail: string): Finding => ({ check, status: "ok", detail })
const note = (check: string, detail: string, remedy?: string): Finding => ({
  check,
  status: "note",
  detail,
  ...(remedy === undefined ? {} : { remedy })
})
const action = (check: string, detail: string, remedy: string): Finding => ({ check, status: "action", detail, remedy })

/** How long a program may take to tell its version. */
const versionWait = "10 seconds"
/** Below the first nothing can be relied on, below the second no worktree is made. Megabytes. */
const space = { action: 100, note: 1_024 }

/** The first line that a program prints about its version; undefined when it prints none in time. */
const versionOf = Effect.fnUntraced(function* (program: string) {
  const { cwd, env } = yield* Machine
  const told = Effect.gen(function* () {
    const context = { marker: "doctor", intend: Effect.void, register: () => Effect.void, gone: Effect.void, directory: "" }
    const entry = { name: "NOFX_DOCTOR", value: program }
    const process = yield* GatedProcess.spawn({ argv: [program, "--version"], cwd, env, stdin: "none", context, entry })
    yield* process.go
    const exit = yield* process.exit
    yield* process.drained
    return exit.code === 0 ? brief(process.stdout.tail() || process.stderr.tail(), 60) : undefined
  })
  return yield* told.pipe(
    Effect.scoped,
    Effect.timeoutOrElse({ duration: versionWait, orElse: () => Effect.undefined }),
    Effect.orElseSucceed(() => undefined)
  )
})

const sqlite = Sqlite.open(":memory:").pipe(
  Effect.scoped,
  Effect.match({
    onSuccess: () => ok("sqlite", "node:sqlite works"),
    onFailure: (error) => action("sqlite", error.message, "use Node 22.19 or newer")
  })
)

const git = Effect.gen(function* () {
  const version = yield* versionOf("git")
  if (version !== undefined) return ok("git", version)
  return action("git", "git was not found, or does not run", "install git: agents that share a repository need it to be kept apart")
})

const agents = Effect.gen(function* () {
  const { env } = yield* Machine
  const { home } = yield* place
  const search = yield* programSearch
  const there = (program: string | undefined) =>
    program === undefined ? Effect.succeed(false) : Effect.map(findProgram(program, ".", search), (file) => file !== undefined)
  const found = yield* Effect.forEach(
    Object.entries(presets),
    ([name, preset]) =>
      Effect.gen(function* () {
        const programs = [...new Set([preset.acp?.command[0], preset.oneShot?.command[0]])]
        const present: Array<string> = []
        for (const program of programs) if (program !== undefined && (yield* there(program))) present.push(program)
        const [first] = present
        if (first === undefined) return []
        const version = (yield* versionOf(first)) ?? "its version cannot be told"
        const modes = [
          ...(preset.acp !== undefined && present.includes(preset.acp.command[0]!) ? ["acp"] : []),
          ...(preset.oneShot !== undefined && present.includes(preset.oneShot.command[0]!) ? ["command"] : [])
        ]
        const detail = `${preset.title}, ${version}, as ${modes.join(" and ")}`
        const login = loginOf(name, env, home)
        const more = [...acpMissing(preset, modes), ...retries(preset, home)]
        const known =
          login._tag === "Found"
            ? `login: ${login.by}`
            : login._tag === "Missing"
              ? "no sign of a login"
              : "whether it is logged in cannot be told offline"
        const remedies = [...(login._tag === "Missing" ? [login.remedy] : []), ...more]
        const about = `${detail}; ${known}`
        return [remedies.length === 0 ? ok(`agent ${name}`, about) : note(`agent ${name}`, about, remedies.join("; "))]
      }),
    { concurrency: 4 }
  )
  const all = found.flat()
  return all.length > 0
    ? all
    : [note("agents", "no well-known agent was found on the PATH", "install one, or name any command in a task file")]
})

/** It is here, but not the program that speaks the protocol for it. */
const acpMissing = (preset: Preset, modes: ReadonlyArray<string>): ReadonlyArray<string> => {
  const install = preset.acp === undefined || modes.includes("acp") ? undefined : installOf(preset.acp.command[0] ?? "")
  return install === undefined ? [] : [`for driver acp, which can ask, resume and show more: ${install}`]
}

/** It hides its provider's faults behind tries of its own, and can be told not to. */
const retries = (preset: Preset, home: string): ReadonlyArray<string> => {
  const { fewerRetries, retriesInside } = preset
  if (fewerRetries === undefined || retriesInside === undefined) return []
  const [, name = ""] = /"(\w+)": \d/.exec(fewerRetries.setting) ?? []
  try {
    if (fs.readFileSync(path.join(home, fewerRetries.file), "utf8").includes(`"${name}"`)) return []
  } catch {
    // Without the file it is as by default.
  }
  const { calls, seconds } = retriesInside
  return [`it tries ${calls} times in ${seconds} s before it tells of a limit: put ${fewerRetries.setting} into ~/${fewerRetries.file}`]
}

const disk = (directory: string): Finding => {
  for (let at = directory; ; at = path.dirname(at)) {
    try {
      const { bavail, bsize } = fs.statfsSync(at)
      const free = Math.floor((bavail * bsize) / 1_048_576)
      const detail = `${free.toLocaleString("en")} MB are free where the state lies`
      if (free < space.action) return action("disk", detail, "free some space: nothing new is taken while the disk is full")
      return free < space.note ? note("disk", detail, "free some space: agents get no new worktrees") : ok("disk", detail)
    } catch {
      if (path.dirname(at) === at) return note("disk", "how much space is free cannot be told")
    }
  }
}

const permissions = (directory: string): Effect.Effect<Finding> =>
  Effect.gen(function* () {
    const stat = fs.statSync(directory, { throwIfNoEntry: false })
    if (stat === undefined) return ok("state directory", `${directory} (not there yet)`)
    const { platform } = yield* Machine
    const mode = stat.mode & 0o777
    if (platform !== "win32" && (mode & 0o077) !== 0) {
      return action("state directory", `${directory} can be reached by others (mode ${mode.toString(8)})`, `chmod 700 ${directory}`)
    }
    const usable = yield* Effect.result(StateDirectory.ensure(directory))
    if (Result.isSuccess(usable)) return ok("state directory", directory)
    return action("state directory", usable.failure.message, "choose another one with --state-dir")
  })

/** State directories of this user that there are, the given one first. */
const known = (directory: string, user: string): ReadonlyArray<string> => {
  const all = [directory]
  try {
    for (const name of fs.readdirSync(path.join(user, "repositories"))) all.push(path.join(user, "repositories", name))
  } catch {
    // Nothing was ever run at the usual places.
  }
  return [...new Set(all)].filter((each) => fs.existsSync(path.join(each, Database.fileName)))
}

/** Damage, and processes that an owner left who is gone. */
const state = Effect.fnUntraced(function* (directory: string) {
  const { platform } = yield* Machine
  const system = ProcessSystem.make(platform)
  const owned = yield* Ownership.look(directory, system)
  const loaded = yield* Effect.result(
    Effect.flatMap(Store, (store) => store.load).pipe(Effect.provide(SqliteStore.layerViewer(directory)), Effect.scoped)
  )
  if (Result.isFailure(loaded))
    return [action(`state ${directory}`, loaded.failure.message, "keep a copy of it, and use another with --state-dir")]
  const { damage, processes, quarantined } = loaded.success
  const findings: Array<Finding> = []
  if (quarantined.length + damage.length > 0) {
    const detail = `${quarantined.length} rows could not be read, and ${damage.length} times it was found damaged`
    findings.push(action(`state ${directory}`, detail, `see nofx health --state-dir ${directory}`))
  }
  if (owned?.alive === true) {
    findings.push(ok(`state ${directory}`, `in use by ${owned.owner.kind === "host" ? "a host" : "nofx run"} (pid ${owned.owner.pid})`))
    return findings
  }
  const entries = new Set(processes.map((each) => `${markerVariable}=${each.marker}`))
  const left = entries.size === 0 ? [] : yield* system.marked(yield* system.list, entries)
  if (left.length > 0) {
    const pids = left.map((row) => row.pid).join(", ")
    const remedy = `nofx run ends them when it starts; or by hand: kill ${left.map((row) => row.pid).join(" ")}`
    findings.push(action(`processes of ${directory}`, `left over from a runtime that is gone: ${pids}`, remedy))
  }
  return findings
})

/** Everything, in the order in which it is shown. */
export const all = Effect.fnUntraced(function* (explicit: string | undefined) {
  const machine = yield* Machine
  const at = yield* place
  const directory = yield* StateDirectory.locate(at, machine.cwd, explicit)
  const states = yield* Effect.forEach(known(directory, StateDirectory.userDirectory(at)), state)
  const findings = states.flat()
  return [
    ok("node", `${process.version} at ${machine.node}`),
    yield* sqlite,
    yield* git,
    ...(yield* agents),
    yield* permissions(directory),
    disk(directory),
    ...findings,
    ...(findings.some((each) => each.check.startsWith("processes")) ? [] : [ok("processes", "none is left over")])
  ]
})
