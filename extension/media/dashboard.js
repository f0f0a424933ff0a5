/** Draws the messages of the extension. Keeps nothing: what is shown is always the last message, whole. */
;(() => {
  const editor = acquireVsCodeApi()
  const main = document.getElementById("main")
  const texts = JSON.parse(main.dataset.texts)
  const t = (key, ...values) => (texts[key] ?? key).replace(/\{(\d)\}/g, (_, index) => values[index] ?? "")
  const svgSpace = "http://www.w3.org/2000/svg"

  /** An element with attributes and children; text is always text. */
  const element = (tag, attributes = {}, ...children) => {
    const made = tag === "svg" || tag === "rect" || tag === "line" ? document.createElementNS(svgSpace, tag) : document.createElement(tag)
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "on") made.addEventListener("click", value)
      else if (name === "style") Object.assign(made.style, value)
      else if (value !== undefined) made.setAttribute(name, value)
    }
    made.append(...children.filter((child) => child !== undefined))
    return made
  }
  const run = (command, agentId) => () => editor.postMessage({ command, agentId })
  const section = (title, ...content) => element("section", { "aria-label": title }, element("h2", {}, title), ...content)
  const muted = (text) => element("p", { class: "muted" }, text)

  const card = (label, value, command) =>
    element(
      "button",
      { class: "card", on: run(command), "aria-label": `${label}: ${value}`, "data-key": `card:${label}` },
      element("b", {}, String(value)),
      label
    )

  const gauge = (label, value, of, text) =>
    element(
      "div",
      {
        class: "gauge",
        role: "meter",
        "aria-label": label,
        "aria-valuenow": value,
        "aria-valuemin": 0,
        "aria-valuemax": of,
        "aria-valuetext": text
      },
      element("div", {}, element("span", {}, label), element("span", { class: "muted" }, text)),
      element(
        "div",
        { class: "bar" },
        element("i", {
          class: value / Math.max(1, of) > 0.8 ? "high" : "",
          style: { width: `${Math.min(100, (100 * value) / Math.max(1, of))}%` }
        })
      )
    )

  const clock = (at) => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })

  /** What stands below a chart. */
  const scale = (left, middle, right) =>
    element("div", { class: "scale muted" }, element("span", {}, left), element("span", {}, middle), element("span", {}, right))

  /** Two stacked series of bars. */
  const bars = (good, bad, label, from, to) => {
    const width = 300
    const height = 84
    const top = Math.max(1, ...good.map((count, index) => count + bad[index]))
    const step = width / good.length
    const shapes = good.flatMap((count, index) => {
      const goodHeight = (count / top) * (height - 4)
      const badHeight = (bad[index] / top) * (height - 4)
      const at = { x: index * step + 1, width: step - 2, rx: 1 }
      const parts = []
      if (count > 0) parts.push(element("rect", { ...at, class: "good", y: height - goodHeight, height: goodHeight }))
      if (bad[index] > 0) parts.push(element("rect", { ...at, class: "bad", y: height - goodHeight - badHeight, height: badHeight }))
      return parts
    })
    const totals = t(
      "bar",
      good.reduce((a, b) => a + b, 0),
      bad.reduce((a, b) => a + b, 0)
    )
    const drawn = element(
      "svg",
      { viewBox: `0 0 ${width} ${height + 1}`, preserveAspectRatio: "none", role: "img", "aria-label": `${label}: ${totals}` },
      element("line", { class: "axis", x1: 0, x2: width, y1: height + 0.5, y2: height + 0.5 }),
      ...shapes
    )
    return [drawn, scale(from, totals, to)]
  }

  /** One column an hour: the share of tasks that ended well. */
  const availability = (columns) => {
    const width = 300
    const height = 84
    const step = width / columns.length
    const sum = columns.reduce(([good, all], column) => [good + column.good, all + column.good + column.bad], [0, 0])
    const drawn = element(
      "svg",
      {
        viewBox: `0 0 ${width} ${height + 1}`,
        preserveAspectRatio: "none",
        role: "img",
        "aria-label": `${t("availability")}: ${sum[0]} / ${sum[1]}`
      },
      element("line", { class: "axis", x1: 0, x2: width, y1: height + 0.5, y2: height + 0.5 }),
      ...columns.flatMap(({ bad, good }, index) => {
        const all = good + bad
        const place = { x: index * step + 2, width: step - 4, rx: 1 }
        if (all === 0) return [element("rect", { ...place, class: "none", y: height - 2, height: 2 })]
        const share = (good / all) * (height - 4)
        return [
          ...(bad > 0 ? [element("rect", { ...place, class: "bad", y: 4, height: height - 4 - share })] : []),
          ...(good > 0 ? [element("rect", { ...place, class: "good", y: height - share, height: share })] : [])
        ]
      })
    )
    return [drawn, scale(`−${columns.length} h`, sum[1] === 0 ? "" : `${((100 * sum[0]) / sum[1]).toFixed(1)} %`, clock(Date.now()))]
  }

  const fleet = (status) => {
    if (status.agents === 0) return section(t("fleet"), muted(t("noAgents")))
    const length = status.now - status.from
    const lanes = status.fleet.map(({ id, spans, state, task }) =>
      element(
        "div",
        { class: "lane", role: "img", "aria-label": `${id}: ${state} ${task}`, title: `${id}: ${state} ${task}` },
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
    )
    const legend = ["working", "waiting", "stalled", "failed", "idle"].map((state) =>
      element("span", { class: "muted" }, element("i", { class: state }), state)
    )
    const made = section(
      t("fleet"),
      ...lanes,
      ...(status.more > 0 ? [muted(t("more", status.more))] : []),
      element("div", { class: "legend" }, ...legend)
    )
    made.classList.add("wide")
    return made
  }

  const circuits = ({ breakers }) => {
    if (breakers.length === 0) return section(t("circuits"), muted(t("noCircuits")))
    const open = breakers.filter(({ state }) => state !== "closed")
    const closed = muted(t("allClosed", breakers.length - open.length))
    if (open.length === 0) return section(t("circuits"), closed)
    const chips = open.map(({ cause, key, retryAt, state }) => {
      const agent = key.startsWith("agent:") ? key.slice(6) : undefined
      const words = `${key.replace(":", " ")} · ${state}${retryAt === undefined ? "" : ` · ${t("until", clock(retryAt))}`}`
      const label = agent === undefined ? words : `${words}. ${t("reset", agent)}`
      return element(
        "button",
        {
          class: state === "half-open" ? "half" : "",
          title: `${cause ?? ""}\n${label}`,
          "aria-label": label,
          "data-key": `breaker:${key}`,
          on: agent === undefined ? run("nofx.health.focus") : run("nofx.resetBreaker", agent)
        },
        words
      )
    })
    return section(t("circuits"), element("div", { class: "strip" }, ...chips), closed)
  }

  const limits = ({ bulkhead, gates, letters }) =>
    section(
      t("gates"),
      gauge(t("permits"), bulkhead.running, bulkhead.permits, `${bulkhead.running} / ${bulkhead.permits}`),
      gauge(t("letters"), letters.size, letters.capacity, `${letters.size} / ${letters.capacity}`),
      ...gates.map((gate) =>
        gauge(
          gate.account,
          gate.state === "open" ? 0 : 1,
          1,
          gate.state === "open" ? t("open") : gate.until === undefined ? gate.state : t("until", clock(gate.until))
        )
      )
    )

  const faults = ({ retry }) => {
    const entries = Object.entries(retry.faults).sort(([, a], [, b]) => b - a)
    if (entries.length === 0) return section(t("faults"), muted(t("noFaults")))
    return section(
      t("faults"),
      element("table", {}, ...entries.map(([name, count]) => element("tr", {}, element("td", {}, name), element("td", {}, String(count)))))
    )
  }

  const draw = (status) => {
    if (status._tag === "Nothing") {
      const text = status.link === "failed" ? status.problem : status.link === "connecting" ? t("reconnecting") : t("nothing")
      return [element("header", {}, element("h1", {}, "NofX")), element("p", {}, text)]
    }
    const { health, letters, phase, retry, tasks } = status
    const waiting = tasks.queued + tasks.parked + tasks.blocked
    return [
      element(
        "header",
        {},
        element("h1", {}, "NofX"),
        element(
          "span",
          { class: "health", role: "status" },
          status.link === "connected" ? `${t("health")}: ${[health.status, ...health.reasons].join(", ")}` : t("reconnecting")
        ),
        element("span", { class: "muted" }, phase)
      ),
      element(
        "div",
        { class: "cards" },
        card(t("agents"), status.agents, "nofx.agents.focus"),
        card(t("running"), tasks.running, "nofx.tasks.focus"),
        card(t("waiting"), waiting, "nofx.tasks.focus"),
        card(t("done"), tasks.succeeded, "nofx.tasks.focus"),
        card(t("letters"), letters.size, "nofx.deadLetters.focus"),
        card(t("retries"), retry.retries, "nofx.health.focus"),
        card(t("asked"), status.asked, "nofx.agents.focus")
      ),
      element(
        "div",
        { class: "grid" },
        fleet(status),
        section(
          t("throughput"),
          bars(status.throughput.succeeded, status.throughput.failed, t("throughput"), clock(status.from), clock(status.now))
        ),
        section(t("availability"), ...availability(status.availability)),
        circuits(status),
        limits(status),
        faults(status)
      )
    ]
  }

  window.addEventListener("message", ({ data }) => {
    // What has the focus keeps it, though everything is drawn anew.
    const focused = document.activeElement?.getAttribute("data-key")
    main.replaceChildren(...draw(data))
    if (focused) for (const each of main.querySelectorAll("[data-key]")) if (each.getAttribute("data-key") === focused) each.focus()
  })
  editor.setState({})
  editor.postMessage({ command: "ready" })
})()
