/**
 * The wire formats of a model server: Gemini, OpenAI's chat completions and OpenAI's responses. Each reads which tools a call offers and
 * whether one was used, and writes a reply, or an error, as its provider does.
 */
export type Json = Record<string, unknown>

export interface Reply {
  readonly text: string
  readonly tool?: { readonly name: string; readonly arguments: Record<string, string> }
}

/** A body that is sent at once, or the pieces of a stream. */
export type Answer = { readonly body: unknown } | { readonly pieces: ReadonlyArray<string> }

export interface Api {
  readonly tools: (call: Json) => ReadonlyArray<string>
  /** Has the tool been used since the user last spoke? */
  readonly answered: (call: Json) => boolean
  readonly error: (status: number, retryAfter: number | undefined) => unknown
  readonly reply: (call: Json, reply: Reply) => Answer
}

/** The format that is spoken at an address; undefined for every other address. */
export const apiOf = (url: string): Api | undefined => {
  const at = url.split("?")[0] ?? ""
  if (/\/chat\/completions$/.test(at)) return chat
  if (/\/responses$/.test(at)) return responses
  if (/:(?:streamGenerateContent|generateContent)$/.test(at)) return gemini(at.endsWith(":streamGenerateContent"))
  return undefined
}

/** An object, whatever was sent. */
export const record = (value: unknown): Json => (typeof value === "object" && value !== null ? (value as Json) : {})
const list = (value: unknown): ReadonlyArray<Json> => (Array.isArray(value) ? value.map(record) : [])
const words = (text: string): ReadonlyArray<string> => text.match(/\S+\s*/g) ?? []

const openaiError: Api["error"] = (status) => ({
  error:
    status === 429
      ? { message: "Rate limit reached for the model", type: "rate_limit_exceeded", code: "rate_limit_exceeded" }
      : { message: "The server is overloaded", type: "server_error", code: "overloaded" }
})

const chat: Api = {
  tools: (call) => list(call["tools"]).map((tool) => String(record(tool["function"])["name"] ?? "")),
  answered: (call) => {
    const roles = list(call["messages"]).map((message) => message["role"])
    return roles.slice(roles.lastIndexOf("user") + 1).includes("tool")
  },
  error: openaiError,
  reply: (call, { text, tool }) => {
    const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 }
    const asked =
      tool === undefined
        ? undefined
        : [{ index: 0, id: "call_1", type: "function", function: { name: tool.name, arguments: JSON.stringify(tool.arguments) } }]
    const finish = asked === undefined ? "stop" : "tool_calls"
    const common = { id: "answer", created: 1, model: call["model"] }
    if (call["stream"] !== true) {
      const message = { role: "assistant", content: text, ...(asked === undefined ? {} : { tool_calls: asked }) }
      return { body: { ...common, object: "chat.completion", choices: [{ index: 0, finish_reason: finish, message }], usage } }
    }
    const chunk = (delta: Json, end: string | null = null, more: Json = {}) =>
      `data: ${JSON.stringify({ ...common, object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason: end }], ...more })}\n\n`
    const pieces = [chunk({ role: "assistant", content: "" }), ...words(text).map((word) => chunk({ content: word }))]
    if (asked !== undefined) pieces.push(chunk({ tool_calls: asked }))
    return { pieces: [...pieces, chunk({}, finish, { usage }), "data: [DONE]\n\n"] }
  }
}

const responses: Api = {
  tools: (call) => list(call["tools"]).map((tool) => String(tool["name"] ?? tool["type"])),
  answered: (call) => {
    const kinds = list(call["input"]).map((item) => (item["role"] === "user" ? "user" : String(item["type"])))
    return kinds.slice(kinds.lastIndexOf("user") + 1).some((kind) => kind.endsWith("_call_output"))
  },
  error: openaiError,
  reply: (call, { text, tool }) => {
    let number = 0
    const event = (type: string, more: Json) => `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: number++, ...more })}\n\n`
    const common = { id: "answer", object: "response", model: call["model"] }
    const message = {
      id: "message",
      type: "message",
      role: "assistant",
      status: "completed",
      content: [{ type: "output_text", text, annotations: [] }]
    }
    const usage = {
      input_tokens: 10,
      input_tokens_details: { cached_tokens: 0 },
      output_tokens: 5,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: 15
    }
    const asked =
      tool === undefined
        ? []
        : [
            {
              id: "tool",
              type: "function_call",
              status: "completed",
              call_id: "call_1",
              name: tool.name,
              arguments: JSON.stringify(tool.arguments)
            }
          ]
    return {
      pieces: [
        event("response.created", { response: { ...common, status: "in_progress", output: [] } }),
        event("response.output_item.added", { output_index: 0, item: { ...message, status: "in_progress", content: [] } }),
        ...words(text).map((delta) =>
          event("response.output_text.delta", { output_index: 0, content_index: 0, item_id: message.id, delta })
        ),
        event("response.output_item.done", { output_index: 0, item: message }),
        ...asked.map((item) => event("response.output_item.done", { output_index: 1, item })),
        event("response.completed", { response: { ...common, status: "completed", output: [message, ...asked], usage } })
      ]
    }
  }
}

const gemini = (streams: boolean): Api => ({
  tools: (call) =>
    list(call["tools"])
      .flatMap((tool) => list(tool["functionDeclarations"]))
      .map((declared) => String(declared["name"] ?? "")),
  answered: (call) =>
    list(call["contents"]).some((content) => list(content["parts"]).some((part) => part["functionResponse"] !== undefined)),
  error: (status, retryAfter) => ({
    error: {
      code: status,
      status: status === 429 ? "RESOURCE_EXHAUSTED" : "UNAVAILABLE",
      message: status === 429 ? "Resource has been exhausted (e.g. check quota)." : "The model is overloaded. Please try again later.",
      ...(retryAfter === undefined
        ? {}
        : { details: [{ "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: `${retryAfter}s` }] })
    }
  }),
  reply: (_call, { text, tool }) => {
    const content = (parts: ReadonlyArray<unknown>, more: Json = {}) => ({
      candidates: [{ index: 0, content: { role: "model", parts }, ...more }],
      usageMetadata: { promptTokenCount: 10, candidatesTokenCount: 5, totalTokenCount: 15 },
      modelVersion: "model"
    })
    const asked = tool === undefined ? [] : [{ functionCall: { id: "call_1", name: tool.name, args: tool.arguments } }]
    if (!streams) return { body: content([{ text }, ...asked], { finishReason: "STOP" }) }
    const event = (value: unknown) => `data: ${JSON.stringify(value)}\r\n\r\n`
    const pieces = words(text).map((word) => event(content([{ text: word }])))
    if (asked.length > 0) pieces.push(event(content(asked)))
    return { pieces: [...pieces, event(content([{ text: "" }], { finishReason: "STOP" }))] }
  }
})
