/** What is wrong with a task file: every problem with its place, in words that say what to change. */
import * as Schema from "effect/Schema"

/** Problems that are listed; the rest is counted. */
export const maxProblems = 20

/** Where something stands in a file. */
export interface Position {
  /** From 1. */
  readonly line: number
  /** From 1. */
  readonly column: number
}

/** A place in the decoded value: keys and indices from the top. */
export type ValuePath = ReadonlyArray<string | number>

export const Problem = Schema.Struct({
  /** From 1; absent when the problem is the file as a whole. */
  line: Schema.optionalKey(Schema.Int),
  /** From 1. */
  column: Schema.optionalKey(Schema.Int),
  /** Place in the content, e.g. `tasks[3].dependsOn[0]`; empty for the file as a whole. */
  path: Schema.String,
  /** What is there. Values that may be secrets are never shown. */
  found: Schema.String,
  /** What should be there, with a suggestion where there is a near one. */
  expected: Schema.String
})
export type Problem = typeof Problem.Type

/** The task file was refused as a whole: nothing of it was started. */
export class TaskFileInvalid extends Schema.TaggedError<TaskFileInvalid>()("TaskFileInvalid", {
  file: Schema.String,
  /** In the order of the file, at most `maxProblems`. */
  problems: Schema.Array(Problem),
  /** Problems beyond those. */
  more: Schema.Int
}) {
  override get message() {
    const lines = this.problems.map((problem) => formatProblem(this.file, problem))
    return [...lines, ...(this.more > 0 ? [`${this.file}: and ${this.more} more problems`] : [])].join("\n")
  }
}

/** One line, in the form that editors and terminals make a link of. */
export const formatProblem = (file: string, problem: Problem): string => {
  const place = problem.line === undefined ? file : `${file}:${problem.line}:${problem.column ?? 1}`
  const path = problem.path === "" ? "" : `${problem.path}: `
  return `${place}: ${path}found ${problem.found}, expected ${problem.expected}`
}

export const formatPath = (path: ValuePath): string =>
  path.reduce<string>((text, key) => {
    if (typeof key === "number") return `${text}[${key}]`
    if (!/^[\p{L}$_][\p{L}\p{N}$_-]*$/u.test(key)) return `${text}[${quote(key)}]`
    return text === "" ? key : `${text}.${key}`
  }, "")

/** May the value at the path be a secret, which no message shows? */
export const isSecret = (path: ValuePath): boolean =>
  path.some((key) => typeof key === "string" && /^env$|password|secret|api.?key|url/i.test(key))

/** A word or value as it is quoted in a message: one line, bounded. */
export const quote = (value: unknown): string => {
  if (value === undefined) return "nothing"
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : `a list of ${value.length}`
  if (typeof value === "object" && value !== null) return Object.keys(value).length === 0 ? "an empty map" : "a map"
  const text = typeof value === "number" ? String(value) : JSON.stringify(value)
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`
}

/** Gathers problems; building one costs nothing beyond the limit. */
export interface Problems {
  /** `at` where the place is not that of the path's value. A place that is wrong in itself is not reported again for what follows from it. */
  readonly add: (path: ValuePath, make: () => { readonly found: string; readonly expected: string }, at?: Position) => void
  readonly isEmpty: () => boolean
  readonly error: () => TaskFileInvalid
}

/** `locate` answers where a path stands, and is asked only for the problems that are listed. */
export const makeProblems = (file: string, locate: (path: ValuePath) => Position | undefined): Problems => {
  const problems: Array<Problem> = []
  const seen = new Set<string>()
  let more = 0
  return {
    add: (path, make, at) => {
      const text = formatPath(path)
      const key = at === undefined ? text : `${text} ${at.line}:${at.column}`
      if (seen.has(key)) return
      if (problems.length >= maxProblems) {
        more += 1
        return
      }
      seen.add(key)
      problems.push({ ...(at ?? locate(path)), path: text, ...make() })
    },
    isEmpty: () => problems.length === 0,
    error: () => {
      const inOrder = problems.toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0))
      return new TaskFileInvalid({ file, problems: inOrder, more })
    }
  }
}
