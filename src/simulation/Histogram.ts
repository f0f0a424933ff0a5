/** Durations, counted in classes that each reach a tenth further: bounded in memory, and good for quantiles. */
export interface Quantiles {
  readonly count: number
  readonly meanMillis: number
  readonly p50Millis: number
  readonly p95Millis: number
  readonly maxMillis: number
}

export interface Histogram {
  readonly add: (millis: number) => void
  readonly quantiles: () => Quantiles
}

const step = Math.log(1.1)

export const make = (): Histogram => {
  const classes: Array<number> = []
  let count = 0
  let sum = 0
  let max = 0
  const quantile = (share: number): number => {
    let left = share * count
    for (let index = 0; index < classes.length; index++) {
      left -= classes[index] ?? 0
      if (left <= 0 && (classes[index] ?? 0) > 0) return Math.min(max, Math.round(Math.exp(index * step)))
    }
    return max
  }
  return {
    add: (millis) => {
      const index = millis <= 1 ? 0 : Math.ceil(Math.log(millis) / step)
      classes[index] = (classes[index] ?? 0) + 1
      count++
      sum += millis
      max = Math.max(max, millis)
    },
    quantiles: () => ({
      count,
      meanMillis: count === 0 ? 0 : Math.round(sum / count),
      p50Millis: count === 0 ? 0 : quantile(0.5),
      p95Millis: count === 0 ? 0 : quantile(0.95),
      maxMillis: max
    })
  }
}
