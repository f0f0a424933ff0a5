/**
 * YAML or JSON text as a plain JSON value, with the place of everything in it.
 *
 * Stricter than YAML where YAML surprises: duplicate keys, keys that are no text, unknown tags, cyclic or exploding anchors, numbers that JSON
 * cannot hold are refused. It never throws.
 */
import { type Document, isAlias, isMap, isNode, isScalar, isSeq, LineCounter, type Node, type ParsedNode, parseDocument } from "yaml"
import type { Position, Problems, ValuePath } from "./TaskFileInvalid.ts"
import { isSecret, quote } from "./TaskFileInvalid.ts"

/** Nesting beyond this is refused; no task file comes near it. */
const maxDepth = 64
/** Values in a file, anchors expanded: what keeps a few lines of anchors from filling the memory. */
const maxValues = 2_000_000

export interface YamlSource {
  /** Where the value at the path begins; where something around it does when it is not there. */
  readonly locate: (path: ValuePath) => Position | undefined
  /** Where the key at the end of the path stands. */
  readonly locateKey: (path: ValuePath) => Position | undefined
  /** The content as JSON; problems go to `problems`. Undefined when the text cannot be read at all. */
  readonly value: (problems: Problems) => unknown
}

/** Reads the text. A text that is no YAML is told by `value`. */
export const read = (text: string): YamlSource => {
  const lines = new LineCounter()
  const position = (offset: number | undefined): Position | undefined => {
    if (offset === undefined) return undefined
    const { line, col } = lines.linePos(offset)
    return { line: Math.max(1, line), column: Math.max(1, col) }
  }
  let document: Document<ParsedNode> | undefined
  let failure = "text that cannot be read as YAML"
  try {
    document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false, logLevel: "error" })
  } catch (cause) {
    // The parser is recursive: absurd nesting overflows its stack.
    if (cause instanceof RangeError) failure = "a structure that is nested too deeply"
  }
  return {
    locate: (path) => position(document === undefined ? undefined : offsetOf(document, path).value),
    locateKey: (path) => position(document === undefined ? undefined : offsetOf(document, path).key),
    value: (problems) => {
      if (document === undefined) {
        problems.add([], () => ({ found: failure, expected: "YAML or JSON" }))
        return undefined
      }
      const error = document.errors[0] ?? document.warnings[0]
      if (error !== undefined) {
        // Only the first: what follows a syntax error is mostly its echo.
        const problem =
          error.code === "MULTIPLE_DOCS"
            ? { found: "a second document", expected: "one" }
            : { found: `invalid YAML (${error.message})`, expected: "YAML or JSON" }
        problems.add([], () => problem, position(error.pos[0]))
        return undefined
      }
      return new Reader(problems, position).read(document.contents, [], 0)
    }
  }
}

/** One walk over the document. */
class Reader {
  readonly problems: Problems
  readonly position: (offset: number | undefined) => Position | undefined
  readonly anchors = new Map<string, Node>()
  readonly open = new Set<Node>()
  expanding = 0
  values = 0

  constructor(problems: Problems, position: (offset: number | undefined) => Position | undefined) {
    this.problems = problems
    this.position = position
  }

  read(node: unknown, path: ValuePath, depth: number): unknown {
    this.values += 1
    // One message is enough: what follows is not even looked at.
    if (this.values > maxValues)
      return this.values === maxValues + 1 ? this.refuse(path, "more values than a task file may hold", `at most ${maxValues}`) : null
    if (depth > maxDepth) return this.refuse(path, "a structure that is nested too deeply", `at most ${maxDepth} levels`)
    if (!isNode(node)) return null
    if (isAlias(node)) return this.alias(node.source, path, depth)
    // An alias means the last anchor of its name above it; a second visit to the same text must not bring back an older one.
    if (node.anchor !== undefined && this.expanding === 0) this.anchors.set(node.anchor, node)
    if (isScalar(node)) return this.scalar(node.value, node.source, path)
    this.open.add(node)
    const value = isMap(node) ? this.map(node.items, path, depth) : this.list(node, path, depth)
    this.open.delete(node)
    return value
  }

  alias(name: string, path: ValuePath, depth: number): unknown {
    const node = this.anchors.get(name)
    if (node === undefined) return this.refuse(path, `*${name}`, "the name of an anchor above it")
    if (this.open.has(node)) return this.refuse(path, `*${name}, which contains itself`, "a value")
    this.expanding += 1
    const value = this.read(node, path, depth + 1)
    this.expanding -= 1
    return value
  }

  list(node: Node, path: ValuePath, depth: number): unknown {
    return isSeq(node) ? node.items.map((item, index) => this.read(item, [...path, index], depth + 1)) : null
  }

  map(pairs: ReadonlyArray<{ readonly key: unknown; readonly value: unknown }>, path: ValuePath, depth: number): Record<string, unknown> {
    const value: Record<string, unknown> = {}
    for (const { key, value: item } of pairs) {
      const name = isScalar(key) ? key.value : undefined
      const at = this.position(isNode(key) ? key.range?.[0] : undefined)
      if (typeof name !== "string") {
        const found = isScalar(key) ? `the key ${key.source ?? String(key.value)}` : "a key that is no text"
        this.problems.add(path, () => ({ found, expected: "keys that are text (put it in quotes)" }), at)
      } else if (name === "__proto__") {
        this.problems.add([...path, name], () => ({ found: 'the key "__proto__"', expected: "another name" }), at)
      } else if (Object.hasOwn(value, name)) {
        this.problems.add([...path, name], () => ({ found: `the key ${quote(name)} a second time`, expected: "each key once" }), at)
      } else {
        value[name] = this.read(item, [...path, name], depth + 1)
      }
    }
    return value
  }

  scalar(value: unknown, source: string | undefined, path: ValuePath): unknown {
    if (value === null || typeof value === "string" || typeof value === "boolean") return value
    if (typeof value !== "number")
      return this.refuse(path, "a value of a special YAML type", "text, a number, true, false, null, a list or a map")
    const exact = Number.isFinite(value) && (Number.isSafeInteger(value) || !/^[-+]?\d+$/.test(source ?? ""))
    return exact
      ? value
      : this.refuse(path, isSecret(path) ? "a number" : (source ?? String(value)), "a number that can be kept exactly (put it in quotes)")
  }

  refuse(path: ValuePath, found: string, expected: string): null {
    this.problems.add(path, () => ({ found, expected }))
    return null
  }
}

/** Offsets of the key and of the value at the path; of the nearest thing around it when it is not there. */
const offsetOf = (
  document: Document<ParsedNode>,
  path: ValuePath
): { readonly key: number | undefined; readonly value: number | undefined } => {
  let node: unknown = document.contents
  let value = document.contents?.range?.[0]
  let key = value
  for (const step of path) {
    if (isAlias(node)) node = node.resolve(document)
    const pair = isMap(node) ? node.items.find((item) => isScalar(item.key) && item.key.value === step) : undefined
    if (pair !== undefined) {
      key = isScalar(pair.key) ? pair.key.range?.[0] : value
      node = pair.value
      // A key without a value has its value where the next line begins.
      value = isScalar(node) && node.source === "" ? key : isNode(node) ? node.range?.[0] : key
    } else if (isSeq(node) && typeof step === "number" && step < node.items.length) {
      node = node.items[step]
      value = isNode(node) ? node.range?.[0] : value
      key = value
    } else {
      break
    }
  }
  return { key, value }
}
