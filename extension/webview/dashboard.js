/** Draws the messages of the extension. Keeps nothing: what is shown is always the last message, whole. */
import "uplot/dist/uPlot.min.css"
import "./dashboard.css"
import { clock, makeBars } from "./charts.js"

const editor = acquireVsCodeApi()
const main = document.getElementById("main")
const texts = JSON.parse(main.dataset.texts)
const t = (key, ...values) => (texts[key] ?? key).replace(/\{(\d)\}/g, (_, index) => values[index] ?? "")

/** An element with attributes and children; text is always text. */
const element = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") made.addEventListener("click", value)
    else if (name === "style") Object.assign(made.style, value)
    else if (value !== undefined) made.setAttribute(name, value)
  }
  made.append(...children.filter((child) => child !== undefined))
  return made
}
const run = (command, agentId) => () => editor.postMessage({ command, agentId })
const section = (size, title, ...content) => element("section", { class: size, "aria-label": title }, element("h2", {}, title), ...content)
const muted = (text) => element("p", { class: "muted" }, text)

const card = (label, value, command, level = "") =>
  element(
    "button",
    { class: `card ${level}`, on: run(command), "aria-label": `${label}: ${value}`, "data-key": `card:${label}` },
    element("b", {}, String(value)),
    label
  )

const gauge = (label, share, text, level = share > 0.8 ? "high" : "") =>
  element(
    "div",
    {
      class: "gauge",
      role: "meter",
      "aria-label": label,
      "aria-valuenow": Math.round(share * 100),
      "aria-valuemin": 0,
      "aria-valuemax": 100,
      "aria-valuetext": text
    },
    element("div", {}, element("span", {}, label), element("span", { class: "muted" }, text)),
    element("div", { class: "bar" }, element("i", { class: level, style: { width: `${Math.min(100, 100 * share)}%` } }))
  )

const sums = (columns) => columns.reduce(([good, bad], column) => [good + column.good, bad + column.bad], [0, 0])

const throughput = makeBars({
  caption: (columns, index) => {
    const column = columns[index]
    if (column === undefined) return t("bar", ...sums(columns))
    return `${clock(column.from)} – ${clock(column.from + column.millis)}: ${t("bar", column.good, column.bad)}`
  }
})
const availability = makeBars({
  percent: true,
  caption: (columns, index) => {
    const column = columns[index]
    const [good, bad] = sums(column === undefined ? columns : [column])
    const share = good + bad === 0 ? t("noEnds") : t("share", ((100 * good) / (good + bad)).toFixed(1), good, good + bad)
    return column === undefined ? share : `${clock(column.from)} – ${clock(column.from + column.millis)}: ${share}`
  }
})

const fleet = (status) => {
  if (status.agents === 0) return section("wide", t("fleet"), muted(t("noAgents")))
  const length = status.now - status.from
  const lanes = status.fleet.map(({ id, spans, state, task }) => {
    const words = [id, t(state), task].filter((part) => part !== "").join(", ")
    return element(
      "div",
      { class: "lane", role: "img", "aria-label": words, title: words },
      element("span", {}, id),
      element(
        "div",
        { class: "track" },
        ...spans.map((span) => {
          const left = Math.max(0, (100 * (span.from - status.from)) / length)
          return element("i", {
            class: span.state,
            style: { left: `${left}%`, width: `${Math.max(0.3, (100 * (span.to - status.from)) / length - left)}%` }
          })
        })
      )
    )
  })
  const legend = ["working", "waiting", "stalled", "failed", "idle"].map((state) =>
    element("span", { class: "muted" }, element("i", { class: state }), t(state))
  )
  return section(
    "wide",
    t("fleet"),
    element("div", { class: "lanes", tabindex: 0, role: "group", "aria-label": t("fleet"), "data-key": "lanes" }, ...lanes),
    element(
      "div",
      { class: "scale muted" },
      element("span", {}, clock(status.from)),
      element("span", {}, status.more > 0 ? t("more", status.more) : ""),
      element("span", {}, clock(status.now))
    ),
    element("div", { class: "legend" }, ...legend)
  )
}

const circuits = ({ breakers, closedBreakers }) => {
  if (breakers.length + closedBreakers === 0) return section("third", t("circuits"), muted(t("noCircuits")))
  const closed = muted(t("allClosed", closedBreakers))
  if (breakers.length === 0) return section("third", t("circuits"), closed)
  const chips = breakers.map(({ cause, key, retryAt, state }) => {
    const agent = key.startsWith("agent:") ? key.slice(6) : undefined
    const words = `${key.replace(":", " ")} · ${t(state)}${retryAt === undefined ? "" : ` · ${t("until", clock(retryAt))}`}`
    const label = agent === undefined ? words : `${words}. ${t("reset", agent)}`
    return element(
      "button",
      {
        class: state === "half-open" ? "probing" : "",
        title: `${cause ?? ""}\n${label}`,
        "aria-label": label,
        "data-key": `breaker:${key}`,
        on: agent === undefined ? run("nofx.health.focus") : run("nofx.resetBreaker", agent)
      },
      words
    )
  })
  return section("third", t("circuits"), element("div", { class: "strip" }, ...chips), closed)
}

/** An account that rests: how much of its rest is left is not known, so the bar is full until it works again. */
const gate = ({ account, state, until }) =>
  state === "open"
    ? gauge(account, 0, t("open"))
    : gauge(account, 1, until === undefined ? t(state) : t("until", clock(until)), state === "closed" ? "high" : "probing")

const limits = ({ bulkhead, gates, letters, limiter }) =>
  section(
    "third",
    t("gates"),
    gauge(t("permits"), bulkhead.running / Math.max(1, bulkhead.permits), `${bulkhead.running} / ${bulkhead.permits}`, ""),
    gauge(t("letters"), letters.size / Math.max(1, letters.capacity), `${letters.size} / ${letters.capacity}`),
    ...gates.map(gate),
    muted(t("limited", limiter.admitted, limiter.refused))
  )

const table = (entries) =>
  element("table", {}, ...entries.map(([name, count]) => element("tr", {}, element("td", {}, name), element("td", {}, String(count)))))

const failures = ({ faults, letters }) =>
  section(
    "third",
    t("faults"),
    faults.length === 0 ? muted(t("noFaults")) : table(faults),
    ...(letters.byCause.length === 0 ? [] : [element("h3", {}, t("letters")), table(letters.byCause)])
  )

const draw = (status) => {
  if (status._tag === "Nothing") {
    const text =
      status.link === "failed"
        ? status.problem
        : status.link === "connecting"
          ? t("reconnecting")
          : status.link === "stopped"
            ? t("shutDown")
            : t("nothing")
    const start = status.link === "failed" || status.link === "stopped" ? t("start") : undefined
    return [
      element("header", {}, element("h1", {}, "NofX")),
      element("p", {}, text),
      start === undefined ? undefined : element("button", { class: "start", on: run("nofx.connect"), "data-key": "start" }, start)
    ].filter((part) => part !== undefined)
  }
  const { asked, health, letters, phase, retries, tasks } = status
  const waiting = tasks.queued + tasks.parked + tasks.blocked
  throughput.show(status.throughput, t("throughput"))
  availability.show(status.availability, t("availability"))
  return [
    element(
      "header",
      {},
      element("h1", {}, "NofX"),
      element(
        "span",
        { class: `health ${status.link === "connected" ? health.status : "degraded"}`, role: "status" },
        status.link === "connected" ? `${t("health")}: ${health.text}` : t("reconnecting")
      ),
      phase === "running" ? undefined : element("span", { class: "phase" }, t(phase))
    ),
    element(
      "div",
      { class: "cards" },
      card(t("agents"), status.agents, "nofx.agents.focus"),
      card(t("runs"), tasks.running, "nofx.tasks.focus"),
      card(t("waits"), waiting, "nofx.tasks.focus"),
      card(t("done"), status.done, "nofx.tasks.focus"),
      card(t("letters"), letters.size, "nofx.deadLetters.focus", letters.size > 0 ? "warning" : ""),
      card(t("retries"), retries, "nofx.health.focus"),
      card(t("asked"), asked, "nofx.agents.focus", asked > 0 ? "warning" : "")
    ),
    element(
      "div",
      { class: "grid" },
      section("half", t("throughput"), ...throughput.elements),
      section("half", t("availability"), ...availability.elements),
      fleet(status),
      circuits(status),
      limits(status),
      failures(status)
    )
  ]
}

window.addEventListener("message", ({ data }) => {
  // What has the focus keeps it, and what is scrolled stays so, though everything is drawn anew.
  const focused = document.activeElement?.getAttribute("data-key")
  const scrolled = document.querySelector(".lanes")?.scrollTop ?? 0
  main.replaceChildren(...draw(data))
  if (focused) for (const each of main.querySelectorAll("[data-key]")) if (each.getAttribute("data-key") === focused) each.focus()
  const lanes = document.querySelector(".lanes")
  if (lanes !== null) lanes.scrollTop = scrolled
})
editor.setState({})
editor.postMessage({ command: "ready" })
