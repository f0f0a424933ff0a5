/**
 * Fingerprints of a working directory: equal as long as nothing was seen to change.
 *
 * `walk` looks at names, sizes and times; it serves every directory, and tells a busy agent from a stalled one. Both are bounded, and say
 * nothing about what lies beyond their bounds.
 */
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import type { Hash } from "node:crypto"
import { createReadStream } from "node:fs"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { ownerFile } from "../store/StateDirectory.ts"

/** Most entries that one walk looks at. */
export const maxEntries = 50_000

/** Folders that hold what tools fetch or write for themselves. */
const skipped = new Set([".git", "node_modules", ".hg", ".svn", ".venv", "__pycache__"])

/**
 * Fingerprint over paths, sizes and modification times below a directory, breadth first, `node_modules` and the like left out, and a
 * state directory too: what NofX writes there is nothing that an agent has done.
 *
 * Never fails: what cannot be read counts as absent. Interruptible.
 */
export const walk = (directory: string, limit: number = maxEntries): Effect.Effect<string> =>
  Effect.promise(async (signal) => {
    const hash = createHash("sha256")
    let left = limit
    const folders = [""]
    for (let folder = folders.shift(); folder !== undefined && left > 0 && !signal.aborted; folder = folders.shift()) {
      const entries = await fs.readdir(path.join(directory, folder), { withFileTypes: true }).catch(() => [])
      if (folder !== "" && entries.some(({ name }) => name === ownerFile)) continue
      entries.sort((a, b) => (a.name < b.name ? -1 : 1))
      for (const entry of entries) {
        if (left <= 0 || signal.aborted) break
        if (skipped.has(entry.name)) continue
        left -= 1
        const name = path.join(folder, entry.name)
        if (entry.isDirectory()) {
          folders.push(name)
          hash.update(`${name}/\0`)
        } else await addStat(hash, directory, name)
      }
    }
    return `walk:${hash.digest("hex")}`
  })

const addStat = async (hash: Hash, directory: string, name: string): Promise<void> => {
  const stat = await fs.lstat(path.join(directory, name)).catch(() => undefined)
  hash.update(`${name}\0${stat === undefined ? "-" : `${stat.mode} ${stat.size} ${stat.mtimeMs}`}\0`)
}

/** Most files, and most bytes of them, whose content is read. */
const maxContents = { files: 2_000, bytes: 256 * 1024 * 1024 }

/** Fingerprint over the content of these files; beyond the bounds over their sizes and times. Interruptible. */
export const contents = (directory: string, names: ReadonlyArray<string>): Effect.Effect<string> =>
  Effect.promise(async (signal) => {
    const hash = createHash("sha256")
    let bytes = maxContents.bytes
    for (const [index, name] of names.entries()) {
      if (signal.aborted) break
      const file = path.join(directory, name)
      const stat = await fs.lstat(file).catch(() => undefined)
      if (stat?.isSymbolicLink()) hash.update(`${name}\0link ${await fs.readlink(file).catch(() => "-")}\0`)
      else if (stat?.isFile() && index < maxContents.files && stat.size <= bytes) {
        bytes -= stat.size
        hash.update(`${name}\0${stat.mode} ${await digest(file, signal)}\0`)
      } else await addStat(hash, directory, name)
    }
    return hash.digest("hex")
  })

const digest = async (file: string, signal: AbortSignal): Promise<string> => {
  const hash = createHash("sha256")
  try {
    for await (const chunk of createReadStream(file, { signal })) hash.update(chunk as Uint8Array)
  } catch {
    return "unreadable"
  }
  return hash.digest("hex")
}
