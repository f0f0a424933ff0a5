/**
 * What was said and done in an attempt, as JSON lines: to be followed while it runs, and read afterwards.
 *
 * A transcript is a few files beside the agent's other outputs. Its beginning and its end are kept, what is too much in between is not;
 * the oldest attempts of an agent make room for new ones. Secrets are taken out before anything is written. A disk that is full ends a
 * transcript, never an attempt.
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import * as path from "node:path"

const at = { at: Schema.Finite }
const text = { ...at, text: Schema.String }

/** One line. Times are Unix milliseconds. */
export const Entry = Schema.TaggedUnion({
  Began: {
    ...at,
    taskId: Schema.String,
    agentId: Schema.String,
    run: Schema.Int,
    attempt: Schema.Int,
    attemptId: Schema.String,
    prompt: Schema.String
  },
  Text: text,
  Thought: text,
  Tool: { ...at, id: Schema.String, title: Schema.String, kind: Schema.String, status: Schema.String },
  Usage: { ...at, tokens: Schema.optionalKey(Schema.Finite), toolCalls: Schema.optionalKey(Schema.Finite) },
  Waiting: { ...at, detail: Schema.String, untilMillis: Schema.optionalKey(Schema.Finite) },
  /** What the program printed, where it is not read as the agent's words. */
  Stdout: text,
  Stderr: text,
  Permission: { ...at, title: Schema.String, kind: Schema.String, detail: Schema.String, answer: Schema.String },
  Ended: { ...at, outcome: Schema.Literals(["claimed", "failed", "stopped"]), detail: Schema.String },
  /** Something in between was not kept. Made by the reader. */
  Gap: at
})
export type Entry = typeof Entry.Type

/** Bounds of transcripts. */
export interface Limits {
  /** Of one attempt. Bytes. */
  readonly maxBytes: number
  /** Of all files of an agent, its other outputs too. Bytes. */
  readonly keepBytes: number
  /** Attempts of an agent whose files are kept. Count. */
  readonly keepAttempts: number
  /** How long they are kept, in milliseconds. */
  readonly keepMillis: number
}

export interface Writer {
  readonly write: (entry: Entry) => void
  /** Adds to running text: what comes in pieces becomes one entry a line, or so. */
  readonly append: (tag: "Text" | "Thought" | "Stdout" | "Stderr", now: number, piece: string) => void
  readonly close: () => void
}

/** A transcript is kept in this many files, so that the middle can be given up file by file. */
const parts = 4
/** Text that has not come to the end of a line is written at the latest after so much, and so long. Characters, milliseconds. */
const pendingLength = 4_000
const pendingMillis = 1_000

const safe = (attemptId: string): string => attemptId.replaceAll(/[^\w-]+/g, "-")
const partFile = (directory: string, attemptId: string, part: number): string => path.join(directory, `${safe(attemptId)}.${part}.jsonl`)

/** Begins the transcript of an attempt. The directory exists. */
export const open = (options: {
  readonly directory: string
  readonly attemptId: string
  readonly maxBytes: number
  readonly redact: <A>(value: A) => A
}): Writer => {
  const partBytes = Math.max(1, Math.floor(options.maxBytes / parts))
  let part = 0
  let bytes = 0
  let descriptor: number | undefined
  let pending: { readonly tag: "Text" | "Thought" | "Stdout" | "Stderr"; readonly since: number; text: string } | undefined

  const close = (): void => {
    if (descriptor !== undefined) fs.closeSync(descriptor)
    descriptor = undefined
  }

  const turn = (): void => {
    close()
    part++
    bytes = 0
    // The first one is kept: it has the prompt.
    if (part > parts) fs.rmSync(partFile(options.directory, options.attemptId, part - parts + 1), { force: true })
    descriptor = fs.openSync(partFile(options.directory, options.attemptId, part), "w", 0o600)
  }

  const put = (entry: Entry): void => {
    try {
      const line = Buffer.from(`${JSON.stringify(options.redact(entry))}\n`)
      // One entry must not be larger than what is kept of all.
      const kept = line.length <= partBytes ? line : Buffer.from(`${JSON.stringify(options.redact(shortened(entry, partBytes)))}\n`)
      if (part === 0 || (bytes > 0 && bytes + kept.length > partBytes)) turn()
      if (descriptor === undefined) return
      fs.writeSync(descriptor, kept)
      bytes += kept.length
    } catch {
      // What is there stays readable; the attempt goes on without.
      close()
    }
  }

  const flush = (whole: boolean): void => {
    if (pending === undefined) return
    const end = whole ? pending.text.length : pending.text.lastIndexOf("\n") + 1
    if (end > 0) put({ _tag: pending.tag, at: pending.since, text: pending.text.slice(0, end) })
    pending = end === pending.text.length ? undefined : { ...pending, text: pending.text.slice(end) }
  }

  return {
    write: (entry) => {
      flush(true)
      put(entry)
    },
    append: (tag, now, piece) => {
      if (piece === "") return
      if (pending !== undefined && pending.tag !== tag) flush(true)
      pending ??= { tag, since: now, text: "" }
      pending.text += piece
      flush(pending.text.length >= pendingLength || now - pending.since >= pendingMillis)
    },
    close: () => {
      flush(true)
      close()
    }
  }
}

/** The entry with its long texts cut to what fits. JSON may need six characters for one. */
const shortened = (entry: Entry, most: number): Entry => {
  const length = Math.max(16, Math.floor(most / 24))
  const fields = Object.entries(entry).map(([name, value]) => [
    name,
    typeof value === "string" && value.length > length ? `${value.slice(0, length)}… [cut]` : value
  ])
  return Object.fromEntries(fields) as Entry
}

/** Makes room in an agent's directory: the files of the oldest attempts go, as many as the limits ask. `current` stays. */
export const prune = (directory: string, limits: Limits, now: number, current: string): void => {
  const groups = new Map<string, { bytes: number; at: number; readonly files: Array<string> }>()
  for (const name of listed(directory)) {
    const file = path.join(directory, name)
    const stat = fs.statSync(file, { throwIfNoEntry: false })
    if (stat === undefined || !stat.isFile()) continue
    const key = name.split(".", 1)[0]!
    const group = groups.get(key) ?? { bytes: 0, at: 0, files: [] }
    group.bytes += stat.size
    group.at = Math.max(group.at, stat.mtimeMs)
    group.files.push(file)
    groups.set(key, group)
  }
  groups.delete(safe(current))
  const newest = [...groups.values()].toSorted((a, b) => b.at - a.at)
  let bytes = 0
  for (const [index, group] of newest.entries()) {
    bytes += group.bytes
    if (index + 1 < limits.keepAttempts && bytes <= limits.keepBytes && now - group.at <= limits.keepMillis) continue
    for (const file of group.files) {
      try {
        fs.rmSync(file, { force: true })
      } catch {
        // What cannot be deleted now is tried again with the next attempt.
      }
    }
  }
}

const listed = (directory: string): ReadonlyArray<string> => {
  try {
    return fs.readdirSync(directory)
  } catch {
    return []
  }
}

/** Reads a transcript, as far as it goes. */
export interface Reader {
  /** What has come since the last call; lines that cannot be read are left out. */
  readonly next: () => ReadonlyArray<Entry>
}

const decode = Schema.decodeUnknownOption(Schema.fromJsonString(Entry))

/** A reader from the beginning. There need not be anything yet. */
export const read = (directory: string, attemptId: string): Reader => {
  let part = 0
  let offset = 0
  let rest = Buffer.alloc(0)

  const numbers = (): ReadonlyArray<number> => {
    const prefix = `${safe(attemptId)}.`
    return listed(directory)
      .flatMap((name) => (name.startsWith(prefix) && name.endsWith(".jsonl") ? [Number(name.slice(prefix.length, -".jsonl".length))] : []))
      .filter((number) => Number.isInteger(number) && number > part)
      .sort((a, b) => a - b)
  }

  const drain = (): ReadonlyArray<Entry> => {
    if (part === 0) return []
    let fresh: Buffer
    try {
      const file = fs.openSync(partFile(directory, attemptId, part), "r")
      try {
        fresh = Buffer.alloc(Math.max(0, fs.fstatSync(file).size - offset))
        fresh = fresh.subarray(0, fs.readSync(file, fresh, 0, fresh.length, offset))
      } finally {
        fs.closeSync(file)
      }
    } catch {
      return []
    }
    offset += fresh.length
    const all = Buffer.concat([rest, fresh])
    const end = all.lastIndexOf(10) + 1
    rest = all.subarray(end)
    const lines = all.subarray(0, end).toString("utf8").split("\n")
    return lines.flatMap((line) => (line === "" ? [] : Option.toArray(decode(line))))
  }

  return {
    next: () => {
      const entries: Array<Entry> = []
      for (;;) {
        // Asked for before the rest of this one is read: what is there then is all of it.
        const following = numbers()[0]
        entries.push(...drain())
        if (following === undefined) return entries
        if (following > part + 1) entries.push({ _tag: "Gap", at: entries.at(-1)?.at ?? 0 })
        part = following
        offset = 0
        rest = Buffer.alloc(0)
      }
    }
  }
}
