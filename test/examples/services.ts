import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { AgentRuntime } from "nofx/AgentRuntime"
import * as LocalRuntime from "nofx/LocalRuntime"

const program = Effect.gen(function* () {
  const runtime = yield* AgentRuntime
  yield* runtime.spawn({ id: "tests", driver: "command", command: ["node", "--version"] })
  return yield* runtime.execute("tests", { id: "version", effect: "idempotent", deadline: "1 minute" })
})

const env = { PATH: process.env["PATH"] ?? "" }
const runtime = LocalRuntime.layerMemory({ cwd: process.cwd(), env, directory: "/tmp/nofx-example" })

const end = await Effect.runPromise(Effect.provide(program, Layer.provide(runtime, NodeServices.layer)))
console.log(end.state, end.output?.trim())
