/**
 * Who may write a state directory: one process, for as long as it lives.
 *
 * Ownership is a `BEGIN EXCLUSIVE` transaction on `owner.db`, held for life: the kernel keeps it while the owner is suspended and frees it the
 * moment the owner dies, so nothing is ever taken over by waiting. The owner opens that file in no other way: closing any other handle of
 * it would drop the lock. `owner.json` beside it only tells people who the owner is. The epoch in the main database fences off a former owner.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type { ProcessSystem } from "../agent/ProcessSystem.ts"
import * as Database from "./Database.ts"
import * as Seal from "./Seal.ts"
import * as Sqlite from "./Sqlite.ts"
import * as SqliteReads from "./SqliteReads.ts"
import { ownerFile } from "./StateDirectory.ts"
import type { ProcessRecord } from "./Store.ts"

/** What `owner.json` says. */
export const OwnerInfo = Schema.Struct({
  pid: Schema.Int,
  startTime: Schema.String,
  bootId: Schema.String,
  /** Since when, Unix time in milliseconds. */
  since: Schema.Finite,
  /** Name of the machine. */
  host: Schema.String,
  /** Version of NofX. */
  version: Schema.String,
  /** A foreground run, or the host of editors. */
  kind: Schema.Literals(["run", "host"]),
  /** The last epoch that was claimed here; absent before the first. */
  epoch: Schema.optionalKey(Schema.Int)
})
export type OwnerInfo = typeof OwnerInfo.Type

/** The state directory belongs to another process. Nothing was touched. */
export class OwnedByAnother extends Schema.TaggedError<OwnedByAnother>()("OwnedByAnother", {
  directory: Schema.String,
  /** Absent when the owner has only just begun. */
  owner: Schema.optionalKey(OwnerInfo),
  /** Is the process that `owner` names still this one? False also for one that cannot be seen from here. */
  alive: Schema.Boolean
}) {
  override get message(): string {
    const { owner } = this
    if (owner === undefined) return `The state directory ${this.directory} is owned by another process`
    const what = owner.kind === "host" ? "a NofX host" : "another nofx run"
    const seen = this.alive ? "" : "; that process cannot be seen from here"
    return `The state directory ${this.directory} is owned by ${what} (pid ${owner.pid} on ${owner.host}, since ${new Date(owner.since).toISOString()}${seen})`
  }
}

export interface Options {
  /** An existing directory, as `StateDirectory.ensure` leaves it. */
  readonly directory: string
  readonly kind: OwnerInfo["kind"]
  /** Version of NofX. */
  readonly version: string
  /** Tells processes apart. */
  readonly processes: Pick<ProcessSystem, "self" | "bootId" | "find" | "signal">
}

/** The right to write a state directory, with its open database. */
export class Owner extends Context.Service<
  Owner,
  {
    readonly directory: string
    /** Higher than that of every owner before. */
    readonly epoch: number
    readonly database: Database.Database
    readonly info: OwnerInfo
  }
>()("nofx/Owner") {}

export type AcquireError = OwnedByAnother | Database.OpenError

/**
 * Takes the state directory until the scope closes: lock, then database, then the next epoch.
 *
 * Fails with `OwnedByAnother` at once when it has an owner, be it suspended; with the database's errors when that cannot be opened.
 */
export const acquire = (options: Options): Effect.Effect<Owner["Service"], AcquireError, Scope.Scope> =>
  Effect.andThen(lock(options), begin(options))

export const layer = (options: Options): Layer.Layer<Owner, AcquireError> => Layer.effect(Owner, acquire(options))

/** Who owns the directory, or owned it last without a clean end; undefined when nobody did. `alive` as in `OwnedByAnother`. */
export const look = (
  directory: string,
  processes: Options["processes"]
): Effect.Effect<{ readonly owner: OwnerInfo; readonly alive: boolean } | undefined> =>
  Effect.gen(function* () {
    const owner = readInfo(directory)
    if (owner === undefined) return undefined
    const row = yield* processes.find(owner.pid)
    const alive = row !== undefined && !row.dead && row.startTime === owner.startTime && processes.bootId === owner.bootId
    return { owner, alive }
  })

/**
 * Takes the directory from a living owner: suspends it, so that it starts nothing more; has `endTrees` end the process trees in its
 * registry; kills it; then acquires.
 *
 * Fails with `OwnedByAnother` when the owner cannot be told for sure (nothing is killed then), or does not die within ten seconds.
 */
export const forceTakeover = <E, R>(
  options: Options & { readonly endTrees: (left: ReadonlyArray<ProcessRecord>, owner: OwnerInfo) => Effect.Effect<unknown, E, R> }
): Effect.Effect<Owner["Service"], AcquireError | E, Scope.Scope | R> =>
  Effect.gen(function* () {
    const refused = yield* tryLock(options)
    if (refused !== undefined) {
      const { alive, owner } = refused
      if (owner === undefined || !alive) return yield* refused
      yield* Effect.sync(() => suspend(owner.pid))
      yield* options.endTrees(yield* registered(options.directory), owner)
      // The end of its trees may have taken a while: is it still the same process?
      if ((yield* look(options.directory, options.processes))?.alive === true) {
        yield* options.processes.signal({ pid: owner.pid, group: false }, "SIGKILL")
      }
      yield* lockSoon(options)
    }
    return yield* begin(options)
  })

/** How often the lock of a killed owner is tried again, and how often at most: ten seconds. */
const deathPollMillis = 50
const deathPolls = 200

const lockSoon = (options: Options): Effect.Effect<void, AcquireError, Scope.Scope> =>
  Effect.gen(function* () {
    for (let poll = 1; poll < deathPolls; poll++) {
      if ((yield* tryLock(options)) === undefined) return
      yield* Effect.sleep(deathPollMillis)
    }
    yield* lock(options)
  })

/** Tries the lock; answers who holds it, or nothing when it is ours. */
const tryLock = (options: Options): Effect.Effect<OwnedByAnother | undefined, Database.OpenError, Scope.Scope> =>
  lock(options).pipe(
    Effect.as<OwnedByAnother | undefined>(undefined),
    Effect.catchTag("OwnedByAnother", (refused) => Effect.succeed(refused))
  )

/** Two that start in the same instant hold each other off for a moment; anything longer is an owner. */
const contentionMillis = 100

/** Takes the lock until the scope closes; leaves nothing open when it is refused. */
const lock = (options: Options): Effect.Effect<void, AcquireError, Scope.Scope> =>
  Effect.uninterruptible(
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const exit = yield* Effect.exit(Scope.provide(hold(options), scope))
      if (Exit.isFailure(exit)) yield* Scope.close(scope, exit)
      else yield* Effect.addFinalizer((end) => Scope.close(scope, end))
      return yield* exit
    })
  )

const hold = ({ directory, processes }: Options): Effect.Effect<void, AcquireError, Scope.Scope> =>
  Effect.gen(function* () {
    const connection = yield* Sqlite.open(path.join(directory, ownerFile), { busyMillis: contentionMillis })
    const free = yield* Sqlite.attempt("lock the state directory", () => {
      try {
        connection.exec("BEGIN EXCLUSIVE")
        return true
      } catch (cause) {
        if (Sqlite.codeOf(cause) === Sqlite.codes.busy) return false
        throw cause
      }
    })
    if (free) return
    const seen = yield* look(directory, processes)
    return yield* new OwnedByAnother({ directory, alive: seen?.alive ?? false, ...(seen === undefined ? {} : { owner: seen.owner }) })
  })

/** With the lock held: opens the database and claims the next epoch. */
const begin = (options: Options): Effect.Effect<Owner["Service"], Database.OpenError, Scope.Scope> =>
  Effect.gen(function* () {
    const { directory, processes } = options
    const left = readInfo(directory)
    const self = yield* processes.find(processes.self)
    const info: OwnerInfo = {
      pid: processes.self,
      startTime: self?.startTime ?? "",
      bootId: processes.bootId,
      since: yield* Clock.currentTimeMillis,
      host: os.hostname(),
      version: options.version,
      kind: options.kind,
      ...(left?.epoch === undefined ? {} : { epoch: left.epoch })
    }
    yield* writeInfo(directory, info)
    const open = Effect.gen(function* () {
      const database = yield* Database.open(path.join(directory, Database.fileName), { expectLog: left?.epoch !== undefined })
      return { database, epoch: yield* Database.claimEpoch(database.connection, left?.epoch) }
    })
    const { database, epoch } = yield* Effect.onError(open, () => restoreInfo(directory, left))
    // Gone before the database closes: with it there, the next owner expects a write-ahead log.
    yield* Effect.acquireRelease(writeInfo(directory, { ...info, epoch }), () =>
      Effect.sync(() => fs.rmSync(infoFile(directory), { force: true }))
    )
    return { directory, epoch, database, info: { ...info, epoch } }
  })

const infoFile = (directory: string): string => path.join(directory, "owner.json")

const decodeInfo = Schema.decodeUnknownOption(Schema.fromJsonString(OwnerInfo))

/** Undefined when there is none, or none that can be read. */
const readInfo = (directory: string): OwnerInfo | undefined => {
  try {
    return Option.getOrUndefined(decodeInfo(fs.readFileSync(infoFile(directory), "utf8")))
  } catch {
    return undefined
  }
}

const writeInfo = (directory: string, info: OwnerInfo) =>
  Sqlite.attempt("write owner.json", () => {
    const file = infoFile(directory)
    fs.writeFileSync(`${file}.new`, `${JSON.stringify(info)}\n`, { mode: 0o600 })
    fs.renameSync(`${file}.new`, file)
  })

/** Who cannot begin leaves what the last owner said. */
const restoreInfo = (directory: string, left: OwnerInfo | undefined): Effect.Effect<void> =>
  Effect.ignore(left === undefined ? Effect.sync(() => fs.rmSync(infoFile(directory), { force: true })) : writeInfo(directory, left))

/** The processes that the owner has registered; none when its database cannot be read. */
const registered = (directory: string): Effect.Effect<ReadonlyArray<ProcessRecord>> =>
  Effect.scoped(
    Effect.flatMap(Database.openViewer(directory), ({ connection }) =>
      Effect.map(SqliteReads.make(connection, false, Seal.make(connection.file)).load, (loaded) => loaded.processes)
    )
  ).pipe(Effect.orElseSucceed(() => []))

const suspend = (pid: number): void => {
  try {
    process.kill(pid, "SIGSTOP")
  } catch {
    // Windows has no such signal; a process that is gone needs none.
  }
}
