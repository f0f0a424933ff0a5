/** The live table of `nofx run`: a pure picture of a snapshot, as lines that fit the terminal. */
import { stripVTControlCharacters } from "node:util"
import type { AgentView, Snapshot, TaskView } from "../RuntimeStatus.ts"
import { clockTime, span } from "./eventText.ts"

/** Terminal styles; plain text when colours are off. */
export interface Style {
  readonly dim: (text: string) => string
  readonly bold: (text: string) => string
  readonly red: (text: string) => string
  readonly green: (text: string) => string
  readonly yellow: (text: string) => string
  readonly cyan: (text: string) => string
}

const paint = (code: string) => (text: string) => `\u001b[${code}m${text}\u001b[0m`

export const colours: Style = {
  dim: paint("2"),
  bold: paint("1"),
  red: paint("31"),
  green: paint("32"),
  yellow: paint("33"),
  cyan: paint("36")
}

const same = (text: string): string => text
export const plain: Style = { dim: same, bold: same, red: same, green: same, yellow: same, cyan: same }

/** Cuts or fills to a width, counting code points. */
const fit = (text: string, width: number): string => {
  const points = [...text.replaceAll(/\s+/g, " ")]
  if (points.length > width) return `${points.slice(0, Math.max(0, width - 1)).join("")}…`
  return points.join("") + " ".repeat(width - points.length)
}

interface Row {
  readonly agent: string
  readonly task: string
  readonly state: string
  readonly attempt: string
  readonly waiting: string
  readonly elapsed: string
}

const waitingText = (task: TaskView): string =>
  task.waiting === undefined
    ? ""
    : `${task.waiting.for}${task.waiting.notBefore === undefined ? "" : ` until ${clockTime(task.waiting.notBefore)}`}: ${task.waiting.detail}`

const agentRow = (agent: AgentView, task: TaskView | undefined, now: number): Row => ({
  agent: agent.id,
  task: task?.id ?? "",
  state: agent.state,
  attempt: task === undefined ? "" : String(task.attempts),
  waiting: agent.state === "working" || agent.state === "idle" ? "" : agent.detail,
  elapsed: agent.state === "idle" ? "" : span(now - agent.stateSince)
})

const taskRow = (task: TaskView, now: number): Row => ({
  agent: "",
  task: task.id,
  state: task.state,
  attempt: task.attempts === 0 ? "" : String(task.attempts),
  waiting: waitingText(task),
  elapsed: span(now - task.acceptedAt)
})

const colour = (style: Style, state: string): ((text: string) => string) => {
  switch (state) {
    case "working":
    case "running":
      return style.cyan
    case "failed":
    case "stalled":
    case "dead-lettered":
      return style.red
    case "waiting":
    case "parked":
    case "blocked":
    case "starting":
      return style.yellow
    case "succeeded":
      return style.green
    default:
      return style.dim
  }
}

/** Picture of a snapshot: one row an agent, then the tasks that wait, then the sums. At most `rows` lines of at most `columns` characters. */
export const render = (
  snapshot: Snapshot,
  options: { readonly now: number; readonly startedAt: number; readonly columns: number; readonly rows: number; readonly style: Style }
): ReadonlyArray<string> => {
  const { columns, now, style } = options
  const tasks = new Map(snapshot.tasks.filter((task) => task.state === "running").map((task) => [task.id, task]))
  const waiting = snapshot.tasks.filter((task) => task.state === "parked" || task.state === "blocked" || task.state === "queued")
  const agentRows = snapshot.agents.map((agent) => agentRow(agent, agent.task === undefined ? undefined : tasks.get(agent.task), now))
  const room = Math.max(1, options.rows - 4)
  const shownAgents = agentRows.slice(0, room)
  const shownTasks = waiting.slice(0, Math.max(0, Math.min(10, room - shownAgents.length - 1)))
  const rows = [...shownAgents, ...shownTasks.map((task) => taskRow(task, now))]
  const widest = (title: string, most: number, pick: (row: Row) => string): number =>
    Math.min(most, Math.max(title.length, ...rows.map((row) => [...pick(row)].length)))
  const widths = {
    agent: widest("AGENT", 18, (row) => row.agent),
    task: widest("TASK", 24, (row) => row.task),
    state: widest("STATE", 10, (row) => row.state),
    attempt: 3,
    elapsed: widest("ELAPSED", 10, (row) => row.elapsed)
  }
  const rest = Math.max(0, columns - widths.agent - widths.task - widths.state - widths.attempt - widths.elapsed - 5 * gap.length)
  const line = (row: Row, state: (text: string) => string): string => {
    const cells = [
      [row.agent, widths.agent, same],
      [row.task, widths.task, same],
      [row.state, widths.state, state],
      [row.attempt, widths.attempt, same],
      [row.elapsed, widths.elapsed, same],
      [row.waiting.trimEnd(), rest, same]
    ] as const
    let left = columns
    const shown: Array<string> = []
    for (const [text, width, paint] of cells) {
      if (left <= 0) break
      shown.push(paint(fit(text, Math.min(width, left))))
      left -= width + gap.length
    }
    return shown.join(gap).trimEnd()
  }
  const counts = snapshot.status.tasks
  const hidden = agentRows.length - shownAgents.length + waiting.length - shownTasks.length
  const sums = [
    style.green(`${counts.succeeded} succeeded`),
    counts["dead-lettered"] > 0 ? style.red(`${counts["dead-lettered"]} dead-lettered`) : undefined,
    counts.cancelled > 0 ? `${counts.cancelled} cancelled` : undefined,
    `${counts.running} running`,
    `${counts.queued + counts.parked + counts.blocked} waiting`,
    span(now - options.startedAt)
  ].filter((sum) => sum !== undefined)
  // What does not fit goes, the last first.
  while (sums.length > 1 && width(sums.join(dot)) > columns) sums.pop()
  const lines = [
    style.bold(line({ agent: "AGENT", task: "TASK", state: "STATE", attempt: "TRY", elapsed: "ELAPSED", waiting: "WAITING FOR" }, same)),
    ...rows.map((row) => line(row, colour(style, row.state))),
    ...(hidden > 0 ? [style.dim(fit(`… and ${hidden} more`, Math.min(columns, 30)).trimEnd())] : []),
    sums.join(style.dim(dot))
  ]
  return lines.slice(-Math.max(1, options.rows - 1))
}

/** Takes lines off a terminal that has `columns` by now: in a narrower one each of them takes more rows than when it was drawn. */
export const erase = (lines: ReadonlyArray<string>, columns: number): string => {
  const rows = lines.reduce((sum, line) => sum + Math.max(1, Math.ceil(width(line) / columns)), 0)
  // First to the line's beginning: the terminal itself writes ^C where the cursor is.
  return rows === 0 ? "" : `\r\u001b[${rows}A\u001b[0J`
}

const gap = "  "
const dot = " · "

/** What a line takes on the terminal, in columns. */
const width = (line: string): number => [...stripVTControlCharacters(line)].length
