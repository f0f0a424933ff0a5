/**
 * What must hold between the parts of a task file, beyond the shape of each: ids once, references that lead somewhere, no cycle.
 *
 * Works on what was read, not on what was decoded, so that one wrong field hides no problem elsewhere.
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import { nearest } from "./Suggestion.ts"
import { type Problems, quote } from "./TaskFileInvalid.ts"
import { maxCount } from "./TaskFileSchema.ts"

/** What the program that reads the file knows of. */
export interface Known {
  /** Names of drivers. */
  readonly drivers: ReadonlyArray<string>
  /** Names of presets for a driver; undefined when any is accepted. */
  readonly presets: ((driver: string) => ReadonlyArray<string>) | undefined
}

/** The capability that stands for "any of the agents that this entry was expanded to". */
export const kindCapability = (id: string): string => `agent:${id}`

/** The ids of an entry's agents. */
export const expandedIds = (id: string, count: number | undefined): ReadonlyArray<string> =>
  count === undefined ? [id] : Array.from({ length: count }, (_, index) => `${id}-${index + 1}`)

/** Reports every problem between the parts of a file. Accepts anything; what has the wrong shape is passed over. */
export const check = (content: unknown, known: Known, problems: Problems): void => {
  const agents = entries(content, "agents")
  const tasks = entries(content, "tasks")
  const offered = checkAgents(agents, known, problems)
  checkTasks(tasks, offered, problems)
  checkCycles(tasks, problems)
}

type Entry = Readonly<Record<string, unknown>>

const isEntry = (value: unknown): value is Entry => typeof value === "object" && value !== null && !Array.isArray(value)

const entries = (content: unknown, key: string): ReadonlyArray<Entry> => {
  const list = isEntry(content) ? content[key] : undefined
  return Array.isArray(list) ? list.map((item) => (isEntry(item) ? item : {})) : []
}

const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined)

const texts = (value: unknown): ReadonlyArray<string | undefined> => (Array.isArray(value) ? value.map(text) : [])

const suggestion = (word: string, known: Iterable<string>): string => {
  const near = nearest(word, known)
  return near === undefined ? "" : ` (did you mean ${quote(near)}?)`
}

/** Capabilities by the ids that a task may name: agents, and entries with a count. */
type Offered = ReadonlyMap<string, ReadonlySet<string>>

const checkAgents = (agents: ReadonlyArray<Entry>, known: Known, problems: Problems): Offered => {
  const offered = new Map<string, ReadonlySet<string>>()
  agents.forEach((agent, index) => {
    const at = (field: string) => ["agents", index, field]
    const id = text(agent["id"])
    const count = agent["count"]
    if (id !== undefined) {
      const capabilities = new Set(texts(agent["capabilities"]).filter((name) => name !== undefined))
      const number = typeof count === "number" && Number.isInteger(count) && count >= 1 && count <= maxCount ? count : undefined
      const names = number === undefined ? [id] : [id, ...expandedIds(id, number)]
      for (const name of names) {
        if (offered.has(name))
          problems.add(at("id"), () => ({ found: `the id ${quote(name)} a second time`, expected: "ids that are unique among the agents" }))
        offered.set(name, number === undefined ? capabilities : new Set([...capabilities, kindCapability(id)]))
      }
    }
    const driver = text(agent["driver"])
    const preset = text(agent["preset"])
    if (driver !== undefined && !known.drivers.includes(driver)) {
      problems.add(at("driver"), () => ({
        found: quote(driver),
        expected: `one of ${known.drivers.join(", ")}${suggestion(driver, known.drivers)}`
      }))
    }
    const presets = driver === undefined || !known.drivers.includes(driver) ? undefined : known.presets?.(driver)
    if (preset !== undefined && presets !== undefined && !presets.includes(preset)) {
      problems.add(at("preset"), () => ({
        found: `the preset ${quote(preset)}`,
        expected: `for driver ${driver} one of ${presets.join(", ")}${suggestion(preset, presets)}`
      }))
    }
    const command = agent["command"] ?? []
    const needsCommand = (driver === "acp" || driver === "command") && preset === undefined
    if (needsCommand && Array.isArray(command) && (command.length === 0 || command[0] === "")) {
      problems.add(at("command"), () => ({
        found: agent["command"] === undefined ? "nothing" : "an empty command",
        expected: "a program and its arguments, or a preset"
      }))
    }
  })
  return offered
}

const checkTasks = (tasks: ReadonlyArray<Entry>, offered: Offered, problems: Problems): void => {
  const ids = new Set<string>()
  tasks.forEach((task, index) => {
    const id = text(task["id"])
    if (id === undefined) return
    if (ids.has(id))
      problems.add(["tasks", index, "id"], () => ({
        found: `the id ${quote(id)} a second time`,
        expected: "ids that are unique among the tasks"
      }))
    ids.add(id)
  })
  const everything = new Set([...offered.values()].flatMap((capabilities) => [...capabilities]))
  tasks.forEach((task, index) => {
    const agent = text(task["agent"])
    const own = agent === undefined ? undefined : offered.get(agent)
    if (agent !== undefined && own === undefined) {
      problems.add(["tasks", index, "agent"], () => ({
        found: `the agent ${quote(agent)}`,
        expected: `one of the agents of this file${suggestion(agent, offered.keys())}`
      }))
    }
    checkCapabilities(task, index, agent, own, offered, everything, problems)
    texts(task["dependsOn"]).forEach((name, position) => {
      if (name === undefined || ids.has(name)) return
      problems.add(["tasks", index, "dependsOn", position], () => ({
        found: `the task ${quote(name)}`,
        expected: `one of the tasks of this file${suggestion(name, ids)}`
      }))
    })
    if (Array.isArray(task["verify"]) && task["verify"][0] === "") {
      problems.add(["tasks", index, "verify", 0], () => ({ found: '""', expected: "a program" }))
    }
    const budget = isEntry(task["budget"]) ? task["budget"] : {}
    checkDuration(task["deadline"], ["tasks", index, "deadline"], problems)
    checkDuration(task["timeLimit"], ["tasks", index, "timeLimit"], problems)
    checkDuration(budget["time"], ["tasks", index, "budget", "time"], problems)
  })
}

const checkCapabilities = (
  task: Entry,
  index: number,
  agent: string | undefined,
  own: ReadonlySet<string> | undefined,
  offered: Offered,
  everything: ReadonlySet<string>,
  problems: Problems
): void => {
  if (agent !== undefined && own === undefined) return
  const wanted = texts(task["capabilities"]).filter((name) => name !== undefined)
  const missing = wanted.findIndex((name) => !(own ?? everything).has(name))
  const name = wanted[missing]
  if (name !== undefined) {
    const whose = agent === undefined ? "a capability that an agent of this file has" : `a capability of the agent ${quote(agent)}`
    problems.add(["tasks", index, "capabilities", missing], () => ({
      found: `the capability ${quote(name)}`,
      expected: `${whose}${suggestion(name, own ?? everything)}`
    }))
  } else if (
    own === undefined &&
    wanted.length > 1 &&
    ![...offered.values()].some((capabilities) => wanted.every((one) => capabilities.has(one)))
  ) {
    problems.add(["tasks", index, "capabilities"], () => ({
      found: wanted.map(quote).join(", "),
      expected: "capabilities that one agent has all of"
    }))
  }
}

const checkDuration = (value: unknown, path: ReadonlyArray<string | number>, problems: Problems): void => {
  if (typeof value !== "string") return
  // What is no duration at all is the schema's to report.
  const duration = Duration.fromInput(value as Duration.Input)
  if (Option.isSome(duration) && !Duration.isGreaterThan(duration.value, Duration.zero)) {
    problems.add(path, () => ({ found: quote(value), expected: "a duration longer than zero" }))
  }
}

/** Depth first, without recursion: a chain of dependencies may be as long as the file. Reports each edge that closes a cycle. */
const checkCycles = (tasks: ReadonlyArray<Entry>, problems: Problems): void => {
  const byId = new Map<string, number>()
  tasks.forEach((task, index) => {
    const id = text(task["id"])
    if (id !== undefined && !byId.has(id)) byId.set(id, index)
  })
  const name = (index: number): string => text(tasks[index]?.["id"]) ?? ""
  const edges = tasks.map((task) => texts(task["dependsOn"]).map((id) => (id === undefined ? undefined : byId.get(id))))
  const done = new Set<number>()
  const depth = new Map<number, number>()
  for (const start of byId.values()) {
    const way: Array<{ readonly index: number; next: number }> = []
    const enter = (index: number) => {
      depth.set(index, way.length)
      way.push({ index, next: 0 })
    }
    if (!done.has(start)) enter(start)
    for (let top = way.at(-1); top !== undefined; top = way.at(-1)) {
      const targets = edges[top.index] ?? []
      if (top.next >= targets.length) {
        done.add(top.index)
        depth.delete(top.index)
        way.pop()
        continue
      }
      const from = top.index
      const position = top.next++
      const target = targets[position]
      if (target === undefined || done.has(target)) continue
      const begin = depth.get(target)
      if (begin === undefined) {
        enter(target)
        continue
      }
      problems.add(["tasks", from, "dependsOn", position], () => ({
        found: `the cycle ${cycleText([...way.slice(begin).map((step) => name(step.index)), name(target)])}`,
        expected: "dependencies that end somewhere"
      }))
    }
  }
}

const cycleText = (names: ReadonlyArray<string>): string =>
  (names.length <= 12 ? names : [...names.slice(0, 6), `(${names.length - 11} more)`, ...names.slice(-5)]).join(" → ")
