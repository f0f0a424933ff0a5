/**
 * Random numbers that a seed decides, the same in every process, time zone and version of Node.
 *
 * Each purpose has a stream of its own, named by a text: what one part of a simulation draws moves nothing for the others, so that runs with and
 * without a pattern meet the same faults. The generator is xoshiro128** (Blackman and Vigna, 2018), its state filled by hashing seed and name.
 * Only `Math.log` is used beyond arithmetic: it is the same everywhere, which sine and cosine are not.
 */

export interface SeededRandom {
  /** In [0, 1). */
  readonly next: () => number
  /** In [low, high). */
  readonly between: (low: number, high: number) => number
  readonly chance: (probability: number) => boolean
  /** Exponential: the time to the next of independent events. */
  readonly exponential: (mean: number) => number
  /** Erlang of order 3: around its mean, never zero, with a tail. */
  readonly around: (mean: number) => number
  /** The index of one of these weights. */
  readonly pick: (weights: ReadonlyArray<number>) => number
}

/** FNV-1a, and the final mix of MurmurHash3. */
const hash = (text: string, basis: number): number => {
  let value = basis | 0
  for (let index = 0; index < text.length; index++) value = Math.imul(value ^ text.charCodeAt(index), 16_777_619)
  value = Math.imul(value ^ (value >>> 16), 0x85eb_ca6b)
  value = Math.imul(value ^ (value >>> 13), 0xc2b2_ae35)
  return value ^ (value >>> 16)
}

const rotate = (value: number, bits: number): number => (value << bits) | (value >>> (32 - bits))

/** The stream of this name. */
export const make = (seed: number, name: string): SeededRandom => {
  const text = `${seed}:${name}`
  let a = hash(text, 0x811c_9dc5)
  let b = hash(text, a ^ 0x9e37_79b9)
  let c = hash(text, b ^ 0x7f4a_7c15)
  let d = hash(text, c ^ 0x94d0_49bb) | 1

  const word = (): number => {
    const result = Math.imul(rotate(Math.imul(b, 5), 7), 9) >>> 0
    const shifted = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= shifted
    d = rotate(d, 11)
    return result
  }
  const next = (): number => ((word() >>> 5) * 67_108_864 + (word() >>> 6)) / 9_007_199_254_740_992
  const exponential = (mean: number): number => -mean * Math.log(1 - next())

  return {
    next,
    between: (low, high) => low + (high - low) * next(),
    chance: (probability) => next() < probability,
    exponential,
    around: (mean) => (exponential(mean) + exponential(mean) + exponential(mean)) / 3,
    pick: (weights) => {
      let left = next() * weights.reduce((sum, weight) => sum + weight, 0)
      for (let index = 0; index < weights.length - 1; index++) {
        left -= weights[index]!
        if (left < 0) return index
      }
      return weights.length - 1
    }
  }
}
