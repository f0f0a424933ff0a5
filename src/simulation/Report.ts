/** A report of simulations as one HTML file that needs nothing else: figures, what each pattern is worth, and time lines as drawings. */
import * as Duration from "effect/Duration"
import type { Result } from "./Result.ts"
import * as Uptime from "./Uptime.ts"
import type { Sample, Span } from "./Watcher.ts"

export interface Compared {
  readonly name: string
  readonly result: Result
}

const width = 960
const day = 86_400_000

const escapes: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" }
const text = (value: string | number): string => String(value).replace(/[&<>"]/g, (character) => escapes[character]!)

export const percent = (share: number): string => `${(share * 100).toFixed(4)} %`
export const millis = (value: number): string =>
  value === 0 ? "0" : Duration.format(Duration.millis(value < 1_000 ? value : Math.round(value / 1_000) * 1_000))
export const count = (value: number): string => value.toLocaleString("en-US")

const figure = (title: string, note: string, body: string): string =>
  `<figure><figcaption><b>${text(title)}</b> ${text(note)}</figcaption>${body}</figure>`

const svg = (height: number, title: string, body: string): string =>
  `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${text(title)}">${body}</svg>`

const xOf = (at: number, end: number): number => (at / Math.max(1, end)) * width

/** A line through these values, from the bottom up. */
const line = (
  points: ReadonlyArray<readonly [at: number, value: number]>,
  end: number,
  top: number,
  height: number,
  name: string
): string =>
  `<polyline class="${name}" points="${points.map(([at, value]) => `${xOf(at, end).toFixed(1)},${(height - (value / Math.max(1, top)) * (height - 4)).toFixed(1)}`).join(" ")}"/>`

const availabilityPlot = ({ clusters }: Result): string => {
  const measured = clusters.map((cluster) => (cluster.possible === 0 ? 1 : cluster.good / cluster.possible))
  const worst = Math.min(0.999, ...measured)
  const bar = width / Math.max(1, measured.length)
  const height = 90
  const bars = measured.map((share, index) => {
    const missing = (1 - share) / (1 - worst)
    return missing === 0
      ? ""
      : `<rect class="bad" x="${(index * bar).toFixed(1)}" y="0" width="${Math.max(1, bar - 0.3).toFixed(1)}" height="${Math.max(2, missing * height).toFixed(1)}"><title>day ${index + 1}: ${percent(share)}</title></rect>`
  })
  const perfect = measured.filter((share) => share === 1).length
  return figure(
    "Availability by day",
    `${count(perfect)} of ${count(measured.length)} days without a failure; a bar hangs down for what was missed, at most ${percent(1 - worst)}`,
    svg(height, "availability by day", `<rect class="good" width="${width}" height="${height}"/>${bars.join("")}`)
  )
}

const queuePlot = (samples: ReadonlyArray<Sample>, end: number): string => {
  const height = 110
  const top = samples.reduce((most, sample) => Math.max(most, sample.waiting, sample.running), 1)
  const series = (value: (sample: Sample) => number, name: string): string =>
    line(
      samples.map((sample) => [sample.at, value(sample)] as const),
      end,
      top,
      height,
      name
    )
  return figure(
    "Tasks that wait, and tasks that run",
    `at most ${count(top)}`,
    svg(height, "queue", series((sample) => sample.waiting, "waiting") + series((sample) => sample.running, "running"))
  )
}

const spansPlot = (spans: ReadonlyArray<Span>, end: number): string => {
  const keys = [...new Set(spans.map((span) => span.key))].sort()
  if (keys.length === 0) return ""
  const row = 18
  const bars = spans.map((span) => {
    const x = xOf(span.from, end)
    const state = span.key.startsWith("gate:") ? "gate" : span.state
    return `<rect class="${text(state)}" x="${x.toFixed(1)}" y="${keys.indexOf(span.key) * row + 2}" width="${Math.max(1, xOf(span.to, end) - x).toFixed(1)}" height="${row - 4}"><title>${text(`${span.key} ${span.state}, day ${(span.from / day).toFixed(2)}, ${millis(span.to - span.from)}`)}</title></rect>`
  })
  const names = keys.map((key, index) => `<text x="4" y="${index * row + 13}">${text(key)}</text>`)
  return figure(
    "Circuits, gates and agents that were not as usual",
    "open circuits, accounts under a limit, agents that had failed",
    svg(keys.length * row, "states", bars.join("") + names.join(""))
  )
}

const rows = (result: Result): ReadonlyArray<readonly [string, string]> => [
  ["Possible tasks that succeeded in time", `${percent(result.availability)} (95 % interval from ${percent(result.availabilityLower95)})`],
  ["without any help of a person", percent(result.unattendedAvailability)],
  ["Time in which the runtime took and gave work", percent(result.runtimeAvailability)],
  [
    "Time lost: killed / stalled / disk full / starting / intake stopped",
    Uptime.reasons.map((reason) => millis(result.unavailableMillis[reason])).join(" / ")
  ],
  ["Tasks accepted / possible / in time", `${count(result.accepted)} / ${count(result.possible)} / ${count(result.inTime)}`],
  ["Lost / run twice / wrongly ended", `${result.lost} / ${result.duplicated} / ${result.wrongEnds}`],
  ["Poison / escaped", `${count(result.poison)} / ${result.poisonEscaped}`],
  ["Broken promises", String(result.violations.length)],
  ["Attempts / beyond the first", `${count(result.operations)} / ${count(result.extraAttempts)}`],
  ["Decided by a person", count(result.helped)],
  ["Crashes of the runtime", count(result.crashes)],
  ["Time to detect a hang, mean / longest", `${millis(result.timeToDetect.meanMillis)} / ${millis(result.timeToDetect.maxMillis)}`],
  ["Time to recover a task, median / 95 %", `${millis(result.timeToRecover.p50Millis)} / ${millis(result.timeToRecover.p95Millis)}`],
  ["Age at the first attempt, median / 95 %", `${millis(result.queueAge.p50Millis)} / ${millis(result.queueAge.p95Millis)}`],
  [
    "Failures",
    Object.entries(result.failures)
      .map(([why, number]) => `${why}: ${number}`)
      .join(", ") || "none"
  ],
  ["Event log", `${count(result.events)} events, SHA-256 ${result.eventLogSha256}`]
]

/** The result as lines of a label and a value. */
export const summary = (result: Result): string => {
  const all = rows(result)
  const wide = Math.max(...all.map(([label]) => label.length))
  return all.map(([label, value]) => `${label.padEnd(wide)}  ${value}`).join("\n")
}

const columns: ReadonlyArray<readonly [string, (result: Result) => string]> = [
  ["in time", (result) => percent(result.availability)],
  ["unattended", (result) => percent(result.unattendedAvailability)],
  ["up", (result) => percent(result.runtimeAvailability)],
  ["lost", (result) => count(result.lost)],
  ["twice", (result) => count(result.duplicated)],
  ["wrong", (result) => count(result.wrongEnds + result.falseClaims)],
  ["dead", (result) => count(result.deadLettered)],
  ["helped", (result) => count(result.helped)],
  ["extra attempts", (result) => count(result.extraAttempts)],
  ["detect", (result) => (result.timeToDetect.count === 0 ? "-" : millis(result.timeToDetect.meanMillis))],
  ["recover 95 %", (result) => millis(result.timeToRecover.p95Millis)],
  ["queue 95 %", (result) => millis(result.queueAge.p95Millis)]
]

/** What each pattern is worth, as a table of text. */
export const comparison = (compared: ReadonlyArray<Compared>): string => {
  const table = [
    ["", ...columns.map(([name]) => name)],
    ...compared.map(({ name, result }) => [name, ...columns.map(([, value]) => value(result))])
  ]
  const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)))
  return table
    .map((row) => row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))).join("  "))
    .join("\n")
}

const comparisonTable = (compared: ReadonlyArray<Compared>): string =>
  compared.length < 2
    ? ""
    : `<h2>What each pattern is worth</h2><table><tr><th></th>${columns.map(([name]) => `<th>${text(name)}</th>`).join("")}</tr>${compared
        .map(
          ({ name, result }) => `<tr><th>${text(name)}</th>${columns.map(([, value]) => `<td>${text(value(result))}</td>`).join("")}</tr>`
        )
        .join("")}</table>`

const style = `body{font:14px/1.5 system-ui,sans-serif;max-width:${width}px;margin:2em auto;padding:0 1em;color:#1b1f24;background:#fff}
h1{font-size:1.4em}h2{font-size:1.1em;margin-top:2em}table{border-collapse:collapse}td,th{padding:.15em .6em;text-align:left;border-bottom:1px solid #d8dee4;font-variant-numeric:tabular-nums}
figure{margin:1.5em 0}figcaption{margin-bottom:.3em;color:#57606a}figcaption b{color:#1b1f24}svg{width:100%;background:#f6f8fa}svg text{font-size:11px;fill:#57606a}
.good{fill:#dafbe1}.bad,.open,.failed{fill:#cf222e}.half-open{fill:#bf8700}.isolated{fill:#8250df}.gate{fill:#0969da}polyline{fill:none;stroke-width:1}.waiting{stroke:#bc4c00}.running{stroke:#1a7f37}
@media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}figcaption b{color:#e6edf3}svg{background:#161b22}td,th{border-color:#30363d}.good{fill:#12261e}}`

/** The first result is the one that is drawn; the others stand in the table beside it. */
export const html = (title: string, compared: readonly [Compared, ...Array<Compared>]): string => {
  const { result } = compared[0]
  const end = result.samples.at(-1)?.at ?? result.days * day
  const table = rows(result)
    .map(([label, value]) => `<tr><th>${text(label)}</th><td>${text(value)}</td></tr>`)
    .join("")
  const broken = result.violations.map(
    (violation) => `<li>${text(`${violation.rule}, ${millis(violation.at)} in: ${violation.detail}`)}</li>`
  )
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${text(title)}</title><style>${style}</style><h1>${text(title)}</h1>
<p>${count(result.agents)} agents, ${count(result.days)} days, ${result.seeds === 1 ? `seed ${result.seed}` : `${result.seeds} seeds from ${result.seed}`}${result.without.length === 0 ? "" : `, without ${text(result.without.join(", "))}`}${result.complete ? "" : ", stopped before its end"}.</p>
<table>${table}</table>${availabilityPlot(result)}${queuePlot(result.samples, end)}${spansPlot(result.spans, end)}${comparisonTable(compared)}${
    broken.length === 0 ? "" : `<h2>Broken promises</h2><ul>${broken.join("")}</ul>`
  }</html>
`
}
