/** The demo's report as text. */
import type { DemoReport } from "../demo/report.ts"
import { span } from "./eventText.ts"
import type { Style } from "./liveTable.ts"
import { printable } from "./printable.ts"
import * as Table from "./table.ts"

/** Lines of a diff that are shown of one file. */
const shownLines = 4

export interface Options {
  readonly style: Style
  /** Columns of the terminal; undefined: nothing is cut. */
  readonly columns: number | undefined
  /** Where the agents worked. */
  readonly repository: string
  /** The command that lists the dead letters, and the one that shows this letter. */
  readonly commands: { readonly list: string; readonly show: (id: string) => string }
}

/** The lines of the report. */
export const lines = (report: DemoReport, { columns, commands, repository, style }: Options): ReadonlyArray<string> => {
  const table = (rows: ReadonlyArray<ReadonlyArray<string>>) => Table.lines(undefined, rows, { columns, indent: "  " })
  const acted = report.answers.filter(({ count }) => count > 0)
  const idle = report.answers.filter(({ count }) => count === 0)
  return [
    "",
    style.bold("What was asked, and how it ended"),
    ...table(
      report.asked.map(({ asked, attempts, end, taskId, verified }) => [
        taskId,
        verified ? `${end}, verified` : end,
        attempts > 1 ? `${attempts} attempts` : "",
        asked
      ])
    ),
    "",
    style.bold("What went wrong on the way"),
    ...table([
      ...report.wrong.map(({ agentId, attempt, detail, fault, millis, taskId }) => [
        taskId,
        `attempt ${attempt} on ${agentId}`,
        `after ${span(millis)}`,
        fault,
        detail
      ]),
      ...report.leftBehind.map(({ detail, pid, taskId }) => [taskId, `pid ${pid}`, "", "left behind", detail])
    ]),
    "",
    style.bold("What NofX did about it"),
    // A sentence is broken rather than cut.
    ...acted.flatMap(({ did, part }) => wrapped(part.padEnd(Math.max(...acted.map((each) => each.part.length))), did, columns)),
    ...(idle.length === 0 ? [] : [style.dim(`  had nothing to do: ${idle.map(({ part }) => part).join(", ")}`)]),
    "",
    style.bold(`What was produced, in ${printable(repository)}`),
    ...report.produced.flatMap(({ added, change, lines: diff, path, removed }) => [
      `  ${change} ${printable(path)} ${style.dim([added > 0 ? `+${added}` : "", removed > 0 ? `−${removed}` : ""].filter(Boolean).join(" "))}`,
      ...Table.lines(
        undefined,
        diff.slice(0, shownLines).map((line) => [line]),
        { columns, indent: "      " }
      ).map((line) => (line.trimStart().startsWith("+") ? style.green(line) : style.red(line))),
      ...(diff.length > shownLines ? [style.dim(`      … and ${diff.length - shownLines} more lines`)] : [])
    ]),
    "",
    style.bold("What is left"),
    ...(report.deadLetters.length === 0 ? ["  no dead letter"] : []),
    ...table(report.deadLetters.map(({ cause, id, reason, subject }) => [`dead letter ${id}`, subject, cause, reason])),
    ...(report.deadLetters.length === 0 ? [] : [`  look at them:  ${commands.list}`]),
    ...report.deadLetters.slice(0, 1).map(({ id }) => `  or at one:     ${commands.show(id)}`),
    `  processes of its agents: ${report.processes.length === 0 ? "none" : report.processes.join(", ")}`,
    "",
    ...(report.differs.length === 0
      ? [style.green("Everything ended as it must: the work that could be done is done and checked, the rest is kept.")]
      : [style.red("Not everything ended as it must:"), ...report.differs.map((each) => `  ${each}`)])
  ]
}

/** A name, and a sentence beside it that goes on below itself. */
const wrapped = (name: string, sentence: string, columns: number | undefined): ReadonlyArray<string> => {
  const width = Math.max(30, (columns ?? 100) - name.length - 4)
  const rows: Array<string> = []
  let row = ""
  for (const word of printable(sentence).split(/\s+/)) {
    if (row !== "" && row.length + 1 + word.length > width) {
      rows.push(row)
      row = ""
    }
    row = row === "" ? word : `${row} ${word}`
  }
  rows.push(row)
  return rows.map((each, index) => `  ${index === 0 ? name : " ".repeat(name.length)}  ${each}`)
}
