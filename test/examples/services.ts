import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { AgentRuntime } from "nofx/AgentRuntime"
import * as LocalRuntime from "nofx/LocalRuntime"
import * as RuntimeConfig from "nofx/RuntimeConfig"

const program = Effect.gen(function* () {
  const runtime = yield* AgentRuntime
  yield* runtime.spawn({ id: "tests", driver: "command", command: ["node", "--version"] })
  const end = yield* runtime.execute("tests", { id: "version", effect: "idempotent", deadline: "1 minute" })
  yield* Console.log(end.state, end.output?.trim())
})

const runtime = LocalRuntime.layerMemory({
  config: RuntimeConfig.defaults,
  cwd: process.cwd(),
  env: { PATH: process.env["PATH"] ?? "" },
  directory: "/tmp/nofx-example"
}).pipe(Layer.provide(NodeServices.layer))

await Effect.runPromise(Effect.provide(program, runtime))
