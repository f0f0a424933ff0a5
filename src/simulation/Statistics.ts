/** What can be said of a share that was measured, when failures come in clusters. */
import type { SeededRandom } from "./SeededRandom.ts"

/** One cluster, a day or a seed: how many there were, and how many were good. */
export interface Cluster {
  readonly possible: number
  readonly good: number
}

/** The share of good ones; 1 of nothing. */
export const share = (clusters: Iterable<Cluster>): number => {
  let possible = 0
  let good = 0
  for (const cluster of clusters) {
    possible += cluster.possible
    good += cluster.good
  }
  return possible === 0 ? 1 : good / possible
}

/** How often is drawn anew. */
const rounds = 2_000

/**
 * The lower bound of the one-sided 95 % confidence interval of the share, by the percentile bootstrap over whole clusters (Efron, 1979): clusters are
 * drawn with replacement, since what fails in one cluster fails together.
 *
 * Resampling knows only failures that it has seen; without any it would answer 1. So it is never above what the rule of three says of `n` tasks of
 * which none failed: 1 - 3 / n.
 */
export const lower95 = (clusters: ReadonlyArray<Cluster>, random: SeededRandom): number => {
  const measured = clusters.filter((cluster) => cluster.possible > 0)
  if (measured.length === 0) return 0
  const shares: Array<number> = []
  for (let round = 0; round < rounds; round++) {
    let possible = 0
    let good = 0
    for (let draw = 0; draw < measured.length; draw++) {
      const cluster = measured[Math.floor(random.next() * measured.length)]!
      possible += cluster.possible
      good += cluster.good
    }
    shares.push(good / possible)
  }
  shares.sort((a, b) => a - b)
  const possible = measured.reduce((sum, cluster) => sum + cluster.possible, 0)
  return Math.min(shares[Math.floor(rounds * 0.05)]!, Math.max(0, 1 - 3 / possible))
}
