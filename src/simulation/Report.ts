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
/** Left of the drawings stand the names of their rows. */
const gutter = 130
const day = 86_400_000

const escapes: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" }
const text = (value: string | number): string => String(value).replace(/[&<>"]/g, (character) => escapes[character]!)

export const percent = (share: number): string => `${(share * 100).toFixed(4)} %`
export const millis = (value: number): string =>
  value === 0 ? "0" : Duration.format(Duration.millis(value < 1_000 ? value : Math.round(value / 1_000) * 1_000))
export const count = (value: number): string => value.toLocaleString("en-US")

/** `note` is HTML. */
const figure = (title: string, note: string, body: string): string =>
  `<figure><figcaption><b>${text(title)}</b> ${note}</figcaption>${body}</figure>`

const svg = (height: number, title: string, body: string): string =>
  `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${text(title)}">${body}</svg>`

const xOf = (at: number, end: number): number => gutter + (at / Math.max(1, end)) * (width - gutter)

/** Days below a drawing: as many as can be read. */
const axis = (end: number, top: number): string => {
  const days = end / day
  const step = [0.25, 0.5, 1, 2, 5, 10, 30, 60, 90, 365, 3_650].find((each) => days / each <= 14) ?? 36_500
  const marks: Array<string> = []
  for (let at = 0; at <= days; at += step) {
    const x = xOf(at * day, end).toFixed(1)
    marks.push(
      `<path d="M${x} 0V${top}"/><text x="${x}" y="${top + 12}" text-anchor="${at === 0 ? "start" : "middle"}">${at === 0 ? "day 0" : at}</text>`
    )
  }
  return `<g class="axis">${marks.join("")}</g>`
}

const legend = (entries: ReadonlyArray<readonly [name: string, what: string]>): string =>
  entries.map(([name, what]) => `<i class="${name}"></i>${text(what)}`).join(" ")

/** A line through these values, from the bottom up. */
const line = (
  points: ReadonlyArray<readonly [at: number, value: number]>,
  end: number,
  top: number,
  height: number,
  name: string
): string =>
  `<polyline class="${name}" points="${points.map(([at, value]) => `${xOf(at, end).toFixed(1)},${(height - (value / Math.max(1, top)) * (height - 4)).toFixed(1)}`).join(" ")}"/>`

/** `end`: of the time line; of several seeds the days stand one behind the other. */
const availabilityPlot = ({ clusters, seeds }: Result, end: number): string => {
  const measured = clusters.map((cluster) => (cluster.possible === 0 ? 1 : cluster.good / cluster.possible))
  const worst = Math.min(0.999, ...measured)
  const last = seeds === 1 ? end : measured.length * day
  const bar = xOf(day, last) - gutter
  const height = 90
  const bars = measured.map((share, index) => {
    const missing = (1 - share) / (1 - worst)
    return missing === 0
      ? ""
      : `<rect class="bad" x="${xOf(index * day, last).toFixed(1)}" y="0" width="${Math.max(1, bar - 0.3).toFixed(1)}" height="${Math.max(2, missing * height).toFixed(1)}"><title>day ${index + 1}: ${percent(share)}</title></rect>`
  })
  const perfect = measured.filter((share) => share === 1).length
  return figure(
    "Availability by day",
    `${count(perfect)} of ${count(measured.length)} days without a failure; a bar hangs down for what was missed`,
    svg(
      height + 16,
      "availability by day",
      `<rect class="good" x="${gutter}" width="${width - gutter}" height="${height}"/>${axis(last, height)}${bars.join("")}<text x="4" y="12">100 %</text><text x="4" y="${height - 4}">${percent(worst)}</text>`
    )
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
    legend([
      ["waiting", "wait"],
      ["running", "run"]
    ]),
    svg(
      height + 16,
      "queue",
      `${axis(end, height)}<text x="4" y="12">${count(top)}</text><text x="4" y="${height - 2}">0</text>${series((sample) => sample.waiting, "waiting")}${series((sample) => sample.running, "running")}`
    )
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
    legend([
      ["open", "circuit open, or agent failed"],
      ["half-open", "circuit half-open"],
      ["isolated", "isolated"],
      ["gate", "account under its limit"]
    ]),
    svg(keys.length * row + 16, "states", axis(end, keys.length * row) + bars.join("") + names.join(""))
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

interface Column {
  readonly name: string
  readonly value: (result: Result) => number
  readonly show: (value: number) => string
  readonly better: "more" | "less"
}

const columns: ReadonlyArray<Column> = [
  { name: "in time", value: (result) => result.availability, show: percent, better: "more" },
  { name: "unattended", value: (result) => result.unattendedAvailability, show: percent, better: "more" },
  { name: "up", value: (result) => result.runtimeAvailability, show: percent, better: "more" },
  { name: "lost", value: (result) => result.lost, show: count, better: "less" },
  { name: "twice", value: (result) => result.duplicated, show: count, better: "less" },
  { name: "wrong", value: (result) => result.wrongEnds + result.falseClaims, show: count, better: "less" },
  { name: "dead", value: (result) => result.deadLettered, show: count, better: "less" },
  { name: "helped", value: (result) => result.helped, show: count, better: "less" },
  { name: "extra attempts", value: (result) => result.extraAttempts, show: count, better: "less" },
  { name: "detect", value: (result) => result.timeToDetect.meanMillis, show: millis, better: "less" },
  { name: "recover 95 %", value: (result) => result.timeToRecover.p95Millis, show: millis, better: "less" },
  { name: "queue 95 %", value: (result) => result.queueAge.p95Millis, show: millis, better: "less" }
]

/** What is worse in each of the others than in the first; it says so, too, where nothing is. */
const verdicts = ([first, ...others]: ReadonlyArray<Compared>): ReadonlyArray<string> =>
  others.map(({ name, result }) => {
    const worse = columns.filter(({ better, value }) =>
      better === "more" ? value(result) < value(first!.result) : value(result) > value(first!.result)
    )
    return `${name}: ${worse.length === 0 ? "nothing that is measured here is worse" : `worse in ${worse.map((column) => column.name).join(", ")}`}`
  })

/** What each pattern is worth, as text: a table, and a line for each. */
export const comparison = (compared: ReadonlyArray<Compared>): string => {
  const table = [
    ["", ...columns.map(({ name }) => name)],
    ...compared.map(({ name, result }) => [name, ...columns.map(({ show, value }) => show(value(result)))])
  ]
  const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)))
  const lines = table.map((row) =>
    row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))).join("  ")
  )
  return [...lines, "", ...verdicts(compared)].join("\n")
}

const comparisonTable = (compared: ReadonlyArray<Compared>): string => {
  if (compared.length < 2) return ""
  const head = columns.map(({ name }) => `<th>${text(name)}</th>`).join("")
  const body = compared.map(({ name, result }) => {
    const cells = columns.map(({ show, value }) => `<td>${text(show(value(result)))}</td>`).join("")
    return `<tr><th>${text(name)}</th>${cells}</tr>`
  })
  const lines = verdicts(compared).map((line) => `<li>${text(line)}</li>`)
  return `<h2>What each pattern is worth</h2><div class="wide"><table><tr><th></th>${head}</tr>${body.join("")}</table></div><ul>${lines.join("")}</ul>`
}

const style = `body{font:14px/1.5 system-ui,sans-serif;max-width:${width}px;margin:2em auto;padding:0 1em;color:#1b1f24;background:#fff}
h1{font-size:1.4em}h2{font-size:1.1em;margin-top:2em}table{border-collapse:collapse}td,th{padding:.15em .6em;text-align:left;border-bottom:1px solid #d8dee4;font-variant-numeric:tabular-nums;font-weight:normal}th{white-space:nowrap}td{overflow-wrap:anywhere}
.wide{overflow-x:auto}.wide td{text-align:right;white-space:nowrap}.sums{display:flex;gap:1em;flex-wrap:wrap;padding:0;list-style:none}.sums li{flex:1;border:1px solid #d8dee4;border-radius:6px;padding:.5em 1em;color:#57606a}.sums b{display:block;font-size:1.5em;color:#1b1f24;font-variant-numeric:tabular-nums}
figure{margin:1.5em 0}figcaption{margin-bottom:.3em;color:#57606a}figcaption b{color:#1b1f24}figcaption i{display:inline-block;width:.9em;height:.6em;margin:0 .3em 0 .8em}svg{width:100%;background:#f6f8fa}svg text{font-size:11px;fill:#57606a}.axis path{stroke:#d8dee4}
.good{fill:#dafbe1}.bad,.open,.failed{fill:#cf222e;background:#cf222e}.half-open{fill:#bf8700;background:#bf8700}.isolated{fill:#8250df;background:#8250df}.gate{fill:#0969da;background:#0969da}polyline.waiting,polyline.running{fill:none;stroke-width:1.2}.waiting{stroke:#bc4c00;background:#bc4c00}.running{stroke:#1a7f37;background:#1a7f37}
@media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}figcaption b,.sums b{color:#e6edf3}figcaption,.sums li,svg text{color:#9198a1;fill:#9198a1}svg{background:#161b22}td,th,.sums li{border-color:#30363d}.axis path{stroke:#30363d}.good{fill:#12261e}}`

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
<ul class="sums"><li><b>${percent(result.availability)}</b>of the possible tasks succeeded in time</li><li><b>${percent(result.runtimeAvailability)}</b>of the time the runtime took and gave work</li><li><b>${count(result.violations.length)}</b>promises broken in ${count(result.operations)} attempts</li></ul>
<table>${table}</table>${availabilityPlot(result, end)}${queuePlot(result.samples, end)}${spansPlot(result.spans, end)}${comparisonTable(compared)}${
    broken.length === 0 ? "" : `<h2>Broken promises</h2><ul>${broken.join("")}</ul>`
  }</html>
`
}
