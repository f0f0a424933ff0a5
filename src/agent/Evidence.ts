/**
 * What an observation holds that rules can look at: identifiers, HTTP statuses and hints out of structured data, and text.
 *
 * Agents put the same facts in different places (`data.errorKind`, `data.codexErrorInfo`, `error.data.statusCode`, a status in a
 * sentence). They are gathered once, by the names of fields, so that a rule does not care where it stood. Reading is bounded and
 * never throws, whatever an agent sends.
 */
import { hintOfField, parseRetryHint } from "./RetryHint.ts"
import type { RetryHint } from "./RetryHint.ts"

export interface Evidence {
  /** Identifiers such as `rate_limit` or `usagelimitexceeded`, in lower case, from fields that name an error. */
  readonly words: ReadonlySet<string>
  /** HTTP status: of structured data, else the last one the text names as such. */
  readonly status: number | undefined
  /** Messages of structured data: the protocol error's and those found inside. */
  readonly message: string
  readonly hint: RetryHint
  /** The agent says in structured data that the model was not used at all. */
  readonly unused: boolean
}

/** Most values of structured data that are looked at. */
const valueLimit = 2_000
const depthLimit = 8
/** Longest text that rules look at, in characters; of longer ones the end. Agents print the decisive line last. */
const textLimit = 8_192

const wordFields =
  /^(?:error|errorkind|kind|errortype|type|code|errorcode|name|errorname|codexerrorinfo|category|terminalreason|reason|subtype|status|errorstatus)$/
const statusFields = /^(?:statuscode|httpstatus|httpstatuscode|errorstatus|apierrorstatus|status|code)$/
const messageFields = /^(?:message|details|detail|error|title|result|responsebody|errors|reason|description)$/

const terminalControl = new RegExp(`${String.fromCharCode(27)}\\[[0-9;?]{0,16}[A-Za-z]`, "g")

/** The text without colours and other terminal controls; its end, bounded. */
export const plain = (text: string, limit: number = textLimit): string => text.slice(-limit).replace(terminalControl, "").replace(/\r/g, "")

/** Does the text name an HTTP status as such? The last one, since earlier ones belong to tries that were followed by others. */
const statusOfText = (text: string): number | undefined => {
  const matches = text.matchAll(
    /(?:\bstatus(?: code)?[:=]? {0,2}|\bAPI Error: |\bHTTP(?:\/[12](?:\.\d)?)? {0,2}|\brejected \(|"(?:code|status|statusCode)": ?)([45]\d\d)\b/gi
  )
  let last: number | undefined
  for (const match of matches) last = Number(match[1])
  return last
}

/** Gathers what rules look at. `text`: the output that may speak of the failure, already `plain`. */
export const gather = (structured: ReadonlyArray<unknown>, text: string, now: number): Evidence => {
  const words = new Set<string>()
  const messages: Array<string> = []
  let status: number | undefined
  let hint: RetryHint = {}
  let unused = false
  let left = valueLimit

  const visit = (value: unknown, key: string, depth: number): void => {
    left -= 1
    if (left < 0 || depth > depthLimit) return
    const field = key.toLowerCase().replace(/[-_]/g, "")
    const found = hintOfField(key, value, now)
    if (found !== undefined) hint = { ...hint, ...found }
    if (typeof value === "string") {
      if (wordFields.test(field) && /^[\w.-]{2,64}$/.test(value)) words.add(value.toLowerCase())
      if (messageFields.test(field)) messages.push(value.slice(0, 4_096))
      return
    }
    if (typeof value === "number") {
      if (statusFields.test(field) && Number.isInteger(value) && value >= 400 && value <= 599) status = value
      return
    }
    if (value === null) {
      if (key === "token_count") unused = true
      return
    }
    if (typeof value !== "object") return
    if (Array.isArray(value)) {
      if (key === "model_usage" && value.length === 0) unused = true
      for (const item of value) visit(item, key, depth + 1)
      return
    }
    for (const name of Object.keys(value)) {
      // `codexErrorInfo: { httpConnectionFailed: {...} }`: the identifier is the key.
      if (field === "codexerrorinfo" || field === "codex") words.add(name.slice(0, 64).toLowerCase())
      if (left < 0) return
      visit((value as Record<string, unknown>)[name], name, depth + 1)
    }
  }
  for (const value of structured) {
    try {
      visit(value, "", 0)
    } catch {
      // A getter or proxy that throws: what was read before it stands.
    }
  }

  const message = plain(messages.join("\n"))
  const ofText = parseRetryHint(`${text}\n${message}`, now)
  return {
    words,
    status: status ?? statusOfText(message) ?? statusOfText(text),
    message,
    hint: { ...ofText, ...hint },
    unused
  }
}
