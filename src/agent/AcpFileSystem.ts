/**
 * Files that an agent reads and writes through its client: confined to one directory, wherever symbolic links lead.
 *
 * A path is judged by where it really is: an existing file by itself, a new one by the nearest folder above it that exists. Refusals are
 * protocol errors and name no path outside.
 */
import { RequestError } from "@agentclientprotocol/sdk"
import { constants } from "node:fs"
import * as fs from "node:fs/promises"
import * as path from "node:path"

/** Largest file that is read or written, in bytes. */
const maxFileBytes = 10 * 1024 * 1024

/** The real path of an existing file or folder inside `root` (itself a real path). Rejects with a protocol error. */
export const confineExisting = async (root: string, wanted: string): Promise<string> => {
  const real = await fs.realpath(path.resolve(root, wanted)).catch(() => undefined)
  if (real === undefined) throw RequestError.resourceNotFound(inside(root, path.resolve(root, wanted)) ? wanted : undefined)
  if (!inside(root, real)) throw outside()
  return real
}

/** Where a file inside `root` may be written: existing or new, no link out of it on the way. Rejects with a protocol error. */
const confineNew = async (root: string, wanted: string): Promise<string> => {
  const target = path.resolve(root, wanted)
  const exists = await fs.lstat(target).then(
    () => true,
    () => false
  )
  // A link that leads nowhere would be followed by the write.
  if (exists) return confineExisting(root, target)
  const missing: Array<string> = []
  let folder = target
  for (;;) {
    missing.unshift(path.basename(folder))
    const parent = path.dirname(folder)
    if (parent === folder) throw outside()
    folder = parent
    const there = await fs.lstat(folder).then(
      () => true,
      () => false
    )
    if (!there) continue
    const real = await fs.realpath(folder).catch(() => undefined)
    if (real === undefined || !inside(root, real)) throw outside()
    return path.join(real, ...missing)
  }
}

/** Reads a text file, or `limit` lines of it from line `line` (1 is the first). Rejects with a protocol error. */
export const read = async (root: string, wanted: string, line?: number | null, limit?: number | null): Promise<string> => {
  const real = await confineExisting(root, wanted)
  // Not following: the file may have become a link since. Not blocking: it may be a pipe nobody writes to.
  const file = await fs.open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(() => {
    throw RequestError.internalError({ details: "the file cannot be read" })
  })
  try {
    const stat = await file.stat()
    if (!stat.isFile()) throw RequestError.invalidParams({ details: "not a file" })
    if (stat.size > maxFileBytes) throw RequestError.invalidParams({ details: `the file is larger than ${maxFileBytes} bytes` })
    const text = await file.readFile("utf8")
    if ((line === undefined || line === null) && (limit === undefined || limit === null)) return text
    const from = Math.max(0, (line ?? 1) - 1)
    const lines = text.split("\n")
    return lines.slice(from, limit === undefined || limit === null ? undefined : from + Math.max(0, limit)).join("\n")
  } finally {
    await file.close()
  }
}

/** Writes a whole text file; missing folders are made. Rejects with a protocol error. */
export const write = async (root: string, wanted: string, content: string): Promise<void> => {
  if (Buffer.byteLength(content) > maxFileBytes)
    throw RequestError.invalidParams({ details: `the content is larger than ${maxFileBytes} bytes` })
  const target = await confineNew(root, wanted)
  await fs.mkdir(path.dirname(target), { recursive: true }).catch(() => {
    throw RequestError.invalidParams({ details: "the folder cannot be made" })
  })
  // Folders were made meanwhile, by us or by others: the way must still stay inside.
  if (!inside(root, await fs.realpath(path.dirname(target)))) throw outside()
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK
  const file = await fs.open(target, flags, 0o666).catch(() => {
    throw RequestError.internalError({ details: "the file cannot be written" })
  })
  try {
    if (!(await file.stat()).isFile()) throw RequestError.invalidParams({ details: "not a file" })
    await file.truncate(0)
    await file.writeFile(content, "utf8")
  } finally {
    await file.close()
  }
}

const inside = (root: string, real: string): boolean => {
  const relative = path.relative(root, real)
  return relative === "" || (relative !== ".." && !relative.startsWith(`..${path.sep}`) && !path.isAbsolute(relative))
}

const outside = (): RequestError => RequestError.invalidParams({ details: "the path is outside of the agent's working directory" })
