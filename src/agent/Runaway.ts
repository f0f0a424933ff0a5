/**
 * Notices an agent that is busy and gets nowhere: the same tool call or the same text again and again, or tokens without any tool.
 *
 * Output flows all the time in such a turn, so no idle limit ends it. One detector watches one attempt; it keeps the last few signatures and
 * their counts, nothing else.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Progress } from "./AgentDriver.ts"

const PositiveInt = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))

export const Options = Schema.Struct({
  /**
   * The same tool call, or the same line of text, this often among the last three times as many is a loop; so is text without any line's end
   * that says the same this often in a row, over at least 1,024 characters. Count, default 30.
   */
  repeats: PositiveInt.pipe(Schema.withDecodingDefault(Effect.succeed(30))),
  /** Tokens used since the last tool call, or since the start. Count, default 500,000. */
  tokensWithoutTool: PositiveInt.pipe(Schema.withDecodingDefault(Effect.succeed(500_000)))
})
export type Options = typeof Options.Type

/** The last `size` signatures and how often each occurs among them. */
const makeWindow = (size: number) => {
  const ring: Array<string> = []
  const counts = new Map<string, number>()
  let next = 0
  return (signature: string): number => {
    const old = ring[next]
    if (old !== undefined) {
      const left = counts.get(old)! - 1
      if (left === 0) counts.delete(old)
      else counts.set(old, left)
    }
    ring[next] = signature
    next = (next + 1) % size
    const count = (counts.get(signature) ?? 0) + 1
    counts.set(signature, count)
    return count
  }
}

/** Lines shorter than this repeat in honest output: brackets, bullets, blank lines. */
const shortLine = 16
/** Longer text is told apart well enough by its beginning. */
const longSignature = 200

/** Shorter repetitions are honest output: rulers, indentations, rows of zeros. Characters. */
const shortLoop = 1_024
/** What is kept of the text, and how much of it is new when it is looked at again. Characters: a look costs a few steps for each kept one. */
const keptText = 16_384
const newText = 512

/**
 * How a text ends: with the same `period` characters, `times` times. Undefined unless that is at least `repeats` times and `shortLoop` long.
 *
 * The borders of the reversed text (Knuth, Morris, Pratt) give the shortest period of each of its beginnings.
 */
const repetition = (text: string, repeats: number): { readonly period: number; readonly times: number } | undefined => {
  const borders = new Int32Array(text.length)
  const last = text.length - 1
  for (let at = 1; at <= last; at++) {
    const code = text.charCodeAt(last - at)
    let border = borders[at - 1]!
    while (border > 0 && text.charCodeAt(last - border) !== code) border = borders[border - 1]!
    if (text.charCodeAt(last - border) === code) border++
    borders[at] = border
    const length = at + 1
    const period = length - border
    if (length >= shortLoop && period * repeats <= length) return { period, times: Math.floor(length / period) }
  }
  return undefined
}

/** Returns a function that is shown each progress, and answers with evidence once it sees a runaway. */
export const detector = (options: Options): ((progress: Progress) => string | undefined) => {
  const tools = makeWindow(options.repeats * 3)
  const lines = makeWindow(options.repeats * 3)
  const seen = new Set<string>()
  let tail = ""
  let kept = ""
  let fresh = ""
  let tokens = 0
  let tokensAtTool = 0

  const text = (chunk: string): string | undefined => {
    const parts = (tail + chunk).split("\n")
    tail = parts.pop()!.slice(-longSignature)
    for (const part of parts) {
      const line = part.trim().slice(0, longSignature)
      if (line.length < shortLine) continue
      const count = lines(line)
      if (count >= options.repeats) return `the same line ${count} times: "${line.slice(0, 80)}"`
    }
    fresh += chunk
    if (fresh.length < newText) return undefined
    kept = (kept + fresh).slice(-keptText)
    fresh = ""
    const loop = repetition(kept, options.repeats)
    return loop === undefined
      ? undefined
      : `the same ${loop.period} characters ${loop.times} times: "${kept.slice(-loop.period).trim().slice(0, 80)}"`
  }

  return (progress) => {
    switch (progress._tag) {
      case "Tool": {
        if (seen.has(progress.id)) return undefined
        seen.add(progress.id)
        if (seen.size > options.repeats * 3) seen.delete(seen.values().next().value!)
        tokensAtTool = tokens
        const count = tools(`${progress.kind} ${progress.title}`.slice(0, longSignature))
        return count < options.repeats ? undefined : `the same tool call ${count} times: ${progress.kind} "${progress.title.slice(0, 80)}"`
      }
      case "Text":
      case "Thought":
        return text(progress.text)
      case "Usage": {
        tokens = Math.max(tokens, progress.usage.tokens ?? tokens)
        const idle = tokens - tokensAtTool
        return idle < options.tokensWithoutTool ? undefined : `${idle} tokens without a tool call`
      }
      default:
        return undefined
    }
  }
}
