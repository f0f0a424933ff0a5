/**
 * Finds the host of a state directory, or starts one on demand: one that outlives whoever needed it first.
 *
 * Two that start one at the same time start one: the lock of the state directory decides, and both find the winner.
 */
import * as crypto from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as ProcessSystem from "../agent/ProcessSystem.ts"
import * as Monotonic from "../Monotonic.ts"
import * as Ownership from "../store/Ownership.ts"
import * as StateDirectory from "../store/StateDirectory.ts"
import * as HostFile from "./HostFile.ts"
import * as HostProcess from "./HostProcess.ts"
import * as HostProgram from "./HostProgram.ts"
import * as Launches from "./Launches.ts"
import * as NodeSearch from "./NodeSearch.ts"

/** No host runs for this state directory. */
export class HostNotFound extends Schema.TaggedError<HostNotFound>()("HostNotFound", { directory: Schema.String }) {
  override get message(): string {
    return `No NofX host runs for ${this.directory}`
  }
}

/** A host could not be started. */
export class HostNotStarted extends Schema.TaggedError<HostNotStarted>()("HostNotStarted", {
  directory: Schema.String,
  /** `owned`: a foreground run has the state; `budget`: it died too often; `died`: it ended at once; `silent`: it does not answer. */
  reason: Schema.Literals(["owned", "budget", "died", "silent"]),
  detail: Schema.String
}) {
  override get message(): string {
    return `The NofX host of ${this.directory} could not be started: ${this.detail}`
  }
}

export type LaunchError = HostNotStarted | NodeSearch.NodeMissing | StateDirectory.StateDirectoryRefused

export interface Options {
  /** The state directory; made if there is none. */
  readonly directory: string
  readonly place: StateDirectory.Place
  /** The program that runs this process, and whether it is an editor. */
  readonly self: HostProcess.Node
  /** A Node of the user's choice. */
  readonly nodePath?: string
  /** Kept in the state directory, for this start and later ones. A host that runs goes on with its own. */
  readonly settings?: HostProgram.HostSettings
  /** The host's program: one file, such as `install` leaves it. Default: the one beside this module. */
  readonly program?: string
  /** How long a start may take. Default 30 seconds. */
  readonly patience?: Duration.Input
}

/** How often it is looked whether a host is ready. */
const lookEvery = Duration.millis(50)

/** The host that runs and answers. Starts nothing. */
export const find = (directory: string, platform: NodeJS.Platform): Effect.Effect<HostFile.HostInfo, HostNotFound> =>
  Effect.flatMap(look(directory, platform), (info) =>
    info === undefined ? Effect.fail(new HostNotFound({ directory })) : Effect.succeed(info)
  )

const look = (directory: string, platform: NodeJS.Platform): Effect.Effect<HostFile.HostInfo | undefined> =>
  Effect.gen(function* () {
    const info = yield* HostFile.readLive(directory, ProcessSystem.make(platform))
    return info !== undefined && (yield* HostFile.answers(info.socket)) ? info : undefined
  })

/**
 * The host that runs, or a new one, once it answers.
 *
 * Fails with `NodeMissing` when no Node can run it, with `HostNotStarted` when a foreground run owns the state, when hosts died too often within
 * ten minutes, or when this one does not come up.
 */
export const launch = (options: Options): Effect.Effect<HostFile.HostInfo, LaunchError> =>
  Effect.gen(function* () {
    const { place } = options
    const already = yield* look(options.directory, place.platform)
    if (already !== undefined) return already
    const directory = yield* StateDirectory.ensure(options.directory)
    const clock = yield* Clock.Clock
    const until = Monotonic.read(clock) + Duration.toMillis(Duration.fromInputUnsafe(options.patience ?? "30 seconds"))
    const fail = (reason: HostNotStarted["reason"], detail: string) => new HostNotStarted({ directory, reason, detail })
    if (options.settings !== undefined) yield* HostProgram.writeSettings(directory, options.settings)

    let started: HostProcess.Started | undefined
    while (Monotonic.read(clock) < until) {
      const info = yield* look(directory, place.platform)
      if (info !== undefined) return info
      const owner = yield* Ownership.look(directory, ProcessSystem.make(place.platform))
      if (owner?.alive === true && owner.owner.kind === "run") {
        return yield* fail("owned", `a nofx run (pid ${owner.owner.pid}) works there; it has to end first`)
      }
      const ended = started?.ended()
      // 3: another host was first, or one is still about to end.
      if (ended !== undefined && ended !== 3) {
        return yield* fail("died", `it ended with ${ended}. ${HostProcess.lastWords(directory)}`)
      }
      if (ended === 3) started = undefined
      if (started === undefined && owner?.alive !== true) started = yield* begin(options, directory)
      yield* Effect.sleep(lookEvery)
    }
    return yield* fail("silent", `it does not answer. ${HostProcess.lastWords(directory)}`)
  })

const begin = Effect.fnUntraced(function* (options: Options, directory: string) {
  const node = yield* NodeSearch.find({
    place: options.place,
    self: options.self,
    ...(options.nodePath === undefined ? {} : { explicit: options.nodePath })
  })
  const again = yield* Launches.take(directory, yield* Clock.currentTimeMillis)
  if (again !== undefined) {
    return yield* new HostNotStarted({
      directory,
      reason: "budget",
      detail:
        `it died ${Launches.budget} times within ten minutes; the next try is at ${new Date(again).toISOString()}. ` +
        HostProcess.lastWords(directory)
    })
  }
  return yield* HostProcess.start({
    node,
    program: options.program ?? beside,
    directory,
    env: Object.fromEntries(Object.entries(options.place.env).filter((entry): entry is [string, string] => entry[1] !== undefined))
  })
})

/** From source, or as it was built. */
const beside = fileURLToPath(new URL(import.meta.url.endsWith(".ts") ? "./main.ts" : "./main.js", import.meta.url))

/** Copies of programs that are older are taken away when a new one is made. A host that runs one has it in memory. */
const copiesKept = Duration.days(30)

/**
 * Copies a host's program (one file) to where no update of an editor's extension replaces it, and answers the copy's path. Its name says what is
 * in it: a copy is made once.
 */
export const install = (program: string, place: StateDirectory.Place): Effect.Effect<string, StateDirectory.StateDirectoryRefused> =>
  Effect.gen(function* () {
    const folder = yield* StateDirectory.ensure(path.join(StateDirectory.userDirectory(place), "hosts"))
    const oldest = (yield* Clock.currentTimeMillis) - Duration.toMillis(copiesKept)
    return yield* Effect.sync(() => {
      const text = fs.readFileSync(program)
      const hash = crypto.createHash("sha256").update(text).digest("hex").slice(0, 16)
      const copy = path.join(folder, `host-${hash}${path.extname(program)}`)
      if (fs.existsSync(copy)) return copy
      fs.writeFileSync(`${copy}.${process.pid}`, text, { mode: 0o600 })
      fs.renameSync(`${copy}.${process.pid}`, copy)
      for (const name of fs.readdirSync(folder)) {
        const other = path.join(folder, name)
        if (!/^host-[0-9a-f]{16}\.\w+$/.test(name)) continue
        try {
          if (fs.statSync(other).mtimeMs < oldest) fs.rmSync(other)
        } catch {
          // Somebody else was first, or Windows keeps the file of a program that runs: the next time will do.
        }
      }
      return copy
    })
  })
