/**
 * What a process prints, bounded: its end in memory, and its beginning and end in a file.
 *
 * Writing is synchronous, so that a flood is slowed down by the disk instead of piling up in memory. A file that cannot be written any more
 * (a full disk) is left as it is; the tail goes on.
 */
import * as fs from "node:fs"

export interface Options {
  /** Where the output goes; nowhere when absent. Created at once, readable by its owner only. */
  readonly file?: string
  /** Size of the file, the line about what was left out aside. In bytes. */
  readonly maxBytes: number
  /** How much of the end is kept in memory. In bytes. */
  readonly tailBytes: number
  /** Takes secrets out of the text of the file, line by line. Default: they stay in. */
  readonly redact?: ((text: string) => string) | undefined
}

/** A line that is longer than this is written before its end is there. In bytes. */
const longestLine = 65_536
/** Of such a line so much is kept back at least: a secret that is no longer is found where it is cut, too. In bytes. */
const longestSecret = 4_096

export interface BoundedOutput {
  readonly file: string | undefined
  readonly write: (chunk: Uint8Array) => void
  /** Everything that was printed, in bytes. */
  readonly bytes: () => number
  /** The end, at most `tailBytes` of it. A character that was cut is left out. */
  readonly tail: () => string
  /** Puts the file in order: beginning, a line that says how much is missing, end. */
  readonly close: () => void
}

/** Throws when the file cannot be created. */
export const make = (options: Options): BoundedOutput => {
  const headBytes = Math.ceil(options.maxBytes / 2)
  const ringBytes = options.maxBytes - headBytes
  let descriptor = options.file === undefined ? undefined : fs.openSync(options.file, "w+", 0o600)
  let total = 0
  /** What went to the file so far, the part included that was overwritten. */
  let stored = 0
  /** The beginning of a line, kept back until its end is there. */
  let pending: Array<Uint8Array> = []
  let pendingBytes = 0
  let chunks: Array<Uint8Array> = []
  let held = 0

  const remember = (chunk: Uint8Array): void => {
    // A copy: the chunk may be a view into a larger buffer, which would be kept alive.
    const kept = Uint8Array.prototype.slice.call(chunk, Math.max(0, chunk.length - options.tailBytes))
    chunks.push(kept)
    held += kept.length
    while (chunks.length > 1 && held - (chunks[0]?.length ?? 0) >= options.tailBytes) held -= chunks.shift()?.length ?? 0
    // Many small chunks cost more than their bytes.
    if (chunks.length > 256) chunks = [Buffer.concat(chunks)]
  }

  const writeAll = (bytes: Uint8Array, position: number): void => {
    for (let at = 0; descriptor !== undefined && at < bytes.length; )
      at += fs.writeSync(descriptor, bytes, at, bytes.length - at, position + at)
  }

  /** The beginning goes to its place; what follows goes round in the second half. */
  const store = (chunk: Uint8Array): void => {
    let at = 0
    while (at < chunk.length) {
      const offset = stored + at
      const end = offset < headBytes ? headBytes : ringBytes === 0 ? undefined : offset + ringBytes - ((offset - headBytes) % ringBytes)
      if (end === undefined) break
      const part = chunk.subarray(at, at + Math.min(end - offset, chunk.length - at))
      writeAll(part, offset < headBytes ? offset : headBytes + ((offset - headBytes) % ringBytes))
      at += part.length
    }
    stored += chunk.length
  }

  const clean = (chunk: Uint8Array, redact: (text: string) => string): Uint8Array => {
    const text = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length).toString("utf8")
    const cleaned = redact(text)
    // What is no text stays as it is.
    return cleaned === text ? chunk : Buffer.from(cleaned)
  }

  /** Where a line may be cut that has no end yet: no secret lies across it, not even one whose end is still to come. In bytes. */
  const seam = (text: Uint8Array, redact: (text: string) => string): number => {
    const whole = clean(text, redact)
    for (let at = text.length - longestSecret; at > 0; at -= longestSecret) {
      // Not within a character.
      while (at > 0 && (text[at]! & 0xc0) === 0x80) at--
      if (Buffer.concat([clean(text.subarray(0, at), redact), clean(text.subarray(at), redact)]).equals(whole)) return at
    }
    return text.length
  }

  /** Whole lines; all there is at the end, and most of it when a line has become too long. */
  const storeLines = (chunk: Uint8Array, redact: (text: string) => string, all: boolean): void => {
    const end = all ? chunk.length : chunk.lastIndexOf(10) + 1
    let rest = chunk
    if (end > 0 || all || pendingBytes + chunk.length > longestLine) {
      const text = Buffer.concat([...pending, chunk])
      const cut = end > 0 || all ? pendingBytes + end : seam(text, redact)
      store(clean(text.subarray(0, cut), redact))
      rest = text.subarray(cut)
      pending = []
      pendingBytes = 0
    }
    if (rest.length === 0) return
    pending.push(Uint8Array.prototype.slice.call(rest))
    pendingBytes += rest.length
  }

  const abandon = (): void => {
    if (descriptor === undefined) return
    const open = descriptor
    descriptor = undefined
    try {
      fs.closeSync(open)
    } catch {
      // The disk's last word about a file that is given up anyway.
    }
  }

  const rearrange = (): void => {
    if (descriptor === undefined || stored <= options.maxBytes) return
    const ring = Buffer.alloc(ringBytes)
    if (ringBytes > 0) fs.readSync(descriptor, ring, 0, ringBytes, headBytes)
    const seam = ringBytes === 0 ? 0 : (stored - headBytes) % ringBytes
    const line = Buffer.from(`\n[${stored - options.maxBytes} bytes left out]\n`)
    writeAll(Buffer.concat([line, ring.subarray(seam), ring.subarray(0, seam)]), headBytes)
  }

  return {
    file: options.file,
    write: (chunk) => {
      remember(chunk)
      try {
        if (descriptor !== undefined && options.redact !== undefined) storeLines(chunk, options.redact, false)
        else if (descriptor !== undefined) store(chunk)
      } catch {
        abandon()
      }
      total += chunk.length
    },
    bytes: () => total,
    tail: () => {
      const end = Buffer.concat(chunks)
      let at = Math.max(0, end.length - options.tailBytes)
      if (at > 0 || total > held) while (at < end.length && at < end.length && ((end[at] ?? 0) & 0xc0) === 0x80) at += 1
      return end.toString("utf8", at)
    },
    close: () => {
      try {
        if (descriptor !== undefined && options.redact !== undefined) storeLines(new Uint8Array(), options.redact, true)
        rearrange()
      } catch {
        // What is there stays readable.
      }
      abandon()
    }
  }
}
