/**
 * Rows to values and back.
 *
 * Decoding goes through the schemas, since a row may be damaged. Encoding does not have to: what the runtime holds is valid, and JSON as it
 * stands, save the durations of a task's or an agent's spec. Those are encoded by schema, once for each spec object.
 */
import * as Exit from "effect/Exit"
import * as Cause from "effect/Cause"
import * as Schema from "effect/Schema"
import { DeadLetter } from "../reliability/DeadLetterQueue.ts"
import { RuntimeEvent } from "../RuntimeEvent.ts"
import { Task, TaskSpec } from "../task/Task.ts"
import { AgentRecord, BatchRecord, PatternRecord, ProcessRecord } from "./Store.ts"

const encodeSpec = Schema.encodeSync(TaskSpec)
const encodedSpecs = new WeakMap<TaskSpec, typeof TaskSpec.Encoded>()

const specOf = (spec: TaskSpec): TaskSpec | typeof TaskSpec.Encoded => {
  if (spec.deadline === undefined && spec.timeLimit === undefined && spec.budget?.time === undefined) return spec
  let encoded = encodedSpecs.get(spec)
  if (encoded === undefined) encodedSpecs.set(spec, (encoded = encodeSpec(spec)))
  return encoded
}

/** The JSON of a task. */
export const encodeTask = (task: Task): string => {
  const spec = specOf(task.spec)
  return JSON.stringify(spec === task.spec ? task : { ...task, spec })
}

const encodeAgentSync = Schema.encodeSync(AgentRecord)

/** The JSON of an agent. */
export const encodeAgent = (agent: AgentRecord): string => JSON.stringify(encodeAgentSync(agent))

/** The JSON of an event; its `seq` is the row's. */
export const encodeEvent = (event: RuntimeEvent): string => JSON.stringify(event.seq === undefined ? event : { ...event, seq: undefined })

/** A value, or why there is none. */
export type Decoded<A> = { readonly ok: true; readonly value: A } | { readonly ok: false; readonly reason: string }

const decoder = <A, I>(schema: Schema.Codec<A, I>): ((body: string) => Decoded<A>) => {
  const decode = Schema.decodeUnknownExit(schema)
  return (body) => {
    let json: unknown
    try {
      json = JSON.parse(body)
    } catch (cause) {
      return { ok: false, reason: String(cause) }
    }
    const exit = decode(json)
    return Exit.isSuccess(exit) ? { ok: true, value: exit.value } : { ok: false, reason: String(Cause.squash(exit.cause)) }
  }
}

/** One decoder for each kind of row. */
export const decode = {
  task: decoder(Task),
  event: decoder(RuntimeEvent),
  deadLetter: decoder(DeadLetter),
  agent: decoder(AgentRecord),
  process: decoder(ProcessRecord),
  pattern: decoder(PatternRecord),
  batch: decoder(BatchRecord)
}
