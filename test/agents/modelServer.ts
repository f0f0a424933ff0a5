/**
 * A model server on loopback, for real agents: it speaks the wire formats of Gemini and of OpenAI's chat completions, asks for one file to be
 * written, then says that it is done. Faults are scripted: what to do instead, for how many of the calls that carry tools.
 */
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import { Effect } from "effect"

/** What happens to a call instead of its answer. */
export type Fault =
  | { readonly kind: "status"; readonly status: number; readonly retryAfter?: number }
  /** The connection is reset before the answer. */
  | { readonly kind: "reset" }
  /** The answer begins, and nothing follows. */
  | { readonly kind: "hang" }
  /** Each piece of the answer takes this long. Milliseconds. */
  | { readonly kind: "slow"; readonly gapMillis: number }

export interface ModelServer {
  readonly url: string
  /** Calls with tools so far: one or two for a task that goes well. Side requests, such as those for titles, do not count. */
  readonly calls: () => number
  /** The next `times` of such calls fail. */
  readonly fail: (fault: Fault, times: number) => void
  /** Completes when as many calls have begun to be answered. */
  readonly reached: (calls: number) => Effect.Effect<void>
}

interface Reply {
  readonly text: string
  readonly tool?: { readonly name: string; readonly arguments: Record<string, string> }
}

/** What the agent is asked to write. */
export const written = { file: "hello.txt", content: "hello from the model\n" }

const done: Reply = { text: "Done: the file is written." }

/** Listens until the scope closes. */
export const make = Effect.gen(function* () {
  let calls = 0
  let fault: Fault | undefined
  let times = 0
  const waits = new Set<() => void>()

  const answer = (request: http.IncomingMessage, response: http.ServerResponse, body: string): void => {
    const api = apiOf(request.url ?? "")
    if (api === undefined) return json(response, 404, { error: { message: "not found" } })
    const call = parse(body)
    const tools = api.tools(call)
    // A call without tools is one of the agent's own, for a title or the like.
    if (tools.length < 2) return api.send(response, call, { text: '{"title":"task","next_speaker":"user","reasoning":"-"}' }, 0, false)
    calls++
    const now = times > 0 ? fault : undefined
    if (times > 0) times--
    for (const wake of waits) wake()
    if (now?.kind === "status") {
      const headers = now.retryAfter === undefined ? {} : { "retry-after": String(now.retryAfter) }
      return json(response, now.status, api.error(now), headers)
    }
    if (now?.kind === "reset") {
      request.socket.resetAndDestroy()
      return
    }
    const writer = tools.find((name) => name === "write_file" || name === "write")
    const tool =
      writer === undefined
        ? undefined
        : writer === "write"
          ? { name: writer, arguments: { filePath: written.file, content: written.content } }
          : { name: writer, arguments: { file_path: written.file, content: written.content } }
    const reply = api.answered(call) || tool === undefined ? done : { text: "Working on it. ", tool }
    api.send(response, call, reply, now?.kind === "slow" ? now.gapMillis : 0, now?.kind === "hang")
  }

  const server = yield* Effect.acquireRelease(
    Effect.callback<http.Server>((resume) => {
      const listening = http.createServer((request, response) => {
        const chunks: Array<Buffer> = []
        request.on("error", () => {})
        response.on("error", () => {})
        request.on("data", (chunk: Buffer) => chunks.push(chunk))
        request.on("end", () => answer(request, response, Buffer.concat(chunks).toString("utf8")))
      })
      listening.listen(0, "127.0.0.1", () => resume(Effect.succeed(listening)))
    }),
    (listening) =>
      Effect.callback<void>((resume) => {
        listening.close(() => resume(Effect.void))
        listening.closeAllConnections()
      })
  )
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    calls: () => calls,
    fail: (next, count) => {
      fault = next
      times = count
    },
    reached: (count) =>
      Effect.callback<void>((resume) => {
        const look = () => {
          if (calls >= count) resume(Effect.void)
        }
        waits.add(look)
        look()
        return Effect.sync(() => void waits.delete(look))
      })
  } satisfies ModelServer
})

type Json = Record<string, unknown>

interface Api {
  readonly tools: (call: Json) => ReadonlyArray<string>
  /** Has the tool been used since the user last spoke? */
  readonly answered: (call: Json) => boolean
  readonly error: (fault: Extract<Fault, { kind: "status" }>) => unknown
  readonly send: (response: http.ServerResponse, call: Json, reply: Reply, gapMillis: number, hang: boolean) => void
}

const apiOf = (url: string): Api | undefined => {
  const at = url.split("?")[0] ?? ""
  if (/\/chat\/completions$/.test(at)) return openai
  if (/:(?:streamGenerateContent|generateContent)$/.test(at)) return gemini(at.endsWith(":streamGenerateContent"))
  return undefined
}

const openai: Api = {
  tools: (call) => list(call["tools"]).map((tool) => String(record(tool["function"])["name"] ?? "")),
  answered: (call) => {
    const roles = list(call["messages"]).map((message) => message["role"])
    return roles.slice(roles.lastIndexOf("user") + 1).includes("tool")
  },
  error: ({ status }) => ({
    error:
      status === 429
        ? { message: "Rate limit reached for the model", type: "rate_limit_exceeded", code: "rate_limit_exceeded" }
        : { message: "The server is overloaded", type: "server_error", code: "overloaded" }
  }),
  send: (response, call, { text, tool }, gapMillis, hang) => {
    const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 }
    const asked =
      tool === undefined
        ? undefined
        : [{ index: 0, id: "call_1", type: "function", function: { name: tool.name, arguments: JSON.stringify(tool.arguments) } }]
    const finish = asked === undefined ? "stop" : "tool_calls"
    const common = { id: "answer", created: 1, model: call["model"] }
    if (call["stream"] !== true) {
      const message = { role: "assistant", content: text, ...(asked === undefined ? {} : { tool_calls: asked }) }
      return json(response, 200, { ...common, object: "chat.completion", choices: [{ index: 0, finish_reason: finish, message }], usage })
    }
    const chunk = (delta: Json, end: string | null = null, more: Json = {}) =>
      `data: ${JSON.stringify({ ...common, object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason: end }], ...more })}\n\n`
    const pieces = [chunk({ role: "assistant", content: "" }), ...words(text).map((word) => chunk({ content: word }))]
    if (asked !== undefined) pieces.push(chunk({ tool_calls: asked }))
    pieces.push(chunk({}, finish, { usage }), "data: [DONE]\n\n")
    stream(response, pieces, gapMillis, hang)
  }
}

const gemini = (streams: boolean): Api => ({
  tools: (call) =>
    list(call["tools"])
      .flatMap((tool) => list(tool["functionDeclarations"]))
      .map((declared) => String(declared["name"] ?? "")),
  answered: (call) =>
    list(call["contents"]).some((content) => list(content["parts"]).some((part) => part["functionResponse"] !== undefined)),
  error: ({ retryAfter, status }) => ({
    error: {
      code: status,
      status: status === 429 ? "RESOURCE_EXHAUSTED" : "UNAVAILABLE",
      message: status === 429 ? "Resource has been exhausted (e.g. check quota)." : "The model is overloaded. Please try again later.",
      ...(retryAfter === undefined
        ? {}
        : { details: [{ "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: `${retryAfter}s` }] })
    }
  }),
  send: (response, _call, { text, tool }, gapMillis, hang) => {
    const content = (parts: ReadonlyArray<unknown>, more: Json = {}) => ({
      candidates: [{ index: 0, content: { role: "model", parts }, ...more }],
      usageMetadata: { promptTokenCount: 10, candidatesTokenCount: 5, totalTokenCount: 15 },
      modelVersion: "model"
    })
    const asked = tool === undefined ? [] : [{ functionCall: { id: "call_1", name: tool.name, args: tool.arguments } }]
    if (!streams) return json(response, 200, content([{ text }, ...asked], { finishReason: "STOP" }))
    const event = (value: unknown) => `data: ${JSON.stringify(value)}\r\n\r\n`
    const pieces = words(text).map((word) => event(content([{ text: word }])))
    if (asked.length > 0) pieces.push(event(content(asked)))
    pieces.push(event(content([{ text: "" }], { finishReason: "STOP" })))
    stream(response, pieces, gapMillis, hang)
  }
})

const words = (text: string): ReadonlyArray<string> => text.match(/\S+\s*/g) ?? []
const record = (value: unknown): Json => (typeof value === "object" && value !== null ? (value as Json) : {})
const list = (value: unknown): ReadonlyArray<Json> => (Array.isArray(value) ? value.map(record) : [])

const parse = (body: string): Json => {
  try {
    return record(JSON.parse(body))
  } catch {
    return {}
  }
}

const json = (response: http.ServerResponse, status: number, value: unknown, headers: Record<string, string> = {}): void => {
  response.writeHead(status, { "content-type": "application/json", ...headers })
  response.end(JSON.stringify(value))
}

/** Sends piece by piece; one that hangs stops after the first. */
const stream = (response: http.ServerResponse, pieces: ReadonlyArray<string>, gapMillis: number, hang: boolean): void => {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" })
  const send = (index: number): void => {
    const piece = pieces[index]
    if (response.destroyed) return
    if (piece === undefined) {
      response.end()
      return
    }
    response.write(piece)
    if (hang) return
    if (gapMillis === 0) send(index + 1)
    else setTimeout(() => send(index + 1), gapMillis)
  }
  send(0)
}
