/** "Did you mean": the known word that is nearest to a mistyped one. */

/** Words longer than this are no typing mistakes; it bounds the work as well. */
const longest = 64

/** Edits between two words: insert, delete, replace, swap of neighbours. Damerau 1964, in the restricted form. */
const distance = (a: string, b: string): number => {
  let beforeLast: Array<number> = []
  let last = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let best = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, (beforeLast[j - 2] ?? 0) + 1)
      row.push(best)
    }
    beforeLast = last
    last = row
  }
  return last[b.length] ?? 0
}

/** The nearest of the known words, or undefined when none is near: at most one edit for every three letters, and at least one. */
export const nearest = (word: string, known: Iterable<string>): string | undefined => {
  if (word.length === 0 || word.length > longest) return undefined
  const allowed = Math.max(1, Math.floor(word.length / 3))
  let found: string | undefined
  let least = allowed + 1
  for (const candidate of known) {
    if (Math.abs(candidate.length - word.length) >= least) continue
    const edits = distance(word.toLowerCase(), candidate.toLowerCase())
    if (edits < least) {
      least = edits
      found = candidate
    }
  }
  return found
}
