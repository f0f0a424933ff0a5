/**
 * A damaged database: keeps the damaged files, and copies what can be read, row by row, into a fresh one.
 *
 * The fresh file takes the place of the damaged one in a single rename, when it is whole: a crash on the way leaves the damaged files where
 * they were, and the next start does it again.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as migrations from "./migrations.ts"
import * as Sqlite from "./Sqlite.ts"
import type { DamageReport, StoreUnavailable } from "./Store.ts"

/** Rows of a table that are asked for one by one behind damaged pages, at most. */
const probesPerTable = 200_000
/** The same where the end of the table cannot be read, so that nobody knows how many there were. */
const probesBlind = 10_000

/** Is this error the file's fault? */
export const isDamage = (cause: unknown): boolean => {
  const code = Sqlite.codeOf(cause)
  return (
    code === Sqlite.codes.corrupt || code === Sqlite.codes.notADatabase || (cause as { readonly errcode?: unknown }).errcode === shortRead
  )
}

/** SQLITE_IOERR_SHORT_READ: the file ends before the page. */
const shortRead = 522

const sides = ["", "-wal"]

/** A name for what is kept of `file`, from the time and not yet taken. */
export const keptName = (file: string, at: number): string => {
  const base = `${file}.damaged-${new Date(at).toISOString().replaceAll(/[:.]/g, "-")}`
  let name = base
  for (let n = 2; sides.some((side) => fs.existsSync(name + side)); n++) name = `${base}-${n}`
  return name
}

const remove = (file: string): void => {
  for (const side of [...sides, "-shm", "-journal"]) fs.rmSync(file + side, { force: true })
}

/** Gives the files a second name, or copies them where the file system has no links; answers the names. */
const keep = (file: string, name: string): ReadonlyArray<string> =>
  sides.flatMap((side) => {
    if (!fs.existsSync(file + side)) return []
    try {
      fs.linkSync(file + side, name + side)
    } catch {
      fs.copyFileSync(file + side, name + side, fs.constants.COPYFILE_EXCL)
    }
    return [name + side]
  })

/**
 * Rebuilds `file` out of what can be read of it.
 *
 * Fails with `StoreUnavailable` when the fresh file cannot be written; the damaged ones stay as they are.
 */
export const rebuild = (
  file: string,
  found: ReadonlyArray<string>,
  now: number
): Effect.Effect<DamageReport, StoreUnavailable | Sqlite.SqliteMissing> =>
  Effect.gen(function* () {
    const fresh = `${file}.recovering`
    const salvage = `${file}.salvage`
    const name = yield* attemptFiles(() => {
      remove(fresh)
      remove(salvage)
      return keptName(file, now)
    })
    // Safe first: SQLite itself deletes a log that it holds for stale.
    const kept = yield* attemptFiles(() => keep(file, name))
    const report = yield* Effect.scoped(
      Effect.gen(function* () {
        const target = yield* Sqlite.open(fresh)
        yield* Sqlite.attempt("recover", () => {
          target.exec("PRAGMA synchronous = FULL")
          migrations.migrate(target)
        })
        const source = yield* openDamaged(file, fresh, salvage)
        return yield* Sqlite.attempt("recover", () =>
          Sqlite.transaction(target, () => {
            const tables = migrations.tables.map((table) => copyTable(source, target, table))
            const report: DamageReport = { at: now, found, kept, tables }
            target.prepare("INSERT INTO damage (at, body) VALUES (?, ?)").run(now, JSON.stringify(report))
            return report
          })
        )
      })
    )
    yield* attemptFiles(() => {
      // The old log must be gone before the fresh file is there: SQLite would replay it into that.
      for (const side of ["-wal", "-shm"]) fs.rmSync(file + side, { force: true })
      fs.renameSync(fresh, file)
      remove(salvage)
      syncDirectory(path.dirname(file))
    })
    return report
  })

const attemptFiles = <A>(work: () => A) => Sqlite.attempt("keep the damaged files", work)

/** A rename is on the disk only when its directory is. */
export const syncDirectory = (directory: string): void => {
  // Windows cannot open directories; its renames are journaled by the file system.
  if (process.platform === "win32") return
  const handle = fs.openSync(directory, "r")
  fs.fsyncSync(handle)
  fs.closeSync(handle)
}

/** The damaged file, opened without a chance to change it; undefined when not even its schema can be read. */
const openDamaged = (file: string, fresh: string, salvage: string) =>
  Effect.gen(function* () {
    const readable = (connection: Sqlite.Connection): boolean => {
      try {
        return Number(connection.prepare("SELECT count(*) AS n FROM sqlite_schema WHERE name = 'tasks'").get()?.["n"]) === 1
      } catch {
        return false
      }
    }
    const direct = yield* Effect.option(Sqlite.open(file, { readOnly: true }))
    if (Option.isSome(direct) && readable(direct.value)) return direct.value
    if (!transplant(file, fresh, salvage)) return undefined
    const indirect = yield* Effect.option(Sqlite.open(salvage, { readOnly: true }))
    return Option.isSome(indirect) && readable(indirect.value) ? indirect.value : undefined
  })

/**
 * Copies the damaged file and gives the copy the first page of a fresh one: header and schema are the same in every file of ours, since tables
 * never move. What is read through a wrong page does not decode and ends in quarantine.
 */
const transplant = (file: string, fresh: string, salvage: string): boolean => {
  try {
    const first = fs.readFileSync(fresh)
    const pageSize = first.readUInt16BE(16)
    const pages = Math.floor(fs.statSync(file).size / pageSize)
    if (pages < 2) return false
    for (const side of sides) if (fs.existsSync(file + side)) fs.copyFileSync(file + side, salvage + side)
    const page = Buffer.from(first.subarray(0, pageSize))
    page.writeUInt32BE(pages, 28)
    // "Has a write-ahead log", for reading and writing.
    page.fill(2, 18, 20)
    const handle = fs.openSync(salvage, "r+")
    fs.writeSync(handle, page, 0, pageSize, 0)
    fs.closeSync(handle)
    return true
  } catch {
    return false
  }
}

type TableReport = DamageReport["tables"][number]

const copyTable = (source: Sqlite.Connection | undefined, target: Sqlite.Connection, table: string): TableReport => {
  if (source === undefined) return { table, recovered: 0 }
  let recovered = 0
  let lost = 0
  let at = 0
  const insert = inserter(target, table)
  const take = (row: Sqlite.Row): void => {
    at = Number(row["rowid"])
    if (insert(row)) recovered++
    else lost++
  }
  /** True when the end of the table was reached. */
  const walk = (): boolean => {
    try {
      for (const row of source.prepare(`SELECT rowid, * FROM ${table} WHERE rowid > ? ORDER BY rowid`).iterate(at)) take(row)
      return true
    } catch (cause) {
      if (Sqlite.codeOf(cause) === undefined) throw cause
      return false
    }
  }
  let top: number | undefined
  let probes = 0
  /** True when a row was found behind the damage. */
  const skip = (): boolean => {
    top ??= lastRow(source, table)
    while (probes < (top === undefined ? probesBlind : probesPerTable) && (top === undefined || at < top)) {
      at++
      probes++
      try {
        const row = source.prepare(`SELECT rowid, * FROM ${table} WHERE rowid = ?`).get(at)
        if (row === undefined) continue
        take(row)
        return true
      } catch (cause) {
        if (Sqlite.codeOf(cause) === undefined) throw cause
        lost++
      }
    }
    return false
  }
  while (!walk() && skip());
  const counted = probes === 0 || (top !== undefined && probes < probesPerTable)
  return counted ? { table, recovered, lost } : { table, recovered }
}

/** The last row's number; undefined when the damage hides it. */
const lastRow = (source: Sqlite.Connection, table: string): number | undefined => {
  try {
    const last = source.prepare(`SELECT rowid FROM ${table} ORDER BY rowid DESC LIMIT 1`).get()
    return Number(last?.["rowid"] ?? 0)
  } catch {
    return undefined
  }
}

/** Inserts a row under its old number; false when the row is not one of this table's. */
const inserter = (target: Sqlite.Connection, table: string): ((row: Sqlite.Row) => boolean) => {
  const columns = target
    .prepare(`SELECT name FROM pragma_table_info('${table}')`)
    .all()
    .map((column) => String(column["name"]))
  return (row) => {
    const present = columns.filter((column) => row[column] !== undefined)
    const names = table === "events" ? present : ["rowid", ...present]
    const sql = `INSERT OR REPLACE INTO ${table} (${names.join(", ")}) VALUES (${names.map(() => "?").join(", ")})`
    try {
      target.prepare(sql).run(...names.map((name) => row[name] ?? null))
      return true
    } catch (cause) {
      // A full disk ends the recovery; a row that breaks a constraint is a damaged row.
      if (Sqlite.codeOf(cause) === constraint || Sqlite.codeOf(cause) === mismatch) return false
      throw cause
    }
  }
}

const constraint = 19
const mismatch = 20
