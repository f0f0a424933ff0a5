import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { readdirSync } from "node:fs"
import * as path from "node:path"
import * as Transcript from "../../src/agent/Transcript.ts"
import { AgentRuntime } from "../../src/AgentRuntime.ts"
import * as LocalRuntime from "../../src/LocalRuntime.ts"
import * as RuntimeConfig from "../../src/RuntimeConfig.ts"
import * as Repository from "../support/repository.ts"

describe("agents that share a repository", () => {
  it.live("C67 C68 each works, and is checked, in a worktree of its own; its result is a commit, and its words are written down", () =>
    Effect.gen(function* () {
      const { base, env, git, read, top } = yield* Repository.make
      const directory = path.join(base, "agents")
      const config = yield* RuntimeConfig.decode({ worktrees: { minFreeMegabytes: 0 } })
      const layer = LocalRuntime.layerMemory({ config, cwd: top, env, directory }).pipe(Layer.provide(NodeServices.layer))
      const runtime = Context.get(yield* Layer.build(layer), AgentRuntime)
      const command = ["/bin/sh", "-c", 'echo "{{task.prompt}}" > shared.txt; echo "wrote {{task.prompt}}"']
      for (const id of ["a", "b"]) yield* runtime.spawn({ id, driver: "command", isolation: "worktree", command })
      const ends = yield* Effect.forEach(
        ["a", "b"],
        (id) =>
          runtime.execute(id, { id: `t-${id}`, prompt: `by ${id}`, changes: "required", verify: ["grep", "-q", `by ${id}`, "shared.txt"] }),
        { concurrency: 2 }
      )
      for (const end of ends) assert.deepInclude(end, { state: "succeeded", verified: true, attempts: 1 })
      assert.strictEqual(read(top, "shared.txt"), "one\n")
      assert.strictEqual(git(top, "status", "--porcelain"), "")
      for (const id of ["a", "b"]) {
        assert.strictEqual(git(top, "show", `nofx/${id}:shared.txt`), `by ${id}`)
        assert.strictEqual(git(top, "log", "-1", "--format=%s", `nofx/${id}`), `nofx: t-${id}: by ${id}`)
        const [name = ""] = readdirSync(path.join(directory, id)).filter((file) => file.endsWith(".jsonl"))
        const entries = Transcript.read(path.join(directory, id), name.split(".")[0] ?? "").next()
        assert.deepEqual(
          entries.map((entry) => (entry._tag === "Stdout" ? entry.text : entry._tag)),
          ["Began", `wrote by ${id}\n`, "Ended"]
        )
      }
      yield* runtime.shutdown
      assert.notInclude(git(top, "worktree", "list", "--porcelain"), "locked")
    }).pipe(Effect.scoped)
  )
})
