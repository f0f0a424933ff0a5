/**
 * The Agent Client Protocol's wire: bytes of a process to messages and back, tolerant of what agents really print.
 *
 * A line that is no message (a log, half a line at the end) is counted and skipped; too many in a row, or one that is too long, is a
 * violation. Session updates are handed over here, synchronously and in order, so that all of them are known before the answer
 * that follows them. Everything else goes to the protocol's SDK.
 */
import type { AnyMessage, Stream } from "@agentclientprotocol/sdk"
import * as StringDecoder from "node:string_decoder"

export interface Options {
  /** Sends one line; rejects when the process does not read any more. */
  readonly send: (line: string) => Promise<void>
  /** A `session/update`, as the agent sent it. */
  readonly update: (params: unknown) => void
  /** The agent broke the protocol for good; nothing is read after it. */
  readonly violation: (detail: string) => void
  /** Longest line, in characters. Default 16 Mi: files travel as one line. */
  readonly maxLine?: number
  /** Lines in a row that are no messages. Count, default 200: agents that log to standard output do it in bursts at their start. */
  readonly maxGarbage?: number
}

export interface AcpWire {
  readonly stream: Stream
  /** Takes what the process printed. */
  readonly push: (chunk: Uint8Array) => void
  /** No more will come. Half a line is dropped. */
  readonly end: () => void
  /** Lines that were no messages so far. Count. */
  readonly garbage: () => number
}

export const make = (options: Options): AcpWire => {
  const maxLine = options.maxLine ?? 16 * 1024 * 1024
  const maxGarbage = options.maxGarbage ?? 200
  const decoder = new StringDecoder.StringDecoder("utf8")
  /** Requests of ours that are not answered yet: an answer to none of them is no message. */
  const asked = new Set<unknown>()
  let parts: Array<string> = []
  let held = 0
  let total = 0
  let inARow = 0
  let over = false
  let controller: ReadableStreamDefaultController<AnyMessage> | undefined

  const violate = (detail: string): void => {
    over = true
    parts = []
    options.violation(detail)
  }

  const garbage = (): void => {
    total += 1
    inARow += 1
    if (inARow > maxGarbage) violate(`${inARow} lines in a row that are no protocol messages`)
  }

  const line = (text: string): void => {
    if (text.trim() === "") return
    const message = parse(text) ?? behind(text)
    if (message === undefined) return garbage()
    if (!("method" in message) && !asked.delete(message.id)) return garbage()
    inARow = 0
    if (message.method === "session/update" && !("id" in message)) return options.update(message.params)
    controller?.enqueue(message as unknown as AnyMessage)
  }

  const stream: Stream = {
    readable: new ReadableStream<AnyMessage>({
      start: (started) => {
        controller = started
      },
      cancel: () => {
        over = true
        controller = undefined
      }
    }),
    writable: new WritableStream<AnyMessage>({
      write: (message) => {
        if ("method" in message && "id" in message) asked.add(message.id)
        return options.send(`${JSON.stringify(message)}\n`)
      }
    })
  }

  return {
    stream,
    garbage: () => total,
    push: (chunk) => {
      if (over) return
      const text = decoder.write(chunk as Buffer)
      let start = 0
      for (let at = text.indexOf("\n"); at !== -1 && !over; at = text.indexOf("\n", start)) {
        const rest = text.slice(start, at)
        const whole = parts.length === 0 ? rest : parts.join("") + rest
        parts = []
        held = 0
        start = at + 1
        if (whole.length > maxLine) violate(`a line of ${whole.length} characters`)
        else line(whole)
      }
      if (over || start >= text.length) return
      parts.push(text.slice(start))
      held += text.length - start
      if (held > maxLine) violate(`a line of more than ${maxLine} characters`)
    },
    end: () => {
      over = true
      parts = []
      try {
        controller?.close()
      } catch {
        // Closed already.
      }
      controller = undefined
    }
  }
}

/** A message behind something that was printed without a line's end, such as a progress display. */
const behind = (text: string): Readonly<Record<string, unknown>> | undefined => {
  const at = text.indexOf('{"jsonrpc"', 1)
  return at === -1 ? undefined : parse(text.slice(at))
}

/** A message of JSON-RPC 2.0; undefined for everything else. */
const parse = (text: string): Readonly<Record<string, unknown>> | undefined => {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined
  const message = value as Readonly<Record<string, unknown>>
  const { id } = message
  const named = typeof message.method === "string"
  const identified = typeof id === "string" || (typeof id === "number" && Number.isFinite(id)) || (id === null && !named)
  if (message.jsonrpc !== "2.0" || (!named && !identified) || (named && "id" in message && !identified)) return undefined
  if (!named && Object.hasOwn(message, "result") === Object.hasOwn(message, "error")) return undefined
  return message
}
