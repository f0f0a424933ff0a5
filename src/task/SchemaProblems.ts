/** What a schema found wrong, in the words of the person who wrote the value: where, what is there, what should be there. */
import * as SchemaIssue from "effect/SchemaIssue"
import { nearest } from "./Suggestion.ts"
import { isSecret, type Position, type Problems, quote, type ValuePath } from "./TaskFileInvalid.ts"

type LocateKey = (path: ValuePath) => Position | undefined

const leafText = SchemaIssue.makeFormatterStandardSchemaV1()

/** Adds a problem for each leaf of the issue. `value` is what was decoded, `path` where it stands in the file. */
export const report = (issue: SchemaIssue.Issue, value: unknown, path: ValuePath, locateKey: LocateKey, problems: Problems): void => {
  switch (issue._tag) {
    case "Pointer": {
      const steps = issue.path.map((step) => (typeof step === "symbol" ? String(step) : step))
      const inner = steps.reduce<unknown>((at, step) => fieldOf(at, String(step)), value)
      report(issue.issue, inner, [...path, ...steps], locateKey, problems)
      return
    }
    case "Filter":
      // A check of a whole map that speaks of a field in it.
      if (issue.issue._tag === "InvalidValue") break
      report(issue.issue, value, path, locateKey, problems)
      return
    case "Encoding":
      report(issue.issue, value, path, locateKey, problems)
      return
    case "Composite":
      for (const inner of issue.issues) report(inner, value, path, locateKey, problems)
      return
    case "AnyOf": {
      // One alternative that got further than the others is what was meant; without one, the alternatives are the expectation.
      const deeper = issue.issues.filter((inner) => inner._tag === "Composite" || inner._tag === "Pointer")
      const [only] = issue.issues.length === 1 ? issue.issues : deeper.length === 1 ? deeper : []
      if (only === undefined) break
      report(only, value, path, locateKey, problems)
      return
    }
    case "UnexpectedKey": {
      const key = path.at(-1)
      const fields = "propertySignatures" in issue.ast ? issue.ast.propertySignatures.map((signature) => String(signature.name)) : []
      const near = nearest(String(key), fields)
      const expected = near === undefined ? `one of ${fields.join(", ")}` : `a field that exists (did you mean ${quote(near)}?)`
      problems.add(path, () => ({ found: `the unknown field ${quote(key)}`, expected }), locateKey(path))
      return
    }
  }
  problems.add(path, () => ({ found: foundText(issue, value, path), expected: expectedText(issue) }))
}

const foundText = (issue: SchemaIssue.Issue, value: unknown, path: ValuePath): string => {
  if (issue._tag === "MissingKey") return "nothing"
  return isSecret(path) && typeof value !== "object" ? `a ${typeof value}` : quote(value)
}

const expectedText = (issue: SchemaIssue.Issue): string => {
  if (issue._tag === "MissingKey") return "this field"
  const texts = leafText(issue).issues.map(({ message }) => {
    const parts = phrase(message).split(" | ")
    return parts
      .filter((part) => part !== "undefined")
      .map((part) => words[part] ?? part)
      .join(" | ")
  })
  return [...new Set(texts)].join(" or ")
}

/** A check's message as it goes on after "expected". */
const phrase = (message: string): string => message.replace(/^(?:expected|must be) /i, "").replace(/^needs /, "it to have ")

/** Types in the words of the file's author. */
const words: Readonly<Record<string, string>> = {
  "a valid Duration string": 'a duration like "90 seconds" or "30 minutes"',

  string: "text",
  object: "a map",
  array: "a list",
  number: "a number",
  boolean: "true or false"
}

const fieldOf = (value: unknown, key: string): unknown =>
  typeof value === "object" && value !== null && Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined
