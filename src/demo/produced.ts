/** What a run did to a repository: its files before and after, compared line by line. */

export interface Produced {
  readonly path: string
  readonly change: "added" | "changed" | "removed"
  /** Lines that are there now and were not, and the other way round. Counts. */
  readonly added: number
  readonly removed: number
  /** Those lines, as a diff shows them: `+` or `-` in front. */
  readonly lines: ReadonlyArray<string>
}

/** The files that differ, by path. */
export const produced = (before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): ReadonlyArray<Produced> =>
  [...new Set([...before.keys(), ...after.keys()])].sort().flatMap((path) => {
    const [old, now] = [before.get(path), after.get(path)]
    if (old === now) return []
    const { added, removed } = difference(linesOf(old), linesOf(now))
    return [
      {
        path,
        change: old === undefined ? "added" : now === undefined ? "removed" : "changed",
        added: added.length,
        removed: removed.length,
        lines: [...removed.map((line) => `- ${line}`), ...added.map((line) => `+ ${line}`)]
      } as const
    ]
  })

const linesOf = (text: string | undefined): ReadonlyArray<string> => (text === undefined ? [] : text.replace(/\n$/, "").split("\n"))

/** What is left when the lines that begin and end both are taken away: enough for files that changed in one place. */
const difference = (old: ReadonlyArray<string>, now: ReadonlyArray<string>) => {
  const most = Math.min(old.length, now.length)
  let start = 0
  while (start < most && old[start] === now[start]) start++
  let end = 0
  while (end < most - start && old.at(-1 - end) === now.at(-1 - end)) end++
  return { removed: old.slice(start, old.length - end), added: now.slice(start, now.length - end) }
}
