/**
 * Does a write-ahead log look as SQLite left it?
 *
 * SQLite reads a log up to the first frame whose checksum is wrong and ignores the rest in silence: after a crash that is right, after damage
 * it loses commits that were acknowledged. So the log is looked at before SQLite opens it. Format: https://www.sqlite.org/fileformat2.html,
 * section 4.
 */

const headerBytes = 32
const frameHeaderBytes = 24
/** Pages of the kernel's cache are this large, or a multiple of it. */
const cachePageBytes = 4_096

interface Sum {
  readonly a: number
  readonly b: number
}

const checksum = (log: DataView, from: number, to: number, littleEndian: boolean, start: Sum): Sum => {
  let { a, b } = start
  for (let at = from; at < to; at += 8) {
    a = (a + log.getUint32(at, littleEndian) + b) >>> 0
    b = (b + log.getUint32(at + 4, littleEndian) + a) >>> 0
  }
  return { a, b }
}

/** What is wrong with a log, one sentence each; nothing for an empty one. */
export const inspect = (bytes: Uint8Array): ReadonlyArray<string> => {
  if (bytes.length === 0) return []
  const log = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < headerBytes) return ["the write-ahead log is cut off within its header: commits may be lost"]
  const magic = log.getUint32(0)
  const littleEndian = magic === 0x377f0682
  const stored = (at: number): Sum => ({ a: log.getUint32(at), b: log.getUint32(at + 4) })
  const same = (x: Sum, y: Sum): boolean => x.a === y.a && x.b === y.b
  if ((!littleEndian && magic !== 0x377f0683) || !same(checksum(log, 0, 24, littleEndian, { a: 0, b: 0 }), stored(24))) {
    return ["the header of the write-ahead log is damaged: every commit since the last checkpoint is lost"]
  }
  const frameBytes = frameHeaderBytes + log.getUint32(8)
  const salts = stored(16)
  const frames = Math.floor((bytes.length - headerBytes) / frameBytes)
  const at = (frame: number): number => headerBytes + frame * frameBytes
  /** Is this frame whole, given the sum before it? */
  const whole = (frame: number, before: Sum): boolean => {
    const body = checksum(log, at(frame), at(frame) + 8, littleEndian, before)
    return (
      same(stored(at(frame) + 8), salts) &&
      same(checksum(log, at(frame) + frameHeaderBytes, at(frame + 1), littleEndian, body), stored(at(frame) + 16))
    )
  }

  let good = 0
  let sum = stored(24)
  while (good < frames && whole(good, sum)) {
    sum = stored(at(good) + 16)
    good++
  }
  const found: Array<string> = []
  // A whole frame behind a bad one was written after it. Frames with other salts are left over from before the last checkpoint.
  let behind = 0
  for (let frame = good + 1; frame < frames; frame++) if (whole(frame, stored(at(frame - 1) + 16))) behind++
  if (behind > 0) found.push(`frame ${good + 1} of the write-ahead log is damaged: commits in the ${behind} frames behind it are lost`)
  // SQLite writes a frame's header, then its page, and the kernel cuts a write only where a page of its cache ends. So a kill leaves a bare
  // header or a cut at such a place, or a wrong page before old frames; nothing of that was acknowledged. Anything else was not a kill.
  else if (good === frames - 1 && same(stored(at(good) + 8), salts)) {
    found.push(`the last frame of the write-ahead log (${frames}) is damaged: the last commit may be lost`)
  }
  const rest = bytes.length - at(frames)
  if (good === frames && rest !== 0 && rest !== frameHeaderBytes && bytes.length % cachePageBytes !== 0) {
    found.push(`the write-ahead log is cut off within frame ${frames + 1}: the last commits may be lost`)
  }
  return found
}
