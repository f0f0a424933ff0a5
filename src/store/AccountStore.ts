/**
 * Gates and limits of accounts: the user's, not a repository's, so that one agent's 429 parks the agents of that account everywhere.
 *
 * One small database in the user's state directory, shared by all hosts of the user; nobody owns it. Nobody is told of changes either: whoever
 * admits work compares `version` first, which costs some microseconds, and reads only what changed. Times in it are Unix milliseconds.
 */
import * as path from "node:path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Sqlite from "./Sqlite.ts"
import type { StoreUnavailable } from "./Store.ts"

/** State of one pattern of one account. */
export interface AccountState {
  /** Whose quota: the account's name. */
  readonly account: string
  /** Which pattern, e.g. `gate`. */
  readonly kind: string
  /** Counts what replaces what came before (a gate's closings); a lower one never wins. */
  readonly generation: number
  /** Within one generation the later one wins: a gate may only be extended. Unix time in milliseconds; 0 where there is none. */
  readonly until: number
  /** The pattern's own state, JSON. */
  readonly state: unknown
}

export interface AccountRecord extends AccountState {
  /** The store's version when it was written. */
  readonly version: number
}

/** Does `next` replace `previous`? The merge rule of all layers. */
export const supersedes = (next: AccountState, previous: AccountState): boolean =>
  next.generation > previous.generation || (next.generation === previous.generation && next.until > previous.until)

/** Shared by every process of the user; each `put` is atomic between them. */
export class AccountStore extends Context.Service<
  AccountStore,
  {
    /** All that is known of an account. */
    readonly get: (account: string) => Effect.Effect<ReadonlyArray<AccountRecord>, StoreUnavailable>
    /** Writes if it supersedes what is there; answers what stands then, be it another process's. */
    readonly put: (next: AccountState) => Effect.Effect<AccountRecord, StoreUnavailable>
    /** Grows with every write of any process. Cheap enough to ask before each admission. */
    readonly version: Effect.Effect<number, StoreUnavailable>
    /** What was written after `version`, in order. */
    readonly changesSince: (version: number) => Effect.Effect<ReadonlyArray<AccountRecord>, StoreUnavailable>
  }
>()("nofx/AccountStore") {}

/** Name of the file in the user's state directory. */
export const fileName = "accounts.db"

/** For tests and simulations: the same rules, gone with the process. */
export const makeMemory = (): AccountStore["Service"] => {
  const records = new Map<string, AccountRecord>()
  let version = 0
  return AccountStore.of({
    get: (account) => Effect.sync(() => [...records.values()].filter((record) => record.account === account)),
    put: (next) =>
      Effect.sync(() => {
        const key = JSON.stringify([next.account, next.kind])
        const previous = records.get(key)
        if (previous !== undefined && !supersedes(next, previous)) return previous
        const record = { ...next, version: ++version }
        records.set(key, record)
        return record
      }),
    version: Effect.sync(() => version),
    changesSince: (since) =>
      Effect.sync(() => [...records.values()].filter((record) => record.version > since).sort((a, b) => a.version - b.version))
  })
}

/** A store that could not be opened: everything fails with why. */
export const unavailable = (error: StoreUnavailable): AccountStore["Service"] => {
  const failed = Effect.fail(error)
  return AccountStore.of({ get: () => failed, put: () => failed, version: failed, changesSince: () => failed })
}

export const layerMemory: Layer.Layer<AccountStore> = Layer.sync(AccountStore, makeMemory)

/** The user's store, in an existing directory. */
export const layer = (directory: string): Layer.Layer<AccountStore, StoreUnavailable | Sqlite.SqliteMissing> =>
  Layer.effect(
    AccountStore,
    Effect.gen(function* () {
      const connection = yield* Sqlite.open(path.join(directory, fileName))
      return yield* Sqlite.attempt("open the account store", () => {
        connection.exec(schema)
        return over(connection)
      })
    })
  )

// NORMAL: after a power cut a gate of the last seconds may be missing, and the provider closes it again; nothing waits for a disk.
const schema = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = NORMAL;
  CREATE TABLE IF NOT EXISTS accounts (
    account TEXT NOT NULL, kind TEXT NOT NULL, generation INTEGER NOT NULL, until REAL NOT NULL, state TEXT NOT NULL, version INTEGER NOT NULL,
    PRIMARY KEY (account, kind)
  );
  CREATE INDEX IF NOT EXISTS accounts_version ON accounts (version);
`

const over = (connection: Sqlite.Connection): AccountStore["Service"] => {
  const { prepare } = connection
  const ofAccount = prepare("SELECT * FROM accounts WHERE account = ? ORDER BY kind")
  const one = prepare("SELECT * FROM accounts WHERE account = ? AND kind = ?")
  const write = prepare("INSERT OR REPLACE INTO accounts (account, kind, generation, until, state, version) VALUES (?, ?, ?, ?, ?, ?)")
  const top = prepare("SELECT max(version) AS version FROM accounts")
  const since = prepare("SELECT * FROM accounts WHERE version > ? ORDER BY version")
  const version = (): number => Number(top.get()?.["version"] ?? 0)
  return AccountStore.of({
    get: (account) => Sqlite.attempt("read an account", () => ofAccount.all(account).flatMap(recordOf)),
    put: (next) =>
      Sqlite.attempt("write an account", () =>
        Sqlite.transaction(connection, () => {
          const previous = one.all(next.account, next.kind).flatMap(recordOf)[0]
          if (previous !== undefined && !supersedes(next, previous)) return previous
          const record = { ...next, version: version() + 1 }
          write.run(record.account, record.kind, record.generation, record.until, JSON.stringify(record.state ?? null), record.version)
          return record
        })
      ),
    version: Sqlite.attempt("read the accounts", version),
    changesSince: (after) => Sqlite.attempt("read the accounts", () => since.all(after).flatMap(recordOf))
  })
}

/** A damaged row counts as none: the next refusal of the provider writes it anew. */
const recordOf = (row: Sqlite.Row): ReadonlyArray<AccountRecord> => {
  try {
    return [
      {
        account: String(row["account"]),
        kind: String(row["kind"]),
        generation: Number(row["generation"]),
        until: Number(row["until"]),
        state: JSON.parse(String(row["state"])),
        version: Number(row["version"])
      }
    ]
  } catch {
    return []
  }
}
