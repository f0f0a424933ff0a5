/**
 * A model server on loopback, for real agents: it asks for one file to be written, then says that it is done. Faults are scripted: each call
 * that carries tools takes the next one, until none is left.
 */
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import { Effect } from "effect"
import { type Answer, apiOf, type Json, record, type Reply } from "./modelApis.ts"

/** What happens to a call instead of its answer. */
export type Fault =
  | { readonly kind: "status"; readonly status: number; readonly retryAfter?: number }
  /** The connection is reset before the answer. */
  | { readonly kind: "reset" }
  /** The answer begins, and then nothing follows, or the connection is reset, or it ends as if that were all. */
  | { readonly kind: "cut"; readonly by: "hang" | "reset" | "end" }
  /** Each piece of the answer takes this long. Milliseconds. */
  | { readonly kind: "slow"; readonly gapMillis: number }

export interface ModelServer {
  readonly url: string
  /** Calls with tools so far: two for a task that goes well. Side requests, such as those for titles, do not count. */
  readonly calls: () => number
  /** What happens to the next of such calls, one after the other. */
  readonly fail: (faults: Iterable<Fault>) => void
  /** Completes when as many calls have begun to be answered. */
  readonly reached: (calls: number) => Effect.Effect<void>
}

/** What the agent is asked to write. */
export const written = { file: "hello.txt", content: "hello from the model\n" }

const done: Reply = { text: "Done: the file is written." }
const sideAnswer: Reply = { text: '{"title":"task","next_speaker":"user","reasoning":"-"}' }

/** How the file is written with the tool that an agent has for it. */
const writers: Readonly<Record<string, Record<string, string>>> = {
  write: { filePath: written.file, content: written.content },
  write_file: { file_path: written.file, content: written.content },
  exec_command: { cmd: `printf '%s\\n' '${written.content.trim()}' > ${written.file}` }
}

/** Listens until the scope closes. */
export const make = Effect.gen(function* () {
  let calls = 0
  let faults: Iterator<Fault> = [].values()
  const waits = new Set<() => void>()

  const answer = (request: http.IncomingMessage, response: http.ServerResponse, body: string): void => {
    const api = apiOf(request.url ?? "")
    if (api === undefined) return json(response, 404, { error: { message: "not found" } })
    const call = parse(body)
    const tools = api.tools(call)
    // A call without tools is one of the agent's own, for a title or the like.
    if (tools.length < 2) return send(response, api.reply(call, sideAnswer), undefined)
    calls++
    const next = faults.next()
    const fault = next.done === true ? undefined : next.value
    for (const wake of waits) wake()
    if (fault?.kind === "status") {
      const headers = fault.retryAfter === undefined ? {} : { "retry-after": String(fault.retryAfter) }
      return json(response, fault.status, api.error(fault.status, fault.retryAfter), headers)
    }
    if (fault?.kind === "reset") {
      request.socket.resetAndDestroy()
      return
    }
    const name = tools.find((tool) => Object.hasOwn(writers, tool))
    const arguments_ = name === undefined ? undefined : writers[name]
    const reply =
      api.answered(call) || name === undefined || arguments_ === undefined
        ? done
        : { text: "Working on it. ", tool: { name, arguments: arguments_ } }
    send(response, api.reply(call, reply), fault)
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
    fail: (next) => {
      faults = next[Symbol.iterator]()
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

/** Of a stream that is cut, so many pieces arrive. */
const arriving = 5

const send = (response: http.ServerResponse, answer: Answer, fault: Fault | undefined): void => {
  if ("body" in answer) return json(response, 200, answer.body)
  const { pieces } = answer
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" })
  const cut = fault?.kind === "cut" ? fault.by : undefined
  const write = (index: number): void => {
    const piece = pieces[index]
    if (response.destroyed) return
    if (piece === undefined || (cut === "end" && index === arriving)) {
      response.end()
      return
    }
    response.write(piece, () => {
      if (cut === "reset" && index + 1 === arriving) response.socket?.resetAndDestroy()
    })
    if ((cut === "hang" || cut === "reset") && index + 1 === arriving) return
    if (fault?.kind === "slow") setTimeout(() => write(index + 1), fault.gapMillis)
    else write(index + 1)
  }
  write(0)
}
