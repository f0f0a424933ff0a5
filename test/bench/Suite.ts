/** A suite of cases, and what is claimed about how they compare. */
import type { Case, Cost, Effort } from "./Measure.ts"

/** A claim about two cases, by their names. */
export type Claim =
  /** The first costs at most so many times what the second costs. */
  | { readonly _tag: "Ratio"; readonly claim: string; readonly of: string; readonly to: string; readonly most: number }
  /** The first costs at most so many nanoseconds more than the second. */
  | { readonly _tag: "Above"; readonly claim: string; readonly of: string; readonly floor: string; readonly mostNanos: number }
  /** It takes at most so many nanoseconds. */
  | { readonly _tag: "Nanos"; readonly claim: string; readonly of: string; readonly most: number }
  /** It allocates at most so many bytes a call. */
  | { readonly _tag: "Bytes"; readonly claim: string; readonly of: string; readonly most: number }

export interface Suite {
  readonly name: string
  readonly cases: ReadonlyArray<Case>
  readonly claims: ReadonlyArray<Claim>
  /** Where another one than that of all suites suits what is measured. */
  readonly effort?: Effort
  /** What cannot be said by the cost of one call. */
  readonly figures?: (smoke: boolean) => Promise<ReadonlyArray<Judged>>
  readonly close: () => Promise<void>
}

export interface Judged {
  readonly claim: string
  readonly measured: string
  readonly met: boolean
}

export const ratio = (claim: string, of: string, to: string, most = 1): Claim => ({ _tag: "Ratio", claim, of, to, most })
export const above = (claim: string, of: string, floor: string, mostNanos: number): Claim => ({
  _tag: "Above",
  claim,
  of,
  floor,
  mostNanos
})
export const nanos = (claim: string, of: string, most: number): Claim => ({ _tag: "Nanos", claim, of, most })
export const bytes = (claim: string, of: string, most: number): Claim => ({ _tag: "Bytes", claim, of, most })

/** What came of a claim. It is reported, never asserted: a busy machine is not a defect. */
export const judge = (claim: Claim, costs: ReadonlyArray<Cost>): Judged => {
  const cost = (name: string): Cost => {
    const found = costs.find((candidate) => candidate.name === name)
    if (found === undefined) throw new Error(`no case is called "${name}"`)
    return found
  }
  const { bytes: allocated, nanos: spent } = cost(claim.of)
  switch (claim._tag) {
    case "Ratio": {
      const times = spent / cost(claim.to).nanos
      return { claim: claim.claim, measured: `${times.toFixed(2)} times (at most ${claim.most})`, met: times <= claim.most }
    }
    case "Above": {
      const more = spent - cost(claim.floor).nanos
      return { claim: claim.claim, measured: `${more.toFixed(0)} ns (at most ${claim.mostNanos})`, met: more <= claim.mostNanos }
    }
    case "Nanos":
      return {
        claim: claim.claim,
        measured: `${spent.toFixed(0)} ns, ${(1e9 / spent).toFixed(0)} a second (at most ${claim.most} ns)`,
        met: spent <= claim.most
      }
    case "Bytes": {
      const known = allocated ?? Number.NaN
      return { claim: claim.claim, measured: `${known.toFixed(0)} B (at most ${claim.most})`, met: known <= claim.most }
    }
  }
}
