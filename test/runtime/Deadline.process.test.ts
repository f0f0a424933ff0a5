/** The deadline of a task whose agent does not want to end: a real process, a tool in a session of its own, both deaf to SIGTERM. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { classify } from "../../src/agent/Classification.ts"
import * as CommandDriver from "../../src/agent/CommandDriver.ts"
import * as ProcessTree from "../../src/agent/ProcessTree.ts"
import { AgentRuntime } from "../../src/AgentRuntime.ts"
import * as LocalRuntime from "../../src/LocalRuntime.ts"
import * as RuntimeConfig from "../../src/RuntimeConfig.ts"
import type { RuntimeEvent } from "../../src/RuntimeEvent.ts"
import { temporaryDirectory } from "../support/stateDirectory.ts"
import { until } from "../support/until.ts"

/** Writes as long as it lives, and so does its tool. */
const agent = `
trap '' TERM
[ "$1" = tool ] || setsid "$0" tool &
echo $$ >> pids
while :; do echo x >> effects; sleep 0.02; done
`

/** Living processes that carry this text in their environment. */
const living = (text: string): ReadonlyArray<string> =>
  readdirSync("/proc").filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/environ`, "latin1").includes(text)
    } catch {
      return false
    }
  })

describe.skipIf(process.platform !== "linux")("a deadline with real processes", () => {
  it.live(
    "C11 C46 stopping begins early enough: at the deadline the whole tree is dead, the end is recorded after that, and nothing happens later",
    () =>
      Effect.gen(function* () {
        const directory = yield* temporaryDirectory
        const program = path.join(directory, "agent.sh")
        writeFileSync(program, `#!/bin/sh${agent}`, { mode: 0o755 })
        const mark = `NOFX_TEST_MARK=${path.basename(directory)}`
        const env = { PATH: process.env["PATH"]!, NOFX_TEST_MARK: path.basename(directory) }
        const stubborn = yield* CommandDriver.make({ classify, inheritEnv: env, cwd: directory, graceMillis: 300 })
        const config = yield* RuntimeConfig.decode({})
        const options = { config, cwd: directory, env, directory: path.join(directory, "agents"), drivers: { stubborn } }
        const runtime = Context.get(
          yield* Layer.build(LocalRuntime.layerMemory(options).pipe(Layer.provide(NodeServices.layer))),
          AgentRuntime
        )

        const atEnd: Array<{ readonly event: RuntimeEvent; readonly living: ReadonlyArray<string>; readonly effects: number }> = []
        const effects = (): number => statSync(path.join(directory, "effects")).size
        yield* runtime.subscribe((event) => {
          if (event._tag === "AttemptEnded" || event._tag === "TaskDeadLettered")
            atEnd.push({ event, living: living(mark), effects: effects() })
        })
        yield* runtime.spawn({ id: "a", driver: "stubborn", command: [program] })
        const task = yield* runtime.submit({ id: "t", deadline: "8 seconds" })
        const pids = () =>
          existsSync(path.join(directory, "pids")) ? readFileSync(path.join(directory, "pids"), "utf8").trim().split("\n") : []
        yield* until(() => pids().length === 2 && living(mark).length >= 2)

        const end = yield* runtime.await("t")
        yield* until(() => atEnd.length === 2)
        assert.strictEqual(end.state, "dead-lettered")
        assert.include(end.reason, "its deadline is due")
        assert.deepEqual(
          atEnd.map(({ event, living }) => [event._tag, living]),
          [
            ["AttemptEnded", []],
            ["TaskDeadLettered", []]
          ]
        )
        for (const { event } of atEnd) assert.isAtMost(event.at, task.acceptedAt + 8_000)
        assert.deepEqual(living(mark), [])
        assert.strictEqual(effects(), atEnd[0]!.effects)
        yield* runtime.shutdown
      }).pipe(Effect.scoped, Effect.provide(ProcessTree.layer))
  )
})
