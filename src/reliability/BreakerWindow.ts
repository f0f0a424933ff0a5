/**
 * What a breaker remembers of finished calls: the last `size` of them, or those of the last `duration`.
 *
 * Adding a call costs amortised O(1), memory is bounded. A window changes in place (it is written to on every call); it belongs to one key of
 * one breaker and does nothing but what it is told, with the time passed in.
 */

/** What is counted of the remembered calls. */
export interface Tally {
  /** Remembered calls that succeeded or failed. */
  readonly calls: number
  readonly failed: number
  /** Those that took longer than the slow-call limit, failed or not. */
  readonly slow: number
}

const failedBit = 1
const slowBit = 2

/** The last `size` calls. */
export class CountWindow implements Tally {
  calls = 0
  failed = 0
  slow = 0
  readonly #ring: Uint8Array
  #next = 0

  constructor(size: number) {
    this.#ring = new Uint8Array(size)
  }

  add(failed: boolean, slow: boolean): void {
    const ring = this.#ring
    if (this.calls === ring.length) {
      const oldest = ring[this.#next]!
      if ((oldest & failedBit) !== 0) this.failed--
      if ((oldest & slowBit) !== 0) this.slow--
    } else {
      this.calls++
    }
    ring[this.#next] = (failed ? failedBit : 0) | (slow ? slowBit : 0)
    if (failed) this.failed++
    if (slow) this.slow++
    this.#next = this.#next + 1 === ring.length ? 0 : this.#next + 1
  }

  clear(): void {
    this.calls = this.failed = this.slow = this.#next = 0
  }

  /** The remembered calls, oldest first, a digit each: 1 failed, 2 slow, 3 both. */
  dump(): string {
    let text = ""
    for (let index = this.calls; index > 0; index--) text += this.#ring[(this.#next - index + this.#ring.length) % this.#ring.length]
    return text
  }

  restore(text: string): void {
    this.clear()
    for (const digit of text) this.add((Number(digit) & failedBit) !== 0, (Number(digit) & slowBit) !== 0)
  }
}

/** Entries that are kept apart whatever their times: below it a time window is exact. */
const exactEntries = 1024

/**
 * The calls of the last `duration` milliseconds. A call is forgotten at the moment at which it is `duration` old.
 *
 * Exact while at most 1,024 calls are remembered. Beyond that, calls that end within a thousandth of the duration share an entry and are
 * forgotten with its first one, so that memory never exceeds 2,049 entries.
 */
export class TimeWindow implements Tally {
  calls = 0
  failed = 0
  slow = 0
  readonly #duration: number
  // A ring of entries, as columns: time of the first call, and how many.
  #at = new Float64Array(8)
  #calls = new Float64Array(8)
  #failed = new Float64Array(8)
  #slow = new Float64Array(8)
  #head = 0
  #length = 0

  /** `duration` in milliseconds. */
  constructor(duration: number) {
    this.#duration = duration
  }

  /** Drops what is `duration` old or older at `now`. */
  forget(now: number): void {
    const mask = this.#at.length - 1
    while (this.#length > 0 && now - this.#at[this.#head]! >= this.#duration) {
      this.calls -= this.#calls[this.#head]!
      this.failed -= this.#failed[this.#head]!
      this.slow -= this.#slow[this.#head]!
      this.#head = (this.#head + 1) & mask
      this.#length--
    }
  }

  add(now: number, failed: boolean, slow: boolean): void {
    this.#put(now, 1, failed ? 1 : 0, slow ? 1 : 0)
  }

  clear(): void {
    this.calls = this.failed = this.slow = this.#head = this.#length = 0
  }

  /** The remembered entries, oldest first, with the age of each at `now` in milliseconds. */
  dump(now: number): ReadonlyArray<readonly [age: number, calls: number, failed: number, slow: number]> {
    this.forget(now)
    return Array.from({ length: this.#length }, (_, index) => {
      const slot = (this.#head + index) & (this.#at.length - 1)
      return [now - this.#at[slot]!, this.#calls[slot]!, this.#failed[slot]!, this.#slow[slot]!] as const
    })
  }

  restore(entries: ReturnType<TimeWindow["dump"]>, now: number): void {
    this.clear()
    for (const [age, calls, failed, slow] of [...entries].sort((a, b) => b[0] - a[0]))
      this.#put(now - Math.max(0, age), calls, failed, slow)
    this.forget(now)
  }

  #put(at: number, calls: number, failed: number, slow: number): void {
    this.forget(at)
    const last = (this.#head + this.#length - 1) & (this.#at.length - 1)
    const shares =
      this.#length > 0 && (this.#at[last] === at || (this.#length >= exactEntries && at - this.#at[last]! < this.#duration / exactEntries))
    if (!shares && this.#length === this.#at.length) this.#grow()
    const slot = shares ? last : (this.#head + this.#length++) & (this.#at.length - 1)
    if (!shares) {
      this.#at[slot] = at
      this.#calls[slot] = this.#failed[slot] = this.#slow[slot] = 0
    }
    this.#calls[slot]! += calls
    this.#failed[slot]! += failed
    this.#slow[slot]! += slow
    this.calls += calls
    this.failed += failed
    this.slow += slow
  }

  #grow(): void {
    const size = this.#at.length
    const grown = (column: Float64Array): Float64Array<ArrayBuffer> => {
      const next = new Float64Array(size * 2)
      for (let index = 0; index < size; index++) next[index] = column[(this.#head + index) & (size - 1)]!
      return next
    }
    this.#at = grown(this.#at)
    this.#calls = grown(this.#calls)
    this.#failed = grown(this.#failed)
    this.#slow = grown(this.#slow)
    this.#head = 0
  }
}
