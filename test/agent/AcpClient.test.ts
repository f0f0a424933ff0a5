import { assert, describe, it } from "@effect/vitest"
import * as acp from "@agentclientprotocol/sdk"
import { Deferred, Effect, Fiber, Schema } from "effect"
import * as AcpClient from "../../src/agent/AcpClient.ts"
import * as AcpWire from "../../src/agent/AcpWire.ts"

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const unused = () => Effect.fail(acp.RequestError.internalError())

/** A client and an agent of the SDK in one process, joined by lines. */
const pair = Effect.fnUntraced(function* (agent: acp.AgentApp, handlers: Partial<AcpClient.Handlers> = {}) {
  const toAgent = new TransformStream<Uint8Array, Uint8Array>()
  const writer = toAgent.writable.getWriter()
  let push: (chunk: Uint8Array) => void = () => {}
  const violations: Array<string> = []
  const client = yield* AcpClient.make({
    send: (line) => writer.write(bytes(line)),
    violation: (detail) => void violations.push(detail),
    handlers: {
      update: () => {},
      permission: unused,
      readFile: unused,
      writeFile: unused,
      createTerminal: unused,
      terminalOutput: unused,
      waitForTerminal: unused,
      killTerminal: unused,
      releaseTerminal: unused,
      ...handlers
    }
  })
  push = client.push
  const fromAgent = new WritableStream<Uint8Array>({ write: (chunk) => push(chunk) })
  const connection = agent.connect(acp.ndJsonStream(fromAgent, toAgent.readable))
  yield* Effect.addFinalizer(() => Effect.sync(() => connection.close()))
  return { client, violations }
})

const { agent: names, client: asks } = acp.methods

describe("AcpClient", () => {
  it.effect("C48 every update of a turn is known before the answer that follows it", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const app = acp.agent().onRequest(names.session.prompt, async ({ client, params }) => {
        for (let index = 0; index < 100; index++) {
          const content = { type: "text" as const, text: String(index) }
          await client.notify(asks.session.update, {
            sessionId: params.sessionId,
            update: { sessionUpdate: "agent_message_chunk", content }
          })
        }
        return { stopReason: "end_turn" }
      })
      const { client } = yield* pair(app, { update: (_session, update) => void seen.push(update) })
      const answer = yield* client.request(names.session.prompt, { sessionId: "s", prompt: [] })
      assert.strictEqual(answer.stopReason, "end_turn")
      assert.lengthOf(seen, 100)
    })
  )

  it.effect("C60 the agent's error, the connection's end and the agent's own requests keep their kind", () =>
    Effect.gen(function* () {
      const app = acp
        .agent()
        .onRequest(names.session.new, () => {
          throw new acp.RequestError(429, "slow down", { retryAfter: 3 })
        })
        .onRequest(names.session.load, async ({ client, params }) => {
          const read = await client
            .request(asks.fs.readTextFile, { sessionId: params.sessionId, path: "/x" })
            .catch((error: acp.RequestError) => error)
          throw new acp.RequestError(read instanceof acp.RequestError ? read.code : 0, "told")
        })
        .onRequest(names.session.prompt, () => new Promise<never>(() => {}))
      const { client } = yield* pair(app, { readFile: () => Effect.fail(acp.RequestError.resourceNotFound("/x")) })
      const refused = yield* Effect.flip(client.request(names.session.new, { cwd: "/", mcpServers: [] }))
      assert.isTrue(refused._tag === "Refused" && refused.error.code === 429)
      const told = yield* Effect.flip(client.request(names.session.load, { cwd: "/", mcpServers: [], sessionId: "s" }))
      assert.isTrue(told._tag === "Refused" && told.error.code === -32002)
      const began = yield* Deferred.make<void>()
      const waiting = yield* Effect.forkChild(
        Effect.andThen(
          Deferred.succeed(began, undefined),
          Effect.flip(client.request(names.session.prompt, { sessionId: "s", prompt: [] }))
        ),
        { startImmediately: true }
      )
      yield* Deferred.await(began)
      const reason = new Error("it died")
      client.close(reason)
      const ended = yield* Fiber.join(waiting)
      assert.isTrue(ended._tag === "Disconnected" && ended.cause === reason)
      const after = yield* Effect.flip(client.request(names.session.new, { cwd: "/", mcpServers: [] }))
      assert.isTrue(after._tag === "Disconnected" && after.cause === reason)
    })
  )
})

describe("AcpWire", () => {
  const wire = (options: Partial<AcpWire.Options> = {}) => {
    const updates: Array<unknown> = []
    const violations: Array<string> = []
    const made = AcpWire.make({
      send: () => Promise.resolve(),
      update: (params) => void updates.push(params),
      violation: (detail) => void violations.push(detail),
      ...options
    })
    return { ...made, updates, violations }
  }
  const update = (text: string) => `{"jsonrpc":"2.0","method":"session/update","params":${JSON.stringify(text)}}`

  it.effect.prop(
    "C60 messages arrive whole and in order, however the bytes are cut",
    [Schema.Array(Schema.String), Schema.Int],
    ([texts, cut]) =>
      Effect.sync(() => {
        const { push, updates } = wire()
        const all = bytes(texts.map((text) => `${update(text)}\n`).join(""))
        const size = (Math.abs(cut) % 7) + 1
        for (let at = 0; at < all.length; at += size) push(all.subarray(at, at + size))
        assert.deepStrictEqual(updates, JSON.parse(JSON.stringify(texts)))
      })
  )

  it("C60 what is no message is counted and skipped; a message behind a progress display is found", () => {
    const { garbage, push, updates, violations } = wire()
    const junk = [
      "hello",
      "[]",
      "{}",
      "null",
      '{"jsonrpc":"2.0"}',
      '{"jsonrpc":"2.0","id":7,"result":1}',
      '{"jsonrpc":"2.0","id":{},"method":"x"}',
      '{"jsonrpc":"1.0","method":"session/update"}'
    ]
    push(bytes(`${junk.join("\n")}\n\n\r\n`))
    assert.strictEqual(garbage(), junk.length)
    push(bytes(`Loading 50% ... ${update("found")}\r\n`))
    assert.deepStrictEqual(updates, ["found"])
    assert.deepStrictEqual(violations, [])
  })

  it("C60 too much garbage in a row, and too long a line, end it once", () => {
    const many = wire({ maxGarbage: 3 })
    many.push(bytes(`a\nb\nc\n${update("x")}\na\nb\nc\n`))
    assert.deepStrictEqual(many.violations, [])
    many.push(bytes(`d\ne\nf\n${update("y")}\n`))
    assert.lengthOf(many.violations, 1)
    assert.deepStrictEqual(many.updates, ["x"])
    const long = wire({ maxLine: 100 })
    for (let index = 0; index < 30; index++) long.push(bytes("0123456789"))
    assert.lengthOf(long.violations, 1)
  })
})
