/** Bars over time, drawn by uPlot in the colours of the theme. Each chart is made once and given new numbers. */
import uPlot from "uplot"

const height = 130

/** A colour of the theme as it is now: a canvas knows no variables. */
const themed = (name, fallback) => () => getComputedStyle(document.body).getPropertyValue(name).trim() || fallback
const good = themed("--vscode-charts-green", "#388a34")
const bad = themed("--vscode-charts-red", "#e51400")
const words = themed("--vscode-descriptionForeground", "#777777")
const grid = themed("--vscode-panel-border", "#80808040")

export const clock = (at) => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })

/**
 * Two series of bars on one axis of time: what ended well, and on top of it what did not.
 *
 * `percent`: each bar is a whole, and shows shares of it. `caption`: what stands below; `undefined` for all bars, else for the one that is
 * pointed at.
 */
export const makeBars = ({ percent = false, caption }) => {
  const canvas = document.createElement("div")
  canvas.className = "chart"
  canvas.setAttribute("role", "img")
  const below = document.createElement("p")
  below.className = "muted caption"
  let columns = []
  const bars = uPlot.paths.bars({ size: [0.8, 40], gap: 1 })
  const series = (color) => ({ stroke: color, fill: color, width: 0, paths: bars, points: { show: false } })
  const axis = { stroke: words, font: `11px ${getComputedStyle(document.body).fontFamily}`, ticks: { show: false } }
  const say = (index) => {
    below.textContent = caption(columns, index)
  }
  const chart = new uPlot(
    {
      width: 300,
      height,
      padding: [8, 36, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: {
        x: {
          range: (_, least, most) => [least - (columns.length > 0 ? columns[0].millis / 2000 : 0), most + (columns[0]?.millis ?? 0) / 2000]
        },
        y: { range: percent ? [0, 100] : (_, _least, most) => [0, Math.max(1, most ?? 1)] }
      },
      // The taller bar first: the other one is drawn over it.
      series: [{}, series(bad), series(good)],
      axes: [
        { ...axis, grid: { show: false }, size: 24, space: 76, values: (_, marks) => marks.map((mark) => clock(mark * 1000)) },
        {
          ...axis,
          grid: { stroke: grid, width: 1 },
          size: 44,
          incrs: percent ? [25, 50, 100] : [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000],
          values: (_, marks) => marks.map((mark) => (percent ? `${mark} %` : String(mark)))
        }
      ],
      hooks: { setCursor: [(plot) => say(plot.cursor.idx ?? undefined)] }
    },
    [[], [], []],
    canvas
  )
  new ResizeObserver(([entry]) => chart.setSize({ width: Math.max(120, Math.floor(entry.contentRect.width)), height })).observe(canvas)
  // The theme stands in the class of the body.
  new MutationObserver(() => chart.redraw()).observe(document.body, { attributes: true, attributeFilter: ["class", "style"] })

  return {
    elements: [canvas, below],
    /** `columns`: `{ from, millis, good, bad }` each, oldest first. */
    show: (next, label) => {
      columns = next
      const all = next.map((column) => column.good + column.bad)
      const tall = percent ? all.map((count) => (count === 0 ? null : 100)) : all
      const low = next.map((column, index) => (percent ? (all[index] === 0 ? null : (100 * column.good) / all[index]) : column.good))
      chart.setData([next.map((column) => (column.from + column.millis / 2) / 1000), tall, low])
      say(chart.cursor.idx ?? undefined)
      canvas.setAttribute("aria-label", `${label}: ${caption(next, undefined)}`)
    }
  }
}
