/** A real host on a Redis that goes away: what the command line and the probes say of it. */
import { spawn } from "node:child_process"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { nofx } from "../cli/commandLine.ts"
import { temporary } from "../host/served.ts"
import { onPath, requires } from "../support/requirement.ts"
import { until } from "../support/until.ts"
import * as RedisServer from "./redisServer.ts"

const main = join(import.meta.dirname, "../../src/cli/main.ts")

requires("redis-server", () => onPath("redis-server"))("a host on Redis", () => {
  it.live("C22 status, health and probes name a Redis that is away with its cause, never its password; the host stays ready", () =>
    Effect.gen(function* () {
      const root = yield* temporary
      const server = yield* RedisServer.make(["--requirepass", "canary-secret"])
      const env = { PATH: process.env["PATH"] ?? "", HOME: root, XDG_STATE_HOME: root }
      const directory = join(root, "state")
      let printed = ""
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          const url = server.url.replace("//", "//:canary-secret@")
          const args = ["--disable-warning=ExperimentalWarning", main, "host", "--json", "--http", "0", "--state-dir", directory]
          const child = spawn(process.execPath, args, { env: { ...env, NOFX_REDIS_URL: url, NOFX_DEBUG: "1" } })
          for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (printed += chunk))
          return child
        }),
        (child) => Effect.sync(() => void child.kill("SIGKILL"))
      )
      yield* until(() => printed.includes("HostReady"))
      const { http } = JSON.parse(printed)
      const ready = async () => {
        const response = await fetch(`${http}/readyz`)
        return { code: response.status, text: await response.text() }
      }
      const said = (...words: ReadonlyArray<string>) => nofx([...words, "--state-dir", directory], { env })
      assert.notInclude((yield* said("status")).out, "degraded")
      assert.strictEqual(JSON.parse((yield* Effect.promise(ready)).text).status, "pass")
      yield* Effect.promise(server.kill)
      yield* until(async () => (await ready()).text.includes("degraded:redis"))
      const { code, text } = yield* Effect.promise(ready)
      assert.strictEqual(code, 200)
      const { checks, status } = JSON.parse(text)
      assert.strictEqual(status, "warn")
      assert.match(checks["degraded:redis"][0].output, /(closed|ECONNREFUSED).*limits: local-share/)
      const all = [text, printed]
      for (const words of [["status"], ["status", "--json"], ["health"], ["health", "--json"]]) {
        const { out } = yield* said(...words)
        assert.match(out, /redis.*limits: local-share/)
        all.push(out)
      }
      assert.notInclude(all.join(), "canary")
      yield* Effect.promise(server.start)
      yield* until(async () => !(await ready()).text.includes("degraded:redis"))
    })
  )
})
