/** Plain tables: columns as wide as what is in them, the last one cut where the terminal ends. */
import { brief } from "./printable.ts"

/** Longest value of a column that is not the last. Characters. */
const widest = 48

const length = (text: string): number => [...text].length

const cut = (text: string, width: number): string => {
  const points = [...text]
  return points.length > width ? `${points.slice(0, Math.max(0, width - 1)).join("")}…` : text
}

export interface Options {
  /** Columns of the terminal; undefined: nothing is cut. */
  readonly columns?: number | undefined
  /** Put in front of each line. */
  readonly indent?: string
}

/** The lines of a table, one line a row whatever the values hold. Widths count code points. No titles, no line for them. */
export const lines = (
  titles: ReadonlyArray<string> | undefined,
  rows: ReadonlyArray<ReadonlyArray<string>>,
  { columns, indent = "" }: Options = {}
): ReadonlyArray<string> => {
  const shown = rows.map((row) => row.map((value, column) => brief(value, column === row.length - 1 ? (columns ?? 400) : widest)))
  const all = titles === undefined ? shown : [titles, ...shown]
  const widths: Array<number> = []
  for (const row of all) for (const [column, value] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, length(value))
  return all.map((row) => {
    const line =
      indent +
      row
        .map((value, column) => (column === row.length - 1 ? value : value.padEnd(widths[column]! + value.length - length(value))))
        .join("  ")
    return (columns === undefined ? line : cut(line, columns)).trimEnd()
  })
}
