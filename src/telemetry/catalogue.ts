/** Every metric: its OpenTelemetry name, kind, unit and meaning. `METRICS.md` beside this file is written from it. */

/** Counters only grow, from the start of the process. */
export type Kind = "counter" | "gauge" | "histogram"

export interface Definition {
  readonly kind: Kind
  /** As UCUM writes it; what is counted stands in braces. */
  readonly unit: string
  readonly description: string
  /** What series are told apart by. All have few values: nothing here grows with tasks or agents. */
  readonly attributes: ReadonlyArray<string>
}

const define = (kind: Kind, unit: string, description: string, ...attributes: ReadonlyArray<string>): Definition => ({
  kind,
  unit,
  description,
  attributes
})

export const catalogue = {
  "nofx.task.accepted": define("counter", "{task}", "Tasks accepted."),
  "nofx.task.ended": define(
    "counter",
    "{task}",
    "Runs of tasks that ended; outcome: succeeded, dead-lettered, cancelled.",
    "nofx.task.outcome"
  ),
  "nofx.task.verified": define("counter", "{task}", "Tasks that succeeded and whose own check confirmed it."),
  "nofx.task.parked": define("counter", "{task}", "Waits that were written down, by what is waited for.", "nofx.waiting.for"),
  "nofx.tasks": define("gauge", "{task}", "Tasks that have not ended.", "nofx.task.state"),
  "nofx.attempt.started": define("counter", "{attempt}", "Attempts whose prompt may have been delivered."),
  "nofx.attempt.retries": define("counter", "{attempt}", "Those that were not the first of their run."),
  "nofx.attempt.late_outcomes": define("counter", "{attempt}", "Outcomes that came after their attempt had been decided otherwise."),
  "gen_ai.client.operation.duration": define(
    "histogram",
    "s",
    "Time of attempts, from their admission to their end; provider: the account.",
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "error.type"
  ),
  "nofx.attempt.tokens": define("counter", "{token}", "Model tokens of ended attempts, as far as agents reported them."),
  "nofx.attempt.faults": define("counter", "{attempt}", "Attempts that ended with a fault, by its class.", "error.type"),
  "nofx.agents": define("gauge", "{agent}", "Agents, by their state.", "nofx.agent.state"),
  "nofx.agent.spawned": define("counter", "{agent}", "Agents started."),
  "nofx.agent.spawn_failed": define("counter", "{agent}", "Agents that could not be started.", "error.type"),
  "nofx.agent.exited": define("counter", "{agent}", "Agents whose process ended although nobody of ours asked for it.", "error.type"),
  "nofx.agent.restarted": define("counter", "{agent}", "Agents started again."),
  "nofx.circuit.transitions": define("counter", "{transition}", "Changes of circuits, by the new state.", "nofx.circuit.state"),
  "nofx.circuits": define("gauge", "{circuit}", "Circuits, by their state.", "nofx.circuit.state"),
  "nofx.gate.closings": define("counter", "{closing}", "Accounts that hit their provider's limit."),
  "nofx.gates": define("gauge", "{gate}", "Accounts that are not plainly open, by state: closed, ramp.", "nofx.gate.state"),
  "nofx.rate_limit.admitted": define("counter", "{call}", "Admissions by rate limits."),
  "nofx.rate_limit.refused": define("counter", "{call}", "Refusals by rate limits."),
  "nofx.bulkhead.running": define("gauge", "{permit}", "Permits in use."),
  "nofx.bulkhead.limit": define("gauge", "{permit}", "Permits there are."),
  "nofx.bulkhead.refused": define("counter", "{call}", "Refusals because every permit was in use."),
  "nofx.retry.budget_refusals": define("counter", "{retry}", "Retries that a spent retry budget delayed."),
  "nofx.budget.spent": define("counter", "{budget}", "Budgets of tasks or of the day that were used up.", "nofx.budget"),
  "nofx.dead_letters": define("gauge", "{letter}", "Dead letters that wait for a decision or are being redriven."),
  "nofx.dead_letter.limit": define("gauge", "{letter}", "Dead letters there may be before intake stops."),
  "nofx.dead_letter.added": define("counter", "{letter}", "Dead letters added."),
  "nofx.dead_letter.redriven": define("counter", "{letter}", "Redrives, by who asked: person, schedule.", "nofx.by"),
  "nofx.dead_letter.resolved": define("counter", "{letter}", "Dead letters whose redrive succeeded."),
  "nofx.dead_letter.discarded": define("counter", "{letter}", "Dead letters that a person discarded."),
  "nofx.dead_letter.expired": define("counter", "{letter}", "Dead letters that expired."),
  "nofx.permission.requested": define("counter", "{request}", "Permission requests of agents."),
  "nofx.permission.answered": define("counter", "{request}", "Permission requests that were answered."),
  "nofx.health.answer": define("gauge", "1", "Answers to probes, 1 yes, 0 no: live, ready, started.", "nofx.health.probe"),
  "nofx.health.degraded": define("gauge", "{component}", "Components that are not well."),
  "nofx.health.alerts": define("counter", "{alert}", "Incidents raised.")
} as const satisfies Record<string, Definition>
export type MetricName = keyof typeof catalogue

/** Prometheus says the unit in the name, and that something counts. */
export const prometheusName = (name: string): string => {
  const definition: Definition | undefined = (catalogue as Record<string, Definition>)[name]
  const base = name.replace(/[^a-zA-Z0-9_]/g, "_")
  const unit = definition?.unit === "s" ? "_seconds" : ""
  return `${base}${unit}${definition?.kind === "counter" ? "_total" : ""}`
}

const cell = (text: string): string => text.replaceAll("|", "\\|")

/** The documentation. */
export const markdown = (): string => {
  const rows = Object.entries(catalogue as Record<string, Definition>).map(([name, { attributes, description, kind, unit }]) => {
    const of = attributes.map((each) => `\`${each}\``).join(", ")
    return `| \`${name}\` | \`${prometheusName(name)}\` | ${kind} | ${unit} | ${of} | ${cell(description)} |`
  })
  return [
    "# Metrics",
    "",
    "Exported over OTLP by their OpenTelemetry names, where the standard `OTEL_*` variables say so, and as Prometheus text on `/metrics` of `nofx host --http PORT`.",
    "Counters count from the start of the process. Each number is fed by the events and counters of the code that does the work.",
    "",
    "| name | Prometheus | kind | unit | attributes | meaning |",
    "| --- | --- | --- | --- | --- | --- |",
    ...rows,
    "",
    "# Traces and logs",
    "",
    "An attempt is a trace, and its trace id is the attempt's id, as events and dead letters have it: one span `invoke_agent AGENT`, and in it one span `stage NAME` for each stage of the",
    "pipe that it went through. Every event is a log record (`event.name`, `error.type`, `nofx.*`) with the trace id of its attempt. Runtimes without a collector make neither.",
    "",
    "The standard variables say where to: `OTEL_EXPORTER_OTLP_ENDPOINT`, `…_HEADERS`, `…_PROTOCOL` (`http/protobuf`, `http/json`), `…_COMPRESSION`, `…_TIMEOUT`, each also for one signal",
    "(`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`), `OTEL_{TRACES,METRICS,LOGS}_EXPORTER` (`otlp`, `none`), `OTEL_METRIC_EXPORT_INTERVAL`, `OTEL_BSP_…`, `OTEL_BLRP_…`, `OTEL_SERVICE_NAME`,",
    "`OTEL_RESOURCE_ATTRIBUTES`, `OTEL_SDK_DISABLED`. `telemetry: { otlp: false }` in `config` switches all of it off. Every attempt is traced: `OTEL_TRACES_SAMPLER` is not read; let the collector sample.",
    ""
  ].join("\n")
}
